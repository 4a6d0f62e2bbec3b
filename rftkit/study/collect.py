"""From the runs of a study to its results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from rftkit.measures import statistics
from rftkit.measures.rates import SEED, rate
from rftkit.measures.values import Measure, Rate
from rftkit.metrics.files import SAMPLES
from rftkit.metrics.samples import Sample, read_samples
from rftkit.metrics.scoring import rescored
from rftkit.report.tables import PER_CATEGORY
from rftkit.study import words
from rftkit.study.contrast import Contrast, Seeds, contrast, mean, pairs, with_holm
from rftkit.study.grid import Cell
from rftkit.study.read_run import Measured, of_side, read_cell
from rftkit.study.runner import StudyJob, crossings, progress
from rftkit.study.schema import Crossed, Failure, HalvesRow, Row, Setting, StudySummary, Versus

Group = tuple[Setting, str]  # and style


def collect(job: StudyJob, failed: Mapping[str, str]) -> StudySummary:
    """The results of every cell that is finished. failed: error by the name of the cell."""
    grid, out = job.grid, job.out
    done = [read_cell(cell, out) for cell in grid if progress(cell, out) == "done"]
    rows = [row(group) for group in grouped(done).values()]
    against = versus(done)
    return StudySummary(
        name=job.path.stem,
        command=job.command,
        cells=len(grid),
        finished=len(done),
        failures=tuple(Failure(cell=cell, error=error) for cell, error in failed.items()),
        seeds=tuple(sorted({cell.wanted.seed for cell in grid})),
        rows=tuple(rows),
        versus=tuple(against),
        crossed=tuple(_crossed(done, out)) if job.crossed else (),
        answer=words.answer(against),
        minutes=sum(one.trained_seconds + one.tested_seconds for one in done) / 60,
        written_tokens=sum(
            one.trained_tokens + sum(sample.tokens for sample in one.tuned) for one in done
        ),
        notes=tuple(_notes(done)),
    )


def grouped(done: Iterable[Measured]) -> dict[tuple[str, str, int, str], list[Measured]]:
    """Runs that differ by their seed only, in the order of the grid."""
    groups: dict[tuple[str, str, int, str], list[Measured]] = {}
    for one in done:
        setting = setting_of(one)
        key = (setting.dataset, setting.method, setting.shots, one.cell.wanted.style)
        groups.setdefault(key, []).append(one)
    return groups


def setting_of(one: Measured) -> Setting:
    """Data set, method and shots of a run."""
    wanted = one.cell.wanted
    return Setting(dataset=one.cell.dataset, method=wanted.method.kind, shots=wanted.data.shots)


def row(group: Sequence[Measured]) -> Row:
    """One line of a table: the seeds of one setting and style."""
    first, before, after = group[0], _base(group), _tuned(group)
    gain = contrast(pairs(before, after))
    assert gain is not None, "a finished run has answered on both sides"
    signals = [one.signal for one in group if one.signal is not None]
    return Row(
        setting=setting_of(first),
        style=first.cell.wanted.style,
        metric=first.summary.metric,
        before=mean(before),
        after=mean(after),
        gain=gain,
        halves_before=halves(before),
        halves_after=halves(after),
        listed_before=mean(by_list) if (by_list := listed(before)) else None,
        listed_after=mean(by_list) if (by_list := listed(after)) else None,
        listed_halves=halves(by_list) if by_list else None,
        metrics=_metrics(group),
        tokens_before=_tokens(before),
        tokens_after=_tokens(after),
        train_minutes=fmean(one.trained_seconds for one in group) / 60,
        test_minutes=fmean(one.tested_seconds for one in group) / 60,
        train_tokens=fmean(one.trained_tokens for one in group),
        signal=fmean(signals) if signals else None,
    )


def listed(seeds: Seeds) -> dict[int, Sequence[Sample]] | None:
    """The samples as the likeliest answer of the list is right; None unless all have one."""
    if any(s.list_correct is None for samples in seeds.values() for s in samples):
        return None
    return {
        seed: [s.model_copy(update={"correct": s.list_correct}) for s in samples]
        for seed, samples in seeds.items()
    }


def halves(seeds: Seeds) -> HalvesRow | None:
    """Base, new and H; each image counts as its mean over the seeds. None without halves."""
    base, new = (_image_means(seeds, half) for half in ("base", "new"))
    if not base or not new:
        return None
    low, high = statistics.harmonic_interval(base, new, SEED)
    both = statistics.harmonic(fmean(base), fmean(new))
    return HalvesRow(
        base=rate(base),
        new=rate(new),
        harmonic=Rate(value=both, low=low, high=high, n=len(base) + len(new)),
    )


def versus(done: Sequence[Measured]) -> list[Versus]:
    """Every style minus `direct`; p-values are adjusted within a style over all settings."""
    groups = grouped(done)
    comparisons: list[Versus] = []
    for style in dict.fromkeys(key[-1] for key in groups if key[-1] != "direct"):
        chosen = [
            (group, groups[*key[:-1], "direct"])
            for key, group in groups.items()
            if key[-1] == style and (*key[:-1], "direct") in groups
        ]
        comparisons += _against_direct(style, chosen)
    return comparisons


def _against_direct(
    style: str, chosen: Sequence[tuple[Sequence[Measured], Sequence[Measured]]]
) -> list[Versus]:
    compared = [
        (group, direct, gap)
        for group, direct in chosen
        if (gap := contrast(pairs(_tuned(direct), _tuned(group)))) is not None
    ]
    gaps = with_holm([gap for _, _, gap in compared])
    return [
        _versus(style, group, direct, gap, len(compared))
        for (group, direct, _), gap in zip(compared, gaps, strict=True)
    ]


def _versus(
    style: str,
    group: Sequence[Measured],
    direct: Sequence[Measured],
    gap: Contrast,
    tests: int,
) -> Versus:
    tokens = _ratio(group, direct, lambda one: fmean(s.tokens for s in one.tuned))
    minutes = _ratio(group, direct, lambda one: one.trained_seconds)
    setting = setting_of(group[0])
    comparison = Versus(
        setting=setting,
        style=style,
        contrast=gap,
        times_tokens=tokens,
        times_minutes=minutes,
        words="",
    )
    return comparison.model_copy(update={"words": words.versus(comparison, tests)})


def _crossed(done: Sequence[Measured], out: Path) -> list[Crossed]:
    """The free-lunch matrix: own images on the diagonal, the other recipes' beside it."""
    by_name = {one.cell.name: one for one in done}
    pairings = crossings([one.cell for one in done])
    used = {crossing.trained.name for crossing in pairings}
    befores: dict[tuple[object, ...], dict[int, Sequence[Sample]]] = {}
    afters: dict[tuple[object, ...], dict[int, Sequence[Sample]]] = {}

    def add(trained: Cell, tested: Cell, after: Sequence[Sample]) -> None:
        key = (trained.wanted.style, *trained.point, trained.dataset, tested.dataset)
        befores.setdefault(key, {})[trained.wanted.seed] = by_name[tested.name].base
        afters.setdefault(key, {})[trained.wanted.seed] = after

    for one in done:
        if one.cell.name in used:
            add(one.cell, one.cell, one.tuned)
    for crossing in pairings:
        file = crossing.samples(out) / SAMPLES
        if file.is_file():
            add(*crossing, _elsewhere(file))
    gains = {key: contrast(pairs(befores[key], afters[key])) for key in afters}
    return [_crossed_row(key, gain) for key, gain in gains.items() if gain]


