"""What a person may ask of an image that nobody labelled: `rftkit predict` and the compare app."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from rftkit.tasks.options import Options

Part = Literal["text", "options", "categories"]


@dataclass(frozen=True)
class Question:
    """What was typed. text: a question, or the phrase to find. options: of a multiple choice.

    categories: kinds of object to detect. What a task does not take is empty.
    """

    text: str = ""
    options: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trained:
    """What the model was trained for.

    question: the recipe's own text. offers: whether a list of labels stands in the prompt.
    """

    options: Options
    labels: tuple[str, ...] = ()
    question: str = ""
    offers: bool = True

    def filled(self, question: str, label: str = "", phrase: str = "") -> str:
        """The text of the prompt: the recipe's own question, its braces filled, if it has one.

        >>> Trained(Options(), question="Look: {question}").filled("How many?")
        'Look: How many?'
        """
        text = self.question or "{question}"
        for name, value in (("label", label), ("phrase", phrase), ("question", question)):
            text = text.replace(f"{{{name}}}", value)
        return text


class Unlabelled(NamedTuple):
    """One prompt that every image gets: fields of the example to be made."""

    question: str
    choices: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    category: str = ""
    meta: Mapping[str, str] = {}


def asked(trained: Trained, question: Question) -> list[Unlabelled]:
    """The question as it is typed, or as the recipe has it."""
    meta = {"asked": question.text} if question.text else {}
    return [Unlabelled(trained.filled(question.text), meta=meta)]


@dataclass(frozen=True)
class QuestionForm:
    """How a task asks. takes: the parts of a Question that it uses.

    prompts(trained, question) -> the prompts that every image gets; raises UserError for what is
    missing. missing: the same in the words of the app, where there are fields instead of options.
    """

    takes: tuple[Part, ...] = ("text",)
    prompts: Callable[[Trained, Question], list[Unlabelled]] = asked
    missing: str = "question: empty; ask something"


def boxes_asked(what: str) -> dict[str, str]:
    """`meta` of an example with boxes, in thousandths until the model's own grid is set."""
    return {"grid": "1000x1000", "asked": what}
