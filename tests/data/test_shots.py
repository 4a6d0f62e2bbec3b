"""Draws: nested, balanced, seeded; halves and offered labels as the papers have them."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rftkit.core import Example
from rftkit.data.examples import load_examples
from rftkit.data.images import BytesImage
from rftkit.data.shots import BASE_TO_NEW, base_new, draw_shots, offered, spread, spread_images
from rftkit.data.splits import held_out, held_out_images
from rftkit.errors import DataError
from rftkit.recipe.schema import Recipe


def example(name: str, gold: str) -> Example:
    return Example(name, BytesImage(b"", name), "?", gold, category=gold)


def pool(counts: dict[str, int]) -> list[Example]:
    return [example(f"{label}/{n}", label) for label, count in counts.items() for n in range(count)]


COUNTS = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(5, 20), min_size=1)


@given(COUNTS, st.integers(0, 5), st.randoms(use_true_random=False))
def test_draws_are_balanced_nested_and_free_of_file_order(
    counts: dict[str, int], seed: int, mixer: random.Random
) -> None:
    examples = pool(counts)
    draws = {k: draw_shots(examples, k, seed) for k in (1, 2, 4, 5)}
    mixer.shuffle(examples)
    for k, drawn in draws.items():
        assert Counter(e.gold for e in drawn) == dict.fromkeys(counts, k)
        assert draw_shots(examples, k, seed) == drawn
    assert set_of(draws[1]) < set_of(draws[2]) < set_of(draws[4]) < set_of(draws[5])


def set_of(examples: tuple[Example, ...]) -> set[str]:
    return {e.id for e in examples}


def test_another_seed_draws_others() -> None:
    examples = pool({"a": 100, "b": 100})
    assert set_of(draw_shots(examples, 8, 0)) != set_of(draw_shots(examples, 8, 1))


def test_no_shots_means_all_sorted() -> None:
    examples = pool({"b": 2, "a": 3})
    assert [e.id for e in draw_shots(examples, 0, 0)] == ["a/0", "a/1", "a/2", "b/0", "b/1"]


def test_shots_above_the_smallest_class_name_it() -> None:
    with pytest.raises(DataError, match="shots: 4, but class 'b' has 3 training images; lower"):
        draw_shots(pool({"a": 9, "b": 3, "c": 4}), 4, 0)


def test_shots_are_drawn_by_category_not_by_answer() -> None:
    examples = [
        Example(f"{n}", BytesImage(b"", f"{n}.png"), "?", str(n), category="ab"[n % 2])
        for n in range(10)
    ]
    drawn = draw_shots(examples, 2, 0)
    assert Counter(e.category for e in drawn) == {"a": 2, "b": 2}
    with pytest.raises(DataError, match="shots: 3, but there are 2 training images; lower"):
        draw_shots([Example(n, BytesImage(b"", n), "?", n) for n in "ab"], 3, 0)


@given(COUNTS, st.integers(1, 60))
def test_a_limit_is_even_nested_and_keeps_the_order(counts: dict[str, int], limit: int) -> None:
    examples = pool(counts)
    chosen = spread(examples, limit)
    assert len(chosen) == min(limit, len(examples))
    assert [e for e in examples if e in chosen] == list(chosen)
    assert set_of(chosen) <= set_of(spread(examples, limit + 1))
    taken = Counter(e.gold for e in chosen)
    unfilled = [taken[label] for label in counts if taken[label] < counts[label]]
    assert not unfilled or max(taken.values()) - min(unfilled) <= 1


@given(
    st.dictionaries(st.sampled_from("abc"), st.sets(st.text(max_size=4), min_size=2), min_size=1)
)
def test_a_held_out_share_takes_some_of_each_class_and_leaves_some(
    names: dict[str, set[str]],
) -> None:
    named = {label: [f"{label}/{text}" for text in texts] for label, texts in names.items()}
    chosen = held_out(named, "x")
    for paths in named.values():
        assert 1 <= len(chosen & set(paths)) < len(paths)
        assert len(chosen & set(paths)) == max(1, round(len(paths) / 5))
    backwards = {label: paths[::-1] for label, paths in reversed(named.items())}
    assert held_out(backwards, "x") == chosen


@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.integers(0, 15))
def test_a_limit_of_images_keeps_all_questions_of_each(counts: list[int], limit: int) -> None:
    examples = [
        Example(f"{n}: {turn}", BytesImage(b"", f"{n}.png"), "?", "a", category=str(turn))
        for n, count in enumerate(counts)
        for turn in range(count)
    ]
    chosen = spread_images(examples, limit)
    kept = {e.image.name for e in chosen}
    assert len(kept) == (min(limit, len(counts)) if limit else len(counts))
    assert list(chosen) == [e for e in examples if e.image.name in kept]
    assert not limit or kept <= {e.image.name for e in spread_images(examples, limit + 1)}
    backwards = spread_images(examples[::-1], limit)
    assert {e.image.name for e in backwards} == kept


@given(st.sets(st.text(max_size=4), min_size=2))
def test_images_without_a_class_are_divided_by_a_fixed_seed(names: set[str]) -> None:
    chosen = held_out_images(sorted(names), "x")
    assert chosen < names
    assert len(chosen) == max(1, round(len(names) / 5))
    assert held_out_images([*names, *names], "x") == chosen


def test_one_image_cannot_be_divided() -> None:
    with pytest.raises(DataError, match=r"a\.json: 1 images; to split them into train and test"):
        held_out_images(["a.png", "a.png"], "a.json")


@pytest.mark.parametrize(
    ("labels", "base", "new"),
    [("dbca", "ab", "cd"), ("ecabd", "abc", "de"), ("ba", "a", "b"), ("a", "a", "")],
)
def test_base_is_the_first_half_of_the_sorted_names(labels: str, base: str, new: str) -> None:
    assert base_new(labels) == (tuple(base), tuple(new))


def test_base_follows_label_ids_where_there_are_any() -> None:
    assert base_new("abcd", {"a": 3, "b": 0, "c": 1, "d": 2}).base == ("b", "c")


def names(count: int) -> tuple[str, ...]:
    return tuple(f"n{n:04}" for n in range(count))


@pytest.mark.parametrize(
    ("classes", "share", "length"),
    [
        (100, 0.4, 40),  # FGVC-Aircraft
        (101, 0.4, 40),  # Food101: rounded down
        (1000, 0.4, 100),  # ImageNet: at most 100
        (47, 0.4, 47),  # DTD: 18 would be under 30, so all
        (10, 0.4, 10),
        (74, 0.4, 74),
        (75, 0.4, 30),
        (50, BASE_TO_NEW, 40),
        (37, BASE_TO_NEW, 37),
        (38, BASE_TO_NEW, 30),
    ],
)
def test_the_papers_list_has_the_papers_length(classes: int, share: float, length: int) -> None:
    for number in range(20):
        chosen = offered(names(classes), example(f"e{number}", "n0007"), "paper", 0, share)
        assert len(chosen) == len(set(chosen)) == length
        assert "n0007" in chosen


def test_the_papers_list_is_fresh_for_each_image_and_the_truth_has_no_place() -> None:
    lists = [offered(names(100), example(f"e{n}", "n0000"), "paper", 0) for n in range(200)]
    assert len(set(lists)) == 200
    places = [chosen.index("n0000") for chosen in lists]
    assert 15 < sum(places) / len(places) < 24  # 19.5 if uniform
    assert len(set(places)) > 30


def test_the_papers_list_depends_on_seed_and_id_only() -> None:
    first = offered(names(100), example("a", "n0001"), "paper", 0)
    assert offered(names(100), example("a", "n0001"), "paper", 0) == first
    assert offered(names(100), example("a", "n0001"), "paper", 1) != first


def test_all_and_no_labels() -> None:
    labels = names(12)
    assert offered(labels, example("a", "n0001"), "all", 0) is labels  # one tuple for all examples
    assert offered(labels, example("a", "n0001"), "none", 0) == ()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("images")
    for number in range(40):
        Image.new("L", (4, 4), number).save(made / f"{number}.png")
    return made


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from("abc"), min_size=15, max_size=40),
    st.booleans(), st.integers(0, 2), st.integers(0, 9),
)  # fmt: skip
def test_what_is_trained_on_is_never_tested_on(
    folder: Path, labels: list[str], named: bool, shots: int, seed: int
) -> None:
    """named: the table says which row is of which split; else a fixed seed does."""
    labels = [*"ababcbcac", *labels[9:]]  # each class twice in training, once in the test
    split = ["test" if n % 3 == 2 else "train" for n in range(len(labels))]
    rows = zip(labels, split, strict=True)
    lines = [f"{n}.png,{label}" + named * f",{part}" for n, (label, part) in enumerate(rows)]
    head = "image,label" + named * ",split"
    (folder / "t.csv").write_text("\n".join([head, *lines]), "utf-8")
    data = {"source": "csv", "path": str(folder / "t.csv"), "shots": shots}
    recipe = Recipe.model_validate({"seed": seed, "data": data})
    every = Recipe.model_validate({"seed": seed, "data": {**data, "shots": 0}})
    train, test = (load_examples(recipe, part).examples for part in ("train", "test"))
    assert not set_of(train) & set_of(test)
    whole = set_of(load_examples(every, "train").examples) | set_of(test)
    assert whole == {f"{n}.png" for n in range(len(labels))}
    if shots:
        assert Counter(e.gold for e in train) == dict.fromkeys("abc", shots)
