"""What `rftkit check` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rftkit.answers.boxes import load_box_labels, load_boxes
from rftkit.core import Example
from rftkit.data.duplicates import one_each
from rftkit.messages import printable
from rftkit.preflight.check import Checked
from rftkit.preflight.suspects import visible_difference
from rftkit.report import tables
from rftkit.report.metric_names import display_name
from rftkit.tasks import get_task

if TYPE_CHECKING:
    from rich.console import Console

CLASSES_SHOWN = 12
COPIES_SHOWN = 5
PROBLEMS_SHOWN = 50
ROUNDED = ("map", "ap50", "ap75", "iou_of_matches", "miou")  # metrics that rounding lowers


def show_checked(checked: Checked, console: Console) -> None:
    """One prompt, its ideal reply with rewards, counts, sizes, copies, notes."""
    for line in lines(checked):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def lines(checked: Checked) -> list[str]:
    """The same, as plain lines."""
    several = checked.problems if len(checked.problems) > 1 else ()
    parts = zip(checked.recipe.data.splits, (checked.training, checked.held_out), strict=True)
    unread = [name for name, part in parts if name and not part.examples]
    if checked.problems and unread:  # what the other split holds would look like a result
        return [
            *(f"problem: {printable(problem)}" for problem in several[:PROBLEMS_SHOWN]),
            *(f"split {name!r} was not read, so nothing was counted" for name in unread),
        ]
    return [
        *_example(checked),
        *(_counts(checked) if checked.shown else []),
        *_sizes(checked),
        *_copies(checked),
        *(f"note: {note}" for note in checked.notes),
        *_best(checked),
        *(f"problem: {printable(problem)}" for problem in several[:PROBLEMS_SHOWN]),
        *([f"and {len(several) - PROBLEMS_SHOWN} more"] if len(several) > PROBLEMS_SHOWN else []),
        *([] if checked.problems else [_gold(checked)]),
    ]


def record(checked: Checked) -> dict[str, Any]:
    """For `--json`."""
    parts = {"training": checked.training, "test": checked.held_out}
    images = {name: len(one_each(part.examples)) for name, part in parts.items()}
    return {
        "problems": [*checked.problems],
        "notes": [*checked.notes],
        "images": images | ({"validation": checked.choosing} if checked.choosing else {}),
        "prompts": {name: len(part.examples) for name, part in parts.items()},
        "opened": checked.opened,
        "classes": {
            label: {"training": ours, "test": theirs}
            for label, (ours, theirs) in checked.per_class.items()
            if label
        },
        "copies": [
            {"training": pair.first.id, "test": pair.second.id, "exact": pair.exact}
            for pair in checked.copies
        ],
        "prompt": checked.prompt,
        "ideal_reply": checked.ideal,
        "rewards": checked.rewards,
        "visible_difference": _visible(checked),
    }


def _visible(checked: Checked) -> float | None:
    """The smallest difference that the test set shows, in [0, 1]."""
    images = len(one_each(checked.held_out.examples))
    return round(visible_difference(images), 3) if images else None


def _example(checked: Checked) -> list[str]:
    """The first prompt, its ideal reply, and what that earns."""
    if checked.shown is None:
        return []
    rewards = ", ".join(f"{name} {value:g}" for name, value in checked.rewards.items())
    return [
        "",
        f"prompt of {checked.shown.id}:",
        *(f"  {line}" for line in checked.prompt.splitlines()),
        "ideal reply:",
        *(f"  {line}" for line in checked.ideal.splitlines()),
        f"  earns {rewards}",
        "",
    ]


def _gold(checked: Checked) -> str:
    return f"every gold answer earns {_marks(checked)} in style {checked.recipe.style!r}"


def _best(checked: Checked) -> list[str]:
    """What gold boxes, rounded as text rounds them, are worth by the task's metrics."""
    shown = [
        f"{display_name(measure)} {tables.in_words(measure)}"
        for measure in checked.metrics
        if measure.name in ROUNDED
    ]
    return [f"gold answers in place of replies: {', '.join(shown)}"] if shown else []


def _marks(checked: Checked) -> str:
    rounded = get_task(checked.recipe.task).predicts_boxes
    return "full marks but for rounding" if rounded else "full marks"


def _counts(checked: Checked) -> list[str]:
    """How many images, and of what; prompts and boxes too where they are not the same."""
    words = get_task(checked.recipe.task).words
    ours, theirs = checked.training.examples, checked.held_out.examples
    images = len(one_each(ours)), len(one_each(theirs))
    several = images != (len(ours), len(theirs))
    rows = _by_kind(checked, f" {words.unit}" if several else "")
    rest = len(rows) - CLASSES_SHOWN
    head = f"{images[0]} training + {images[1]} held-out images"
    head += f" + {checked.choosing} to choose the step by" if checked.choosing else ""
    head += f" of {len(rows)} {words.groups if len(rows) > 1 else words.group}" if rows else ""
    head += f", {len(ours)} + {len(theirs)} {words.unit}" if several else ""
    return [
        head + (":" if rows else ""),
        *rows[:CLASSES_SHOWN],
        *([f"  and {rest} more {words.groups}"] if rest > 0 else []),
    ]


def _by_kind(checked: Checked, unit: str) -> list[str]:
    """A line for each class or category; none where the data names none."""
    per_class = {label: counts for label, counts in checked.per_class.items() if label}
    if get_task(checked.recipe.task).answer_kind != "boxes":
        return [f"  {label}: {a} + {b}{unit}" for label, (a, b) in per_class.items()]
    boxes = [_boxes(part.examples) for part in (checked.training, checked.held_out)]
    lines = []
    for label, (a, b) in per_class.items():  # in no prompt of its own where all are asked at once
        counted = f"{boxes[0][label]} + {boxes[1][label]} boxes"
        lines.append(f"  {label}: {counted}" + (f" in {a} + {b} prompts" if a or b else ""))
    return lines


def _boxes(examples: Sequence[Example]) -> Counter[str]:
    """Gold boxes by label."""
    return Counter(
        name
        for example in examples
        for name in load_box_labels(example.gold)
        or [example.category] * len(load_boxes(example.gold))
    )


def _sizes(checked: Checked) -> list[str]:
    areas = sorted(checked.sizes, key=lambda size: size[0] * size[1])
    if not areas:
        return []
    small, middle, large = areas[0], areas[len(areas) // 2], areas[-1]
    budget = checked.recipe.model.max_pixels
    shrunk = sum(w * h > budget for w, h in areas)
    note = f"; {shrunk} of {len(areas)} shrink to {budget} pixels" if shrunk else ""
    return [
        f"sizes: {small[0]}×{small[1]} to {large[0]}×{large[1]}, "
        f"median {middle[0]}×{middle[1]}{note}"
    ]


def _copies(checked: Checked) -> list[str]:
    if not checked.training.examples or not checked.held_out.examples:
        return []
    if not checked.copies:
        return ["no image is both trained and tested on"]
    named = [
        f"  {pair.first.id} = {pair.second.id}{'' if pair.exact else ' (nearly)'}"
        for pair in checked.copies[:COPIES_SHOWN]
    ]
    count = len(checked.copies)
    pairs = f"{count} pair{'s' if count != 1 else ''} of a training and a held-out image"
    return [f"{pairs} look{'' if count != 1 else 's'} the same:", *named]
