"""What `rftkit check` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rftkit.check import Checked

if TYPE_CHECKING:
    from rich.console import Console

CLASSES_SHOWN = 12
COPIES_SHOWN = 5


def show_checked(found: Checked, console: Console) -> None:
    """One prompt, its ideal reply with rewards, counts, sizes, copies, notes."""
    for line in lines(found):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def lines(found: Checked) -> list[str]:
    """The same, as plain lines."""
    rewards = ", ".join(f"{name} {value:g}" for name, value in found.rewards.items())
    return [
        "",
        f"prompt of {found.training.examples[0].id}:",
        *(f"  {line}" for line in found.prompt.splitlines()),
        "ideal reply:",
        *(f"  {line}" for line in found.ideal.splitlines()),
        f"  earns {rewards}",
        "",
        *_counts(found),
        *_sizes(found),
        *_copies(found),
        *(f"note: {note}" for note in found.notes),
        f"every gold answer earns full marks in style {found.recipe.style!r}",
    ]


def _counts(found: Checked) -> list[str]:
    ours, theirs = len(found.training.examples), len(found.held_out.examples)
    counts = found.per_class
    shown = [f"  {label}: {a} + {b}" for label, (a, b) in list(counts.items())[:CLASSES_SHOWN]]
    rest = len(counts) - len(shown)
    return [
        f"{ours} training + {theirs} held-out pictures of {len(counts)} classes:",
        *shown,
        *([f"  and {rest} more classes"] if rest else []),
    ]


def _sizes(found: Checked) -> list[str]:
    areas = sorted(found.sizes, key=lambda size: size[0] * size[1])
    small, middle, large = areas[0], areas[len(areas) // 2], areas[-1]
    budget = found.recipe.model.max_pixels
    shrunk = sum(w * h > budget for w, h in areas)
    said = f"; {shrunk} of {len(areas)} shrink to {budget} pixels" if shrunk else ""
    return [
        f"sizes: {small[0]}×{small[1]} to {large[0]}×{large[1]}, "
        f"median {middle[0]}×{middle[1]}{said}"
    ]


def _copies(found: Checked) -> list[str]:
    if not found.copies:
        return ["no picture is both trained and tested on"]
    named = [
        f"  {pair.first.id} = {pair.second.id}{'' if pair.exact else ' (nearly)'}"
        for pair in found.copies[:COPIES_SHOWN]
    ]
    count = len(found.copies)
    return [f"{count} pairs of a training and a held-out picture look the same:", *named]
