"""Unsloth's real code on a CPU, behind a fake GPU: what it trains is what transformers trains."""

from __future__ import annotations

import json
import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from environments import driven
from filelock import FileLock

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("unsloth") is None, reason="needs unsloth: make test-unsloth"),
]


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a driver saw, by method and backend; each is run once by all processes of pytest."""
    here = tmp_path_factory.getbasetemp()
    place = (here.parent if "PYTEST_XDIST_WORKER" in os.environ else here) / "trained"
    place.mkdir(exist_ok=True)

    def look(kind: str, backend: str, *overrides: str) -> dict[str, Any]:
        folder = place / " ".join((kind, backend, *overrides))
        seen = folder.with_name(f"{folder.name}.json")
        with FileLock(f"{folder}.lock"):
            if not seen.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a driver that failed
                folder.mkdir()
                words = (str(folder / "run"), kind, backend, *overrides)
                seen.write_text(json.dumps(driven("unsloth_driver.py", folder, *words)), "utf-8")
        found: dict[str, Any] = json.loads(seen.read_text("utf-8"))
        return found

    return look


MEASURED = ("loss", "grad_norm", "reward", "length", "kl")
BY_ROW = ("loss", "grad_norm", "reward", "length")  # which micro-batch a row is in changes none
AS_A_LARGE_MODEL = ("+accumulate", "method.kl=0.04")


def close(run: Any, reference: Any, rel: float, names: tuple[str, ...] = MEASURED) -> None:
    """Steps of two runs are equal, but for rounding."""
    for ours, theirs in zip(run["lines"], reference["lines"], strict=True):
        for name in names:
            if name in theirs:
                assert ours[name] == pytest.approx(theirs[name], rel=rel, abs=1e-6), name


def test_compiled_layers_give_the_same(trained: Any) -> None:
    """First, for it takes longest."""
    ours = trained("grpo", "unsloth", *AS_A_LARGE_MODEL, "+compile", "method.steps=1")
    assert ours["effective"]["trainer"] == "SharedPrefixTrainer"
    reference = trained("grpo", "transformers", *AS_A_LARGE_MODEL, "method.steps=1")
    close(ours, reference, 5e-3)


def test_imitation_is_trained_by_unsloths_own_trainer(trained: Any) -> None:
    assert not trained("sft", "unsloth")["trainer"].startswith("trl.")
    assert trained("sft", "transformers")["trainer"].startswith("trl.")
    assert [line["step"] for line in trained("sft", "unsloth")["lines"]] == [1, 2, 3]


@pytest.mark.parametrize(
    ("asked", "trainer", "shared"),
    [
        ((), "SharedPrefixTrainer", "on"),
        ((*AS_A_LARGE_MODEL, "method.trainer=trl"), "GRPOTrainer", 'off: method.trainer = "trl"'),
        (
            (*AS_A_LARGE_MODEL, "method.trainer=unsloth"),
            "UnslothGRPOTrainer",
            'off: method.trainer = "unsloth"',
        ),
    ],
)
def test_the_key_chooses_what_computes_the_loss(
    trained: Any, asked: tuple[str, ...], trainer: str, shared: str
) -> None:
    run = trained("grpo", "unsloth", *asked)
    assert (run["effective"]["trainer"], run["effective"]["shared_prefix"]) == (trainer, shared)
    assert [line["step"] for line in run["lines"]] == [1, 2, 3]


def test_a_run_with_shared_prefixes_is_that_of_transformers(trained: Any) -> None:
    close(trained("grpo", "unsloth"), trained("grpo", "transformers"), 1e-3)


def test_so_is_one_that_accumulates_with_a_kl_term(trained: Any) -> None:
    ours, reference = (
        trained("grpo", name, *AS_A_LARGE_MODEL) for name in ("unsloth", "transformers")
    )
    assert ours["effective"]["gradient_accumulation_steps"] == "2"
    assert any(line["kl"] > 0 for line in reference["lines"])
    close(ours, reference, 5e-3)


@pytest.mark.parametrize("trainer", ["trl", "unsloth"])
def test_and_one_by_the_slower_trainers(trained: Any, trainer: str) -> None:
    ours = trained("grpo", "unsloth", *AS_A_LARGE_MODEL, f"method.trainer={trainer}")
    close(ours, trained("grpo", "transformers", *AS_A_LARGE_MODEL), 2e-2, BY_ROW)


def test_every_path_has_proved_itself(trained: Any) -> None:
    found = trained("grpo", "unsloth", *AS_A_LARGE_MODEL)["effective"]
    assert "gradients by" in found["checked shared prefixes"]
    assert found["checked adapter off"].startswith("log-probabilities differ by ")


def test_a_merged_copy_writes_what_the_model_writes(trained: Any) -> None:
    ours = trained("grpo", "unsloth", *AS_A_LARGE_MODEL, "model.generation=merged")
    assert ours["effective"]["generation"] == "merged"
    assert "nats a token" in ours["effective"]["checked merged copy"]
    close(ours, trained("grpo", "transformers", *AS_A_LARGE_MODEL), 5e-3)


def test_exact_sums_are_those_of_transformers(trained: Any) -> None:
    wanted = ("+accumulate", "style=direct", "method.kl=0.04", "method.exact.objective=likelihood")
    ours, reference = (trained("exact", name, *wanted) for name in ("unsloth", "transformers"))
    assert (ours["effective"]["trainer"], ours["effective"]["shared_prefix"]) == (
        "ExactTrainer",
        "on",
    )
    assert "gradients by" in ours["effective"]["checked shared prefixes"]
    close(ours, reference, 5e-3, ("loss", "grad_norm", "reward", "off_list", "kl"))


def test_summed_answers_are_those_of_transformers(trained: Any) -> None:
    wanted = (*AS_A_LARGE_MODEL, "method.answers=summed")
    ours, reference = (trained("grpo", name, *wanted) for name in ("unsloth", "transformers"))
    assert ours["effective"]["trainer"] == "SummedSharedPrefixTrainer"
    assert (
        "; of answers log-probabilities differ by" in ours["effective"]["checked shared prefixes"]
    )
    close(ours, reference, 5e-3, BY_ROW)


@pytest.mark.parametrize("kind", ["grpo", "sft"])
def test_every_weight_with_a_gradient_moves_at_a_small_learning_rate(
    trained: Any, kind: str
) -> None:
    rate = ("method.learning_rate=1e-5", "method.temperature=1.5", "method.steps=5")
    had, moved = trained(kind, "unsloth", *rate)["had, moved"]
    assert moved == had > 500


@pytest.mark.parametrize("kl", ["0.0", "0.04"])
def test_no_copy_of_the_adapter_is_kept(trained: Any, kl: str) -> None:
    more = AS_A_LARGE_MODEL if kl == "0.04" else ()
    assert trained("grpo", "unsloth", *more)["adapters"] == ["default"]


def test_the_base_is_quantised_as_transformers_quantises_it(trained: Any) -> None:
    ours, reference = (trained("grpo", name)["quantised"] for name in ("unsloth", "transformers"))
    assert ours == reference
    assert ours
    assert not [name for name in ours if "visual" in name]


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
    changed = ("method.loss=dr_grpo", "method.update.clip=[0.2, 0.3]")
    found = trained("grpo", "unsloth", *changed)["effective"]
    assert (found["epsilon"], found["epsilon_high"]) == ("0.2", "0.3")
    # which Unsloth switches off with this loss
    assert (found["loss_type"], found["scale_rewards"]) == ("dr_grpo", "group")
    assert (found["beta"], found["seed"], found["mask_truncated_completions"]) == (
        "0.0", "3", "False",
    )  # fmt: skip


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


def test_a_base_model_that_is_not_whole_is_refused(trained: Any) -> None:
    said = trained("sft", "unsloth")["refused"]
    assert (
        "base: no weights for model.language_model.layers.1.mlp.up_proj.weight" in said["lacking"]
    )
    assert "base: cannot be loaded (" in said["cut off"]
