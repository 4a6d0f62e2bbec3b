"""The page: controls of Gradio, wired to the desk. Layout only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from rftkit.answers.replies import INSTRUCTIONS
from rftkit.app.drawn.results import FILTERS, first_kind, headline_html, rows_html
from rftkit.app.fields import Fields, boxed
from rftkit.app.grid import KINDS, grid_html
from rftkit.app.image_field import ImageField
from rftkit.app.limits import KEPT_SECONDS
from rftkit.app.session import VOTES, Desk, view
from rftkit.app.wiring import Places, wire
from rftkit.app.wiring_more import More, wire_more
from rftkit.app.worked import form_of
from rftkit.inference.form import Form, tasks
from rftkit.report.samples_shown import thumbnail
from rftkit.tasks import get_task

HERE = Path(__file__).parent
OPEN_ROW = """
element.addEventListener('click', event => {
  const row = event.target.closest('[data-open]');
  if (row) trigger('click', {open: row.dataset.open});
});
"""


def build(desk: Desk) -> gr.Blocks:
    """The whole page, not launched yet."""
    with gr.Blocks(
        title="rftkit: base and fine-tuned",
        analytics_enabled=False,
        delete_cache=(600, KEPT_SECONDS),
        fill_width=True,
    ) as page:
        gr.HTML(_head(desk), elem_id="rft-head")
        with gr.Tabs(elem_id="rft-tabs") as tabs:
            with gr.Tab("Compare", id="compare"), gr.Row(elem_id="rft-compare"):
                with gr.Column(scale=4, min_width=280, elem_id="rft-ask"):
                    fields = _fields(desk)
                with gr.Column(scale=7, min_width=280, elem_id="rft-answers"):
                    left, right, chosen = _choice(desk)
                    places = _places(desk)
                    copy, uri = _copy()
            with gr.Tab("Results", id="results"):
                results = _results(desk)
            with gr.Tab("History", id="history"):
                past = gr.HTML(elem_id="rft-history", js_on_load=OPEN_ROW)
                export = gr.DownloadButton("Export as JSON lines", elem_id="rft-export")
            with gr.Tab("Folder", id="folder"):
                folder = _folder(desk)
            with gr.Tab("API", id="api"):
                gr.HTML((HERE / "api.html").read_text("utf-8"), elem_id="rft-api")
        on_show = wire(page, desk, fields, places, _Tabs(tabs, *results, past, export))
        wire_more(desk, fields, More(left, right, chosen, copy, uri, *folder), on_show)
    return page


class _Tabs:
    """The controls outside the first tab."""

    def __init__(self, tabs: Any, names: Any, kinds: Any, head: Any, rows: Any, *rest: Any) -> None:
        self.tabs, self.names, self.kinds, self.headline, self.rows = tabs, names, kinds, head, rows
        self.past, self.export = rest


def _first_form(desk: Desk) -> Form:
    if desk.worked:
        return form_of(desk.worked[0].comparison)
    return desk.served.setup.form(desk.served.setup.recipe.task)


def _fields(desk: Desk) -> Fields:
    form = _first_form(desk)
    examples = gr.HTML(examples_html(desk), elem_id="rft-examples", js_on_load=OPEN_ROW)
    image = ImageField(
        value=desk.worked[0].comparison.asked.example.image.open() if desk.worked else None,
        label="Image",
        sources=["upload", "clipboard", "webcam"],
        format="png",
        height=260,
        elem_id="rft-image",
    )
    with gr.Row(elem_id="rft-go"):
        run = gr.Button("Run", variant="primary", elem_id="rft-run")
        stop = gr.Button("Stop", elem_id="rft-stop")
    with gr.Accordion(
        "I know the answer", open=bool(form.truth), elem_id="rft-known"
    ) as answer_given:
        truth = gr.Textbox(
            form.truth,
            label="Right answer",
            info="A label, a letter, a number, or boxes in pixels: [[left, top, right, bottom]]",
            elem_id="rft-truth",
        )
        draw = gr.HTML(_DRAW, elem_id="rft-draw-place", visible=boxed(form.task))
        truth_note = gr.HTML(elem_id="rft-truth-note")
    with gr.Accordion("What is asked", open=False, elem_id="rft-question-of"):
        task = gr.Dropdown(list(tasks()), value=form.task, label="Task", elem_id="rft-task")
        question = gr.Textbox(form.question, label="Question or phrase", elem_id="rft-question",
                              visible="text" in get_task(form.task).form.takes)  # fmt: skip
        labels = gr.Textbox(form.labels, label="Labels, options or what to find", lines=2,
                            max_lines=6, info="One on each line.",
                            elem_id="rft-labels")  # fmt: skip
        prompt = gr.Textbox(form.prompt, label="Prompt", lines=5, max_lines=12,
                            info="As training wrote it; yours if you change it.",
                            elem_id="rft-prompt")  # fmt: skip
    with gr.Accordion("Decoding, the same for both", open=False):
        settings = _settings(desk, form)
    blind = gr.Checkbox(label="Blind: hide which model is which until I vote", elem_id="rft-blind")
    return Fields(
        image, task, labels, question, truth, prompt, *settings, blind=blind, run=run,
        stop=stop, examples=examples, known=answer_given, truth_note=truth_note, draw=draw,
    )  # fmt: skip


def _settings(desk: Desk, form: Form) -> tuple[Any, Any, Any, Any, Any, Any]:
    most, settings = desk.limits.tokens, form.settings
    styles = [style for style in INSTRUCTIONS if style != "empty-think"]
    tokens = min(settings.max_new_tokens, most)
    return (
        gr.Dropdown(styles, value=settings.style, label="Reply style", elem_id="rft-style"),
        gr.Number(tokens, label=f"New tokens, at most {most}", minimum=1, maximum=most,
                  precision=0, elem_id="rft-tokens"),
        gr.Number(settings.temperature, label="Temperature, 0 is greedy", minimum=0, maximum=2,
                  step=0.1, elem_id="rft-temperature"),
        gr.Number(settings.top_p, label="Top-p", minimum=0.05, maximum=1, step=0.05,
                  elem_id="rft-top-p"),
        gr.Number(settings.seed, label="Seed", minimum=0, precision=0, elem_id="rft-seed"),
        gr.Checkbox(settings.unthought, label="Ask again with an empty thought: does thinking "
                    "change the answer?", elem_id="rft-unthought"),
    )  # fmt: skip


def _places(desk: Desk) -> Places:
    shown = view(desk.worked[0].comparison) if desk.worked else None
    status = gr.HTML(shown.status if shown else "Ready.", elem_id="rft-status")
    banner = gr.HTML(shown.banner if shown else _EMPTY, elem_id="rft-banner")
    with gr.Row(elem_id="rft-panes", equal_height=False):
        left = gr.HTML(shown.left if shown else "", elem_id="rft-left")
        right = gr.HTML(shown.right if shown else "", elem_id="rft-right")
    boxes = gr.HTML(shown.boxes if shown else "", elem_id="rft-boxes")
    with gr.Row(elem_id="rft-votes"):
        names = ("1 Left is better", "2 Right is better", "3 Tie", "4 Both bad")
        votes = tuple(
            gr.Button(name, size="sm", elem_id=f"rft-vote-{number}")
            for number, name in enumerate(names, 1)
        )
    note = gr.HTML(_KEYS, elem_id="rft-vote-note")
    assert len(votes) == len(VOTES)
    return Places(status, banner, left, right, boxes, votes, note)


def _choice(desk: Desk) -> tuple[Any, Any, Any]:
    """Which two are compared; nothing to choose where only base and fine-tuned model are there."""
    names = [one.name for one in desk.served.models]
    if len(names) < 2 or desk.served.replay:
        return None, None, None
    with gr.Accordion("Compare other models", open=False, elem_id="rft-choice"):
        with gr.Row():
            left = gr.Dropdown(names, value=names[0], label="Left", elem_id="rft-left-model")
            right = gr.Dropdown(names, value=names[1], label="Right", elem_id="rft-right-model")
        chosen = gr.HTML(
            '<p class="quiet">The base, and adapters of runs on the same model and task.</p>',
            elem_id="rft-chosen",
        )
    return left, right, chosen


def _copy() -> tuple[Any, Any]:
    copy = gr.Button("Copy as image", size="sm", elem_id="rft-copy")
    gr.HTML('<p class="quiet" id="rft-copy-note" role="status"></p>')
    return copy, gr.Textbox(visible=False)


def _folder(desk: Desk) -> tuple[Any, ...]:
    replayed = '<p class="quiet">Recorded answers are replayed here: there is no model to ask.</p>'
    files = gr.File(
        label="A folder of images", file_count="directory", type="filepath", elem_id="rft-folder",
        visible=not desk.served.replay,
    )  # fmt: skip
    with gr.Row():
        ask = gr.Button("Ask about all", variant="primary", elem_id="rft-ask-all",
                        visible=not desk.served.replay)  # fmt: skip
        stop = gr.Button("Stop", elem_id="rft-stop-all", visible=not desk.served.replay)
    kinds = gr.Radio(list(KINDS), value="all", label="Show", elem_id="rft-grid-filter",
                     visible=not desk.served.replay)  # fmt: skip
    grid = gr.HTML(replayed if desk.served.replay else grid_html([], "all", 0), elem_id="rft-grid")
    return files, ask, stop, kinds, grid


def _results(desk: Desk) -> tuple[Any, ...]:
    by_name = {evaluated.name: evaluated for evaluated in desk.served.evaluated}
    first = next(iter(by_name), None)
    with gr.Row():
        names = gr.Dropdown(
            list(by_name), value=first, label="Evaluation", elem_id="rft-evaluation"
        )
        kind = first_kind(by_name[first]) if first else "all"
        kinds = gr.Radio(list(FILTERS), value=kind, label="Show", elem_id="rft-filter")
    empty = '<p class="quiet">No evaluation here yet: rftkit eval --ckpt RUN makes one.</p>'
    head = gr.HTML(headline_html(by_name[first]) if first else empty, elem_id="rft-headline")
    rows = gr.HTML(
        rows_html(by_name[first], kind) if first else "", elem_id="rft-rows", js_on_load=OPEN_ROW
    )
    return names, kinds, head, rows


def examples_html(desk: Desk) -> str:
    """The bundled examples as buttons with thumbnails; one press runs."""
    from html import escape

    if not desk.worked:
        return ""
    cells = []
    for number, (title, both) in enumerate(desk.worked):
        small = thumbnail(both.asked.example.image.open(), 96)
        cells.append(
            f'<li><button type="button" class="rft-example" data-open="{number}">'
            f'<img src="{small.uri}" alt=""><span>{escape(title)}</span></button></li>'
        )
    return f'<p class="label">Examples: press one to run it</p><ul>{"".join(cells)}</ul>'


def _head(desk: Desk) -> str:
    from html import escape

    what = (
        "Below is a worked example: what each answered, and under it why. "
        + (_REPLAYED if desk.served.replay else _LIVE)
        if desk.worked
        else "This run has no evaluation to show examples from: use an image of your own."
    )
    return (
        f"<h1>{_MARK}Base and fine-tuned model, side by side</h1>"
        f"<p>Both models get the same image and the same prompt. {what}</p>"
        f'<p class="quiet">Open: {escape(desk.served.title)}</p>'
    )


_MARK = (  # two panes, one over the other
    '<svg viewBox="0 0 32 32" aria-hidden="true"><rect class="base" x="2" y="3" width="18" '
    'height="22" rx="4"/><rect class="tuned" x="12" y="7" width="18" height="22" rx="4"/></svg>'
)
_DRAW = (
    '<button type="button" class="rft-more" id="rft-draw" aria-pressed="false">'
    "Draw the true box on the image</button>"
)
_LIVE = "Press Run to ask again, or use an image of your own."
_REPLAYED = "Press Run, or another example, to see the recorded answers again."
_EMPTY = '<p class="rft-message note">Drop an image on the left and press Run.</p>'
_KEYS = (
    '<p class="quiet">Keys: Ctrl or ⌘ + Enter runs, Esc stops, 1 to 4 vote. '
    "Every number is of this one image; the Results tab has the evaluation.</p>"
)
