"""What `study.json` holds. Rates and differences are fractions; None where nothing is known."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from rftkit.measures.values import Measure, Rate, Record
from rftkit.metrics.old_names import with_metric_keys
from rftkit.study.contrast import Contrast, Mean


class Setting(Record):
    """What two styles are compared within."""

    dataset: str
    method: str
    shots: int = Field(description="0: all images")


class HalvesRow(Record):
    """Base classes, new classes and H over all seeds, images drawn within each half."""

    base: Rate
    new: Rate
    harmonic: Rate


class Row(Record):
    """One setting and style over its seeds."""

    setting: Setting
    style: str
    metric: str
    before: Mean = Field(description="of the base model")
    after: Mean = Field(description="of the fine-tuned model")
    gain: Contrast
    halves_before: HalvesRow | None
    halves_after: HalvesRow | None
    listed_before: Mean | None = Field(
        default=None, description="by the likeliest answer of the list; None without a list"
    )
    listed_after: Mean | None = None
    listed_halves: HalvesRow | None = Field(default=None, description="of the fine-tuned model")
    metrics: tuple[Measure, ...] = Field(
        default=(), description="of the task, fine-tuned model, mean over the seeds"
    )

    @model_validator(mode="before")
    @classmethod
    def _read_old_names(cls, values: object) -> object:
        """Studies written before metrics had keys named them in English."""
        return with_metric_keys(values)

    def measure(self, name: str, label: str = "") -> Measure | None:
        """The task's metric of that key; None if these runs have none."""
        return next((m for m in self.metrics if m.key == (name, label)), None)

    tokens_before: float = Field(description="tokens per reply, mean")
    tokens_after: float
    train_minutes: float = Field(description="of a run, mean over the seeds")
    test_minutes: float = Field(description="of the fine-tuned model's replies")
    train_tokens: float = Field(description="generated while training; 0 for SFT")
    signal: float | None = Field(description="fraction of groups whose rewards are not all equal")


class Versus(Record):
    """A style minus `direct`, on the same images with the same seeds."""

    setting: Setting
    style: str
    contrast: Contrast
    times_tokens: float | None = Field(description="tokens per reply, ratio")
    times_minutes: float | None = Field(description="minutes of training, ratio")
    words: str


class Crossed(Record):
    """Accuracy of an adapter on a data set, minus that of the base model."""

    style: str
    method: str | None
    shots: int | None
    trained_on: str
    tested_on: str
    gain: Contrast


class Failure(Record):
    """A cell that ended with an error."""

    cell: str
    error: str


class StudySummary(Record):
    """One study, as far as it has got."""

    schema_version: Literal[1] = 1
    name: str
    command: str
    cells: int
    finished: int
    failures: tuple[Failure, ...]
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    versus: tuple[Versus, ...]
    crossed: tuple[Crossed, ...]
    answer: tuple[str, ...] = Field(description="in words; empty where nothing was compared")
    minutes: float = Field(description="of all finished cells, training and tests")
    written_tokens: float = Field(description="by all finished cells, training and tests")
    notes: tuple[str, ...]
