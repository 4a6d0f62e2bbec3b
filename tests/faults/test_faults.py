"""A few faults of each kind, as `make faults` does hundreds; in a process that may be forked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import calls
import pytest

HERE = Path(__file__).parent
ROWS = re.compile(r"^([a-z-]+): (\d+) of (\d+) as wanted", re.MULTILINE)


@pytest.mark.slow
@pytest.mark.skipif(not calls.supported(), reason="holds system calls, as Linux can")
def test_a_run_that_something_happens_to_ends_as_it_would_have(tmp_path: Path) -> None:
    words = [sys.executable, str(HERE / "all_faults.py"), "--quick", "--workers", "1"]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = {kind: (int(good), int(all_)) for kind, good, all_ in ROWS.findall(ended.stdout)}
    assert {"kills", "writes", "cuts", "damage", "calls", "signals", "locks"} <= rows.keys()
    assert all(good == tried > 0 for good, tried in rows.values())
