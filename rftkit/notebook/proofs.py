"""How near exports are to their adapter, as a table that a notebook shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from rftkit.errors import UserError
from rftkit.messages import in_short
from rftkit.notebook.shown import Html

PROOF = "proof.json"
HEAD = (
    "export",
    "replies as the adapter's",
    "log-probabilities, mean difference (nats)",
    "of the base model",
    "where replies part (nats)",
    "a label's probability",
    "proved",
)
CELL = "text-align:left; padding:3px 10px"


def proofs(*folders: str | Path) -> Html:
    """A row for each export: how far its answers are from the adapter's, and how far they may be.

    Raises UserError where one has no proof, or something else in its place.
    """
    rows = [_row(Path(folder) / PROOF) for folder in folders]
    lines = [_line(HEAD, "th"), *(_line(row, "td") for row in rows)]
    return Html(f"<table>{''.join(lines)}</table>")


def _row(path: Path) -> tuple[str, ...]:
    try:
        proof: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: cannot be read ({type(error).__name__}); export without --no-proof"
        ) from None
    try:
        return _cells(proof)
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        short = in_short(error)
        raise UserError(f"{path}: no proof of an export ({short}); export again") from None


def _cells(proof: Mapping[str, Any]) -> tuple[str, ...]:
    bounds, labels = proof["bounds"], proof["label_difference"]
    return (
        str(proof["kind"]),
        f"{proof['same_replies']} of {proof['prompts']}",
        f"{proof['token_difference']:.4f}, at most {bounds['tokens']:g}",
        f"{proof['base_tokens']:.4f}",
        f"{proof['largest_tie']:.4f}, at most {bounds['tie']:g}",
        "no list" if labels is None else f"{labels:.4f}, at most {bounds['labels']:g}",
        _verdict(proof),
    )


def _verdict(proof: Mapping[str, Any]) -> str:
    if not proof["passed"]:
        return "no: " + "; ".join(proof["faults"])
    return "yes, but the base model would pass too" if proof["blind"] else "yes"


def _line(cells: tuple[str, ...], tag: str) -> str:
    inside = "".join(f'<{tag} style="{CELL}">{escape(cell)}</{tag}>' for cell in cells)
    return f"<tr>{inside}</tr>"
