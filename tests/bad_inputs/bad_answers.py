"""What the service and the app say to each bad request: `answers.jsonl`, written anew by

python tests/bad_inputs/bad_answers.py [serve | app]

Read the difference before you commit it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx
from serve_fakes import WEB

if TYPE_CHECKING:
    from bad_requests import Request

ANSWERS = Path(__file__).with_name("answers.jsonl")


def expected(what: str) -> dict[str, str]:
    """Request -> the line that it is refused with. what: `serve` or `app`."""
    lines = map(json.loads, ANSWERS.read_text("utf-8").splitlines()) if ANSWERS.exists() else []
    return {line["row"]: line["line"] for line in lines if line["to"] == what}


def told_by_service(url: str, row: Request) -> httpx.Response:
    """The answer of a service at that address."""
    headers = {"Content-Type": "application/json", **row.headers}
    return WEB.request(row.method, url + row.path, content=row.body, headers=headers)


def _of_service() -> dict[str, str]:
    import bad_requests
    from serve_fakes import running

    found = {}
    with running(bad_requests.LIMITS) as served:
        for row in bad_requests.ROWS:
            told = told_by_service(served.url, row)
            found[row.name] = str(told.json().get("error", told.json())["message"])
            if told.status_code != row.status:
                print(f"{row.name}: {told.status_code} instead of {row.status}: {told.text[:300]}")
    return found


def _of_app() -> dict[str, str]:
    import bad_calls

    found = {}
    with bad_calls.opened() as app:
        for row in bad_calls.ROWS:
            found[row.name] = bad_calls.told_by_app(app, row)
    return found


def main() -> None:
    """Ask anew, and write both tables."""
    wanted = sys.argv[1:] or ["serve", "app"]
    ask = {"serve": _of_service, "app": _of_app}
    lines = [
        json.dumps({"to": what, "row": row, "line": line}, ensure_ascii=False)
        for what in ask
        for row, line in (ask[what]() if what in wanted else expected(what)).items()
    ]
    ANSWERS.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
