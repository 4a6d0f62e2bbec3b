"""Each fast path is broken on purpose: the run says so in a line and goes on by the slow one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import vlm_batches
from peft import PeftModel
from safetensors.torch import load_file

from rftkit.errors import TrainingError
from rftkit.files import read_lines
from rftkit.models.merged import MergedCopy
from rftkit.models.transformers import TransformersPolicy
from rftkit.runs.checkpoints import WEIGHTS, in_order
from rftkit.runs.run import RunFolder
from rftkit.shared_prefix import attention, logps
from rftkit.training import trainer
from rftkit.training.paths import halving

pytestmark = pytest.mark.slow

RECIPE = """
seed = 3
[model]
name = "tiny"
[data]
source = "digits"
shots = 8
[method]
steps = 2
learning_rate = 1e-3
batch_size = 4
group_size = 4
kl = 0.04
max_new_tokens = 32
[eval]
limit = 6
"""
Run = Callable[..., tuple[RunFolder, str]]


@pytest.fixture
def run(training_of: Callable[[str], Run]) -> Run:
    """Trains, and returns the run and what was printed."""
    return training_of(RECIPE)


def curve(run: RunFolder) -> list[list[float]]:
    names = ("loss", "grad_norm", "reward", "length", "kl")
    return [[line[name] for name in names] for line in read_lines(run.metrics)]


def close(one: RunFolder, other: RunFolder) -> None:
    for ours, theirs in zip(curve(one), curve(other), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-6)


def test_paths_that_are_right_are_said_in_one_line(run: Run) -> None:
    folder, printed = run()
    lines = [line for line in printed.splitlines() if line.startswith("checked on the first batch")]
    assert len(lines) == 1
    assert "shared prefixes: log-probabilities differ by " in lines[0]
    assert "adapter off: log-probabilities differ by 0 nats a token" in lines[0]
    found = folder.settings_in_force()
    assert "gradients by" in found["checked shared prefixes"]
    assert (found["shared_prefix"], found["base_model"]) == ("on", "adapter off")


def test_the_check_changes_nothing_about_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with_check, _ = run()
    monkeypatch.setattr(
        "rftkit.training.paths.first_step._check_loss", lambda trainer, step, *_: None
    )
    without, _ = run(out="unchecked")
    assert curve(with_check) == curve(without)


def test_completions_that_see_each_other_are_noticed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, _ = run("method.trainer=trl", out="trl")
    monkeypatch.setattr(attention, "_attend_row", vlm_batches.leaky)
    folder, printed = run()
    found = folder.settings_in_force()
    assert "shared prefixes are not as without on the first batch: log-prob" in printed
    assert found["trainer"] == "GRPOTrainer"
    assert found["checked shared prefixes"].startswith("left: log-probabilities differ by ")
    assert found["shared_prefix"].startswith("off: log-probabilities differ by ")
    close(folder, reference)
    steps = [line["step"] for line in read_lines(folder.rollouts)]
    assert steps == [line["step"] for line in read_lines(reference.rollouts)], "each step once"


def test_a_path_that_does_not_run_is_left(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no kernel for this mask")

    monkeypatch.setattr(logps, "token_logps", broken)
    folder, printed = run()
    assert "shared prefixes are not as without on the first batch: no kernel for this" in printed
    assert folder.settings_in_force()["trainer"] == "GRPOTrainer"
    assert [line["step"] for line in read_lines(folder.metrics)] == [1, 2]


@pytest.mark.parametrize("four_bit", ["true", "false"])
def test_a_merged_copy_writes_what_the_model_writes(run: Run, four_bit: str) -> None:
    loaded = f"model.load_in_4bit={four_bit}"
    reference, _ = run(loaded, out="reference")
    folder, printed = run(loaded, "model.generation=merged")
    assert "merged copy: log-probabilities differ by " in printed
    assert folder.settings_in_force()["generation"] == "merged"
    assert "nats a token" in folder.settings_in_force()["checked merged copy"]
    close(folder, reference)


def test_a_copy_that_is_another_model_is_noticed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    own = MergedCopy.refresh

    def wrong(self: MergedCopy) -> None:
        own(self)
        self.layers[0].weight.neg_()

    monkeypatch.setattr(MergedCopy, "refresh", wrong)
    folder, printed = run("model.generation=merged")
    assert "merged copy is not as the trainer on the first batch: log-probabilities" in printed
    assert folder.settings_in_force()["generation"] == "transformers"
    assert folder.settings_in_force()["trainer"] == "SharedPrefixTrainer"
    assert [line["step"] for line in read_lines(folder.metrics)] == [1, 2]


def test_a_copy_that_cannot_be_made_is_left(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: MergedCopy) -> None:
        raise RuntimeError("no dequantisation here")

    monkeypatch.setattr(MergedCopy, "refresh", broken)
    folder, printed = run("model.generation=merged")
    assert "merged copy is not as the trainer on the first batch: no dequantisation" in printed
    assert folder.settings_in_force()["shared_prefix"] == "on"


def test_the_copy_is_given_back_where_memory_runs_out(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = fail_above(0, monkeypatch, spared=1, fails=1)
    folder, printed = run("model.generation=merged")
    assert failed == [2]
    line = "step 2: the GPU ran out of memory, so the merged copy is given back"
    assert folder.settings_in_force()["out_of_memory"] == line
    assert line in printed
    assert [line["step"] for line in read_lines(folder.metrics)] == [1, 2]


@contextmanager
def another_base(self: PeftModel) -> Iterator[None]:
    """Switches the adapter off, and the output layer upside down."""
    weight = self.get_output_embeddings().weight
    with torch.no_grad():
        weight.neg_()
        yield
        weight.neg_()


def test_an_adapter_that_cannot_be_switched_off_is_noticed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, _ = run(out="right")
    monkeypatch.setattr(PeftModel, "disable_adapter", another_base)
    folder, printed = run()
    assert "the adapter switched off is not the base: log-probabilities differ by " in printed
    assert folder.settings_in_force()["base_model"] == "a copy"
    close(folder, reference)
    ours, theirs = (base_replies(one) for one in (folder, reference))
    assert ours == theirs


def test_a_run_with_a_base_of_its_own_resumes_with_its_adapter(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(PeftModel, "disable_adapter", another_base)
    whole, _ = run("method.steps=4", "method.learning_rate=1e-2", out="whole")
    stopped, _ = run("method.steps=4", "method.learning_rate=1e-2", out="stopped")
    newest, earlier = in_order(stopped.checkpoints)
    assert not [path for path in (*newest.iterdir(), *earlier.iterdir()) if path.is_dir()]
    shutil.rmtree(newest)
    shutil.rmtree(stopped.adapter)
    stopped.set_status("stopped")
    resumed, _ = run("method.steps=4", "method.learning_rate=1e-2", out="stopped", resume=True)
    one, other = (load_file(folder.adapter / WEIGHTS) for folder in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert max(float(one[name].abs().max()) for name in one if "lora_B" in name) > 1e-3


@pytest.mark.parametrize("masked", ["true", "false"])
def test_truncated_completions_prove_nothing_and_refuse_nothing(run: Run, masked: str) -> None:
    """All of them are cut off: what is masked has no log-probabilities to compare."""
    short = ("method.max_new_tokens=4", f"method.update.mask_truncated={masked}")
    folder, printed = run(*short, "model.generation=merged")
    found = folder.settings_in_force()
    assert "not as without on the first batch" not in printed
    assert (found["shared_prefix"], found["generation"]) == ("on", "merged")
    assert ("checked shared prefixes" in found) == (masked == "false")


def base_replies(run: RunFolder) -> list[tuple[str, str]]:
    lines = read_lines(run.evaluations / "test" / "samples.jsonl")
    found = [(line["id"], line["text"]) for line in lines if line.get("side") == "base"]
    assert found
    return found


def test_the_base_beside_the_model_is_a_model_without_an_adapter(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = TransformersPolicy.__new__(TransformersPolicy)
    policy.model, policy.base_apart = PeftModel.__new__(PeftModel), True
    policy.source = policy.settings = None  # type: ignore[assignment]
    tuned = policy.model
    monkeypatch.setattr("rftkit.models.loading.load_model", lambda *_: "bare")
    with policy.base():
        assert policy.model == "bare"
    assert policy.model is tuned


NOT_ENOUGH = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.parametrize(
    ("loss", "by"),
    [
        ("grpo", "shared"),
        ("grpo", "trl"),
        ("dr_grpo", "trl"),
        ("bnpo", "shared"),
        ("dapo", "shared"),
        ("gspo", "trl"),
    ],
)
def test_a_step_that_runs_out_of_memory_is_repeated_in_parts(
    run: Run, monkeypatch: pytest.MonkeyPatch, loss: str, by: str
) -> None:
    """Micro-batches of four rows, of which two fit; the second one fails, after a gradient."""
    monkeypatch.setattr(trainer, "WHOLE_BATCH_BELOW", 0)
    asked = (f"method.loss={loss}", f"method.trainer={by}")
    reference, _ = run(*asked, out="whole")
    failed = fail_above(2, monkeypatch, spared=3)
    folder, printed = run(*asked)
    assert failed
    line = "step 1: the GPU ran out of memory, so a micro-batch is computed 2 rows at a time"
    assert [text for text in printed.splitlines() if "ran out" in text] == [line]
    assert folder.settings_in_force()["out_of_memory"] == line
    for ours, theirs in zip(curve(folder), curve(reference), strict=True):
        assert ours[:4] == pytest.approx(theirs[:4], rel=1e-3, abs=1e-6)


def fail_above(
    most: int, monkeypatch: pytest.MonkeyPatch, spared: int = 0, fails: int = 10**9
) -> list[int]:
    """Losses of more than so many rows run out of memory in their backward pass."""
    failed: list[int] = []
    calls = [0]
    own = halving.halving.__wrapped__

    def failing(kind: Any) -> Any:
        class Failing(kind):
            def compute_loss(self, model: Any, inputs: Any, *given: Any, **more: Any) -> Any:
                loss = super().compute_loss(model, inputs, *given, **more)
                calls[0] += 1
                over = len(inputs["completion_mask"]) > most
                if over and calls[0] > spared and len(failed) < fails:
                    loss.backward()  # as far as it came
                    failed.append(calls[0])
                    raise NOT_ENOUGH
                return loss

        Failing.__name__ = kind.__name__
        return own(Failing)

    monkeypatch.setattr("rftkit.training.paths.choice.halving", failing)
    return failed


def test_only_a_row_that_does_not_fit_ends_the_run(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_above(0, monkeypatch)
    with pytest.raises(TrainingError, match=r"change in this order: model.max_pixels=\d+, method"):
        run()


def test_completions_are_written_in_waves_where_memory_runs_out(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import Qwen2_5_VLForConditionalGeneration as Model

    rows: list[int] = []
    own = Model.generate

    def generate(self: Any, *given: Any, **more: Any) -> Any:
        rows.append(len(more["input_ids"]))
        if self.training and rows[-1] > 4:
            raise NOT_ENOUGH
        return own(self, *given, **more)

    monkeypatch.setattr(Model, "generate", generate)
    folder, printed = run("method.max_new_tokens=16", "model.lora_vision=true")
    said = [line for line in printed.splitlines() if "ran out" in line]
    assert said == [
        f"step 1: the GPU ran out of memory, so completions are written {n} at a time"
        for n in (8, 4)
    ]
    assert rows[:2] == [16, 8]
    assert [line["step"] for line in read_lines(folder.metrics)] == [1, 2]
    assert all(line["length"] > 0 for line in read_lines(folder.metrics))
