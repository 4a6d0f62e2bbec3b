"""Exact training of tiny models: fast path beside slow one, whole runs, what is refused."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import vlm_batches
from rich.console import Console
from safetensors.torch import load_file

from rftkit.data.hierarchies import read_hierarchy
from rftkit.data.synthetic.digits import draw_digit
from rftkit.errors import DataError, RecipeError
from rftkit.files import read_lines
from rftkit.models.transformers import TransformersPolicy
from rftkit.recipe.builtin import find_recipe
from rftkit.runs.checkpoints import WEIGHTS
from rftkit.runs.run import RunFolder
from rftkit.shared_prefix import attention, logps
from rftkit.training.exact import run as exact
from rftkit.training.request import TrainRequest
from rftkit.training.run import train

pytestmark = pytest.mark.slow

RECIPE = """
seed = 3
style = "direct"
[model]
name = "tiny"
[data]
source = "digits"
shots = 8
[method]
kind = "exact"
steps = 3
learning_rate = 1e-3
batch_size = 4
kl = 0.04
[eval]
limit = 6
"""
NAMES = ("loss", "grad_norm", "reward", "off_list", "kl", "entropy")
Run = Callable[..., tuple[RunFolder, str]]


@pytest.fixture
def run(training_of: Callable[[str], Run]) -> Run:
    """Trains, and returns the run and what was printed."""
    return training_of(RECIPE)


Digits = Callable[[Callable[[str], dict[str, str]]], Path]


@pytest.fixture
def digits(tmp_path: Path) -> Digits:
    """Writes images of digits, and a table of them whose columns a function of the digit gives."""

    def table(columns: Callable[[str], dict[str, str]]) -> Path:
        folder = tmp_path / "digits"
        for seed, split in enumerate(("train", "test")):
            rows = []
            for number in range(30):
                digit, name = str(number % 10), f"{split}/{number}.png"
                (folder / split).mkdir(parents=True, exist_ok=True)
                draw_digit(digit, np.random.default_rng([seed, number])).save(folder / name)
                rows.append({"image": name, **columns(digit)})
            with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, rows[0].keys())
                writer.writeheader()
                writer.writerows(rows)
        return folder

    return table


def curve(run: RunFolder) -> list[list[float]]:
    return [[line[name] for name in NAMES] for line in read_lines(run.metrics)]


def length(weights: Iterable[torch.Tensor]) -> float:
    return math.sqrt(sum(float(weight.double().square().sum()) for weight in weights))


def close(one: RunFolder, other: RunFolder) -> None:
    """Equal curves, and weights that are apart by under 0.2 % of what training moved.

    All weights together: Adam moves a weight whose gradient is next to 0 by a whole step, up or
    down as the order of a sum has it, so that no bound holds for the one that is farthest.
    """
    for ours, theirs in zip(curve(one), curve(other), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)
    ours, theirs = (load_file(run.adapter / WEIGHTS) for run in (one, other))
    moved = length(weight for name, weight in theirs.items() if "lora_B" in name)
    apart = length(ours[name] - theirs[name] for name in theirs)
    assert apart < 0.002 * moved


@pytest.mark.parametrize("objective", ["grpo", "tilted"])
def test_prompts_computed_once_train_as_a_row_for_each_answer(run: Run, objective: str) -> None:
    wanted = f"method.exact.objective={objective}"
    shared, printed = run(wanted)
    plain, _ = run(wanted, "method.trainer=trl", out="plain")
    assert "slower way: shared prefixes: log-probabilities differ by" in printed
    assert "adapter off: log-probabilities differ by 0 nats a token" in printed
    found = shared.settings_in_force()
    assert (found["trainer"], found["shared_prefix"]) == ("ExactTrainer", "on")
    assert plain.settings_in_force()["shared_prefix"] == 'off: method.trainer = "trl"'
    close(shared, plain)


@pytest.mark.parametrize("tokens", [60, 12])
def test_a_step_in_pieces_is_the_same_step(
    run: Run, monkeypatch: pytest.MonkeyPatch, tokens: int
) -> None:
    """60 tokens are less than a batch, 12 less than a prompt with its answers."""
    whole, _ = run("method.exact.brier=0.5")
    passes = list[int]()
    real = TransformersPolicy.answer_logps

    def counting(*given: Any, **more: Any) -> Any:
        passes.append(torch.is_grad_enabled())
        return real(*given, **more)

    monkeypatch.setattr(TransformersPolicy, "answer_logps", counting)
    monkeypatch.setattr(exact.Passes, "tokens_at_once", tokens)
    pieces, _ = run("method.exact.brier=0.5", out="pieces")
    assert sum(passes) > 3 * 4
    close(pieces, whole)


def test_memory_that_ends_makes_smaller_parts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = run()
    real = TransformersPolicy.answer_logps

    def small(policy: Any, prompts: Any, answers: Any, **more: Any) -> Any:
        if torch.is_grad_enabled() and sum(map(len, answers)) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return real(policy, prompts, answers, **more)

    monkeypatch.setattr(TransformersPolicy, "answer_logps", small)
    parts, printed = run(out="parts")
    lines = [line for line in printed.splitlines() if "the GPU ran out of memory" in line]
    assert lines
    assert lines[-1].startswith("step 1: ")
    assert "tokens are computed at a time" in parts.settings_in_force()["out_of_memory"]
    close(parts, whole)


def broken(*_: Any) -> Any:
    raise RuntimeError("no kernel for this mask")


@pytest.mark.parametrize(
    ("where", "what", "said"),
    [
        (attention, ("_attend_row", vlm_batches.leaky), "left: log-probabilities differ by"),
        (logps, ("token_logps", broken), "left: no kernel for this mask"),
    ],
)
def test_a_fast_path_that_is_wrong_is_left(
    run: Run,
    digits: Digits,
    monkeypatch: pytest.MonkeyPatch,
    where: Any,
    what: tuple[str, Any],
    said: str,
) -> None:
    table = digits(lambda digit: {"label": f"the digit {digit}, in ink"})
    longer = ("data.source=csv", f"data.path={table}", "data.shots=0")
    longer += ("method.exact.objective=likelihood",)  # the others barely weigh unlikely labels
    reference, _ = run(*longer, "method.trainer=trl", out="trl")
    monkeypatch.setattr(where, *what)
    folder, printed = run(*longer)
    assert f"shared prefixes {said}" in printed
    assert "the slower path is taken" in printed
    assert folder.settings_in_force()["checked shared prefixes"].startswith(said)
    close(folder, reference)


def test_an_adapter_that_changes_the_base_makes_it_a_copy(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the adapter cannot be switched off, the base is loaded beside the model."""
    reference, _ = run()
    real = TransformersPolicy.base

    @contextmanager
    def stays_on(policy: TransformersPolicy) -> Iterator[None]:
        if policy.base_apart:
            with real(policy):
                yield
            return
        weights = [w for n, w in policy.model.named_parameters() if "lora_B" in n]
        for weight in weights:
            weight.data += 0.05
        yield
        for weight in weights:
            weight.data -= 0.05

    monkeypatch.setattr(TransformersPolicy, "base", stays_on)
    folder, printed = run(out="copied")
    assert "adapter off left: log-probabilities differ by" in printed
    assert folder.settings_in_force()["base_model"] == "a copy"
    close(folder, reference)


