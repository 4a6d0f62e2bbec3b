"""Detection: one image, one kind of object, every box of it with a confidence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rftkit.answers import box_text, boxes, replies
from rftkit.answers.box_matching import (
    average_precision_of_image,
    confidence_credit,
    iou_over_boxes,
    optimal_f1,
)
from rftkit.answers.boxes import Box, Grid, Match, PredictedBox
from rftkit.answers.labels import join_labels, normalise
from rftkit.core import Attempt, Example, NoImage, Reward, Row, Style
from rftkit.errors import UserError
from rftkit.rewards.general import format_reward, paper_format
from rftkit.tasks import detection_paper, options
from rftkit.tasks.annotated import (
    Things,
    categories_of,
    category_row,
    chosen_categories,
    facts,
    facts_of_all,
    found_boxes,
    placed,
    read_objects,
)
from rftkit.tasks.detection_metrics import map_difference, metrics, parts
from rftkit.tasks.options import DetectionOptions, Options
from rftkit.tasks.question import Question, QuestionForm, Trained, Unlabelled, boxes_asked
from rftkit.tasks.reading import Reading
from rftkit.tasks.starter import BOX_OPTIONS, Starter
from rftkit.tasks.task import TABLES, Task, Words

QUESTION = "Find every {} in this picture."
QUESTION_ALL = "Find every object of these kinds in this picture."
SHAPE = (
    'Write a JSON list with one entry for each box: {{{}"Position": [{}, {}, {}, {}], '
    '"Confidence": c}}. x runs from 0 to {} from left to right, y from 0 to {} from top to bottom; '
    "c is between 0 and 1. Write [] if there is none."
)
THRESHOLD = 0.5  # least overlap of a match

EVERYTHING = Box(0, 0, 1, 1)


def read(row: Row, reading: Reading) -> tuple[Example, ...]:
    """The examples of an image: one for each category that is asked for, or one for all.

    Columns: `boxes`, `label` and `grid`; see `read_objects`. The gold answer is JSON: a list of
    [x1, y1, x2, y2] as fractions of the image, not rounded; the label is a fifth entry where all
    categories are asked for at once. Regions of a crowd are no gold boxes; they go to `meta`.
    """
    chosen = reading.options
    assert isinstance(chosen, DetectionOptions)
    objects = read_objects(row, reading)
    offered = categories_of(row, reading, objects)
    wanted = chosen_categories(chosen.categories)
    asked = [name for name in offered if not wanted or name in wanted]
    if chosen.ask == "picture":
        return (_for_all(row, reading, objects, tuple(asked)),) if asked else ()
    there = {thing.label for thing in objects if not thing.crowd}
    everything = chosen.absent == "always" or (chosen.absent == "test" and reading.test)
    if not everything and "objects" in row.values:  # a table's row names what it asks for
        asked = [name for name in asked if name in there]
    return tuple(_for_one(row, reading, objects, name) for name in asked)


def _for_one(row: Row, reading: Reading, objects: Things, category: str) -> Example:
    own = [thing for thing in objects if thing.label == category]
    crowd = [thing.box for thing in own if thing.crowd]
    meta = {**placed(row, reading), "label": category, **facts(row, category)}
    several = "objects" in row.values or reading.value(row, "label") is not None
    return Example(
        id=f"{row.image.name}: {category}" if several else row.image.name,
        image=row.image,
        question=QUESTION.format(_spoken(category)),
        gold=boxes.dump_boxes([thing.box for thing in own if not thing.crowd]),
        rationale=reading.rationale(row),
        location=row.location,
        meta={**meta, "crowd": boxes.dump_boxes(crowd)} if crowd else meta,
        category=category,
    )


def _spoken(category: str) -> str:
    """A category in a prompt: LVIS writes sugar_bowl, a model reads sugar bowl."""
    return category.replace("_", " ")


def _for_all(row: Row, reading: Reading, objects: Things, asked: tuple[str, ...]) -> Example:
    own = [thing for thing in objects if thing.label in asked]
    gold = [thing for thing in own if not thing.crowd]
    crowd = [thing for thing in own if thing.crowd]
    names = [thing.label for thing in crowd]
    meta = {**placed(row, reading), **facts_of_all(row, asked)}
    return Example(
        id=row.image.name,
        image=row.image,
        question=QUESTION_ALL,
        gold=boxes.dump_boxes([thing.box for thing in gold], [thing.label for thing in gold]),
        choices=asked,
        rationale=reading.rationale(row),
        location=row.location,
        meta={**meta, "crowd": boxes.dump_boxes([t.box for t in crowd], names)} if crowd else meta,
    )


def how_written(grid: Grid, label: str = "") -> str:
    """How a list of boxes is to be written. label: what an entry says of its label."""
    edges = grid.written("x1", "y1", "x2", "y2")
    return SHAPE.format(label, *edges, grid.width, grid.height)


def prompt(example: Example, style: Style) -> str:
    """The text beside the image: the question, how a box is written, the style."""
    label = '"Label": one of those, ' if example.choices else ""
    names = join_labels([_spoken(name) for name in example.choices])
    objects = [f"Objects to find: {names}."] if names else []
    shape = how_written(Grid.of(example.meta), label)
    return "\n".join([example.question, *objects, shape, replies.INSTRUCTIONS[style]])


def written(example: Example) -> str:
    """The gold boxes as the model is to write them: whole units of its coordinates."""
    gold = example.gold
    return box_text.write_boxes(
        boxes.load_boxes(gold), Grid.of(example.meta), boxes.load_box_labels(gold)
    )


def parsed(attempt: Attempt) -> list[list[float] | None] | None:
    """The boxes of the reply in the coordinates of its text; None in place of an invalid one."""
    entries = found_boxes(attempt)
    if entries is None:
        return None
    grid = Grid.of(attempt.example.meta)
    return [None if e.box is None else boxes.in_grid(e.box, grid) for e in entries]


def mean_iou(attempt: Attempt, threshold: float = THRESHOLD) -> float:
    """IoU of matched boxes, in [0, 1]; 0 if the answer is not a list of boxes.

    The sum is divided by max(gold, found): an extra box costs as much as a missed one. No boxes,
    none found: 1. A threshold of 0 gives the continuous form.

    Source: Visual-RFT's IoU reward, with a match from `threshold` on (theirs: above it).
    """
    entries, gold = found_boxes(attempt), boxes.load_boxes(attempt.example.gold)
    if entries is None:
        return 0.0
    return iou_over_boxes(_matched(attempt, entries, threshold), len(gold))


def confidence(attempt: Attempt) -> float:
    """How well the stated confidences separate matched from unmatched boxes, in [0, 1].

    The mean of c for a matched box and 1 - c for another; 0 when nothing matched, so that a junk
    box with confidence 0 earns nothing. No boxes, none found: 1.
    """
    entries, gold = found_boxes(attempt), boxes.load_boxes(attempt.example.gold)
    if not entries:
        return float(entries is not None and not gold)
    matches = _matched(attempt, entries, THRESHOLD)
    return confidence_credit(matches) if any(match.iou for match in matches) else 0.0


def f1(attempt: Attempt) -> float:
    """F1 at IoU 0.5 of the best one-to-one matching (Hungarian), in [0, 1]; both empty: 1."""
    return _mean_over_labels(attempt, lambda found, gold: optimal_f1(found, gold, THRESHOLD))


def map_length(attempt: Attempt) -> float:
    """AP at IoU .50 to .95, times min(1, gold / found boxes), in [0, 1].

    Source: VLM-R1's reward for lists of boxes that grow without end.
    """
    entries, gold = found_boxes(attempt), boxes.load_boxes(attempt.example.gold)
    if entries is None:
        return 0.0
    share = min(1.0, len(gold) / len(entries)) if entries else 1.0
    return share * _mean_over_labels(attempt, average_precision_of_image)


def rounded(attempt: Attempt) -> bool:
    """Whether the reply has the gold boxes and labels, but for less than a unit of its grid."""
    entries, text = found_boxes(attempt) or [], attempt.example.gold
    named = [normalise(entry.label) for entry in entries] if attempt.example.choices else []
    if named != [normalise(name) for name in boxes.load_box_labels(text)]:
        return False
    grid = Grid.of(attempt.example.meta)
    return boxes.is_rounded_gold([entry.box for entry in entries], boxes.load_boxes(text), grid)


def wrong_answers(example: Example) -> list[str]:
    """One box around everything."""
    return [box_text.write_boxes([EVERYTHING], Grid.of(example.meta), example.choices[:1])]


def probes(example: Example) -> dict[str, str]:
    """The gold boxes, and one around everything: it must cost."""
    gold = example.gold
    names = [*boxes.load_box_labels(gold), *example.choices[:1]] if example.choices else []
    both = [*boxes.load_boxes(gold), EVERYTHING]
    text = box_text.write_boxes(both, Grid.of(example.meta), names)
    return {"gold with a box around everything": text}


def unlabelled(trained: Trained, question: Question) -> list[Unlabelled]:
    """A prompt for each category asked for, or one for all; else for those that were trained."""
    wanted = question.categories or tuple(filter(None, trained.labels))
    if not wanted:
        raise UserError("the task 'detection' needs what to look for; give --ask NAME")
    assert isinstance(trained.options, DetectionOptions)
    if trained.options.ask == "picture":
        text = trained.filled(QUESTION_ALL)
        return [Unlabelled(text, choices=wanted, meta=boxes_asked(", ".join(wanted)))]
    return [
        Unlabelled(
            trained.filled(QUESTION.format(name), label=name),
            category=name,
            meta=boxes_asked(name),
        )
        for name in wanted
    ]


def scheduled_rewards(chosen: Options, progress: float) -> dict[str, Reward]:
    """The IoU reward with the recipe's threshold at this share of the run."""
    assert isinstance(chosen, DetectionOptions)
    least = options.at(chosen.threshold, progress)
    return {"iou": lambda attempt: mean_iou(attempt, least)}


