"""The three calls that scripts may make: /compare, /score and /health."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import gradio as gr

from rftkit.answers.replies import INSTRUCTIONS
from rftkit.app.image_field import ImageField
from rftkit.app.session import Desk, RunRequest
from rftkit.errors import UserError
from rftkit.inference.form import tasks
from rftkit.metrics.completions import score_lines
from rftkit.tasks import get_task

MODEL: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
SCORING: dict[str, Any] = {"concurrency_id": "scoring", "concurrency_limit": 1}  # seconds of a CPU
LONGEST_LINE = 100_000  # characters of what is scored
MOST_PAIRS = 40_000  # of a found and a gold box, which are all compared


def wire_calls(desk: Desk) -> None:
    """The three public calls; their controls are on no page."""
    with gr.Row(visible=False):
        upload = ImageField(label="image")
        names = ("truth", "task", "labels", "question")
        texts = [gr.Textbox(label=name) for name in names]
        scored = [gr.Textbox(label=name) for name in ("completion", "gold", "task", "style")]
        choices = gr.JSON(label="choices")
        answer, button = gr.JSON(label="result"), gr.Button("api")

    def compare(
        image: str | None, truth: str, task: str, labels: str, question: str, request: gr.Request
    ) -> dict[str, Any]:
        """Answers of both sides for an image. Empty text: as the model was trained."""
        setup = desk.served.setup
        _check_task(task or setup.recipe.task)
        form = setup.form(task or setup.recipe.task)
        form = replace(form, truth=truth or "", labels=labels or form.labels, question=question)
        asked = RunRequest(form, image or "", "", f"api-{id(request)}", address_of(request))
        try:
            *_, (both, _, _) = desk.run(asked)
        except UserError as error:
            raise refusal(str(error)) from None
        return both.record()

    def score(completion: str, gold: str, task: str, style: str, choices: Any) -> dict[str, Any]:
        """Answer and reward parts of a completion, as `rftkit score` gives them."""
        recipe = desk.served.setup.recipe
        task, style = task or recipe.task, style or recipe.style
        _check_task(task)
        if style not in INSTRUCTIONS:
            raise refusal(f"style: {style[:40]!r}; known: {', '.join(INSTRUCTIONS)}")
        if get_task(task).predicts_boxes and _pairs(completion, gold) > MOST_PAIRS:
            raise refusal(f"more than {MOST_PAIRS} pairs of boxes; rftkit score takes any number")
        values = {"completion": completion, "gold": _gold(gold, task)}
        line = json.dumps({**values, **({"choices": choices} if choices else {})})
        if len(line) > LONGEST_LINE:
            raise refusal(f"longer than {LONGEST_LINE} characters; rftkit score takes longer ones")
        try:
            (scored,) = score_lines([line], task, style, "strict")
        except (UserError, ValueError, RecursionError) as error:
            raise refusal(str(error).removeprefix("standard input:1: ")) from None
        return json.loads(scored)  # type: ignore[no-any-return]

    button.click(compare, [upload, *texts], answer, api_name="compare", **MODEL)
    button.click(score, [*scored, choices], answer, api_name="score", **SCORING)
    button.click(desk.health, None, answer, api_name="health", queue=False)


def _check_task(name: str) -> None:
    """Raises gr.Error for a task that is not there."""
    if name not in tasks():
        raise refusal(f"task: {name[:40]!r}; known: {', '.join(tasks())}")


def refusal(line: str) -> gr.Error:
    """What a call ends with; nothing of it is printed on the server's terminal."""
    return gr.Error(line, print_exception=False)


def _pairs(completion: str, gold: str) -> int:
    """How many pairs of a found and a gold box there may be, by their brackets."""
    found, true = (max(text.count("["), text.count("(") // 2) for text in (completion, gold))
    return found * true


def _gold(text: str, task: str) -> Any:
    if not get_task(task).predicts_boxes:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def session_of(request: gr.Request) -> str:
    """What tells one visit from another."""
    return str(request.session_hash or "")


def address_of(request: gr.Request) -> str:
    """Where a visit comes from."""
    return str(request.client.host) if request.client else ""
