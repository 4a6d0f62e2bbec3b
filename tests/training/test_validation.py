"""What is held out of the training examples, and what a recipe may say of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from rftkit.data.examples import Examples, load_examples
from rftkit.errors import DataError, RecipeError
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import parse_recipe
from rftkit.training.held_out.split import Validation, held_out


def recipe(*overrides: str) -> Recipe:
    return parse_recipe('[data]\nsource = "digits"\nshots = 8\n', "test", overrides)


def divided(*overrides: str) -> tuple[Examples, Examples, Validation | None]:
    wanted = recipe(*overrides)
    everything = load_examples(wanted, "train")
    return everything, *held_out(wanted, everything)


def test_nothing_is_held_out_unless_it_is_asked_for() -> None:
    everything, left, validation = divided()
    assert (left, validation) == (everything, None)


def test_a_quarter_of_each_class_is_held_out() -> None:
    everything, left, validation = divided("eval.during=10", "eval.patience=3")
    assert validation is not None
    assert (validation.every, validation.patience) == (10, 3)
    taken = {example.id for example in validation.examples}
    kept = {example.id for example in left.examples}
    assert taken | kept == {example.id for example in everything.examples}
    assert not taken & kept
    assert Counter(e.gold for e in validation.examples) == dict.fromkeys("0123456789", 2)
    assert left.labels == everything.labels
    assert left.notes[-1].startswith("eval.during: 20 of 80 training examples are held out")


def test_the_fold_follows_the_seed() -> None:
    first, again, other = (divided("eval.during=10", f"seed={seed}")[2] for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_many_examples_are_measured_by_some_of_them() -> None:
    validation = divided("eval.during=10", "data.shots=40")[2]
    assert validation is not None
    assert len(validation.examples) == 64
    assert len({example.gold for example in validation.examples}) == 10


def test_the_temperature_is_fitted_on_the_whole_fold() -> None:
    validation = divided("eval.during=10", "data.shots=40")[2]
    assert validation is not None
    assert (len(validation.fitted_on), validation.origin) == (100, "fold")
    assert validation.fitted_on[:64] == validation.examples
    without = divided("eval.during=10", "data.choices=none")[2]
    assert without is not None
    assert without.fitted_on == ()


def test_a_split_without_checks_is_for_the_temperature_alone(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        rows = [f"{number}{split}.png,{'ab'[number % 2]}" for number in range(300)]
        (tmp_path / f"{split}.csv").write_text("\n".join(["image,label", *rows]))
        for number in range(300):
            Image.new("L", (1, 1), number % 256).save(tmp_path / f"{number}{split}.png")
    table = f'[data]\nsource = "csv"\npath = "{tmp_path}"\nshots = 8\n'
    wanted = parse_recipe(table, "test", ("eval.validation=val",))
    everything = load_examples(wanted, "train")
    left, validation = held_out(wanted, everything)
    assert left == everything
    assert validation is not None
    assert (validation.every, validation.origin, len(validation.fitted_on)) == (0, "split", 256)
    assert {example.id.endswith("val.png") for example in validation.fitted_on} == {True}
    assert {e.id for e in validation.examples} <= {e.id for e in validation.fitted_on}


def test_one_example_of_a_class_is_not_spared() -> None:
    with pytest.raises(DataError, match="no class has two training examples"):
        divided("eval.during=10", "data.shots=1")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("eval.validation=val", "data.choices=none"), "eval.validation: nothing is measured"),
        (("eval.during=5", "eval.validation=test"), "eval.validation: 'test' is trained or tested"),
        (("eval.during=5", "eval.validation=train"), "eval.validation: 'train' is trained or"),
        (("eval.during=-1",), "eval.during"),
    ],
)
def test_what_cannot_be_is_one_line(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(RecipeError) as refused:
        recipe(*overrides)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