def _matched(attempt: Attempt, entries: list[PredictedBox], threshold: float) -> list[Match]:
    gold = attempt.example.gold
    return boxes.match_boxes(
        entries, boxes.load_boxes(gold), threshold, boxes.load_box_labels(gold)
    )


def _mean_over_labels(
    attempt: Attempt, score: Callable[[Sequence[PredictedBox], Sequence[Box]], float]
) -> float:
    """The mean of a score over every label that is there or was named; one, without labels."""
    entries, text = found_boxes(attempt), attempt.example.gold
    if entries is None:
        return 0.0
    gold, names = boxes.load_boxes(text), [normalise(name) for name in boxes.load_box_labels(text)]
    if not attempt.example.choices:
        return score(entries, gold)
    scores = []
    for label in sorted({*names, *(normalise(entry.label) for entry in entries)}):
        own = [box for box, name in zip(gold, names, strict=True) if name == label]
        scores.append(score([e for e in entries if normalise(e.label) == label], own))
    return math.fsum(scores) / len(scores) if scores else 1.0


TASK = Task(
    name="detection",
    headline="iou",
    answer_kind="boxes",
    read=read,
    prompt=prompt,
    row=category_row,
    rewards={
        "iou": mean_iou,
        "confidence": confidence,
        "f1": f1,
        "map_length": map_length,
        "format": format_reward,
    },
    paper_rewards={
        "iou": detection_paper.iou,
        "confidence": detection_paper.confidence,
        "format": paper_format,
    },
    parsed=parsed,
    sample=Example(
        "sample",
        NoImage(),
        QUESTION.format("dog"),
        boxes.dump_boxes([Box(0.1, 0.2, 0.3, 0.4), Box(0.5, 0.5, 0.75, 0.9)]),
    ),
    written=written,
    metric="IoU",
    metrics=metrics,
    parts=parts,
    map_difference=map_difference,
    wrong_answers=wrong_answers,
    probes=probes,
    form=QuestionForm(("categories",), unlabelled, "what to find: empty; name one kind of object"),
    words=Words(
        "prompts",
        "category",
        "categories",
        "IoU of matched boxes over the longer of both lists, mean over prompts",
    ),
    sources=("coco", "voc", "yolo", *TABLES, "label_studio", "cvat", "scenes"),
    placeholder="{label}",
    weights={"iou": 1.0, "confidence": 1.0, "format": 1.0},
    options=DetectionOptions,
    scheduled_rewards=scheduled_rewards,
    min_gold_reward=THRESHOLD,
    rounded=rounded,
    answer_tokens=256,
    starter=Starter(("image", "objects", "boxes"), "tiny-scenes", BOX_OPTIONS),
)
