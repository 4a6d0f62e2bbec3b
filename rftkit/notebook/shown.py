"""What a notebook shows: images beside the answers, and whole pages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from rftkit import api
from rftkit.data.examples import load_examples
from rftkit.data.images import FileImage
from rftkit.errors import DataError, UserError
from rftkit.metrics.files import SAMPLES, evaluations
from rftkit.metrics.samples import Header, Sample, read_samples
from rftkit.metrics.scoring import reasoning, rescored
from rftkit.notebook.cards import Card, Line, render
from rftkit.notebook.commands import json_lines, newest
from rftkit.report.run_page import opener
from rftkit.report.samples_shown import OpenImages, Shown, groups, thumbnail
from rftkit.runs.adapter import recipe_of
from rftkit.runs.run import RunFolder
from rftkit.tasks import get_task


@dataclass(frozen=True)
class Html:
    """Something that a notebook shows when it is the last line of a cell."""

    html: str

    def _repr_html_(self) -> str:
        return self.html


@dataclass(frozen=True)
class _Tested:
    """The main evaluation of a run, with its images."""

    header: Header
    samples: tuple[Sample, ...]
    open_images: OpenImages

    def tuned(self) -> dict[str, Sample]:
        return {sample.id: sample for sample in self.samples if sample.side == "tuned"}


def page(location: str | Path, height: int = 640) -> Html:
    """A page inside the notebook: the report of a run, or a `.html` file. height: in pixels.

    It may be a stranger's: its scripts run in a place of their own, where no kernel is in reach.
    """
    path = Path(location)
    path = path if path.suffix == ".html" else api.Run(newest(path)).report
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); train to the end") from None
    style = f"width:100%; height:{height}px; border:1px solid #8886; border-radius:8px"
    return Html(
        f'<iframe sandbox="allow-scripts" srcdoc="{escape(text)}" style="{style}"></iframe>'
    )


def examples(recipe: str | Path, *changes: str, count: int = 6) -> Html:
    """Some training images of a recipe, with their labels. changes: as after `--set`."""
    loaded = api.load_recipe(recipe, changes)
    examples = load_examples(loaded, loaded.data.train_split).examples
    some = examples[:: max(1, len(examples) // count)][:count]
    drawn = [Card(one.gold, tuple(thumbnail(p.open()) for p in one.images)) for one in some]
    return Html(render(f"{len(some)} of {len(examples)} training images", drawn))


def replies(folder: str | Path, count: int = 3) -> Html:
    """The answers of a run's base and fine-tuned model: what training fixed, and what it broke.

    count: at most so many of each kind. Raises UserError where answers are boxes.
    """
    tested = _tested(newest(folder))

    def card(shown: Shown) -> Card:
        lines = [_line(reply.sample, reply.sample.side, tested.header) for reply in shown.replies]
        return Card(f"truth: {shown.gold}", shown.thumbnails, tuple(lines))

    return Html(
        "".join(
            render(f"{group.title}: {group.total}", [card(one) for one in group.examples[:count]])
            for group in groups(tested.samples, tested.header, tested.open_images)
        )
    )


def versus(first: str | Path, second: str | Path, count: int = 3) -> Html:
    """Images on which the fine-tuned models of two runs differ, tested on the same images.

    Each is called by its reply style. count: at most so many of each kind.
    """
    one, other = _tested(newest(first)), _tested(newest(second))
    ones, others = one.tuned(), other.tuned()
    both = sorted(ones.keys() & others.keys())

    def card(identity: str) -> Card:
        lines = (
            _line(ones[identity], one.header.style, one.header),
            _line(others[identity], other.header.style, other.header),
        )
        images = tuple(thumbnail(image) for image in one.open_images(identity))
        return Card(f"truth: {ones[identity].gold}", images, lines)

    def kind(style: str, verdicts: list[str]) -> str:
        title = f"only {style} is right: {len(verdicts)} of {len(both)}"
        return render(title, [card(identity) for identity in verdicts[:count]])

    gains = {identity: ones[identity].correct - others[identity].correct for identity in both}
    return Html(
        kind(one.header.style, [identity for identity in both if gains[identity] > 0])
        + kind(other.header.style, [identity for identity in both if gains[identity] < 0])
    )


def predictions(folder: str | Path, images: Iterable[str | Path]) -> Html:
    """What the newest run in `folder` answers for image files, beside the images."""
    words = ["rftkit", "predict", *map(str, images), "--ckpt", str(newest(folder)), "--json"]
    predictions = [_predicted(record) for record in json_lines(words)]
    return Html(render("answers of the fine-tuned model", predictions))


def _tested(folder: Path) -> _Tested:
    run = RunFolder(folder)
    recipe = recipe_of(run)
    if get_task(recipe.task).predicts_boxes:
        raise UserError(f"{folder}: its answers are boxes; page('{folder}') draws them")
    main = run.main_evaluation(recipe)
    if main not in evaluations(run.evaluations):
        raise UserError(f"{folder}: was not tested yet; train to the end")
    file = rescored(read_samples(main / SAMPLES))
    try:
        tested = load_examples(recipe, file.header.split).examples
    except DataError:
        tested = ()  # the data has moved: answers without images
    return _Tested(file.header, file.samples, opener(tested))


def _line(sample: Sample, who: str, header: Header) -> Line:
    sign = "✓" if sample.correct == 1 else "✗"
    answer = "no answer" if sample.answer is None else sample.answer
    return Line(who, f"{sign} {answer}", reasoning(sample, header) or "")


def _predicted(record: dict[str, object]) -> Card:
    path = Path(str(record["image"]))
    image = thumbnail(FileImage(path, str(path)).open())
    answer = record.get("boxes", record.get("answer"))
    text = "no answer could be read" if answer is None else str(answer)
    line = Line(str(record.get("asked", "")), text, str(record["reasoning"] or ""))
    return Card(path.name, (image,), (line,))
