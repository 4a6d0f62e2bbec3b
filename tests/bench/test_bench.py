"""Which paths are measured, how large their examples are, and what the table shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rftkit.bench import run
from rftkit.bench.measure import Clock, Measured, _figures
from rftkit.bench.noise import largest_image, noise_examples
from rftkit.bench.paths import name_of, possible, with_setup
from rftkit.bench.plot import plot
from rftkit.bench.random_weights import random_model
from rftkit.cli.bench import show
from rftkit.cli.main import app
from rftkit.errors import Interrupted, ModelError, UserError
from rftkit.hardware.backends import Here, planned
from rftkit.hardware.prompt_size import PromptSize
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import dump_recipe, parse_recipe
from rftkit.tasks import TASKS

AMPERE = Here(8.6, 23.7, unsloth=True, vllm=True)


def recipe(*overrides: str) -> Recipe:
    return parse_recipe('[data]\nsource = "digits"\n', "test", overrides)


@pytest.mark.parametrize(("machine", "overrides", "expected"), [
    (AMPERE, (), [
        "unsloth, shared, vllm", "unsloth, shared, merged", "unsloth, shared, transformers",
        "unsloth, unsloth, transformers", "transformers, shared, transformers",
        "transformers, trl, transformers",
    ]),
    (Here(7.5, 14.75, unsloth=True, vllm=True), ("style=direct",), [
        "unsloth, shared, merged", "unsloth, shared, transformers",
        "unsloth, unsloth, transformers", "transformers, shared, transformers",
        "transformers, trl, transformers",
    ]),
    (Here(), ("model.name=tiny",), [
        "transformers, shared, transformers", "transformers, shared, merged",
        "transformers, trl, transformers",
    ]),
    (AMPERE, ("method.kind=sft",), [
        "unsloth, unsloth, transformers", "transformers, trl, transformers",
    ]),
])  # fmt: skip
def test_the_default_comes_first_and_then_its_slow_twins(
    machine: Here, overrides: tuple[str, ...], expected: list[str]
) -> None:
    assert [name_of(setup) for setup in possible(recipe(*overrides), machine)] == expected


def test_a_recipe_for_a_path_is_planned_to_take_it() -> None:
    for setup in possible(recipe(), AMPERE):
        again = parse_recipe(dump_recipe(with_setup(recipe(), setup)), "again")
        assert planned(again, AMPERE) == setup


@pytest.mark.parametrize("task", [task.name for task in TASKS])
def test_examples_are_as_large_as_the_plan_counts_with(task: str) -> None:
    wanted = recipe().model_copy(update={"task": task})
    made = noise_examples(wanted, PromptSize(400, 2, "a test"), 3, lambda text: len(text.split()))
    words = len(made[0].question.split())
    assert 300 < words <= 400
    assert [len(example.images) for example in made] == [2, 2, 2]
    pixels = {image.open().tobytes() for example in made for image in example.images}
    assert len(pixels) == 6, "no two are alike"
    assert made[0].image.open().size == largest_image(wanted)
    assert made[0].image.open().tobytes() == made[0].image.open().tobytes()


@pytest.mark.parametrize("name", ["Qwen/Qwen2.5-VL-3B-Instruct", "Qwen/Qwen3-VL-4B-Instruct"])
def test_the_image_is_the_largest_that_the_budget_shows_whole(name: str) -> None:
    for pixels in (50_176, 401_408):
        wanted = recipe(f"model.name={name}", f"model.max_pixels={pixels}")
        width, height = largest_image(wanted)
        assert 0.85 * pixels < width * height <= pixels


def test_only_the_last_steps_of_the_clock_count() -> None:
    clock = Clock()
    clock.rollouts, clock.logps = [9.0, 9.0, 1.0, 3.0], [9.0, 9.0, 0.5, 0.5]
    lines = [{"seconds": 4.0, "length": 10.0}, {"seconds": 6.0, "length": 20.0}]
    found = _figures(lines, clock, recipe("method.batch_size=2", "method.group_size=4"))
    assert found == {
        "step": 5.0, "rollout": 2.0, "logps": 0.5, "backward": 2.5, "tokens_per_second": 8 * 15 / 2,
    }  # fmt: skip
    assert _figures(lines, clock, recipe("method.kind=sft")) == {"step": 5.0}


NAMES = {"backend": "unsloth", "generation": "vllm", "trainer": "shared"}


def test_the_table_has_a_line_for_each_path_and_its_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    slow = Measured({**NAMES, "generation": "transformers"}, error="the GPU ran out of memory")
    show([Measured(NAMES, 3.5, 1.0, 0.5, 2.0, 80.0, 12.0, 6 * 2**30, 7 * 2**30), slow])
    head, first, second, error = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["loads,", "trains,", "writes"]
    assert first.split() == [
        "unsloth,", "shared,", "vllm", "3.50", "1.00", "0.50", "2.00", "80.0", "12.0", "6.00",
        "7.00",
    ]  # fmt: skip
    assert second.split() == ["unsloth,", "shared,", "transformers"]
    assert error == "unsloth, shared, transformers: the GPU ran out of memory"


def test_the_chart_has_the_parts_of_each_path(tmp_path: Path) -> None:
    path = tmp_path / "chart.svg"
    found = [Measured(NAMES, 3.5, 1.0, 0.5, 2.0), Measured({**NAMES, "trainer": "trl"}, error="x")]
    plot(found, path, "a recipe")
    assert path.read_bytes().startswith(b"<?xml")
    plot([Measured(NAMES, 3.5)], path.with_suffix(".png"), "imitation")
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def bench(*words: str) -> Any:
    return CliRunner().invoke(app, ["bench", "quickstart", *words])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--only", "nothing"), "--only 'nothing': no path has that in its name; there are "),
        (("--cap", "8"), "--cap 8: there is no GPU here; leave it out"),
        (("--plot", "nowhere/steps.svg"), "--plot nowhere/steps.svg: there is no folder nowhere;"),
        (("--set", "method.trainer=unsloth"), "method.trainer: 'unsloth', but transformers loads"),
        (("--set", "model.name=./gone"), "model.name: ./gone: no such folder"),
        (("--set", "model.name=no/such-model"), "; or measure with --random-weights"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_is(
    words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "first_gpu", lambda: None)
    monkeypatch.setattr(run, "_by_a_process", lambda *_: pytest.fail("it measures"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = bench(*words)
    assert isinstance(done.exception, UserError)
    assert said in str(done.exception)
    assert done.stdout == "" or said in done.stdout


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_what_was_measured_before_an_interruption_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    names = dict.fromkeys(("backend", "trainer", "generation"), "shared")
    measured = iter([Measured(setup=names, step=1.25)])

    def one(*_: Any) -> Measured:
        found = next(measured, None)
        if found is None:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(run, "_by_a_process", one)
    monkeypatch.setattr(run, "_check_model", lambda recipe: None)
    with pytest.raises(Interrupted):
        app(["bench", "quickstart", *words], standalone_mode=False)
    out = capsys.readouterr().out
    if words:
        assert [one["step"] for one in json.loads(out)] == [1.25]
    else:
        assert "shared, shared, shared  " in out
        assert "1.25" in out


def test_what_has_no_random_weights_is_refused() -> None:
    idefics = recipe("model.name=HuggingFaceM4/Idefics3-8B-Llama3")
    with pytest.raises(ModelError, match="random weights are made for Qwen-VL models, not for Ide"):
        random_model(idefics.model, print)
