"""What `rftkit compare --json` prints. Rates and differences are fractions unless `unit` says else.

Lists of `values` have an entry for each subject, in their order; lists of `gaps` one for each but
the first, which is the reference: that subject minus the reference.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rftkit.measures.values import Record
from rftkit.metrics.samples import Flag, MemoryOf, Side

Unit = Literal["fraction", "tokens", "number"]
Better = Literal["higher", "lower", ""]
Direction = Literal["higher", "lower", "no difference detected"]


class Subject(Record):
    """One of what is compared: a model's answers in one evaluation."""

    letter: str = Field(description="A is the reference")
    name: str
    evaluation: str = Field(description="its folder")
    side: Side = Field(description="base: the model without the adapter")
    style: str
    decode: str
    model: str
    adapter_sha256: str
    answered: int = Field(description="examples answered, those not in common too")
    expected: int
    recipe: bool = Field(description="whether the recipe that made it was found")


class Value(Record):
    """A metric of one subject; value is None where it is not defined, ends where not worked out."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0


class Gap(Record):
    """A subject minus the reference, on the same examples, with its 95 % interval."""

    value: float
    low: float | None = Field(description="None: no interval is worked out")
    high: float | None
    method: str = Field(description="of the interval")
    pairs: int
    higher: int | None = Field(default=None, description="pairs in which the subject has more")
    lower: int | None = None
    p: float | None = Field(default=None, description="two-sided, of no difference")
    p_test: str = Field(default="", description="McNemar, exact; or sign flips by image")
    p_mid: float | None = Field(default=None, description="McNemar's mid-p")
    p_holm: float | None = Field(
        default=None, description="p adjusted by Holm over the subjects; None: only one, or no p"
    )
    minimum_detectable_effect: float | None = None
    verdict: Direction | None = Field(description="by the interval; None without one")


class Metric(Record):
    """One metric of every subject, and each one's difference from the reference."""

    name: str = Field(description="its key, as in summary.json; the first metric is the headline")
    label: str = Field(default="", description="what it is of, such as a level")
    title: str
    unit: Unit = "fraction"
    better: Better = Field(description="which way is good, if either is")
    values: tuple[Value, ...]
    gaps: tuple[Gap | None, ...]


class ReplyOf(Record):
    """What one subject wrote for one example."""

    text: str
    answer: str | None
    correct: float
    tokens: int
    flags: tuple[Flag, ...] = ()


class Change(Record):
    """An example that one subject gets right, or better, and the other does not."""

    id: str
    image: str
    gold: str
    reference: ReplyOf
    subject: ReplyOf


class Changes(Record):
    """What a subject fixed and broke against the reference; the most telling comes first."""

    letter: str
    fixed: tuple[Change, ...]
    broken: tuple[Change, ...]
    both_good: int
    both_poor: int


class ClassGap(Record):
    """A subject minus the reference, on the examples of one class."""

    value: float
    low: float
    high: float
    fixed: int
    broken: int


class ClassRow(Record):
    """One class, or one category where answers are no labels."""

    label: str
    n: int
    values: tuple[float, ...]
    gaps: tuple[ClassGap, ...]


class Cost(Record):
    """What one subject took; None where it is not recorded."""

    seconds_per_reply: float | None = None
    tokens_per_second: float | None = None
    peak_memory_bytes: int | None = None
    peak_memory_of: MemoryOf = ""
    batch_sizes: tuple[int, ...] = ()
    hardware: tuple[str, ...] = ()
    train_steps: int | None = None
    train_seconds: float | None = None
    train_tokens: float | None = Field(default=None, description="written in training")


class Setting(Record):
    """A setting in which the subjects differ; None: not known."""

    key: str
    values: tuple[str | None, ...]


class Comparison(Record):
    """The whole comparison."""

    schema_version: Literal[1] = 1
    task: str
    metric: str = Field(description="what the headline is called")
    graded: bool = Field(description="whether it is a degree, rather than right or wrong")
    split: str
    examples: int = Field(description="in common: all numbers here are of these")
    images: int = Field(description="different images among them")
    subjects: tuple[Subject, ...]
    sentences: tuple[str, ...] = Field(description="the result, one for each but the reference")
    notes: tuple[str, ...]
    adjusted: Literal["holm", ""] = Field(description="over the subjects, metric by metric")
    metrics: tuple[Metric, ...]
    changes: tuple[Changes, ...]
    class_kind: str = Field(description="what the rows of `classes` are; empty without any")
    classes: tuple[ClassRow, ...]
    costs: tuple[Cost, ...]
    settings: tuple[Setting, ...]

    def metric_of(self, name: str, label: str = "") -> Metric | None:
        """The metric of that key; None if there is none."""
        return next((m for m in self.metrics if (m.name, m.label) == (name, label)), None)
