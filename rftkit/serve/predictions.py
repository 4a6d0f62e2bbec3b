"""`/v1/predict`: the trained question about images, answered as `rftkit predict --json` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rftkit.answers import replies
from rftkit.data.box_grid import grid_setter
from rftkit.errors import UserError
from rftkit.inference import question as asked
from rftkit.models.policy import Prompt, prompt_of
from rftkit.recipe.schema import Recipe
from rftkit.runs.adapter import Checkpoint, aliases_of, labels_of
from rftkit.serve.body import Form, checked
from rftkit.serve.engine import Ask
from rftkit.serve.errors import ApiError
from rftkit.serve.images import Picture
from rftkit.tasks import get_task
from rftkit.tasks.question import Question

TEXT_LIMIT = 12_000  # characters of a question
FLAGS = ("--question", "--option", "--ask")  # as the command line calls the fields
FILE_FIELDS = ("image", "images")


class PredictRequest(BaseModel):
    """Images as base64 or data URLs, and what is asked of them where the task wants to know."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, description="the model's name, as /v1/models says it")
    image: str | None = Field(None, description="an image: base64, or a data URL")
    images: list[str] = Field([], description="several images, each answered for itself")
    name: str = Field("image", max_length=200, description="what the answer calls the image")
    question: str = Field("", max_length=TEXT_LIMIT, description="the question, or the phrase")
    option: list[str] = Field([], max_length=100, description="options of a multiple choice")
    ask: list[str] = Field([], max_length=100, description="categories to detect; default: all")

    @property
    def encoded(self) -> list[str]:
        """All images."""
        return [*([] if self.image is None else [self.image]), *self.images]

    def names(self, count: int) -> list[str]:
        """What the answer calls each image."""
        return [self.name] if count == 1 else [f"{self.name}-{n + 1}" for n in range(count)]


class PredictForm(BaseModel):
    """The fields of a form beside its files, for the OpenAPI page."""

    image: list[bytes] = Field(description="image files: the field may come several times")
    model: str = ""
    question: str = ""
    option: list[str] = []
    ask: list[str] = []


class Predictions(BaseModel):
    """The answer: records as `rftkit predict --json` prints them, one for each image and category.

    answer: the label, None where none was read or the model abstains; probabilities: of a list;
    boxes: in pixels; reasoning, text: what the model wrote; tokens: of that.
    """

    model: str
    predictions: list[dict[str, Any]]
    usage: dict[str, int]
    seconds: float = Field(description="from the request's arrival to its answer")


@dataclass(frozen=True)
class Questions:
    """Makes examples of images, as the model was trained to be asked."""

    recipe: Recipe
    labels: tuple[str, ...]
    aliases: dict[str, str]
    specials: tuple[str, ...] = ()

    def asks(self, pictures: Sequence[Picture], question: Question) -> list[Ask]:
        """A work for each image. Raises ApiError where the task cannot use the question."""
        for text in (question.text, *question.options, *question.categories):
            check_text(text, "question", self.specials)
        try:
            prepared = asked.prompts(self.recipe, self.labels, question)
        except UserError as error:
            raise ApiError(400, _without_flags(str(error)), code="invalid_question") from None
        place_boxes = grid_setter(self.recipe.model)
        return [
            Ask(tuple(
                replace(place_boxes(example_of(picture)), aliases=self.aliases)
                for example_of in prepared
            ))
            for picture in pictures
        ]  # fmt: skip

    def trained_prompt(self, picture: Picture) -> Prompt:
        """What the model is trained to be asked. Raises ApiError where that is no single prompt."""
        (ask,) = self.asks([picture], Question())
        if len(ask.examples) > 1:
            raise ApiError(400, "messages: no text, and this model was trained on several prompts")
        (example,) = ask.examples
        return prompt_of(get_task(self.recipe.task), example, self.recipe.style)

    def prompt(self, pictures: Sequence[Picture], text: str) -> Prompt:
        """A prompt of the client's own words."""
        first, *others = pictures
        return Prompt(first, text, replies.prefill(self.recipe.style), tuple(others))


def questions_of(ckpt: Checkpoint, specials: Sequence[str] = ()) -> Questions:
    """What a checkpoint was trained to be asked. specials: tokens that no text may hold."""
    return Questions(ckpt.recipe, labels_of(ckpt), aliases_of(ckpt), tuple(specials))


def of_form(form: Form) -> PredictRequest:
    """A form's texts as a request. Raises ApiError for a field that is none of ours."""
    several = {"option", "ask"}
    wrong = [name for name, _ in form.files if name not in FILE_FIELDS]
    if wrong or any(name in FILE_FIELDS for name in form.texts):
        field = wrong[0] if wrong else "image"
        raise ApiError(400, f"{field}: send images as files in the field 'image'", param=field)
    once = {name: texts[0] for name, texts in form.texts.items() if name not in several}
    many = {name: texts for name, texts in form.texts.items() if name in several}
    return checked({**once, **many}, PredictRequest)


def check_text(text: str, param: str, specials: Sequence[str]) -> None:
    """Raises ApiError for a text that no tokenizer reads as words."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ApiError(
            400, f"{param}: half a surrogate pair, which is no text", param=param
        ) from None
    if len(text) > TEXT_LIMIT:
        line = f"{param}: longer than {TEXT_LIMIT} characters; shorten it"
        raise ApiError(400, line, param=param)
    held = next((token for token in specials if token in text), "<|" if "<|" in text else "")
    if held:
        line = f"{param}: holds {held!r}, a token of the chat template; reword it"
        raise ApiError(400, line, param=param)


def _without_flags(line: str) -> str:
    for flag in FLAGS:
        line = line.replace(flag, flag.removeprefix("--"))
    return line
