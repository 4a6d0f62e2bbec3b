"""The two parts of a run with a warm-up: their steps, rates, examples, metrics, checkpoints."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fakes
import pytest
import torch
from rich.console import Console

from rftkit.data.examples import load_examples
from rftkit.data.rationales import rationale_notes
from rftkit.errors import RecipeError
from rftkit.files import append_line, read_lines
from rftkit.recipe.toml import parse_recipe
from rftkit.runs import checkpoints
from rftkit.runs.run import RunFolder
from rftkit.training import methods
from rftkit.training.callbacks import Keeper, Metrics
from rftkit.training.held_out.split import Validation
from rftkit.training.held_out.validation import Validator, Watched
from rftkit.training.phase import WHOLE, Phase
from rftkit.training.trainer import TrainingJob, common_arguments

WARMUP = {"steps": 3, "learning_rate": 0.01}
METHOD = {"steps": 10, "learning_rate": 0.1, "batch_size": 4, "warmup": WARMUP}
FIRST = Phase("warmup", after=7)
SECOND = Phase("reinforcement", before=3)
AFTER_3 = Phase("reinforcement", before=3, start=Path("step-000003"))


def job_in(folder: Path, phase: Phase = WHOLE, **method: Any) -> TrainingJob:
    policy = fakes.FakePolicy(answer=fakes.never)
    policy.model = SimpleNamespace(num_parameters=lambda: 6)
    recipe = fakes.recipe(method={**METHOD, **method})
    console = Console(file=io.StringIO())
    return TrainingJob(recipe, policy, RunFolder(folder), console, phase=phase)


@pytest.mark.parametrize(
    ("phase", "steps", "rate"), [(FIRST, 3, 0.01), (SECOND, 7, 0.1), (WHOLE, 10, 0.1)]
)
def test_each_part_has_its_own_steps_and_peak(
    phase: Phase, steps: int, rate: float, tmp_path: Path
) -> None:
    found = common_arguments(job_in(tmp_path, phase), rows=4, unit=4)
    assert (found["max_steps"], found["learning_rate"]) == (steps, rate)


def test_a_warm_up_has_the_rate_of_the_method_unless_it_is_given(tmp_path: Path) -> None:
    job = job_in(tmp_path, Phase("warmup"), warmup={"steps": 3})
    assert common_arguments(job, rows=4, unit=4)["learning_rate"] == 0.1


def test_the_second_part_goes_on_through_the_examples(tmp_path: Path) -> None:
    examples = load_examples(fakes.recipe(), "train").examples
    first, second, whole = (
        job_in(tmp_path, phase).schedule(examples) for phase in (FIRST, SECOND, WHOLE)
    )
    assert (len(first), len(second)) == (12, 28)
    assert first + second == whole


def test_metrics_name_the_part_and_count_on(tmp_path: Path) -> None:
    run, printed = RunFolder(tmp_path), io.StringIO()
    append_line(run.metrics, {"step": 3, "phase": "warmup"})
    append_line(run.metrics, {"step": 4, "phase": "reinforcement"})
    state = SimpleNamespace(global_step=0, max_steps=7)
    metrics = Metrics(run, Console(file=printed), every=5, phase=SECOND)
    metrics.on_train_begin(None, state, None)
    assert [line["step"] for line in read_lines(run.metrics)] == [3]
    for state.global_step in (1, 2):
        metrics.on_log(None, state, None, model=torch.nn.Linear(1, 1), logs={"loss": 0.5})
    lines = read_lines(run.metrics)[1:]
    assert [(line["step"], line["phase"]) for line in lines] == [
        (4, "reinforcement"), (5, "reinforcement")
    ]  # fmt: skip
    assert [line.split("  ")[0] for line in printed.getvalue().splitlines()] == [
        "step 4/10", "step 5/10"
    ]  # fmt: skip


def test_a_warm_up_shows_the_steps_of_the_whole_run(tmp_path: Path) -> None:
    printed, state = io.StringIO(), SimpleNamespace(global_step=1, max_steps=3)
    metrics = Metrics(RunFolder(tmp_path), Console(file=printed), every=5, phase=FIRST)
    metrics.on_log(None, state, None, model=torch.nn.Linear(1, 1), logs={"loss": 0.5})
    assert printed.getvalue() == "warm-up step 1/10  loss 0.500\n"


def test_a_run_of_one_part_names_none(tmp_path: Path) -> None:
    run, state = RunFolder(tmp_path), SimpleNamespace(global_step=1, max_steps=7)
    metrics = Metrics(run, Console(file=io.StringIO()), every=5)
    metrics.on_log(None, state, None, model=torch.nn.Linear(1, 1), logs={"loss": 0.5})
    assert "phase" not in read_lines(run.metrics)[0]


def test_checkpoints_are_called_by_the_step_of_the_run(tmp_path: Path) -> None:
    run, staging = RunFolder(tmp_path), tmp_path / "checkpoints" / ".staging"
    (staging / "checkpoint-2").mkdir(parents=True)
    args, state = SimpleNamespace(output_dir=str(staging)), SimpleNamespace(global_step=2)
    Keeper(run, before=3).on_save(args, state, None)
    assert [checkpoints.step_of(path) for path in checkpoints.in_order(run.checkpoints)] == [5]


@pytest.mark.parametrize(
    ("phase", "over"), [(Phase("warmup"), False), (Phase("reinforcement", 4), False), (WHOLE, True)]
)
def test_patience_counts_no_check_of_the_warm_up(phase: Phase, over: bool, tmp_path: Path) -> None:
    job = job_in(tmp_path)
    watch = Validation((), every=1, patience=3)
    validator = Validator(watch, Watched(job.policy, job.recipe, job.run, job.console, phase))
    validator.found = {0: 0.1, 1: 0.9, 2: 0.5, 3: 0.5, 4: 0.5, 5: 0.5}
    assert validator._patience_is_over() == over
    assert validator.best() == 1, "the best of both parts"


Called = list[tuple[str, Phase, Path | None]]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Called:
    """Which parts were trained, from where: in place of the training."""
    seen: Called = []

    def trains(kind: str) -> Any:
        return lambda job, examples: seen.append((kind, job.phase, job.resume))

    monkeypatch.setattr(methods.sft, "train", trains("sft"))
    monkeypatch.setitem(methods.TRAIN, "grpo", trains("grpo"))
    monkeypatch.setattr(methods.grpo, "check_before", lambda job, examples: None)
    monkeypatch.setattr(methods, "newest_checkpoint", lambda run, console: Path("step-000003"))
    return seen


def test_a_new_run_imitates_and_goes_on_from_the_last_checkpoint(
    called: Called, tmp_path: Path
) -> None:
    methods.train(job_in(tmp_path), ())
    assert called == [
        ("sft", FIRST, None),
        ("grpo", AFTER_3, None),
    ]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("step-000002", [("sft", FIRST, Path("step-000002")),
                         ("grpo", AFTER_3, None)]),
        ("step-000003", [("grpo", AFTER_3, None)]),
        ("step-000004", [("grpo", SECOND, Path("step-000004"))]),
    ],
)  # fmt: skip
def test_a_checkpoint_says_by_its_step_which_part_goes_on(
    called: Called, tmp_path: Path, name: str, parts: Called
) -> None:
    methods.train(replace(job_in(tmp_path), resume=Path(name)), ())
    assert called == parts


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("warmup = { steps = 200 }", "method.warmup.steps: 200 of method.steps = 200 leave none"),
        ('kind = "sft"\nwarmup = { steps = 5 }', "method.warmup: 'sft' imitates throughout"),
        ("warmup = { learning_rate = 0.1 }", "method.warmup.learning_rate: there is no warm-up"),
        ("warmup = { steps = -1 }", "method.warmup.steps: should be greater than or equal to 0"),
        ("warmup = { step = 5 }", r"method.warmup.step: unknown key; did you mean"),
    ],
)
def test_a_warm_up_that_cannot_be_is_refused(method: str, message: str) -> None:
    text = f'[data]\nsource = "digits"\n[method]\n{method}\n'
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "test")
    assert message in str(caught.value)


@pytest.mark.parametrize(("style", "noted"), [("think", 1), ("direct", 0), ("adaptive", 0)])
def test_answers_without_reasoning_are_noted_where_the_style_has_some(
    style: str, noted: int
) -> None:
    recipe = fakes.recipe(style=style, method=METHOD)
    examples = [replace(e, rationale=None) for e in load_examples(recipe, "train").examples]
    notes = rationale_notes(recipe, examples)
    assert len(notes) == noted
    assert all("10 of 10 training examples have no rationale" in note for note in notes)
    assert rationale_notes(fakes.recipe(style=style), examples) == ()