def _crossed_row(key: tuple[object, ...], gain: Contrast) -> Crossed:
    names = ("style", "method", "shots", "trained_on", "tested_on")
    return Crossed.model_validate({**dict(zip(names, key, strict=True)), "gain": gain})


def _elsewhere(file: Path) -> tuple[Sample, ...]:
    return of_side(rescored(read_samples(file)), "tuned")


def _metrics(group: Sequence[Measured]) -> tuple[Measure, ...]:
    """The means of what the task reports beside its headline, single categories left out."""
    models = [one.summary.tuned for one in group if one.summary.tuned]
    first = [m for m in (models[0].metrics if models else ()) if m.name != PER_CATEGORY]
    means = []
    for measure in first:
        seeds = [metric for model in models if (metric := model.measure(*measure.key))]
        values = [one.value for one in seeds if one.value is not None]
        if values:
            mean = {"value": fmean(values), "low": None, "high": None, "n": len(values)}
            means.append(measure.model_copy(update=mean))
    return tuple(means)


def _base(group: Iterable[Measured]) -> dict[int, Sequence[Sample]]:
    return {one.cell.wanted.seed: one.base for one in group}


def _tuned(group: Iterable[Measured]) -> dict[int, Sequence[Sample]]:
    return {one.cell.wanted.seed: one.tuned for one in group}


def _tokens(seeds: Seeds) -> float:
    counts = [sample.tokens for samples in seeds.values() for sample in samples]
    return fmean(counts) if counts else 0.0


def _image_means(seeds: Seeds, half: str) -> list[float]:
    scores: dict[str, list[float]] = {}
    for sample in (sample for samples in seeds.values() for sample in samples):
        if sample.half == half:
            scores.setdefault(sample.image, []).append(sample.correct)
    return [fmean(values) for values in scores.values()]


def _ratio(
    group: Sequence[Measured], direct: Sequence[Measured], of: Callable[[Measured], float]
) -> float | None:
    """One mean over the other, over the seeds that both have; None if there is nothing in one."""
    seeds = {one.cell.wanted.seed for one in group} & {one.cell.wanted.seed for one in direct}
    ours, theirs = (
        fmean(of(one) for one in side if one.cell.wanted.seed in seeds) for side in (group, direct)
    )
    return ours / theirs if ours > 0 and theirs > 0 else None


def _notes(done: Sequence[Measured]) -> list[str]:
    """What single runs say that a reader of the study must know too."""
    return [f"{one.cell.name}: {note}" for one in done for note in one.summary.notes]
