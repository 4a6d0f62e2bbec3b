"""Which samples a report shows, with their images small enough to sit in the page."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rftkit.answers import boxes
from rftkit.metrics.samples import Header, Sample
from rftkit.metrics.scoring import offered
from rftkit.metrics.verdict import points
from rftkit.report import overlay
from rftkit.tasks import get_task
from rftkit.tasks.choice import LETTERS

if TYPE_CHECKING:
    from PIL.Image import Image

OpenImages = Callable[[str], "Sequence[Image]"]

EDGE = 640  # pixels of a thumbnail's longer side: it can be opened
SMALL = 64  # at most this many pixels: kept lossless and shown with crisp ones
EACH = 6  # examples per group
HALF = 0.5  # a degree from here on is good
NOTHING = "[]"  # gold of an image that has none of what was asked for
CHANGED = 0.05  # a degree that moves by more has changed

BOTH = ("Fixed by training", "Broken by training", "Wrong before and after", "right")
BOTH_GRADED = ("Better after training", "Worse after training", "Poor before and after", "good")
ALONE, ALONE_GRADED = ("Wrong", "Right"), ("Poor", "Good")


class Thumbnail(NamedTuple):
    """An image as a data URI. small: scale it up without blurring. size: in pixels."""

    uri: str
    small: bool
    size: tuple[int, int]


class Option(NamedTuple):
    """One option of a question; gold: the right one."""

    letter: str
    text: str
    gold: bool


class Said(NamedTuple):
    """One reply. mark: "right", "wrong", or "part" of a degree; pane: its drawing, SVG or ""."""

    sample: Sample
    mark: str
    answer: str
    pane: str


class Shown(NamedTuple):
    """One example of the page: what either side wrote about one question.

    gold: "" where it is a box that is drawn. thumbnails: empty where there is no image, or where
    the panes of the replies show it.
    """

    id: str
    gold: str
    question: str
    options: tuple[Option, ...]
    image: str
    thumbnails: tuple[Thumbnail, ...]
    prompt: str
    replies: tuple[Said, ...]


class Group(NamedTuple):
    """Examples of one kind, and how many of that kind there are in all."""

    title: str
    total: int
    examples: tuple[Shown, ...]


def groups(samples: Sequence[Sample], header: Header, open_images: OpenImages) -> list[Group]:
    """Fixed, broken and still wrong with both sides; wrong and right with one. Empty ones go.

    Of degrees such as an overlap: better, worse and still poor, the largest change first.
    header: task, style and decode of the samples, and the prompt of those without one.
    """
    sides: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=lambda sample: (sample.side, sample.id)):
        sides.setdefault(sample.id, []).append(sample)
    two, by_degree = any(len(pair) == 2 for pair in sides.values()), get_task(header.task).graded
    names = (BOTH_GRADED if by_degree else BOTH) if two else ALONE_GRADED if by_degree else ALONE
    by_group: dict[str, list[list[Sample]]] = {name: [] for name in names}
    for pair in sides.values():
        if len(pair) == 2 or not two:
            by_group[names[_place(pair, by_degree)]].append(pair)
    return [
        Group(
            name,
            len(pairs),
            tuple(shown(p, [header] * len(p), open_images) for p in _varied(pairs)),
        )
        for name, pairs in by_group.items()
        if pairs and name not in ("right", "good")
    ]


def thumbnail(image: Image, edge: int = EDGE) -> Thumbnail:
    """The image within edge × edge: PNG if it is small, else JPEG."""
    small = image.convert("RGB")
    small.thumbnail((edge, edge))
    tiny = max(image.size) <= SMALL
    out = io.BytesIO()
    small.save(out, format="PNG" if tiny else "JPEG", **({} if tiny else {"quality": 82}))
    kind = "png" if tiny else "jpeg"
    uri = f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"
    return Thumbnail(uri, tiny, small.size)


def _place(pair: Sequence[Sample], by_degree: bool) -> int:
    """Which of the group's names a pair, or a single sample, belongs to."""
    scores = [sample.correct for sample in pair]
    good = [score >= HALF if by_degree else score == 1 for score in scores]
    if len(pair) == 1:
        return int(good[0])
    change = scores[1] - scores[0]
    least = CHANGED if by_degree else 0.0
    if abs(change) > least:
        return 0 if change > 0 else 1
    return 3 if good[1] else 2


