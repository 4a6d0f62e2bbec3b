"""What `summary.json` holds. Rates and differences are fractions; None where nothing is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AliasChoices, Field, model_validator

from rftkit.core import Rules, Style
from rftkit.measures.values import Measure, Rate, Record, Share, Spread
from rftkit.metrics.old_names import with_metric_keys
from rftkit.metrics.samples import MemoryOf, Overlap, OverlapSkipped, Provenance

Verdict = Literal["better", "worse", "no difference detected"]


class ClassRow(Record):
    """One label. precision is None if it was never predicted; `confused` is most frequent first."""

    label: str
    n: int
    correct: float
    accuracy: Rate
    predicted: int
    precision: float | None
    recall: float
    f1: float
    confused: tuple[tuple[str, int], ...] = Field(description="wrong answers; (invalid) is one")


class Cell(Record):
    """One cell of the confusion matrix. answer is None for every invalid reply."""

    gold: str
    answer: str | None
    count: int


class Halves(Record):
    """Accuracy on base and on new classes, and their harmonic mean."""

    base: Rate
    new: Rate
    harmonic: Rate


class Scoring(Record):
    """Means by both rule sets, and on how many samples two rules disagree."""

    strict: Mapping[str, float]
    paper: Mapping[str, float]
    strict_vs_paper: int | None = Field(
        description="strict metric against the paper's training reward; None if there is none"
    )
    strict_vs_paper_evaluation: int | None = Field(description="against the paper's evaluation")
    metric_vs_training: int = Field(description="strict metric against the reward trained on")


class Speed(Record):
    """Rates over all sessions; peak memory is the highest. Batch and hardware as written."""

    seconds: float
    samples_per_second: float
    tokens_per_second: float
    first_token_seconds: float | None
    token_seconds: float | None
    scoring_seconds: float | None = Field(default=None, description="of lists, over all sessions")
    peak_memory_bytes: int | None
    peak_memory_of: MemoryOf = Field(
        default="", description="while this model answered; empty: since the program started"
    )
    batch_sizes: tuple[int, ...]
    hardware: tuple[str, ...]
    warmup_excluded: bool


class ReliabilityBin(Record):
    """The answers whose top probability is in [low, high), or up to 1 in the last bin."""

    low: float
    high: float
    n: int
    confidence: float | None = Field(description="mean top probability; None without answers")
    accuracy: Rate | None = Field(description="with Wilson's interval; None without answers")


class Coverage(Record):
    """How many answers can be kept, the most confident first, at an error of at most `budget`."""

    budget: float
    coverage: Rate = Field(description="fraction of answers kept; interval by bootstrap")
    threshold: float | None = Field(description="the lowest probability kept; None: none is")
    kept: int
    wrong: int = Field(description="of those kept")
    error_at_most: float = Field(
        description="Clopper and Pearson's upper bound of the error of what is kept, one-sided 95 %"
    )


class Reliability(Record):
    """How probabilities compare with how often the answer by list is right."""

    ece: Rate = Field(description="expected calibration error, 10 equal bins of the top one")
    brier: float = Field(description="mean over answers of the squared error, in [0, 2]")
    bins: tuple[ReliabilityBin, ...]
    coverage: tuple[Coverage, ...]


class Calibration(Record):
    """Of the scores of the offered labels, made probabilities by a softmax over them.

    Right or wrong is the answer by list, the label with the highest score. What has a default is
    not in summaries of older versions.
    """

    ece: float = Field(description="expected calibration error before the temperature")
    mean_gold: float = Field(description="mean probability of the gold label before it")
    accuracy: Rate | None = Field(default=None, description="of the answer by list")
    temperature: float | None = Field(
        default=None, description="fitted on held-out examples of the training; None: none was"
    )
    before: Reliability | None = Field(default=None, description="at temperature 1")
    after: Reliability | None = Field(default=None, description="None without a temperature")
    note: str = Field(default="", description="where few answers make all of it rough")


class Decodings(Record):
    """Accuracy by free replies, and by the likeliest answer of the list, on the same samples."""

    free: Rate
    listed: Rate
    gap: float = Field(description="by the list minus freely")
    low: float
    high: float
    only_free: int = Field(description="samples that only the free reply gets right")
    only_listed: int
    unlisted: int | None = Field(
        description="of only_listed: replies that are not on the list; None: not known"
    )
    off_list: float = Field(description="mean probability of what is not on the list")
    free_halves: Halves | None
    list_halves: Halves | None
    words: str


class SideSummary(Record):
    """The metrics of one model."""

    n: int
    correct: float
    accuracy: Rate
    macro_accuracy: float = Field(
        validation_alias=AliasChoices("macro_accuracy", "class_mean"),
        description="mean of the classes' accuracies",
    )
    macro_f1: float = Field(
        validation_alias=AliasChoices("macro_f1", "class_f1"),
        description="mean of the classes' F1",
    )
    invalid: Rate
    health: Mapping[str, int] = Field(description="counts; one sample may be in several")
    classes: tuple[ClassRow, ...]
    never_predicted: tuple[str, ...]
    confusion: tuple[Cell, ...]
    halves: Halves | None
    levels: Mapping[str, Rate]
    scoring: Scoring
    consistency: Mapping[str, Share] = Field(description="of valid replies that have reasoning")
    shapes: Mapping[str, Share]
    lengths: Mapping[str, Spread]
    speed: Speed | None
    calibration: Calibration | None
    decodings: Decodings | None = None
    groups: Mapping[str, Rate] = Field(default={}, description="by category, without labels")
    metrics: tuple[Measure, ...] = Field(default=(), description="of the task, beside the headline")

    @model_validator(mode="before")
    @classmethod
    def _read_old_names(cls, values: object) -> object:
        """Summaries written before metrics had keys named them in English."""
        return with_metric_keys(values)

    def measure(self, name: str, label: str = "") -> Measure | None:
        """The task's metric of that key; None if this evaluation has none."""
        return next((m for m in self.metrics if m.key == (name, label)), None)


