"""What a task is: a frozen value of functions. Adding one is one file and one line in __init__."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from rftkit.answers import replies
from rftkit.core import Attempt, Completion, Example, Reply, Reward, Row, Rules, Style
from rftkit.measures.statistics import Interval
from rftkit.measures.values import Measure
from rftkit.tasks.options import Options
from rftkit.tasks.question import QuestionForm
from rftkit.tasks.reading import Reading
from rftkit.tasks.starter import Starter


def reward_applies(reward: str, style: Style) -> bool:
    """Whether a reward counts in a style: `direct` replies have no format to reward."""
    return (style, reward) != ("direct", "format")


def no_paper(task: Task) -> str:
    """Why the task cannot be scored by the rules of the papers, and what to write."""
    return f"no paper scores the task {task.name!r}; write strict"


def as_is(example: Example, label: str) -> str:
    """An offered label where the model is to write the label itself."""
    return label


def nothing_listed(options: Options) -> tuple[str, ...]:
    """The list of a task whose answers are none, or are offered with the example."""
    return ()


def no_row(example: Example) -> None:
    """Always None: for examples that no row of a table can hold."""


def no_schema(example: Example) -> str:
    """Always "": for answers that no JSON Schema describes."""
    return ""


def never_rounded(attempt: Attempt) -> bool:
    """Always False: for answers that text holds exactly."""
    return False


def gold_as_is(example: Example) -> str:
    """The gold answer where the text a model writes is the canonical text itself."""
    return example.gold


AnswerKind = Literal["label", "option", "box", "boxes", "number", "text"]
TABLES = ("hub", "csv", "jsonl")  # sources whose rows any task can read


class Words(NamedTuple):
    """How a task's results are called. unit: what n counts; group: what they are grouped by."""

    unit: str = "questions"
    group: str = "kind of question"
    groups: str = "kinds of question"
    headline: str = "Strict accuracy"


class Scored(NamedTuple):
    """An attempt of an evaluation. correct: its headline reward; half: "base", "new" or ""."""

    attempt: Attempt
    correct: float
    half: str = ""


class Part(NamedTuple):
    """What one attempt adds to a metric that is a ratio of two sums: to the upper and the lower."""

    total: float
    weight: float = 1.0


Parts = Mapping[tuple[str, str], Part]  # (name, label) of a metric -> what an attempt adds to it


def no_parts(attempt: Attempt) -> Parts:
    """The parts of a task whose metrics are no ratios of sums."""
    return {}


def no_map(before: Sequence[Attempt], after: Sequence[Attempt]) -> Interval | None:
    """The interval of a task without mAP."""
    return None


def no_probes(example: Example) -> Mapping[str, str]:
    """The probes of a task that has none of its own."""
    return {}


def no_metrics(scored: Sequence[Scored]) -> tuple[Measure, ...]:
    """The metrics of a task that has its headline alone."""
    return ()


