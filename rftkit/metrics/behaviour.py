"""How a side wrote: health, rules, reasoning, lengths, shapes, speed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from statistics import fmean

from rftkit.answers.labels import normalise
from rftkit.measures.rates import binary, share, spread
from rftkit.measures.values import Share, Spread
from rftkit.metrics.samples import FLAGS, Header, Sample, Timing
from rftkit.metrics.schema import Scoring, Speed
from rftkit.metrics.scoring import offered, reasoning
from rftkit.tasks import get_task


def health(samples: Sequence[Sample]) -> dict[str, int]:
    """How many samples carry each flag; a sample may carry several."""
    return {flag: sum(flag in sample.flags for sample in samples) for flag in FLAGS}


def scoring(samples: Sequence[Sample], header: Header) -> Scoring:
    """Both rule sets side by side, and where they disagree."""
    trained = [s.rewards if header.rules == "strict" else s.paper for s in samples]
    paper = [s.paper for s in samples]
    judged = any("evaluation" in parts for parts in paper)
    headline = get_task(header.task).headline
    return Scoring(
        strict=_means([s.rewards for s in samples]),
        paper=_means(paper),
        strict_vs_paper=_disagreements(samples, paper, headline) if any(paper) else None,
        strict_vs_paper_evaluation=(
            _disagreements(samples, paper, "evaluation") if judged else None
        ),
        metric_vs_training=_disagreements(samples, trained, headline),
    )


def consistency(samples: Sequence[Sample], header: Header) -> dict[str, Share]:
    """Whether the reasoning ends on the label that is answered, among valid replies that reason.

    Of tasks whose answers are on a list only.

    consistent: the last label that the reasoning names is the answer; inconsistent: it is another;
    silent: the reasoning names none of the labels offered. Empty if no reply reasons.
    """
    if not get_task(header.task).picks_offered:
        return {}
    cells: dict[str, list[float]] = {"consistent": [], "inconsistent": [], "silent": []}
    for sample in samples:
        thought = None if sample.invalid else reasoning(sample, header)
        if thought is not None:
            named = last_named(thought, offered(sample, header) or header.labels)
            cell = "silent" if named is None else "inconsistent"
            cells["consistent" if named == sample.answer else cell].append(sample.correct)
    total = sum(map(len, cells.values()))
    return {name: share(scores, total) for name, scores in cells.items()} if total else {}


def last_named(text: str, labels: tuple[str, ...]) -> str | None:
    """The label named last in a text, as whole words, the longest where several begin.

    >>> last_named("not a Rose hip but a tulip.", ("rose", "rose hip", "tulip"))
    'tulip'
    """
    pattern, spelled = _naming(labels)
    mentions = pattern.findall(_words(text))
    return spelled[mentions[-1]] if mentions else None


def shapes(samples: Sequence[Sample], header: Header) -> dict[str, Share]:
    """Replies with reasoning, with an answer alone, and without a valid answer."""
    cells: dict[str, list[float]] = {"with reasoning": [], "answer only": [], "invalid": []}
    for sample in samples:
        thinks = reasoning(sample, header) is not None
        shape = "with reasoning" if thinks else "answer only"
        cells["invalid" if sample.invalid else shape].append(sample.correct)
    return {name: share(scores, len(samples)) for name, scores in cells.items()}


def lengths(samples: Sequence[Sample]) -> dict[str, Spread]:
    """Spread of tokens: total, reasoning, answer; the total of right and of wrong replies too.

    A task that scores by degree has no right and wrong ones.
    """
    groups = {
        "total": [s.tokens for s in samples],
        "reasoning": [s.reasoning_tokens for s in samples],
        "answer": [s.answer_tokens for s in samples],
    }
    if binary([s.correct for s in samples]):
        groups["total, right"] = [s.tokens for s in samples if s.correct == 1]
        groups["total, wrong"] = [s.tokens for s in samples if s.correct != 1]
    return {name: spread(tokens) for name, tokens in groups.items() if tokens}


def speed(timings: Sequence[Timing]) -> Speed | None:
    """Rates over all sessions of one side; None without timings."""
    seconds = sum(t.seconds for t in timings)
    if seconds <= 0:
        return None
    peaks = [t.peak_memory_bytes for t in timings if t.peak_memory_bytes is not None]
    held_by = {t.peak_memory_of for t in timings if t.peak_memory_bytes is not None}
    return Speed(
        seconds=seconds,
        samples_per_second=sum(t.samples for t in timings) / seconds,
        tokens_per_second=sum(t.tokens for t in timings) / seconds,
        first_token_seconds=_weighted([(t.first_token_seconds, t.samples) for t in timings]),
        token_seconds=_weighted([(t.token_seconds, t.samples) for t in timings]),
        scoring_seconds=_total([t.scoring_seconds for t in timings]),
        peak_memory_bytes=max(peaks, default=None),
        peak_memory_of=next(iter(held_by)) if len(held_by) == 1 else "",
        batch_sizes=tuple(sorted({t.batch_size for t in timings})),
        hardware=tuple(sorted({t.hardware for t in timings if t.hardware})),
        warmup_excluded=all(t.warmup_excluded for t in timings),
    )


def _means(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = sorted({name for part in parts for name in part})
    return {name: fmean(part.get(name, 0.0) for part in parts) for name in names}


def _disagreements(
    samples: Sequence[Sample], parts: Sequence[Mapping[str, float]], name: str
) -> int:
    pairs = zip(samples, parts, strict=True)
    return sum(sample.correct != part.get(name, sample.correct) for sample, part in pairs)


def _weighted(pairs: Sequence[tuple[float | None, int]]) -> float | None:
    defined = [(value, weight) for value, weight in pairs if value is not None]
    total = sum(weight for _, weight in defined)
    return sum(value * weight for value, weight in defined) / total if total else None


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _words(text: str) -> str:
    return re.sub(r"[\W_]+", " ", normalise(text)).strip()


@lru_cache(maxsize=4096)
def _naming(labels: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    spelled = {_words(label): label for label in reversed(labels) if _words(label)}
    longest = sorted(spelled, key=lambda word: (-len(word), word))
    either = "|".join(map(re.escape, longest)) or "(?!)"
    return re.compile(rf"(?<!\w)(?:{either})(?!\w)"), spelled
