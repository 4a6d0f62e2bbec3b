"""A run, from top to bottom: recipe, data, folder, model, training, adapter, evaluation, report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

from rich.console import Console

from rftkit.data.examples import Examples
from rftkit.data.gold_check import load_checked_splits
from rftkit.errors import Interrupted, ModelError, RecipeError, UserError, stopped
from rftkit.evaluation.overlap import Shots
from rftkit.evaluation.run import EvalRequest, EvalSubject, run_evaluation
from rftkit.hardware.backends import check_here, here
from rftkit.hardware.probe import unseen_gpu
from rftkit.hardware.prompt_size import largest_prompt
from rftkit.messages import pip_install
from rftkit.models import open_for_inference, open_for_training
from rftkit.models.policy import AnswerModel, Policy
from rftkit.recipe.schema import CUSTOM_REWARD, Recipe
from rftkit.recipe.sections import TINY
from rftkit.rewards.custom import load_reward
from rftkit.runs.adapter import Checkpoint, write_card
from rftkit.runs.checkpoints import step_of
from rftkit.runs.locks import locked
from rftkit.runs.run import RunFolder, is_run, new_run
from rftkit.training import resume
from rftkit.training.request import TrainRequest


def train(request: TrainRequest, console: Console) -> RunFolder:
    """Train and evaluate by a recipe; returns the finished run.

    Raises UserError for what the user can fix, before anything is written where possible, and
    Interrupted if a signal stopped it; the run can then be resumed.
    """
    recipe = request.load()
    _check_logger_and_rewards(recipe, request)
    _check_gpu(recipe, console)
    train_set, held_out = load_checked_splits(recipe)
    if not request.resume:  # one that has trained already needs no more than its model
        check_here(recipe, here(), largest_prompt(recipe, train_set.examples))
    run = resume.unfinished_run(request, recipe) if request.resume else new_run(request.out)
    with locked(run.folder):
        if is_run(run.folder):
            resume.renew_recipe(run, request, recipe)
        else:
            resume.say_other_folder(run, request, console)
            resume.begin_run(run, request, recipe, train_set)
        for note in dict.fromkeys([*recipe.notes(), *train_set.notes, *held_out.notes]):
            console.print(f"note: {note}", highlight=False, markup=False)
        with _early_end_recorded(run, request):
            steps = Steps(run, recipe, request, console)
            policy = steps.trained_model(train_set)
            steps.evaluate(policy, train_set, held_out)
            run.set_status("finished")
    return run


@dataclass(frozen=True)
class Steps:
    """The steps of a run that need its model."""

    run: RunFolder
    recipe: Recipe
    request: TrainRequest
    console: Console

    def trained_model(self, train_set: Examples) -> AnswerModel:
        """The fine-tuned model: trained now, or by an earlier session of this run."""
        if self.run.status()["state"] in ("trained", "finished"):
            opened = open_for_inference(self.recipe.model, self.run.adapter)
            opened.base_apart = self.run.settings_in_force().get("base_model") == "a copy"
            return opened
        # the backend opens here, before TRL is imported: Unsloth patches TRL as it loads
        prompt = largest_prompt(self.recipe, train_set.examples)
        policy = open_for_training(self.recipe, prompt, self._say)
        self._fit(policy, train_set)
        policy.save(self.run.adapter)
        write_card(self.run.adapter, self.recipe, train_set.labels, train_set.examples[0].aliases)
        self.run.set_status("trained")
        return policy

    def evaluate(self, policy: AnswerModel, train_set: Examples, held_out: Examples) -> None:
        """Base and fine-tuned model on the held-out images, then the report."""
        checkpoint = Checkpoint(self.run.adapter, self.recipe, self.run.evaluations, self.run)
        shots = Shots(train_set.examples)
        subject = EvalSubject(checkpoint, self.recipe, held_out, policy, shots)
        request = EvalRequest(command=self.request.command, base_from=self.request.base_from)
        run_evaluation(subject, request, self.console)
        resume.keep_example(self.run, held_out.examples[0])

    def _say(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _fit(self, policy: Policy, train_set: Examples) -> None:
        """Train, from the newest whole checkpoint if there is one."""
        from rftkit.training import grpo, sft
        from rftkit.training.trainer import CheckpointSettings, TrainingJob, newest_checkpoint

        checkpoint = newest_checkpoint(self.run, self.console)
        fingerprint = resume.fingerprint(train_set.examples, policy)
        resume.check_fingerprint(self.run, fingerprint, checkpoint)
        if checkpoint:
            line = f"continuing from step {step_of(checkpoint)}"
            self.console.print(line, highlight=False, markup=False)
        self.run.set_status("running")
        settings = CheckpointSettings(self.request.save_every, self.request.log)
        job = TrainingJob(self.recipe, policy, self.run, self.console, checkpoint, settings)
        train_by = grpo.train if self.recipe.method.kind == "grpo" else sft.train
        try:
            train_by(job, train_set.examples)
        except (Interrupted, KeyboardInterrupt):
            self.run.set_status("stopped")
            raise


def _check_gpu(recipe: Recipe, console: Console) -> None:
    """Raises ModelError where a large model would train on the CPU beside a GPU that is idle."""
    name = unseen_gpu()
    if name is None:
        return
    line = f"torch does not reach the GPU ({name}): see `rftkit doctor`"
    if recipe.model.name not in TINY:
        raise ModelError(f"{line}, or set CUDA_VISIBLE_DEVICES=-1 to train on the CPU, for hours")
    console.print(f"note: {line}", highlight=False, markup=False, soft_wrap=True)


def _check_logger_and_rewards(recipe: Recipe, request: TrainRequest) -> None:
    """Raises UserError for a logger that is not installed or a custom reward that does not load."""
    log = request.log
    if log != "none" and find_spec(log) is None:
        raise RecipeError(f"--log {log}: needs {log}: {pip_install('-e', f'.[{log}]')}")
    for name in filter(CUSTOM_REWARD.fullmatch, recipe.rewards):
        load_reward(name)


@contextmanager
def _early_end_recorded(run: RunFolder, request: TrainRequest) -> Iterator[None]:
    """An error of the user's makes the run "failed"; a stop names the command that continues."""
    try:
        yield
    except UserError as error:
        if run.status()["state"] == "running":
            run.set_status("failed", error=str(error)[:500])
        raise
    except (Interrupted, KeyboardInterrupt) as stop:
        raise stopped(stop, request.resume_command(run.folder)) from None
