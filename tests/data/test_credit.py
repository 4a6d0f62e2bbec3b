"""What training pays for labels that are nearly right."""

from __future__ import annotations

from pathlib import Path

import pytest

from rftkit.core import Completion
from rftkit.data.examples import load_examples
from rftkit.errors import DataError
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import parse_recipe
from rftkit.tasks import get_task

HERON, OTHER_ENGINES, OTHER_KIND = "Heron 2C", "Heron 4C", "Manta 2T"


@pytest.fixture
def names(tmp_path: Path) -> str:
    """The drawn aircraft: 3 kinds, of 2 or 4 engines."""
    rows = ["label,kind,engines"]
    rows += [f"{kind} {n}{tail},{kind},{n}" for kind in ("Heron", "Manta", "Swift")
             for n in "24" for tail in "CT"]  # fmt: skip
    (tmp_path / "names.csv").write_text("\n".join(rows), "utf-8")
    return f"options.names={tmp_path / 'names.csv'}"


def recipe(*overrides: str) -> Recipe:
    return parse_recipe('[data]\nsource = "hangar"\nshots = 1\n', "test", overrides)


def paid(wanted: Recipe, answer: str, gold: str = HERON) -> float:
    """By the reward that training pays for a right answer."""
    examples = load_examples(wanted, "train").examples
    example = next(one for one in examples if one.gold == gold)
    task = get_task(wanted.task)
    attempt = task.attempt(example, "direct", Completion(answer))
    assert task.rewards["accuracy"](attempt) == float(answer == gold), "the headline stays strict"
    return task.training_rewards("strict", wanted.options, 0.0)["accuracy"](attempt)


def test_a_label_of_the_same_class_earns_what_its_level_is_worth(names: str) -> None:
    wanted = recipe(names, "options.credit={kind=0.5, engines=0.1}")
    assert paid(wanted, HERON) == 1
    assert paid(wanted, OTHER_ENGINES) == 0.5
    assert paid(wanted, "Heron 2T") == 0.5, "of two levels the one that pays most"
    assert paid(wanted, OTHER_KIND) == 0.1
    assert paid(wanted, "Swift 4T") == 0
    assert paid(wanted, "an airship") == 0


def test_a_table_of_confusions_goes_before_the_levels(names: str) -> None:
    table = f'options.confusions={{"{HERON}"={{"{OTHER_ENGINES}"=0.2, "Swift 4T"=0.3}}}}'
    assert paid(recipe(table), OTHER_ENGINES) == 0.2
    assert paid(recipe(table), "Heron 2T") == 0
    wanted = recipe(names, "options.credit={kind=0.5}", table)
    assert paid(wanted, OTHER_ENGINES) == 0.2
    assert paid(wanted, "Swift 4T") == 0.3
    assert paid(wanted, "Heron 2T") == 0.5
    assert paid(wanted, HERON, gold=OTHER_ENGINES) == 0.5, "the table is not symmetric"


def test_without_credit_a_wrong_label_earns_nothing(names: str) -> None:
    assert paid(recipe(names), OTHER_ENGINES) == 0


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("options.credit={kinds=0.5}", "options.credit.kinds: options.names has no such level; did "
                                       "you mean 'kind'?"),
        ('options.confusions={"Heron 2C"={"Heron 4X"=1.0}}',
         "options.confusions: no label 'Heron 4X' in the data; did you mean 'Heron 4"),
        ('options.confusions={"Heron"={}}', "options.confusions: no label 'Heron' in the data; "),
    ],
)  # fmt: skip
def test_a_level_or_label_that_is_not_there_is_named(names: str, override: str, said: str) -> None:
    with pytest.raises(DataError) as refused:
        load_examples(recipe(names, override), "train")
    assert said in str(refused.value)
