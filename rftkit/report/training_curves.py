"""Columns of `metrics.jsonl`, as charts need them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import NamedTuple

Metrics = Sequence[Mapping[str, object]]


class Series(NamedTuple):
    """One quantity over training steps; only the steps that logged it."""

    steps: list[float]
    values: list[float]


def column(metrics: Metrics, key: str) -> Series:
    """The values under `key`; `rewards.accuracy` looks one table down.

    A step that comes twice, as after a resume, counts as it was logged last. Missing and
    non-finite values are passed over.
    """
    by_step: dict[float, float] = {}
    for line in metrics:
        step, value = _number(line.get("step")), _number(_inside(line, key))
        if step is not None and value is not None:
            by_step[step] = value
    steps = sorted(by_step)
    return Series(steps, [by_step[step] for step in steps])


def reward_names(metrics: Metrics) -> list[str]:
    """Names of the reward parts that were logged, in the order they came."""
    names: dict[str, None] = {}
    for line in metrics:
        parts = line.get("rewards")
        if isinstance(parts, Mapping):
            names.update(dict.fromkeys(str(name) for name in parts))
    return list(names)


def warmup_end(metrics: Metrics) -> float | None:
    """The last step of a warm-up; None where there was none."""
    return max(column(_of_warmup(metrics), "step").values, default=None)


def imitated(metrics: Metrics) -> Metrics:
    """The lines whose loss is one of imitation: those of the warm-up, where there was one."""
    return _of_warmup(metrics) or metrics


def _of_warmup(metrics: Metrics) -> Metrics:
    return [line for line in metrics if line.get("phase") == "warmup"]


def smoothed(values: Sequence[float], width: int) -> list[float]:
    """The mean of the last `width` values at each place, of fewer at the start."""
    return [fmean(values[max(0, i + 1 - width) : i + 1]) for i in range(len(values))]


def cost(metrics: Metrics) -> list[tuple[str, str]]:
    """What training took, in words: steps, minutes, seconds per step, tokens per reply.

    Minutes are those of steps and of looks at held-out data; loading and evaluation are not in.
    """
    steps, seconds = column(metrics, "step"), column(metrics, "seconds")
    lengths = column(metrics, "length")
    rows: list[tuple[str, str]] = []
    if steps.values:
        rows.append(("steps", f"{steps.values[-1]:.0f}"))
    if seconds.values:
        looks = column(metrics, "validation_seconds")
        rows.append(("minutes", f"{(sum(seconds.values) + sum(looks.values)) / 60:.1f}"))
        rows.append(("seconds per step, median", f"{median(seconds.values):.2f}"))
    if lengths.values:
        rows.append(("tokens per reply, first and last", _ends(lengths.values)))
    return rows


def _ends(values: Sequence[float]) -> str:
    return f"{values[0]:.0f}, {values[-1]:.0f}"


def _inside(line: Mapping[str, object], key: str) -> object:
    head, _, rest = key.partition(".")
    inner = line.get(head)
    return inner.get(rest) if rest and isinstance(inner, Mapping) else None if rest else inner


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None
