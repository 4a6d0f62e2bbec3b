"""The results tab: an evaluation's headline, confusions and lengths, and its samples by verdict."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from rftkit.app.opening import Evaluated
from rftkit.app.worked import recorded_comparisons
from rftkit.errors import DataError
from rftkit.inference.panes import GOOD, Comparison, Pane, Verdict
from rftkit.metrics import Summary, summarise
from rftkit.metrics.samples import SIDES, Sample
from rftkit.report.samples_shown import thumbnail
from rftkit.tasks import get_task

ROWS = 30  # samples listed
MORE = "more:"  # begins what a press on "Show more" opens: how many rows there are to be then
EDGE = 96  # pixels of a thumbnail
CONFUSIONS = 6
BINS = 4  # of reply length
BOXES_RIGHT = (
    f'<p class="quiet">Boxes are right from a score of {GOOD:g} on: “fixed” was below it before '
    "training and is not below it after.</p>"
)
LISTED = (
    '<p class="quiet">These numbers are of the free replies; the rows below are of the answers by '
    "list, as a comparison shows them, so that their counts can differ.</p>"
)
FILTERS: dict[str, tuple[Verdict, ...]] = {
    "fixed": ("fixed",),
    "broke": ("broke",),
    "both wrong": ("both wrong",),
    "all": ("fixed", "broke", "both right", "both wrong"),
}


def headline_html(evaluated: Evaluated) -> str:
    """Accuracy of both sides with intervals, the difference, McNemar, confusions, lengths."""
    summary = summarise(evaluated.file)
    boxed = get_task(evaluated.file.header.task).predicts_boxes
    parts = [
        _scores(summary),
        _difference(summary),
        BOXES_RIGHT if boxed else "",
        LISTED if _scored_beside(evaluated) else "",
        _notes(evaluated, summary),
        _confusions(summary),
        _lengths(evaluated),
    ]
    return f'<div class="rft-results">{"".join(parts)}</div>'


def first_kind(evaluated: Evaluated) -> str:
    """The first filter that leaves something; "all" if none does."""
    there = {both.verdict for both in recorded_comparisons(evaluated)}
    return next((kind for kind, verdicts in FILTERS.items() if there & {*verdicts}), "all")


def rows_html(evaluated: Evaluated, kind: str, rows: int = ROWS) -> str:
    """The samples of one filter, at most `rows`, each a button that opens it in the comparison."""
    shown = [both for both in recorded_comparisons(evaluated) if both.verdict in FILTERS[kind]]
    if not shown:
        return f'<p class="quiet">None of the images is “{escape(kind)}”.</p>'
    more = ""
    if len(shown) > rows:
        left = min(ROWS, len(shown) - rows)
        opens = f'data-open="{MORE}{rows + ROWS}"'
        more = f'<button type="button" class="rft-more" {opens}>Show {left} more</button>'
    listed = "".join(_row(both) for both in shown[:rows])
    return (
        f'<p class="quiet">{min(rows, len(shown))} of {len(shown)} shown, of '
        f"{len(evaluated.examples)} in all; open one to compare it.</p>"
        f'<ul class="rft-rows">{listed}</ul>{more}'
    )


def find(evaluated: Sequence[Evaluated], name: str, identity: str) -> Comparison | None:
    """The recorded comparison of an evaluation and an example; None if it is not there."""
    for one in evaluated:
        if one.name == name:
            for both in recorded_comparisons(one):
                if both.asked.example.id == identity:
                    return both
    return None


def _scored_beside(evaluated: Evaluated) -> bool:
    """Whether samples have the scores of a list beside a free reply."""
    wrote = evaluated.file.header.decode == "generate"
    return wrote and any(sample.scores for sample in evaluated.file.samples)


def _scores(summary: Summary) -> str:
    cells = ""
    for side in SIDES:
        measured = summary.base if side == "base" else summary.tuned
        if measured is None:
            continue
        rate = measured.accuracy
        cells += (
            f'<div class="score {side}"><dt>{"Base" if side == "base" else "Fine-tuned"}</dt>'
            f"<dd>{rate.value:.1%}</dd><dd class='quiet'>95 % interval {rate.low:.1%} to "
            f"{rate.high:.1%}, n = {rate.n}</dd></div>"
        )
    named = escape(summary.metric)
    return f'<p class="label">{named}</p><dl class="rft-scores" aria-label="{named}">{cells}</dl>'


def _difference(summary: Summary) -> str:
    difference = summary.difference
    if difference is None:
        return '<p class="quiet">Only one model was evaluated: nothing to compare.</p>'
    exact, told = difference.mcnemar_exact, summary.headline or difference.words
    up, down, test = "fixed", "broke", f"; McNemar exact p {_p(exact or 0)}"
    if exact is None:  # a degree, such as an IoU: a gain need not cross the line to right
        up, down, test = "score higher after training", "lower", ""
    return (
        f'<p class="words">{escape(told)}</p><p class="quiet">{difference.won} {up}, '
        f"{difference.lost} {down}, of {difference.pairs}{test}.</p>"
    )


def _notes(evaluated: Evaluated, summary: Summary) -> str:
    """What a reader must know before trusting the metrics, and why images are missing."""
    missing = f"Images are not shown: {evaluated.no_images}." if evaluated.no_images else ""
    notes = [*summary.notes, *filter(None, [missing])]
    return "".join(f'<p class="rft-message note">{escape(note)}</p>' for note in notes)


def _confusions(summary: Summary) -> str:
    """The most frequent confusions of either side, beside each other."""
    tables = ""
    for name, side in (("Base", summary.base), ("Fine-tuned", summary.tuned)):
        wrong = [cell for cell in side.confusion if cell.answer != cell.gold] if side else []
        rows = "".join(
            f"<tr><td>{escape(cell.gold)}</td><td>{escape(cell.answer or 'no valid answer')}</td>"
            f'<td class="num">{cell.count}</td></tr>'
            for cell in sorted(wrong, key=lambda cell: -cell.count)[:CONFUSIONS]
        )
        if rows:
            tables += (
                f'<table class="rft-table"><caption>{name}: most frequent confusions</caption>'
                f'<thead><tr><th>right</th><th>answered</th><th class="num">times</th></tr></thead>'
                f"<tbody>{rows}</tbody></table>"
            )
    return f'<div class="rft-pair">{tables}</div>' if tables else ""


def _lengths(evaluated: Evaluated) -> str:
    """How right replies are by their length: each side's samples in bins of equal size."""
    tables = ""
    for name, side in (("Base", "base"), ("Fine-tuned", "tuned")):
        own = sorted(
            (s for s in evaluated.file.samples if s.side == side), key=lambda s: (s.tokens, s.id)
        )
        rows = "".join(_bin(part) for part in _parts(own))
        if rows:
            tables += (
                f'<table class="rft-table"><caption>{name}: length against score</caption><thead>'
                '<tr><th>tokens</th><th class="num">replies</th><th class="num">score</th></tr>'
                f"</thead><tbody>{rows}</tbody></table>"
            )
    return f'<div class="rft-pair">{tables}</div>'