@dataclass(frozen=True)
class Task:
    """Everything that varies between tasks; nobody else asks for a task's name.

    What is asked and answered:
      read(row, reading)        the examples that a row makes, without choices
      prompt(example, style)    the text beside the image
      schema(example)           the JSON Schema that an engine may hold the answer to; "": none
      written(example)          the gold answer as the model is to write it
      spelled(example, label)   an offered label as the model is to write it
      listed(options)           every answer that may be right, as the model is to write it, where
                                it is not among labels that the example offers; none: no list
      row(example)              what a table has beside `image`, by which `read` makes the example
                                again; None: no table can hold it; {}: another row makes it too
      parsed(attempt)           the answer as JSON, None if there is none
      answer_kind               what an answer is: pages, tables and forms choose by it
      answer_tokens             the longest answer, in tokens
      sample                    one example, for the tests of every task

    How it is scored:
      rewards                   name -> reward in [0, 1]
      paper_rewards             the same by the papers' code, which may leave that range; none
                                where no paper has the task
      weights                   of the rewards in a recipe that gives none; by default 1 for the
                                headline and 1 for the format
      scheduled_rewards(options, progress)
                                rewards that options change, at this fraction of the training
      headline, metric          the reward that evaluation reports, and what it is called
      metrics(scored)           what evaluation reports beside it
      parts(attempt)            what an attempt adds to those of them that are ratios of sums
      map_difference(before, after)
                                the interval of mAP's difference between two models
      paper_evaluation          the papers' evaluation, where it is not their training reward
      min_gold_reward           what the gold answer must earn; below 1 for boxes, which text rounds
      rounded(attempt)          whether an answer that earns less differs from gold by rounding only
      wrong_answers(example)    wrong answers of the right kind, as the model would write them;
                                None: the other offered labels
      probes(example)           name -> an answer that must earn less than the gold one

    What a user sets and sees:
      options, score_options    what a recipe may set; what `rftkit score` reads a line by
      sources                   of data
      placeholder               what `data.question` must hold
      form                      what may be asked of an image that nobody labelled
      words                     how results are called
      starter                   what `rftkit init` reads and writes for it
    """

    name: str
    headline: str
    read: Callable[[Row, Reading], tuple[Example, ...]]
    prompt: Callable[[Example, Style], str]
    rewards: Mapping[str, Reward]
    parsed: Callable[[Attempt], object]
    sample: Example
    answer_kind: AnswerKind = "text"
    schema: Callable[[Example], str] = no_schema
    written: Callable[[Example], str] = gold_as_is
    spelled: Callable[[Example, str], str] = as_is
    listed: Callable[[Options], tuple[str, ...]] = nothing_listed
    row: Callable[[Example], Mapping[str, object] | None] = no_row
    metric: str = "accuracy"
    metrics: Callable[[Sequence[Scored]], tuple[Measure, ...]] = no_metrics
    parts: Callable[[Attempt], Parts] = no_parts
    map_difference: Callable[[Sequence[Attempt], Sequence[Attempt]], Interval | None] = no_map
    paper_rewards: Mapping[str, Reward] = field(default_factory=dict)
    paper_evaluation: Reward | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    options: type[Options] = Options
    scheduled_rewards: Callable[[Options, float], Mapping[str, Reward]] | None = None
    score_options: Options | None = None
    min_gold_reward: float = 1.0
    rounded: Callable[[Attempt], bool] = never_rounded
    wrong_answers: Callable[[Example], list[str]] | None = None
    probes: Callable[[Example], Mapping[str, str]] = no_probes
    form: QuestionForm = QuestionForm()  # noqa: RUF009  it is frozen
    words: Words = Words()  # noqa: RUF009  it is frozen
    starter: Starter = Starter()  # noqa: RUF009  it is frozen
    sources: tuple[str, ...] = TABLES
    placeholder: str = ""
    answer_tokens: int = 32

    @property
    def default_weights(self) -> dict[str, float]:
        """The weights of the rewards in a recipe that gives none."""
        return dict(self.weights) or {self.headline: 1.0, "format": 1.0}

    @property
    def predicts_labels(self) -> bool:
        """Whether answers are labels, so that classes can be confused."""
        return self.answer_kind == "label"

    def spellings(self, example: Example, options: Options) -> dict[str, tuple[str, ...]]:
        """Every answer that may be right -> how the model may write it; {} if there is no list.

        An answer is called as the example offers it. Of labels also their other spellings.
        """
        if not self.picks_offered:
            return {text: (text,) for text in self.listed(options)}
        named: dict[str, list[str]] = {
            label: [self.spelled(example, label)] for label in example.choices
        }
        for name, label in example.aliases.items() if self.predicts_labels else ():
            if label in named and name not in named[label]:
                named[label].append(name)
        return {label: tuple(names) for label, names in named.items()}

    def answers(self, example: Example, options: Options) -> tuple[str, ...]:
        """Every answer that may be right, in every spelling, as the model is to write it."""
        spelled = self.spellings(example, options)
        firsts = [names[0] for names in spelled.values()]
        others = [name for names in spelled.values() for name in names[1:]]
        return tuple(dict.fromkeys([*firsts, *others]))

    @property
    def picks_offered(self) -> bool:
        """Whether the answer has to be one of the labels or options offered."""
        return self.answer_kind in ("label", "option")

    @property
    def predicts_boxes(self) -> bool:
        """Whether answers are boxes, which can be drawn."""
        return self.answer_kind in ("box", "boxes")

    @property
    def graded(self) -> bool:
        """Whether the headline is a degree, such as an overlap, rather than right or wrong."""
        return self.metric != "accuracy"

    def wrong(self, example: Example) -> list[str]:
        """Wrong answers of the right kind, as the model would write them; perhaps none."""
        if self.wrong_answers is not None:
            return self.wrong_answers(example)
        labels = example.choices or example.labels
        return [self.spelled(example, label) for label in labels if label != example.gold]

    def target(self, example: Example, style: Style) -> str:
        """The reply that SFT trains on: the answer alone where the data has no reasoning."""
        return replies.render(self.written(example), example.rationale, style)

    def ideal(self, example: Example, style: Style) -> str:
        """A reply that must earn full marks, with a stand-in where no reasoning is written."""
        reasoning = example.rationale or replies.STAND_IN
        return replies.render(self.written(example), reasoning, style)

    def attempt(self, example: Example, style: Style, completion: Completion) -> Attempt:
        """A completion, read in its style."""
        reply: Reply = replies.read(completion, style)
        return Attempt(example, style, completion, reply)

    def rewards_of(self, attempt: Attempt, rules: Rules = "strict") -> dict[str, float]:
        """Each reward of the attempt, unweighted, by name."""
        chosen = self.rewards if rules == "strict" else self.paper_rewards
        return {
            name: reward(attempt)
            for name, reward in chosen.items()
            if reward_applies(name, attempt.style)
        }

    def training_rewards(
        self, rules: Rules, options: Options, progress: float
    ) -> Mapping[str, Reward]:
        """The rewards as a run pays them at this share of its steps."""
        if rules == "paper":
            return self.paper_rewards
        return {
            **self.rewards,
            **(self.scheduled_rewards(options, progress) if self.scheduled_rewards else {}),
        }
