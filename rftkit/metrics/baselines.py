"""`baselines.json`: what simple methods answer on the test examples, and how a model compares.

The file holds answers, not results: accuracy and differences are worked out from it and from the
samples of an evaluation, so that it serves every run of the same data, model, style and seed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from rftkit.core import Style
from rftkit.errors import DataError
from rftkit.files import plain, write_atomically
from rftkit.measures.rates import rate
from rftkit.measures.values import Rate, Record
from rftkit.messages import first_line
from rftkit.metrics.samples import Sample
from rftkit.metrics.schema import Difference
from rftkit.metrics.verdict import difference, points
from rftkit.recipe.resolve import with_absolute_paths, without_places
from rftkit.recipe.schema import Recipe

BaselineName = Literal[
    "most_frequent",
    "label_scores",
    "nearest_mean_vision",
    "linear_probe_vision",
    "nearest_mean_hidden",
    "linear_probe_hidden",
]
TITLES: dict[BaselineName, str] = {
    "most_frequent": "most frequent answer",
    "label_scores": "zero-shot label scores",
    "nearest_mean_vision": "nearest class mean, vision features",
    "linear_probe_vision": "linear probe, vision features",
    "nearest_mean_hidden": "nearest class mean, hidden state",
    "linear_probe_hidden": "linear probe, hidden state",
}
DECIDING = {"task", "style", "seed", "data", "options"}  # of a recipe, what baselines answer by
DECIDING_OF_MODEL = {"name", "load_in_4bit", "max_pixels"}


class TestExample(Record):
    """A test example, as far as it must be known again."""

    __test__ = False  # no test, whatever pytest makes of its name

    id: str
    image: str
    gold: str


class Prediction(Record):
    """A baseline's answer. correct: the task's strict metric, as an evaluation scores it."""

    id: str
    answer: str | None = Field(description="None: nothing offered was among the shots")
    correct: float


class Baseline(Record):
    """One baseline. predictions are empty where `missing` says why there are none."""

    name: BaselineName
    how: str = ""
    missing: str = ""
    predictions: tuple[Prediction, ...] = ()


class Baselines(Record):
    """The file. examples: those tested on, in the order of an evaluation."""

    schema_version: Literal[1] = 1
    task: str
    style: Style
    split: str
    setting_sha256: str = Field(description="of what the recipe says on data, model, style, seed")
    model: str
    revision: str
    dtype: str
    quantisation: str
    max_pixels: int
    hardware: str
    data: str
    shots: int = Field(description="training examples")
    classes: int = Field(description="different answers among them")
    seed: int
    versions: Mapping[str, str]
    command: str
    created: str = Field(description="ISO 8601")
    notes: tuple[str, ...] = ()
    examples: tuple[TestExample, ...]
    baselines: tuple[Baseline, ...]


class BaselineRow(Record):
    """A baseline beside the fine-tuned model. difference: fine-tuned minus baseline, in pairs."""

    name: BaselineName
    title: str
    how: str
    missing: str
    accuracy: Rate | None
    difference: Difference | None


def setting_sha256(recipe: Recipe) -> str:
    """A hash of what the recipe says that decides what the baselines answer, wherever it lies."""
    told = without_places(recipe).model_dump(mode="json", include=DECIDING)
    told["model"] = recipe.model.model_dump(mode="json", include=DECIDING_OF_MODEL)
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def data_of(recipe: Recipe) -> str:
    """The data by source and path, as an evaluation names them."""
    data = with_absolute_paths(recipe).data
    return f"{data.source} {data.path}".strip()


def write_baselines(path: Path, baselines: Baselines) -> None:
    """Write the file in one move; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, baselines.model_dump_json(indent=1) + "\n")


def read_baselines(path: Path) -> Baselines:
    """The file at `path`. Raises DataError if it is none, or of a newer rftkit."""
    try:
        return Baselines.model_validate_json(plain(path).read_text("utf-8"))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        what = f"{where}: {problem['msg']}" if where else problem["msg"]
    except (OSError, ValueError) as error:
        what = first_line(error)
    raise DataError(f"{path}: no baselines of schema 1 ({what}); move it away")


def fits(baselines: Baselines, tuned: Sequence[Sample]) -> bool:
    """Whether every sample is of an example that the baselines answered, with the same gold."""
    gold = {example.id: example.gold for example in baselines.examples}
    return bool(tuned) and all(gold.get(sample.id) == sample.gold for sample in tuned)


def compare(baselines: Baselines, tuned: Sequence[Sample]) -> tuple[BaselineRow, ...]:
    """A row for each baseline, on the examples of the samples; without any, on all examples.

    tuned: the fine-tuned model's samples of an evaluation that the baselines fit.
    """
    image_of = {example.id: example.image for example in baselines.examples}
    ids = {sample.id for sample in tuned} or image_of.keys()
    rows = []
    for one in baselines.baselines:
        chosen = [p for p in one.predictions if p.id in ids]
        correct = [p.correct for p in chosen]
        images = [image_of[p.id] for p in chosen]
        rows.append(
            BaselineRow(
                name=one.name,
                title=TITLES[one.name],
                how=one.how,
                missing=one.missing,
                accuracy=rate(correct, images) if chosen else None,
                difference=_difference(chosen, tuned) if chosen else None,
            )
        )
    return tuple(rows)


def _difference(predictions: Sequence[Prediction], tuned: Sequence[Sample]) -> Difference | None:
    """Fine-tuned minus baseline; the words are those of the pair, not of base and fine-tuned."""
    other = {sample.id: sample for sample in tuned}
    before = [
        other[p.id].model_copy(update={"correct": p.correct, "answer": p.answer})
        for p in predictions
        if p.id in other
    ]
    return difference(before, tuned)


def sentences(rows: Sequence[BaselineRow]) -> tuple[str, ...]:
    """What the intervals allow to say: which baselines beat the fine-tuned model, which tie.

    Where none does either, that it beats them all. Nothing without a fine-tuned model.
    """
    compared = [(row, row.difference) for row in rows if row.difference]
    if not compared:
        return ()
    beats = [(row, d) for row, d in compared if d.verdict == "worse"]
    ties = [(row, d) for row, d in compared if d.verdict == "no difference detected"]
    text = []
    if beats:
        which = "A baseline beats" if len(beats) == 1 else f"{len(beats)} baselines beat"
        text.append(f"{which} the fine-tuned model: {_listed(beats)}.")
    if ties:
        text.append(f"The fine-tuned model cannot be told apart from: {_listed(ties)}.")
    if not text:
        nearest = min(compared, key=lambda pair: pair[1].value)
        text.append(
            f"The fine-tuned model beats every baseline; the strongest: {_listed([nearest])}."
        )
    return tuple(text)


def _listed(pairs: Sequence[tuple[BaselineRow, Difference]]) -> str:
    """Titles with fine-tuned minus baseline, the strongest baseline first."""
    order = sorted(pairs, key=lambda pair: pair[1].value)
    return "; ".join(f"{row.title} ({_in_words(d)})" for row, d in order)


def _in_words(difference: Difference) -> str:
    low, high = (points(end, signed=True) for end in (difference.low, difference.high))
    text = f"{points(difference.value, signed=True)} points, 95 % interval {low} to {high}"
    if difference.verdict == "no difference detected":
        visible = points(difference.minimum_detectable_effect)
        return f"{text}, minimum detectable effect {visible}"
    return text