def test_a_sample_shows_the_likeliest_answers(run: Run) -> None:
    folder, printed = run()
    samples = read_lines(folder.rollouts)
    assert [sample["step"] for sample in samples] == [1, 2]
    likely = samples[0]["probabilities"]
    assert len(likely) == 3
    assert samples[0]["text"] == max(likely, key=likely.__getitem__)
    assert f"gold {samples[0]['gold']}" in printed
    assert ", off the list " in printed


def test_numbers_of_a_range_are_learnt(run: Run, digits: Digits) -> None:
    table = digits(lambda digit: {"answer": digit})
    folder, printed = run(
        "task=number", "options={range=[0, 12]}", "data.source=csv", f"data.path={table}",
        "data.shots=0", "method.steps=12", "method.batch_size=8", "rewards={close=1.0}",
    )  # fmt: skip
    assert "against the slower way: shared prefixes" in printed
    paid = [line["rewards"]["close"] for line in read_lines(folder.metrics)]
    assert sum(paid[-3:]) > sum(paid[:3])


def test_options_of_a_question_are_learnt(run: Run, digits: Digits) -> None:
    table = digits(
        lambda digit: {
            "question": "Which digit is it?",
            "options": json.dumps([digit, str((int(digit) + 1) % 10), "a letter"]),
            "answer": digit,
        }
    )
    folder, printed = run(
        "task=choice", "data.source=csv", f"data.path={table}", "data.shots=0",
        "method.steps=12", "method.batch_size=8",
    )  # fmt: skip
    assert "against the slower way: shared prefixes" in printed
    paid = [line["reward"] for line in read_lines(folder.metrics)]
    assert sum(paid[-3:]) > sum(paid[:3])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("style=think",), "method.kind: 'exact' sums over answers, and style 'think' writes more"),
        (("data.choices=none",), "method.kind: 'exact' needs every answer that may be right"),
        (("rewards={no_repetition=1.0}",), "earns 1, so there is nothing to learn"),
    ],
)  # fmt: skip
def test_what_has_no_list_is_refused_in_one_line(
    run: Run, overrides: tuple[str, ...], said: str
) -> None:
    with pytest.raises((DataError, RecipeError)) as refused:
        run(*overrides)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_answer_off_the_list_is_said_with_its_place(run: Run, digits: Digits) -> None:
    table = digits(lambda digit: {"answer": digit})
    with pytest.raises(DataError, match=r"train.csv:\d+: the answer '\d' is not among the 3 of"):
        run("task=number", "options={range=[0, 2]}", "data.source=csv", f"data.path={table}",
            "data.shots=0")  # fmt: skip


def test_a_hundred_aircraft_are_summed_with_their_other_names(tiny: Path, tmp_path: Path) -> None:
    """The recipe of aircraft on a local copy of that shape of data, as its header says."""
    recipe = find_recipe(Path("aircraft_4shot"))
    names = sorted(read_hierarchy("fgvc-aircraft").levels["family"])
    for split, count in (("train", 4), ("test", 1)):
        rows = [("image", "label")]
        for number, name in enumerate(names):
            for image in range(count):
                rows.append((f"{split}-{number}-{image}.png", name))
                rng = np.random.default_rng([number, image])
                draw_digit(str(number % 10), rng).save(tmp_path / rows[-1][0])
        with (tmp_path / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    overrides = (
        "method.kind=exact", "style=direct", "data.source=csv", "data.choices=all",
        f"data.path={tmp_path}", "model.name=tiny", "method.steps=1",
        "method.batch_size=2", "method.exact.objective=likelihood", "eval.limit=4",
    )  # fmt: skip
    console = Console(file=io.StringIO(), width=400)
    folder = train(TrainRequest(recipe=recipe, out=tmp_path / "run", overrides=overrides), console)
    (line,) = read_lines(folder.metrics)
    assert line["grad_norm"] > 0
    (example, *_) = read_lines(folder.rollouts)
    assert len(example["probabilities"]) == 3
    assert "off the list" in console.file.getvalue()  # type: ignore[attr-defined]
