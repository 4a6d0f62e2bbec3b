"""Write `lines.jsonl`: what each row ends with now. Read the difference before you commit it.

Run: python tests/bad_inputs/write_lines.py [part of a module's name]
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import bad_rows
import bad_tables


def main() -> None:
    """Run all rows, or those of one module; the others' lines stay."""
    wanted = sys.argv[1] if sys.argv[1:] else ""
    known = bad_rows.expected() if bad_rows.LINES.exists() else {}
    found = dict[str, str]()
    for identity, row in bad_tables.ROWS.items():
        if not identity.startswith(wanted) and identity in known:
            found[identity] = known[identity]
            continue
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            ended = bad_rows.run(row, Path(folder))
            found[identity] = ended.line(Path(folder))
            odd = [ended.code] if ended.code != row.code else []
            if odd or ended.changed or "Traceback" in ended.err:
                print(f"{identity}: {odd} {ended.changed[:5]} {ended.err[-300:]}")
            os.chdir("/")
    lines = (json.dumps({"row": r, "line": x}, ensure_ascii=False) for r, x in found.items())
    bad_rows.LINES.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{len(found)} rows")


if __name__ == "__main__":
    main()
