"""What one number of an evaluation is: a rate with its interval, a measure, a spread."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator


class Record(BaseModel):
    """A part of the file: frozen, no unknown keys, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Rate(Record):
    """A mean score with its 95 % interval: Wilson's, or a bootstrap's if scores are not 0 or 1."""

    value: float
    low: float
    high: float
    n: int


class Measure(Record):
    """One metric of a task beside its headline. (name, label) is its key within an evaluation.

    label: what it is of, such as a category; "" where it is of all. low and high are its 95 %
    interval, None where there is none.
    """

    name: str
    label: str = ""
    value: float | None = Field(default=None, description="None where it is not defined")
    low: float | None = None
    high: float | None = None
    n: int = Field(default=0, description="what it is the mean of")
    unit: Literal["fraction", "number"] = "fraction"
    rules: Literal["", "coco", "lvis"] = ""
    note: str = ""

    @field_validator("unit", mode="before")
    @classmethod
    def _read_old_name(cls, value: object) -> object:
        return "fraction" if value == "share" else value

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from the other measures of an evaluation."""
        return self.name, self.label

    @classmethod
    def of(cls, name: str, rate: Rate, label: str = "") -> Measure:
        """A rate as a measure."""
        return cls(name=name, label=label, value=rate.value, low=rate.low, high=rate.high, n=rate.n)


class Share(Record):
    """How many, and how often they were right (None if there are none)."""

    n: int
    fraction: float = Field(validation_alias=AliasChoices("fraction", "share"))
    accuracy: float | None


class Spread(Record):
    """Tokens: mean, median and 95th percentile (nearest rank)."""

    mean: float
    median: float
    p95: float
