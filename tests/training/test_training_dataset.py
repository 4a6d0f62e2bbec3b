"""The order of examples: seeded, flat, even; images are opened when a row is read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import fakes
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rftkit.core import Example
from rftkit.training.dataset import lazy_dataset, schedule


@given(st.integers(1, 40), st.integers(0, 200), st.integers(0, 9))
def test_every_example_is_seen_as_often_as_any_other(examples: int, draws: int, seed: int) -> None:
    order = schedule(examples, draws, seed)
    assert len(order) == draws
    counts = Counter(order)
    assert set(counts) <= set(range(examples))
    seen = [counts[index] for index in range(examples)]
    assert max(seen) - min(seen) <= 1


@given(st.integers(1, 20), st.integers(0, 80), st.integers(0, 80), st.integers(0, 9))
def test_a_longer_run_begins_like_a_shorter_one(n: int, a: int, b: int, seed: int) -> None:
    short, long = sorted((a, b))
    assert schedule(n, long, seed)[:short] == schedule(n, short, seed)


def test_the_seed_decides_the_order() -> None:
    assert schedule(20, 40, 1) == schedule(20, 40, 1)
    assert schedule(20, 40, 1) != schedule(20, 40, 2)
    assert schedule(20, 40, 1)[:20] != schedule(20, 40, 1)[20:]


@dataclass(frozen=True)
class CountedImage:
    name: str
    opened: list[str] = field(compare=False)

    def open(self) -> Image.Image:
        self.opened.append(self.name)
        return fakes.BlankImage(self.name).open()


def test_rows_come_in_order_and_open_their_images_once() -> None:
    pytest.importorskip("datasets")
    opened: list[str] = []
    examples = [Example(n, CountedImage(n, opened), "which?", n) for n in ("a", "b", "c")]

    def columns(example: Example) -> dict[str, Any]:
        return {"prompt": [{"role": "user", "content": f"{example.question} {example.id}"}]}

    table = lazy_dataset(examples, [2, 0, 2, 0], columns)
    assert (len(table), opened) == (4, [])
    rows = [table[number] for number in range(4)]
    assert [row["index"] for row in rows] == [2, 0, 2, 0]
    assert [row["prompt"][0]["content"][-1] for row in rows] == ["c", "a", "c", "a"]
    assert [image.size for image in rows[0]["images"]] == [(8, 8)]
    assert opened == ["c", "a"]


def test_a_row_has_every_image_of_its_question_in_order() -> None:
    pytest.importorskip("datasets")
    opened: list[str] = []
    first, second, third = (CountedImage(name, opened) for name in "abc")
    examples = [
        Example("one", first, "which?", "a"),
        Example("two", second, "which?", "b", others=(third, first)),
    ]
    table = lazy_dataset(examples, [1, 0, 1], lambda example: {"question": example.question})
    rows = table[0:3]
    assert [len(images) for images in rows["images"]] == [3, 1, 3]
    assert opened == ["b", "c", "a", "a"]
