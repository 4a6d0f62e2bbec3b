"""Real training of the real tiny model: what is learned, saved, resumed and refused."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from environments import driven
from safetensors.torch import load_file
from waiting import wait_until

from rftkit.errors import Interrupted, RecipeError, TrainingError
from rftkit.files import read_lines
from rftkit.metrics import Summary, to_json
from rftkit.metrics.files import Evaluation
from rftkit.models import open_for_inference
from rftkit.recipe.toml import load_recipe
from rftkit.runs.checkpoints import WEIGHTS, in_order
from rftkit.runs.run import RunFolder

pytestmark = pytest.mark.slow

ShortRun = Callable[..., RunFolder]
EXACT = ("method.kind=exact", "style=direct", "method.kl=0.02")
METHODS = [(), ("method.kind=sft",), EXACT]


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return load_file(run.adapter / WEIGHTS)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def dtypes(checkpoint: Path) -> set[torch.dtype]:
    """Of the adapter's weights and of both moments that AdamW keeps of each."""
    adapter = load_file(checkpoint / WEIGHTS)
    states = torch.load(checkpoint / "optimizer.pt", weights_only=True)["state"].values()
    moments = [state[name] for state in states for name in ("exp_avg", "exp_avg_sq")]
    assert len(moments) == 2 * len(adapter)
    return {tensor.dtype for tensor in [*adapter.values(), *moments]}


def curve(run: RunFolder) -> list[tuple[Any, ...]]:
    lines = read_lines(run.metrics)
    return [(line["step"], line["loss"], line["grad_norm"], line.get("reward")) for line in lines]


def summary_of(run: RunFolder, name: str = "test") -> Summary:
    text = (run.evaluations / name / "summary.json").read_text("utf-8")
    return Summary.model_validate_json(text)


def command(run: Path, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "rftkit", "train", str(run.parent / "short.toml")),
        *("--out", str(run), "--save-every", "2", "--quiet", *more),
    ]


def wait_for_lines(process: subprocess.Popen[bytes], path: Path, count: int) -> None:
    wait_until(lambda: path.exists() and len(read_lines(path)) >= count, process)