class Difference(Record):
    """Fine-tuned minus base over the examples that both models answered."""

    value: float
    low: float
    high: float
    method: str
    pairs: int
    lost: int = Field(description="the base model scored higher")
    won: int = Field(description="the fine-tuned model scored higher")
    mcnemar_exact: float | None = Field(
        description="None if scores are not 0 or 1, or an image has several"
    )
    mcnemar_mid: float | None
    bootstrap_low: float
    bootstrap_high: float
    minimum_detectable_effect: float = Field(
        validation_alias=AliasChoices("minimum_detectable_effect", "smallest_visible"),
        description="at 80 % power",
    )
    verdict: Verdict
    words: str


Tone = Verdict | Literal["unknown"]


class Summary(Record):
    """One evaluation. What has a default is not in summaries of older versions."""

    schema_version: Literal[1] = 1
    task: str
    metric: str = Field(default="accuracy", description="what the headline score is called")
    style: Style
    rules: Rules
    decode: Literal["generate", "choices"]
    split: str
    expected: int
    complete: bool
    labels: int
    list_size: float | None = Field(description="mean number of labels offered; None: open answer")
    chance: float | None = Field(description="mean of 1 / labels offered; None: open answer")
    base: SideSummary | None
    tuned: SideSummary | None
    difference: Difference | None
    overlap: Overlap | None = Field(validation_alias=AliasChoices("overlap", "leaks"))
    overlap_skipped: OverlapSkipped | None = Field(
        default=None,
        validation_alias=AliasChoices("overlap_skipped", "leaks_skipped"),
        description="why overlap is None",
    )
    provenance: Provenance
    notes: tuple[str, ...]
    headline: str = Field(default="", description="the result in a sentence, warnings first")
    tone: Tone = Field(default="unknown", description="what the headline allows to say")
    fell: str = Field(default="", description="classes that got worse")
    advice: str = Field(default="", description="what to do next")


def display_model(side: str) -> str:
    """What a reader is shown for a side: "base" or "fine-tuned"; another text stays as it is."""
    return "fine-tuned" if side == "tuned" else side


def sides_of(summary: Summary) -> list[tuple[str, SideSummary | None]]:
    """Both models by the key of their side, base first."""
    return [("base", summary.base), ("tuned", summary.tuned)]
