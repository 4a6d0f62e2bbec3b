"""What is declared of each family, and the models that new recipes name."""

from __future__ import annotations

import pytest
from tiny_architectures import ARCHITECTURES

from rftkit.hardware.gpus import card_of
from rftkit.hardware.memory_plan import need, verdict
from rftkit.model_info.families import FAMILIES, family_of
from rftkit.model_info.sizes import KNOWN
from rftkit.model_info.support import SUPPORT, TODAY, advised
from rftkit.recipe.schema import Recipe
from rftkit.recipe.sections import Model
from rftkit.recipe.toml import parse_recipe


def recipe_for(hub: str) -> Recipe:
    return parse_recipe(f'[model]\nname = "{hub}"\n[data]\npath = "pets"\n', "pets.toml")


def test_every_family_is_described_and_its_architecture_trained_by_a_test() -> None:
    declared = [family for family in FAMILIES if family.name != "tiny"]
    assert [family.name for family in declared] == [*SUPPORT]
    for family in declared:
        assert SUPPORT[family.name].tested in family.model_types
    assert {about.tested for about in SUPPORT.values()} == {*ARCHITECTURES}


@pytest.mark.parametrize("shape", KNOWN, ids=lambda shape: str(shape.name))
def test_every_known_model_is_of_a_known_family(shape: object) -> None:
    family = family_of(Model(name=shape.hub))  # type: ignore[attr-defined]
    assert family.known
    assert family.name != "tiny"


@pytest.mark.parametrize("advice", TODAY, ids=lambda advice: f"{advice.gigabytes}GB")
def test_the_model_that_a_new_recipe_names_fits_its_gpu(advice: object) -> None:
    recipe = recipe_for(advice.hub)  # type: ignore[attr-defined]
    card = card_of(f"{advice.gigabytes}GB")  # type: ignore[attr-defined]
    assert verdict(need(recipe, card), card) == "fits"


@pytest.mark.parametrize(("gigabytes", "named"), [
    (0, "Qwen3-VL-4B-Instruct"), (4, "Qwen3-VL-2B-Instruct"), (7.6, "Qwen3-VL-2B-Instruct"),
    (11.9, "Qwen3-VL-4B-Instruct"), (15.6, "Qwen3-VL-8B-Instruct"), (80, "Qwen3-VL-8B-Instruct"),
])  # fmt: skip
def test_a_gpu_gets_the_largest_that_fits_it(gigabytes: float, named: str) -> None:
    assert advised(gigabytes).hub == f"Qwen/{named}"
