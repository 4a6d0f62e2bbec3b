"""Rewards of completions that are already written: the logic behind `rftkit score`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from rftkit.answers import boxes, labels
from rftkit.core import Completion, Example, NoImage, Row, Rules, Style
from rftkit.errors import DataError, UserError
from rftkit.tasks import get_task
from rftkit.tasks.options import DetectionOptions
from rftkit.tasks.reading import Reading
from rftkit.tasks.task import Task, no_paper

LABEL_COLUMNS = {"label": "gold"}
COLUMNS = {"boxes": "gold", "box": "gold", "answer": "gold", "options": "choices"}
MAX_SIDE = 1_000_000  # pixels


def score_lines(lines: Iterable[str], task: str, style: Style, rules: Rules) -> Iterator[str]:
    """One JSON line for each JSON line: the answer, or null, and every part of the reward.

    In: `completion`, `gold` (a label, an option or its letter, a number; for boxes a list of
    [x1, y1, x2, y2], for one box also the box itself), `choices` (labels; of multiple choice, the
    options as they were shown; of detection the kinds that were asked for at once, and then each
    gold box has its own as a fifth entry), and where wanted `coords` ("thousandths", or "pixels"
    with `size` [width, height]). Out: `answer` and `rewards`; boxes in the coordinates they came
    in. `direct` has no format, so no such part. Blank lines are skipped.
    Raises UserError for `paper` rules of a task that no paper has, and DataError, with the line's
    number, at the first line that cannot be scored.
    """
    chosen = get_task(task)
    if rules == "paper" and not chosen.paper_rewards:
        raise UserError(f"--rules: {no_paper(chosen)}")
    for number, line in enumerate(lines, start=1):
        if line.strip("\ufeff \t\r\n"):
            yield _scored(line, f"standard input:{number}", chosen, style, rules)


def _scored(line: str, location: str, task: Task, style: Style, rules: Rules) -> str:
    values = _values(line, location)
    example = example_of(values, location, task)
    completion = values.get("completion")
    if not isinstance(completion, str):
        raise DataError(f"{location}: completion is {_shown(completion)}; give the reply as a text")
    attempt = task.attempt(example, style, Completion(completion))
    result = {"answer": task.parsed(attempt), "rewards": task.rewards_of(attempt, rules)}
    return json.dumps(result, allow_nan=False)


def _values(line: str, location: str) -> Mapping[str, object]:
    if not _is_utf8(line):
        raise DataError(f"{location}: not UTF-8; write the lines in UTF-8")
    try:
        values: object = json.loads(line.strip("\ufeff \t\r\n"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{location}: not JSON ({error}); write one object on each line") from error
    if not isinstance(values, dict):
        raise DataError(
            f"{location}: {_shown(values)} is not an object; write {{...}} on each line"
        )
    if missing := {"completion", "gold"} - values.keys():
        raise DataError(f"{location}: no {' and no '.join(sorted(missing))}; every line needs both")
    return values


def example_of(values: Mapping[str, object], location: str, task: Task) -> Example:
    """The example that a line's gold, choices and coordinates describe. Raises DataError."""
    if task.predicts_labels:
        return _labelled(values, location, task)
    if task.answer_kind == "boxes" and values.get("choices"):
        return _of_kinds(values, location, task)
    asked = {name: values[name] for name in ("question", "choices", "fields") if name in values}
    row = Row(
        location, NoImage(), {"gold": values["gold"], "grid": _grid(values, location), **asked}
    )
    (example,) = task.read(row, _reading(task))
    return example


def _reading(task: Task) -> Reading:
    """How a line is read: options stay in the order in which they were shown."""
    return Reading(
        task.score_options or task.options(), LABEL_COLUMNS if task.predicts_labels else COLUMNS
    )


def _labelled(values: Mapping[str, object], location: str, task: Task) -> Example:
    gold = values["gold"]
    if not isinstance(gold, str) or not labels.normalise(gold):
        raise DataError(
            f"{location}: gold is {_shown(gold)}; give a label, a text with a word in it"
        )
    (example,) = task.read(Row(location, NoImage(), {"gold": gold}), _reading(task))
    choices = _choices(values.get("choices"), location)
    if choices and example.gold not in choices:
        raise DataError(
            f"{location}: gold {_shown(gold)} is not one of the {len(choices)} choices; "
            "add it, spelled the same way"
        )
    return replace(example, choices=choices)


def _of_kinds(values: Mapping[str, object], location: str, task: Task) -> Example:
    """Several kinds of object asked for at once."""
    kinds, grid = _choices(values["choices"], location), _grid(values, location)
    objects = tuple(
        _object(entry, kinds, grid, location) for entry in _entries(values["gold"], location)
    )
    row = Row(location, NoImage(), {"objects": objects, "categories": kinds, "grid": grid})
    (example,) = task.read(row, Reading(DetectionOptions(ask="picture")))
    return example


def _entries(gold: object, location: str) -> list[list[object]]:
    listed = gold if isinstance(gold, list) and len(gold) <= boxes.MAX_BOXES else [gold]
    entries: list[list[object]] = []
    for entry in listed:
        if not isinstance(entry, list) or len(entry) != 5:
            raise DataError(
                f"{location}: gold {_shown(entry)} is no box with its kind; with choices write "
                '[[x1, y1, x2, y2, "kind"], ...]'
            )
        entries.append(entry)
    return entries


def _object(
    entry: list[object], kinds: tuple[str, ...], grid: str | None, location: str
) -> boxes.LabelledBox:
    *edges, kind = entry
    if kind not in kinds:
        raise DataError(
            f"{location}: gold kind {_shown(kind)} is not one of the {len(kinds)} choices; add it"
        )
    return boxes.LabelledBox(str(kind), boxes.gold_box(edges, boxes.Grid.named(grid), location))


def _choices(value: object, location: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(choice, str) for choice in value):
        raise DataError(f"{location}: choices are {_shown(value)}; give a list of labels")
    choices = tuple(" ".join(choice.split()) for choice in value)
    if pairs := labels.colliding_labels(choices):
        first, second = pairs[0]
        raise DataError(
            f"{location}: choices {_shown(first)} and {_shown(second)} read the same; rename one"
        )
    return choices


def _grid(values: Mapping[str, object], location: str) -> str | None:
    """The name of the grid that the line's boxes and completion count in; None: thousandths."""
    coords, size = values.get("coords", "thousandths"), values.get("size")
    if coords == "thousandths":
        return None
    if coords != "pixels":
        raise DataError(f"{location}: coords {_shown(coords)}; known: 'thousandths', 'pixels'")
    sides = size if isinstance(size, list) else []
    whole = [side for side in sides if type(side) is int and 0 < side <= MAX_SIDE]
    if len(whole) != 2 or len(sides) != 2:
        raise DataError(
            f"{location}: coords 'pixels' with size {_shown(size)}; "
            "give the size as [width, height]"
        )
    return f"{whole[0]}x{whole[1]}"


def _is_utf8(line: str) -> bool:
    """False if bytes that are no text came in, as the surrogates that stand for them."""
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
