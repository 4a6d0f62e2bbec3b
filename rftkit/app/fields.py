"""The fields that a person fills in, and the form that they make."""

from __future__ import annotations

from typing import Any, NamedTuple

import gradio as gr

from rftkit.errors import UserError
from rftkit.inference.form import Form, Settings
from rftkit.tasks import get_task


class Fields(NamedTuple):
    """What a person fills in and presses."""

    image: Any
    task: Any
    labels: Any
    question: Any
    truth: Any
    prompt: Any
    style: Any
    tokens: Any
    temperature: Any
    top_p: Any
    seed: Any
    unthought: Any
    blind: Any
    run: Any
    stop: Any
    examples: Any
    known: Any
    truth_note: Any
    draw: Any

    def asked(self) -> list[Any]:
        """What makes a form, in the order of `form_from`."""
        return [*self[1:12]]


def boxed(task: str) -> bool:
    """Whether the right answer of a task is boxes, which can be drawn."""
    return get_task(task).predicts_boxes


def form_from(values: tuple[Any, ...]) -> Form:
    """The form that the fields of `Fields.asked` make. Raises UserError for an empty number."""
    task, labels, question, truth, prompt, style, *numbers, unthought = values
    if any(number is None for number in numbers):
        raise UserError("decoding: a number is missing; fill in all four")
    tokens, temperature, top_p, seed = numbers
    if not (0 <= temperature <= 2 and 0 < top_p <= 1 and 0 <= seed < 2**31):
        raise UserError("decoding: temperature is 0 to 2, top-p above 0 up to 1, seed from 0 on")
    decoding = (int(tokens), float(temperature), float(top_p), int(seed))
    settings = Settings(style, *decoding, bool(unthought))
    return Form(task, settings, question or "", labels or "", prompt or "", truth or "")


def values_of(form: Form) -> tuple[Any, ...]:
    """What the fields of `Fields.asked` are set to."""
    settings = form.settings
    asks = "text" in get_task(form.task).form.takes
    question = gr.Textbox(form.question, visible=asks)
    numbers = (settings.max_new_tokens, settings.temperature, settings.top_p, settings.seed)
    asked = (form.task, form.labels, question, form.truth, form.prompt, settings.style)
    return (*asked, *numbers, settings.unthought)