def typed(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What a shell makes of a line where nobody has activated an environment."""
    bare = {**os.environ, "PATH": os.defpath}
    return subprocess.run(
        line, shell=True, cwd=folder, env=bare, capture_output=True, text=True, check=False
    )


def test_grpo_makes_the_tiny_model_better_at_real_digits(short_run: ShortRun) -> None:
    run = short_run(
        *("method.steps=60", "method.batch_size=8", "method.group_size=8", "data.shots=16"),
        *("method.loss=dr_grpo", "method.update.scale_rewards=none", "eval.limit=300"),
        "eval.batch_size=100",
        save_every=30,
    )
    found = summary_of(run).difference
    assert found is not None
    assert found.verdict == "better"
    assert found.value > 0.06


def test_sft_makes_the_tiny_model_better_at_real_digits(short_run: ShortRun) -> None:
    run = short_run(
        *("method.kind=sft", "method.steps=60", "method.batch_size=32", "data.shots=16"),
        *("style=direct", "eval.limit=300", "eval.batch_size=100"),
        save_every=30,
    )
    found = summary_of(run).difference
    assert found is not None
    assert found.verdict == "better"


def test_a_trained_run_is_evaluated_where_it_could_not_train(
    short_run: ShortRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = short_run("method.steps=1")
    shutil.rmtree(run.evaluations)
    run.set_status("trained")
    monkeypatch.setattr("rftkit.training.run.check_here", lambda *_: pytest.fail("it is checked"))
    assert summary_of(short_run("method.steps=1", resume=True)).tuned is not None


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_run_resumes_to_the_same_weights(
    short_run: ShortRun, tmp_path: Path, method: tuple[str, ...]
) -> None:
    whole = short_run(*method, "method.steps=6")
    sets = [part for o in (*method, "method.steps=6") for part in ("--set", o)]
    victim = RunFolder(tmp_path / "victim")
    process = subprocess.Popen(command(victim.folder, *sets), stderr=subprocess.DEVNULL)
    wait_for_lines(process, victim.metrics, 3)
    process.kill()
    process.wait()
    assert in_order(victim.checkpoints)
    resumed = short_run(*method, "method.steps=6", out="victim", resume=True)
    assert same(weights(whole), weights(resumed))
    assert curve(whole) == curve(resumed)
    ours, theirs = summary_of(whole).tuned, summary_of(resumed).tuned
    assert ours is not None
    assert theirs is not None
    assert ours.accuracy == theirs.accuracy


@pytest.mark.parametrize("more", [(), ("--set", "eval.during=400")])  # before the first check
def test_ctrl_c_saves_prints_the_way_on_and_exits_130(
    short_run: ShortRun, tmp_path: Path, more: tuple[str, ...]
) -> None:
    victim = RunFolder(tmp_path / "victim")
    process = subprocess.Popen(
        command(victim.folder, "--set", "method.steps=500", *more), stderr=subprocess.PIPE
    )
    wait_for_lines(process, victim.metrics, 1)
    os.kill(process.pid, signal.SIGINT)
    said = process.communicate()[1].decode()
    assert process.returncode == 130
    assert "--resume" in said
    assert "Traceback" not in said
    assert victim.status()["state"] == "stopped"
    last = read_lines(victim.metrics)[-1]["step"]
    assert in_order(victim.checkpoints)[0].name == f"step-{last:06d}"


def test_the_command_that_training_prints_runs_as_it_is_printed(
    short_run: ShortRun, tmp_path: Path
) -> None:
    program = shlex.quote(str(Path(sys.executable).with_name("rftkit")))
    few = "--set method.steps=1 --set eval.limit=2"
    made = typed(f"{program} train short.toml --out 'out/a run' --quiet {few}", tmp_path)
    assert made.returncode == 0, made.stderr
    (line,) = (text for text in made.stdout.splitlines() if text.startswith("next: "))
    done = typed(line.removeprefix("next: "), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("out/a run/example.png: ")


def test_a_damaged_checkpoint_is_passed_over(short_run: ShortRun, tmp_path: Path) -> None:
    whole = short_run()
    damaged = short_run(out="damaged")
    newest = in_order(damaged.checkpoints)[0]
    (newest / "optimizer.pt").write_bytes(b"")
    (damaged.adapter / "adapter_model.safetensors").unlink()
    damaged.set_status("stopped")
    assert same(weights(whole), weights(short_run(out="damaged", resume=True)))


def test_another_learning_rate_is_refused_on_resume(short_run: ShortRun) -> None:
    short_run()
    with pytest.raises(RecipeError, match=r"method\.learning_rate is 0\.5, was 0\.001"):
        short_run("method.learning_rate=0.5", resume=True)


def test_a_finished_run_is_not_overwritten(short_run: ShortRun) -> None:
    first, second = short_run(), short_run()
    assert (first.folder.name, second.folder.name) == ("run", "run-2")
    assert same(weights(first), weights(second)), "one seed, one result"


@pytest.mark.parametrize("style", ["direct", "answer-first", "adaptive"])
def test_every_style_trains_and_is_evaluated(short_run: ShortRun, style: str) -> None:
    run = short_run(f"style={style}", "method.steps=2")
    rewards = read_lines(run.metrics)[-1]["rewards"]
    assert set(rewards) == ({"accuracy"} if style == "direct" else {"accuracy", "format"})
    tuned = summary_of(run).tuned
    assert tuned is not None
    assert tuned.n == 20


@pytest.mark.parametrize(
    ("override", "setting", "value"),
    [
        ("method.loss=dapo", "loss_type", "dapo"),
        ("method.loss=dr_grpo", "loss_type", "dr_grpo"),
        ("method.loss=bnpo", "loss_type", "bnpo"),
        ("method.kl=0.1", "beta", "0.1"),
        ("method.update.scale_rewards=batch", "scale_rewards", "batch"),
        ("method.loss=gspo", "importance_sampling_level", "sequence"),
        ("method.update.clip=[0.1, 0.3]", "epsilon_high", "0.3"),
        ("method.update.mask_truncated=true", "mask_truncated_completions", "True"),
        (
            "method.update.aggregation=normalize_then_sum",
            "multi_objective_aggregation",
            "normalize_then_sum",
        ),
        ("method.temperature=1.5", "temperature", "1.5"),
    ],
)
def test_every_option_of_grpo_reaches_the_trainer(
    short_run: ShortRun, override: str, setting: str, value: str
) -> None:
    run = short_run(override, "method.steps=1", "eval.limit=10")
    assert json.loads(run.effective.read_text("utf-8"))[setting] == value
    assert ("kl" in read_lines(run.metrics)[0]) == ("kl" in override)


def test_grpo_computes_each_prompt_once_and_ends_where_trl_ends(
    short_run: ShortRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rftkit.rewards import general as rewards

    # Where a group's rewards are all alike the gradient is rounding, which Adam makes as long as
    # a step: this reward tells most texts apart.
    monkeypatch.setitem(rewards.GENERAL, "no_repetition", lambda a: len(set(a.completion.text)) % 5)
    asked = ("method.steps=2", "method.kl=0.1", "eval.limit=10", "rewards.no_repetition=1.0")
    asked += ("method.temperature=1.5",)
    ours = short_run(*asked)
    theirs = short_run(*asked, 'method.trainer="trl"')
    effective = [json.loads(run.effective.read_text("utf-8")) for run in (ours, theirs)]
    assert [facts["trainer"] for facts in effective] == ["SharedPrefixTrainer", "GRPOTrainer"]
    off = 'off: method.trainer = "trl"'
    assert [facts["shared_prefix"] for facts in effective] == ["on", off]
    page = theirs.report.read_text("utf-8")
    assert page.count("off: method.trainer") == 1
    for one, other in zip(curve(ours), curve(theirs), strict=True):
        assert one == pytest.approx(other, abs=1e-5)
        assert other[2] > 1e-2, "a gradient worth comparing"
    close, trls = weights(ours), weights(theirs)
    assert close.keys() == trls.keys()
    for name, weight in trls.items():
        apart = torch.linalg.vector_norm(close[name] - weight)
        assert apart < 1e-3 * torch.linalg.vector_norm(weight), name


def test_training_and_evaluation_share_one_cache_of_image_features(
    short_run: ShortRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rftkit.training import grpo

    seen: list[tuple[Any, Any]] = []
    fit = grpo.fit
    monkeypatch.setattr(
        grpo, "fit", lambda trainer, job: seen.append((trainer, job.policy)) or fit(trainer, job)
    )
    short_run("method.steps=1", "eval.limit=10", "model.lora_vision=false")
    ((trainer, policy),) = seen
    assert trainer.features is policy.features
    assert 0 < policy.features.cache.bytes <= policy.features.cache.limit


def test_a_4_bit_base_trains_on_a_cpu(short_run: ShortRun) -> None:
    run = short_run("model.load_in_4bit=true", "method.steps=2", "eval.limit=10")
    tuned = summary_of(run)
    assert tuned.provenance.quantisation == "nf4"
    moved = [name for name, value in weights(run).items() if "lora_B" in name and value.any()]
    assert moved, "the adapter has learned something"


@pytest.mark.parametrize("method", METHODS)
def test_adapter_and_optimizer_of_a_4_bit_base_stay_in_32_bit(
    short_run: ShortRun, method: tuple[str, ...]
) -> None:
    sets = (*method, "model.load_in_4bit=true", "eval.limit=10")
    whole = short_run(*sets)
    stopped = short_run(*sets, out="stopped")
    shutil.rmtree(in_order(stopped.checkpoints)[0])
    shutil.rmtree(stopped.adapter)
    stopped.set_status("stopped")
    resumed = short_run(*sets, out="stopped", resume=True)
    for run in (whole, resumed):
        for checkpoint in in_order(run.checkpoints):
            assert dtypes(checkpoint) == {torch.float32}
    assert same(weights(whole), weights(resumed))


@pytest.mark.parametrize("kind", ["grpo", "sft"])
def test_every_weight_with_a_gradient_moves_at_a_small_learning_rate(
    kind: str, tiny: Path, tmp_path: Path
) -> None:
    """In 16 bit most would not, beside a base in 4 bit; with Unsloth: test_unsloth.py."""
    words = (str(tmp_path / "run"), kind, "transformers", "method.learning_rate=1e-5")
    found = driven(
        "unsloth_driver.py", tmp_path, *words, "method.temperature=1.5", "method.steps=5"
    )
    had, moved = found["had, moved"]
    assert moved == had > 500


def test_a_reward_that_is_not_finite_stops_the_run(
    short_run: ShortRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rftkit.rewards import general as rewards

    monkeypatch.setitem(rewards.GENERAL, "no_repetition", lambda attempt: float("nan"))
    with pytest.raises(TrainingError, match=r"rewards\.no_repetition: returned nan"):
        short_run("rewards.no_repetition=1.0")


def test_running_out_of_memory_names_three_remedies(
    short_run: ShortRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import trl

    def explode(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(trl.GRPOTrainer, "training_step", explode)
    with pytest.raises(TrainingError, match=r"max_pixels=.*group_size=2.*max_new_tokens=16"):
        short_run()
    assert RunFolder(tmp_path / "run").status()["state"] == "failed"


def test_running_out_of_memory_in_the_evaluation_keeps_the_trained_run(
    short_run: ShortRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from rftkit.models.transformers import TransformersPolicy

    def explode(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(TransformersPolicy, "generate", explode)
        with pytest.raises(TrainingError, match=r"while evaluating .*eval\.batch_size=10"):
            short_run("method.steps=1")
    assert RunFolder(tmp_path / "run").status()["state"] == "trained"
    assert summary_of(short_run("method.steps=1", resume=True)).tuned is not None


def test_the_adapter_is_plain_peft_and_the_base_is_untouched(
    short_run: ShortRun, tiny: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    run = short_run("method.steps=3")
    bare = AutoModelForImageTextToText.from_pretrained(tiny)
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    before = bare(input_ids=ids).logits
    tuned = PeftModel.from_pretrained(bare, run.adapter)(input_ids=ids).logits
    policy = open_for_inference(load_recipe(run.resolved).model, run.adapter)
    assert torch.allclose(policy.model(input_ids=ids).logits, tuned, atol=1e-5)
    assert not torch.allclose(tuned, before, atol=1e-4)
    with policy.base():
        assert torch.allclose(policy.model(input_ids=ids).logits, before, atol=1e-5)


def test_choices_decoding_is_never_invalid_and_scores_every_label(short_run: ShortRun) -> None:
    run = short_run("eval.decode=choices", "method.steps=1")
    found = summary_of(run)
    for side in (found.base, found.tuned):
        assert side is not None
        assert side.invalid.value == 0
        assert side.calibration is not None
        assert side.accuracy.value > 0.2, "twice chance"


def test_an_evaluation_by_the_command_line_repeats_the_one_of_the_run(
    short_run: ShortRun,
) -> None:
    from rich.console import Console

    from rftkit.evaluation.run import EvalRequest, evaluate_checkpoint

    run = short_run("method.steps=2")
    (run.evaluations / "test").rename(run.folder / "kept")
    again: Evaluation = evaluate_checkpoint(run.folder, EvalRequest(), Console(quiet=True))
    kept = Summary.model_validate_json((run.folder / "kept" / "summary.json").read_text("utf-8"))
    found = Summary.model_validate_json(to_json(again.summary))
    assert found.base is not None
    assert kept.base is not None
    assert found.base.accuracy == kept.base.accuracy
    assert found.difference == kept.difference


def test_interrupting_the_evaluation_leaves_a_run_that_goes_on(
    short_run: ShortRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from rftkit.evaluation import run as evaluation

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(evaluation, "evaluate", stop)
        with pytest.raises(Interrupted, match="--resume"):
            short_run("method.steps=2")
    assert RunFolder(tmp_path / "run").status()["state"] == "trained"
    assert summary_of(short_run("method.steps=2", resume=True)).tuned is not None


def test_tensorboard_logs_stay_in_the_run(short_run: ShortRun) -> None:
    pytest.importorskip("tensorboard")
    run = short_run("method.steps=1", "eval.limit=10", log="tensorboard")
    assert list((run.folder / "tensorboard").glob("events.*"))
