"""The table of `rftkit doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rftkit.hardware.doctor import Finding
from rftkit.messages import printable

if TYPE_CHECKING:
    from rich.console import Console

TONES = {"ok": "green", "warn": "bold yellow", "fail": "bold red"}


def show_findings(findings: Sequence[Finding], console: Console) -> None:
    """Print a line for each row, and below what is wrong the command that fixes it."""
    from rich.text import Text

    width = max(len(finding.name) for finding in findings)
    for row in findings:
        line = Text(f"{row.status:<4}  ", style=TONES[row.status])
        line.append(f"{row.name:<{width}}  {printable(row.detail)}", style="default")
        console.print(line, soft_wrap=True)
        if row.fix and row.status != "ok":
            console.print(Text(f"      {'':<{width}}  {printable(row.fix)}", style="bold"),
                          soft_wrap=True)  # fmt: skip


def record(findings: Sequence[Finding]) -> dict[str, Any]:
    """For `--json`: the rows, and the worst of them."""
    worst = next((s for s in ("fail", "warn") if s in [f.status for f in findings]), "ok")
    return {"status": worst, "rows": [asdict(finding) for finding in findings]}


def failures(findings: Sequence[Finding]) -> list[str]:
    """The names of the rows that stop a run."""
    return list(dict.fromkeys(finding.name for finding in findings if finding.status == "fail"))
