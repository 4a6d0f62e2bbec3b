"""The tables of exact_study.py: means over the seeds, and paired differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from rftkit.measures.statistics import paired_bootstrap

Row = dict[str, Any]  # what exact_study.py writes of a run


def table(rows: Sequence[Row], ways: Sequence[str], first: str) -> Iterator[str]:
    """Lines of a table, a way each. Differences: from the way `first`, image by image."""
    reference = {row["seed"]: row for row in rows if row["way"] == first}
    halved = "free halves" in rows[0]["tuned"]
    heads = ["way", "rate", "free, %", "by seed", "minus sampled (95 %)", "list, %",
             "minus sampled (95 %)"]  # fmt: skip
    heads += ["free: base / new / H", "list: base / new / H"] if halved else []
    heads += ["off the list, %", "ECE", "training, s"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    one = rows[0]["base"]
    blank = ["–", "–", f"{100 * one['off_list']:.1f}", f"{one['ece']:.3f}", ""]
    base = ["base model", "", f"{100 * one['free']:.1f}", "", "", f"{100 * one['list']:.1f}", ""]
    base += [thirds([rows[0]], "base", way) for way in ("free", "list")] if halved else []
    yield f"| {' | '.join([*base, *blank[2:]])} |"
    for way in ways:
        of_way = sorted((r for r in rows if r["way"] == way), key=lambda r: r["seed"])
        if of_way:
            yield f"| {' | '.join(cells(of_way, reference, halved))} |"


def cells(rows: Sequence[Row], reference: dict[int, Row], halved: bool) -> list[str]:
    """One line of a table."""
    tuned = [row["tuned"] for row in rows]
    by_seed = " / ".join(f"{100 * one['free']:.1f}" for one in tuned)
    found = [rows[0]["way"], f"{rows[0]['rate']:g}"]
    found += [f"{100 * fmean(one['free'] for one in tuned):.1f}", by_seed]
    found.append(minus(rows, reference, "free"))
    found.append(f"{100 * fmean(one['list'] for one in tuned):.1f}")
    found.append(minus(rows, reference, "list"))
    found += [thirds(rows, "tuned", way) for way in ("free", "list")] if halved else []
    found.append(f"{100 * fmean(one['off_list'] for one in tuned):.1f}")
    found.append(f"{fmean(one['ece'] for one in tuned):.3f}")
    found.append(f"{fmean(row['seconds'] for row in rows):.1f}")
    return found


def thirds(rows: Sequence[Row], side: str, way: str) -> str:
    """Base, new and H in per cent, means over the seeds."""
    names = ("base", "new", "harmonic")
    means = [fmean(row[side][f"{way} halves"][name] for row in rows) for name in names]
    return " / ".join(f"{100 * mean:.1f}" for mean in means)


def minus(rows: Sequence[Row], reference: dict[int, Row], way: str) -> str:
    """The difference in points from the reference's runs of the same seeds, images drawn anew."""
    pairs = [(reference[r["seed"]]["right"][way], r["right"][way])
             for r in rows if r["seed"] in reference and r is not reference[r["seed"]]]  # fmt: skip
    if not pairs:
        return ""
    before, after = (
        [fmean(one) for one in zip(*side, strict=True)] for side in zip(*pairs, strict=True)
    )
    found = paired_bootstrap(before, after, 0)
    low, high = found.interval
    return f"{100 * found.difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