def _parts(samples: Sequence[Sample]) -> list[Sequence[Sample]]:
    """samples: by length. At most BINS parts of about one size; equal lengths stay together."""
    want, parts, part = len(samples) / BINS, list[Sequence[Sample]](), list[Sample]()
    for _, alike in groupby(samples, key=lambda sample: sample.tokens):
        part = [*part, *alike]
        if len(part) >= want:
            parts.append(part)
            part = []
    return [*parts, part] if part else parts


def _bin(part: Sequence[Sample]) -> str:
    low, high = part[0].tokens, part[-1].tokens
    score = sum(sample.correct for sample in part) / len(part)
    return (
        f"<tr><td>{low if low == high else f'{low} to {high}'}</td>"
        f'<td class="num">{len(part)}</td><td class="num">{score:.0%}</td></tr>'
    )


def _row(both: Comparison) -> str:
    example = both.asked.example
    answers = " → ".join(_said(pane) for pane in (both.base, both.tuned))
    gold = "" if "grid" in example.meta else f" · right: {example.gold[:40]}"
    return (
        f'<li><button type="button" class="rft-open" data-open="{escape(example.id)}">'
        f'{_small(both)}<span class="verdict {escape((both.verdict or "").replace(" ", "-"))}">'
        f"{escape(both.verdict or '')}</span><span>{escape(answers)}{escape(gold)}</span>"
        f'<span class="quiet">{escape(example.id[-48:])}</span></button></li>'
    )


def _small(both: Comparison) -> str:
    """The image, small; nothing where it cannot be opened."""
    try:
        uri = thumbnail(both.asked.example.image.open(), EDGE).uri
    except DataError:
        return ""
    return f'<img src="{uri}" alt="" width="44" height="44" loading="lazy">'


def _said(pane: Pane) -> str:
    answer = "no answer" if pane.answer is None else pane.answer[:40]
    return answer if pane.correct in (None, 0.0, 1.0) else f"{answer} ({pane.correct:.2f})"


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.4f}"
