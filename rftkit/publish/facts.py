"""What a model card says: of the data, the training and the evaluation, never a file's name."""

from __future__ import annotations

from dataclasses import dataclass

from rftkit.measures.values import Measure, Rate
from rftkit.metrics import Summary
from rftkit.metrics.files import evaluations, read_summary
from rftkit.metrics.schema import SideSummary, sides_of
from rftkit.metrics.verdict import points
from rftkit.publish.contents import Source
from rftkit.recipe.resolve import portable
from rftkit.recipe.schema import BUILT_IN, Recipe
from rftkit.report import tables
from rftkit.runs.adapter import Checkpoint, labels_of
from rftkit.runs.calibration import HeldOutAnswers, read_calibration
from rftkit.tasks import get_task


@dataclass(frozen=True)
class Facts:
    """What is known of a model. recipe: without the places of its files.

    images: how many it was trained on, and how many there were; () where no run says so.
    summary: of the evaluation on the recipe's test split; None where there is none.
    """

    recipe: Recipe
    labels: tuple[str, ...]
    images: tuple[int, ...] = ()
    summary: Summary | None = None
    calibration: HeldOutAnswers | None = None


def facts_of(source: Source) -> Facts | None:
    """What is known; None of an exported model that is pushed without its run."""
    ckpt = source.checkpoint
    if ckpt is None:
        return None
    run = ckpt.run
    return Facts(
        recipe=portable(ckpt.recipe),
        labels=labels_of(ckpt),
        images=tuple(run.status().get("training_images", ())) if run else (),
        summary=_summary(ckpt),
        calibration=read_calibration(ckpt.adapter),
    )


def data_words(recipe: Recipe) -> str:
    """What the images were: a public data set by its name, others by their kind alone."""
    data = recipe.data
    if data.source in BUILT_IN:
        return f"the data set `{data.source}`, which comes with rftkit"
    if public := hub_dataset(recipe):
        return f"[`{public}`](https://huggingface.co/datasets/{public})"
    return f"images of the author's own (`{data.source}`)"


def hub_dataset(recipe: Recipe) -> str:
    """The id of the data set on the hub that it was trained on; "" for any other data."""
    name = recipe.data.path.partition("@")[0] if recipe.data.source == "hub" else ""
    return name if "/" in name else ""  # what was a local folder has its name left


def result_rows(summary: Summary) -> list[tuple[str, list[str]]]:
    """Title and a cell for each model, base first, with 95 % intervals; empty ones left out."""
    sides = [(name, side) for name, side in sides_of(summary) if side]
    cells = [side for _, side in sides]
    rows = [*_answers(summary, cells), *_measured(sides), *_conduct(cells)]
    return [(title, row) for title, row in rows if any(row)]


def _answers(summary: Summary, sides: list[SideSummary]) -> list[tuple[str, list[str]]]:
    """The headline by both ways of answering, where both were measured."""
    if not any(side.decodings for side in sides):
        return [(summary.metric, [in_words(side.accuracy) for side in sides])]
    found = [side.decodings for side in sides]
    free = [in_words(one.free) if one else "" for one in found]
    listed = [in_words(one.listed) if one else "" for one in found]
    heads = ("", " (headline)") if summary.decode == "choices" else (" (headline)", "")
    return [
        (f"{summary.metric}, free reply{heads[0]}", free),
        (f"{summary.metric}, by the list{heads[1]}", listed),
    ]


def _measured(sides: list[tuple[str, SideSummary]]) -> list[tuple[str, list[str]]]:
    rows: list[tuple[str, list[str]]] = []
    if any(side.classes for _, side in sides):
        averages = [f"{points(side.macro_accuracy)} %" for _, side in sides]
        rows.append(("macro accuracy", averages))
    for row in tables.metric_rows(sides):
        cells = [f"{c.text} ({c.interval})" if c.interval else c.text for c in row.cells]
        rows.append((row.title, cells))
    return rows


def _conduct(sides: list[SideSummary]) -> list[tuple[str, list[str]]]:
    found = [side.calibration for side in sides]
    before = [in_words(c.before.ece) if c and c.before else "" for c in found]
    after = [in_words(c.after.ece) if c and c.after else "" for c in found]
    invalid = [in_words(side.invalid) for side in sides]
    tokens = [f"{side.lengths['total'].mean:.1f}" for side in sides]
    return [
        ("calibration error", before),
        ("calibration error after temperature", after),
        ("invalid replies", invalid),
        ("tokens a reply, mean", tokens),
    ]


def in_words(rate: Rate | Measure) -> str:
    """A rate with its interval, as `61.7 % (49.0–72.9)`."""
    ends = tables.interval(rate)
    return f"{tables.in_words(rate)} ({ends})" if ends else tables.in_words(rate)


def limits(facts: Facts) -> list[str]:
    """What the figures do not say, a sentence each."""
    recipe, summary = facts.recipe, facts.summary
    lines = [
        "Measured on images of the kind it was trained on; what it does on others is not known.",
    ]
    if recipe.has_list and get_task(recipe.task).predicts_labels:
        lines.append("It answers with one of its labels, whatever an image shows.")
    if summary is None:
        return ["It was not evaluated on held-out images.", *lines]
    difference, overlap = summary.difference, summary.overlap
    if difference and difference.verdict == "no difference detected":
        lines.append(
            f"No difference from the base model was detected; a test of {difference.pairs} would "
            f"show one of {points(difference.minimum_detectable_effect)} points at 80 % power."
        )
    if overlap and (overlap.exact or overlap.near):
        lines.append(
            f"{overlap.exact} training images are among the test images and {overlap.near} are "
            "nearly so, which flatters the figures."
        )
    if summary.fell:
        lines.append(summary.fell)
    return lines


def _summary(ckpt: Checkpoint) -> Summary | None:
    """Of the evaluation on the recipe's own test split."""
    main = ckpt.home / ckpt.recipe.data.test_split
    return read_summary(main) if main in evaluations(ckpt.home) else None
