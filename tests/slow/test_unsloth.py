"""Unsloth's real code on a CPU, behind a fake GPU: what it trains is what transformers trains."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from environments import driven

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("unsloth") is None, reason="needs unsloth: make test-unsloth"),
]


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a driver saw, by method and backend; each is run once."""
    known: dict[tuple[str, ...], dict[str, Any]] = {}

    def look(kind: str, backend: str, *overrides: str) -> dict[str, Any]:
        key = (kind, backend, *overrides)
        if key not in known:
            folder = tmp_path_factory.mktemp(f"{kind}-{backend}")
            known[key] = driven(
                "unsloth_driver.py", folder, str(folder / "run"), kind, backend, *overrides
            )
        return known[key]

    return look


@pytest.mark.parametrize("kind", ["sft", "grpo"])
def test_it_is_unsloths_trainer_that_trains(trained: Any, kind: str) -> None:
    assert not trained(kind, "unsloth")["trainer"].startswith("trl.")
    assert trained(kind, "transformers")["trainer"].startswith("trl.")
    assert [line["step"] for line in trained(kind, "unsloth")["lines"]] == [1, 2, 3]


@pytest.mark.parametrize("kind", ["sft", "grpo"])
def test_standard_output_and_the_current_folder_are_the_users(trained: Any, kind: str) -> None:
    assert trained(kind, "unsloth")["printed"] == []
    assert trained(kind, "unsloth")["beside"] == ["run"]


@pytest.mark.parametrize("kind", ["sft", "grpo"])
def test_both_backends_train_as_many_weights(trained: Any, kind: str) -> None:
    ours, reference = (trained(kind, name)["trainable"] for name in ("unsloth", "transformers"))
    assert ours == reference


def test_the_first_loss_of_imitation_is_that_of_transformers(trained: Any) -> None:
    ours, reference = (trained("sft", name)["lines"][0] for name in ("unsloth", "transformers"))
    assert ours["loss"] == pytest.approx(reference["loss"], rel=2e-3)


@pytest.mark.parametrize("kind", ["sft", "grpo"])
def test_the_base_answers_as_through_transformers(trained: Any, kind: str) -> None:
    ours, reference = (trained(kind, name) for name in ("unsloth", "transformers"))
    assert ours["base"] == reference["base"]


def test_every_setting_is_what_the_recipe_says(trained: Any) -> None:
    changed = ("method.loss=dapo", "method.update.clip=[0.2, 0.3]")
    found = trained("grpo", "unsloth", *changed)["effective"]
    assert (found["loss_type"], found["epsilon"], found["epsilon_high"]) == ("dapo", "0.2", "0.3")
    assert (found["beta"], found["seed"], found["mask_truncated_completions"]) == (
        "0.0", "3", "False",
    )  # fmt: skip


def test_the_scaling_that_unsloth_switches_off_is_put_back(trained: Any) -> None:
    found = trained("grpo", "unsloth", "method.loss=dr_grpo")["effective"]
    assert (found["loss_type"], found["scale_rewards"]) == ("dr_grpo", "group")


@pytest.mark.parametrize("backend", ["unsloth", "transformers"])
def test_vllm_would_be_given_one_placeholder_for_each_image(trained: Any, backend: str) -> None:
    found = trained("grpo", backend)["images"]
    assert len(found) == 3 * 8
    assert {tuple(one) for one in found} == {(1, 4)}


def test_the_adapter_is_plain_peft_and_means_the_same_to_transformers(trained: Any) -> None:
    from rftkit.data.examples import load_examples
    from rftkit.models import open_for_inference
    from rftkit.models.policy import Prompt
    from rftkit.recipe.toml import parse_recipe
    from rftkit.tasks import get_task

    ours = trained("sft", "unsloth")
    sets = ["model.name=tiny", "model.load_in_4bit=true", "data.source=digits", "data.shots=8"]
    recipe = parse_recipe("", "test", sets)
    task, examples = get_task(recipe.task), load_examples(recipe, "test").examples[:2]
    policy = open_for_inference(recipe.model, Path(ours["adapter"]))
    prompts = [Prompt(e.image, task.prompt(e, recipe.style)) for e in examples]
    found = policy.score(prompts, [["3", "8"]] * 2)
    assert found == [pytest.approx(row, abs=0.02) for row in ours["scores"]]