def _varied(pairs: Iterable[list[Sample]]) -> list[list[Sample]]:
    """EACH of them, in turns from every kind, so that one kind does not fill the page.

    The largest change comes first, and images without anything to find come last.
    """
    seen: dict[str, int] = {}
    turns = []
    for pair in sorted(pairs, key=_rank):
        kind = pair[0].category or pair[0].gold
        turn = seen[kind] = seen.get(kind, -1) + 1
        turns.append(((pair[0].gold == NOTHING, turn), pair))
    return [pair for _, pair in sorted(turns, key=lambda item: item[0])[:EACH]]


def _rank(pair: Sequence[Sample]) -> tuple[bool, float]:
    return pair[0].gold == NOTHING, -abs(pair[-1].correct - pair[0].correct)


def shown(
    pair: Sequence[Sample], headers: Sequence[Header], open_images: OpenImages, scope: str = ""
) -> Shown:
    """One example as a page shows it: the replies to it, each read by the header of its own file.

    scope: tells an example from itself where a page shows it in several places.
    """
    first, header = pair[0], headers[0]
    boxed = get_task(header.task).predicts_boxes
    edge = overlay.LONG if boxed else EDGE
    small = tuple(thumbnail(image, edge) for image in open_images(first.id))
    prompt = header.prompt if first.prompt is None else first.prompt
    return Shown(
        id=first.id,
        gold=_gold(first, header),
        question=_question(prompt, header),
        options=_options(first, header),
        image=first.image,
        thumbnails=() if boxed else small,
        prompt=prompt,
        replies=tuple(
            _said(sample, own, _pane(sample, own, small, (scope, sample is first)) if boxed else "")
            for sample, own in zip(pair, headers, strict=True)
        ),
    )


def _said(sample: Sample, header: Header, pane: str) -> Said:
    if get_task(header.task).graded:
        mark = "right" if sample.correct >= HALF else "wrong"
        return Said(sample, mark, _degree(sample, header), pane)
    sign, mark = ("✓", "right") if sample.correct == 1 else ("✗", "wrong")
    letters = {o.text: f"{o.letter}. " for o in _options(sample, header)}
    answer = "no answer" if sample.answer is None else sample.answer
    return Said(sample, mark, f"{sign} {letters.get(answer, '')}{answer}", pane)


def _degree(sample: Sample, header: Header) -> str:
    task = get_task(header.task)
    if not task.predicts_boxes:
        answer = "no answer" if sample.answer is None else sample.answer
        return f"{task.metric} {points(sample.correct)} %: {answer}"
    words = overlay.drawing(sample, header).words
    return words if task.answer_kind == "box" else f"IoU {points(sample.correct)} %: {words}"


def _gold(sample: Sample, header: Header) -> str:
    if not get_task(header.task).predicts_boxes:
        letters = {o.text: f"{o.letter}. " for o in _options(sample, header)}
        return letters.get(sample.gold, "") + sample.gold
    if get_task(header.task).answer_kind == "box":
        return ""
    count = len(boxes.load_boxes(sample.gold))
    boxed = {0: "none there", 1: "1 box"}.get(count, f"{count} boxes")
    names = dict.fromkeys(boxes.load_box_labels(sample.gold) or [sample.category])
    return f"{', '.join(names)}: {boxed}" if any(names) else boxed


def _question(prompt: str, header: Header) -> str:
    """What was asked, without options and instructions; "" where it is the same for all."""
    task = get_task(header.task)
    if "text" not in task.form.takes:
        return ""
    return prompt.partition("\nA. " if task.answer_kind == "option" else "\n")[0]


def _options(sample: Sample, header: Header) -> tuple[Option, ...]:
    if get_task(header.task).answer_kind != "option":
        return ()
    pairs = zip(LETTERS, offered(sample, header), strict=False)
    return tuple(Option(letter, text, text == sample.gold) for letter, text in pairs)


def _pane(
    sample: Sample, header: Header, small: Sequence[Thumbnail], place: tuple[str, bool]
) -> str:
    """The drawing over the image, which is in the page once: the second pane refers to it."""
    scope, first = place
    name = f"p{scope}" + hashlib.sha256(sample.id.encode()).hexdigest()[:12]
    size, image = _annotated(sample), ""
    if small:
        size = small[0].size
        width, height = overlay.scaled(size)
        crisp = ' class="crisp"' if small[0].small else ""
        location = f'width="{width:g}" height="{height:g}" preserveAspectRatio="none"'
        image = f'<image id="{name}" href="{small[0].uri}" {location}{crisp}/>'
    if small and not first:
        image = f'<use href="#{name}"/>'
    return overlay.pane(overlay.drawing(sample, header), size, image)


def _annotated(sample: Sample) -> tuple[int, int]:
    width, _, height = sample.meta.get("size", "4x3").partition("x")
    return int(width), int(height)
