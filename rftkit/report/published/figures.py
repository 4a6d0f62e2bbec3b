"""The figures of the papers as they printed them: `figures.csv` and `free_lunch.csv`, read once."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Figure:
    """One published number.

    `value` is in per cent, as printed; minutes where `metric` says so. `part` is what it is a part
    of: a half of the classes, a category, a kind of question; empty for the whole. `method` is
    base, sft or a style trained by GRPO. `shots` and `list_size` (labels offered for each image;
    0: none) are None where our sources do not say or there is no such thing.
    """

    paper: str
    arxiv: str
    data_set: str
    task: str
    setting: str
    list: str
    list_size: int | None
    protocol: str
    metric: str
    model: str
    method: str
    shots: int | None
    part: str
    value: float
    note: str


@dataclass(frozen=True)
class Transfer:
    """Accuracy minus zero-shot accuracy, in points, after training on another data set."""

    method: str
    trained_on: str
    tested_on: str
    value: float


@cache
def figures() -> tuple[Figure, ...]:
    """Every figure but those of the free-lunch matrix."""
    return tuple(_figure(row) for row in _rows("figures.csv"))


@cache
def free_lunch() -> tuple[Transfer, ...]:
    """CLS-RL's matrix: eleven data sets trained on × eleven tested on, in styles think and direct.

    Source: arXiv 2503.16188; few-shot setting, Qwen2-VL-2B.
    """
    return tuple(
        Transfer(row["method"], row["trained_on"], row["tested_on"], float(row["value"]))
        for row in _rows("free_lunch.csv")
    )


def _figure(row: dict[str, str]) -> Figure:
    return Figure(
        paper=row["paper"],
        arxiv=row["arxiv"],
        data_set=row["data_set"],
        task=row["task"],
        setting=row["setting"],
        list=row["list"],
        list_size=_whole(row["list_size"]),
        protocol=row["protocol"],
        metric=row["metric"],
        model=row["model"],
        method=row["method"],
        shots=_whole(row["shots"]),
        part=row["part"],
        value=float(row["value"]),
        note=row["note"],
    )


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, strict=True)


def _whole(text: str) -> int | None:
    return int(text) if text else None
