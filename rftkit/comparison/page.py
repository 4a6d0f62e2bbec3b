"""The page of a comparison: self-contained, nothing is fetched, and no script is in it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rftkit.comparison import words
from rftkit.comparison.answers import Common
from rftkit.comparison.schema import Change, ClassRow, Comparison
from rftkit.errors import UserError
from rftkit.files import write_atomically
from rftkit.metrics.samples import Header, Sample, Side
from rftkit.metrics.verdict import points
from rftkit.report import page as report
from rftkit.report.page import no_image
from rftkit.report.run_page import opener
from rftkit.report.samples_shown import OpenImages, Shown, shown
from rftkit.tasks import get_task

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = "compare.html.j2"
EACH = 24  # examples of a list
COLOURS: tuple[Side, Side] = ("base", "tuned")  # of the reference and of the other, in the styles
SERIES = ("one", "two", "three", "four", "five", "six")  # colours of bars, A's first


class Listed(NamedTuple):
    """A list of examples that changed, as many as are shown, and how many there are."""

    title: str
    letter: str
    total: int
    examples: tuple[Shown, ...]


class Images(NamedTuple):
    """Where the images of a page come from; without any, why there are none."""

    open_images: OpenImages = no_image
    missing: str = ""


def write_page(path: Path, comparison: Comparison, common: Common, each: int = EACH) -> None:
    """Write the page to `path`, replacing what is there in one move.

    each: examples of a list. Raises UserError where the folder is not there.
    """
    if not path.resolve().parent.is_dir():
        raise UserError(f"--html {path}: no such folder; make it, or name a file elsewhere")
    if path.is_dir():
        raise UserError(f"--html {path}: is a folder; name a file in it, such as compare.html")
    text = render(comparison, common, images_of(common), each)
    write_atomically(path, text.encode(errors="replace"))


def images_of(common: Common) -> Images:
    """The test images, read anew by the first recipe whose data hold them."""
    from rftkit.data.examples import load_examples

    missing = "no recipe was found beside the evaluations, which says where the images are"
    for one in common.answers:
        if one.located.recipe is None:
            continue
        try:
            examples = load_examples(one.located.recipe, one.header.split).examples
        except UserError as error:  # the data has moved: a page without images, which says so
            missing = f"the data cannot be read ({error})"
            continue
        if {example.id for example in examples} & {*common.ids}:
            return Images(opener(examples))
        missing = "they are not among those of the recipe, so its data are others"
    return Images(missing=missing)


def render(comparison: Comparison, common: Common, images: Images, each: int) -> str:
    """The page as text."""
    task = get_task(comparison.task)
    lists = _lists(comparison, common, images.open_images, each)
    notes = list(comparison.notes)
    missing = images.missing or _gone(lists, task.predicts_boxes)
    text = (
        _environment()
        .get_template(TEMPLATE)
        .render(
            c=comparison,
            letters=[subject.letter for subject in comparison.subjects],
            notes=notes,
            lists=lists,
            missing=missing,
            boxed=task.predicts_boxes,
            unit=task.words.unit,
            cost_rows=words.cost_rows(comparison.costs),
            series=SERIES,
            tones=[_tone(comparison, place) for place in range(len(comparison.sentences))],
            classes=[(row, _bars(row, comparison)) for row in comparison.classes],
        )
    )
    return report.with_contents(text)


def _gone(lists: Sequence[Listed], boxed: bool) -> str:
    """Why some of the examples shown have no image; "" where all have theirs."""
    every = [example for one in lists for example in one.examples]
    gone = sum(not _pictured(example, boxed) for example in every)
    return f"{gone} of {len(every)} could not be opened" if gone else ""


def _pictured(example: Shown, boxed: bool) -> bool:
    return any("<image" in said.pane for said in example.replies) or bool(example.thumbnails)


def _lists(
    comparison: Comparison, common: Common, open_images: OpenImages, each: int
) -> list[Listed]:
    """What each subject fixed and what it broke; empty lists go."""
    better, worse = ("better", "worse") if comparison.graded else ("fixed", "broken")
    lists = []
    for place, changes in enumerate(comparison.changes, start=1):
        for word, found in ((better, changes.fixed), (worse, changes.broken)):
            title = f"{word.capitalize()} by {changes.letter}"
            if comparison.graded:
                title = f"{word.capitalize()} with {changes.letter}"
            examples = [_shown(change, common, place, open_images) for change in found[:each]]
            if examples:
                lists.append(Listed(title, changes.letter, len(found), tuple(examples)))
    return lists


def _shown(change: Change, common: Common, place: int, open_images: OpenImages) -> Shown:
    """The example with both replies, each in the colour of its place."""
    both = [common.answers[0], common.answers[place]]
    pair: list[Sample] = [
        one.samples[change.id].model_copy(update={"side": colour})
        for one, colour in zip(both, COLOURS, strict=True)
    ]
    headers: list[Header] = [one.header for one in both]
    return shown(pair, headers, open_images, f"{place}-")


def _tone(comparison: Comparison, place: int) -> str:
    gap = comparison.metrics[0].gaps[place]
    return {"higher": "better", "lower": "worse"}.get(str(gap and gap.verdict), "no")


def _bars(row: ClassRow, comparison: Comparison) -> list[tuple[str, float, str]]:
    """Colour, value and title of each subject's bar."""
    return [
        (SERIES[place % len(SERIES)], value, f"{subject.letter}: {points(value)} %")
        for place, (value, subject) in enumerate(
            zip(row.values, comparison.subjects, strict=True)
        )
    ]  # fmt: skip


@cache
def _environment() -> Environment:
    from jinja2 import ChoiceLoader, PackageLoader

    places = [PackageLoader("rftkit.comparison", "."), PackageLoader("rftkit.report", ".")]
    environment = report.environment().overlay(loader=ChoiceLoader(places))
    environment.filters = environment.filters | {
        "value": words.value,
        "ends": words.ends,
        "amount": words.amount,
        "tone": words.tone,
        "p": words.p_value,
    }
    return environment
