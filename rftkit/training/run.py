"""A run, from top to bottom: recipe, data, folder, model, training, adapter, evaluation, report."""

from __future__ import annotations

import codecs
import locale
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from rftkit import files
from rftkit.data.examples import Examples
from rftkit.data.gold_check import load_checked_splits
from rftkit.data.rationales import rationale_notes
from rftkit.data.reply_budget import budget_notes
from rftkit.errors import Interrupted, ModelError, RecipeError, TrainingError, UserError, stopped
from rftkit.evaluation.overlap import Shots
from rftkit.evaluation.reuse_base import check_base_from
from rftkit.evaluation.run import EvalRequest, EvalSubject, run_evaluation
from rftkit.files import sync, sync_tree
from rftkit.hardware.backends import check_here, here
from rftkit.hardware.probe import unseen_gpu
from rftkit.hardware.prompt_size import largest_prompt
from rftkit.messages import pip_install
from rftkit.models import open_for_inference, open_for_training, out_of_memory, try_once
from rftkit.models.hub import require_model
from rftkit.models.policy import AnswerModel, Policy, prompt_of
from rftkit.recipe.schema import CUSTOM_REWARD, Recipe
from rftkit.recipe.sections import TINY
from rftkit.rewards.custom import load_reward
from rftkit.rewards.guard import Patience
from rftkit.runs.adapter import README, Checkpoint, write_card
from rftkit.runs.calibration import write_calibration
from rftkit.runs.checkpoints import in_order, remove, step_of, written
from rftkit.runs.locks import locked
from rftkit.runs.run import RunFolder, free_place, is_run, new_run
from rftkit.tasks import get_task
from rftkit.training import mending, resume
from rftkit.training.alarms.watch import AlarmError
from rftkit.training.held_out.calibration import calibrated
from rftkit.training.held_out.split import Validation, held_out
from rftkit.training.request import TrainRequest
from rftkit.training.trackers.opening import tracking
from rftkit.training.trackers.tracker import Outcome, Tracker


def train(request: TrainRequest, console: Console) -> RunFolder:
    """Train and evaluate by a recipe; returns the finished run.

    Raises UserError for what the user can fix, before anything is written where possible, and
    Interrupted if a signal stopped it; the run can then be resumed.
    """
    recipe = request.load()
    _check_encoding()
    _check_logger_and_rewards(recipe, request, console)
    check_base_from(request.base_from)
    train_set, test_set = load_checked_splits(recipe)
    fitted, validation = held_out(recipe, train_set)
    begun = resume.unfinished_run(request, recipe) if request.resume else None
    if begun is None:
        free_place(request.out)
    require_model(recipe.model)
    _check_gpu(recipe, console)  # from here on torch is loaded, which takes seconds
    if begun is None:  # one that has trained already needs no more than its model
        check_here(recipe, here(), largest_prompt(recipe, train_set.examples))
    own = [*recipe.notes(), *rationale_notes(recipe, fitted.examples)]
    own += budget_notes(recipe, training=train_set.examples, test=test_set.examples)
    run = begun or new_run(request.out)
    with (
        _no_trace_without_model(run, request),
        locked(run.folder),
        _early_end_recorded(run, request),
    ):
        files.sweep(run.folder)
        if is_run(run.folder):
            resume.renew_recipe(run, request, recipe)
            own += resume.version_notes(run) + mending.restore_settings(run)
        else:
            resume.say_other_folder(run, request, console)
            resume.begin_run(run, request, recipe, train_set)
        with tracking(request.log, run, recipe, console) as tracker:
            for note in dict.fromkeys([*own, *fitted.notes, *test_set.notes]):
                console.print(f"note: {note}", highlight=False, markup=False)
            steps = Steps(run, recipe, request, console, tracker)
            policy = steps.trained_model(fitted, validation)
            steps.evaluate(policy, train_set, test_set)
            run.set_status("finished")
    return run


@dataclass(frozen=True)
class Steps:
    """The steps of a run that need its model."""

    run: RunFolder
    recipe: Recipe
    request: TrainRequest
    console: Console
    tracker: Tracker

    def trained_model(self, train_set: Examples, validation: Validation | None) -> AnswerModel:
        """The fine-tuned model: trained now, or by an earlier session of this run.

        train_set: without the examples that are held out for validation.
        """
        trained = self.run.status()["state"] in ("trained", "finished")
        if trained and not self._adapter_is_lost():
            opened = open_for_inference(self.recipe.model, self.run.adapter)
            opened.base_apart = self.run.settings_in_force().get("base_model") == "a copy"
            for last in in_order(self.run.checkpoints)[:1]:
                self._say_what_is_missing(last)
            self._note(mending.mend_readme(self.run, self.recipe, opened, train_set))
            return opened
        edited = mending.readme_of(self.run) if trained else b""
        # the backend opens here, before TRL is imported: Unsloth patches TRL as it loads
        prompt = largest_prompt(self.recipe, train_set.examples)
        policy = open_for_training(self.recipe, prompt, self._say)
        task, style = get_task(self.recipe.task), self.recipe.style
        try_once(policy, prompt_of(task, train_set.examples[0], style))
        self._fit(policy, train_set, validation)
        self._save(policy, train_set, validation, edited)
        self._note(mending.mend_readme(self.run, self.recipe, policy, train_set))
        return policy

    def _save(
        self, policy: Policy, train_set: Examples, validation: Validation | None, edited: bytes
    ) -> None:
        """Write the final adapter; then the run has trained.

        edited: the model card of the one in whose place it is, which a person may have changed.
        """
        remove(self.run.adapter)  # what a kill left of one
        with written(self.run.adapter):
            policy.save(self.run.adapter)
        self._calibrate(policy, validation)
        labels, aliases = train_set.labels, train_set.examples[0].aliases
        write_card(self.run.adapter, self.recipe, labels, aliases, policy.fingerprint())
        mending.write_readme(self.run, self.recipe, policy, train_set)
        saved = mending.hashes(self.run.adapter)
        if edited:
            files.write_atomically(self.run.adapter / README, edited)
        sync_tree(self.run.adapter)
        if self.run.checkpoints.exists():
            sync(self.run.checkpoints)  # the names of those that were deleted are gone
        self.run.set_status("trained", adapter_files=saved)

    def _say_what_is_missing(self, checkpoint: Path) -> None:
        step = step_of(checkpoint)
        self._note(resume.lines_notes(self.run, step))
        self._note(mending.rollouts_notes(self.run, self.recipe, step))

    def _adapter_is_lost(self) -> bool:
        """Whether the adapter is damaged, and a checkpoint is there to make it again from.

        Raises ModelError if it is damaged and none is.
        """
        from rftkit.training.trainer import newest_checkpoint

        harm = mending.adapter_harm(self.run)
        if harm is None:
            return False
        if newest_checkpoint(self.run, self.console) is None:
            raise ModelError(harm)
        self._say(f"{harm.partition(';')[0]}; it is made again from the last checkpoint")
        return True

    def evaluate(self, policy: AnswerModel, train_set: Examples, held_out: Examples) -> None:
        """Base and fine-tuned model on the held-out images, then the report."""
        checkpoint = Checkpoint(self.run.adapter, self.recipe, self.run.evaluations, self.run)
        shots = Shots(train_set.examples)
        subject = EvalSubject(checkpoint, self.recipe, held_out, policy, shots)
        request = EvalRequest(command=self.request.command, base_from=self.request.base_from)
        evaluation = run_evaluation(subject, request, self.console)
        self.tracker.outcome(Outcome(self.run, evaluation, held_out.examples))
        resume.keep_example(self.run, held_out.examples[0])

    def _note(self, notes: Sequence[str]) -> None:
        for note in notes:
            self._say(f"note: {note}")

    def _say(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _calibrate(self, policy: Policy, validation: Validation | None) -> None:
        """Fit the temperatures on held-out examples; without any, nothing is written.

        Before the run counts as trained: one that is killed here does it when it is resumed.
        """
        found = None
        if validation and validation.fitted_on:
            with out_of_memory.named("calibrating", out_of_memory.evaluating(self.recipe)):
                found = calibrated(policy, self.recipe, validation.fitted_on, validation.origin)
        write_calibration(self.run.adapter, found)
        if found:
            temperature = found.temperatures.tuned
            self._say(f"{found.words}: temperature {temperature:.2f}")

    def _fit(self, policy: Policy, train_set: Examples, validation: Validation | None) -> None:
        """Train, from the newest whole checkpoint if there is one."""
        from rftkit.training.methods import train
        from rftkit.training.trainer import SessionSettings, TrainingJob, newest_checkpoint

        request = self.request
        checkpoint = newest_checkpoint(self.run, self.console)
        fingerprint = resume.fingerprint(self.recipe, train_set.examples, policy)
        resume.check_fingerprint(self.run, fingerprint, checkpoint)
        if checkpoint:
            line = f"continuing from step {step_of(checkpoint)}"
            self.console.print(line, highlight=False, markup=False)
            self._say_what_is_missing(checkpoint)
        self.run.set_status("running")
        settings = SessionSettings(
            request.save_every, request.log, request.stop_on, request.reward_timeout
        )
        measured = validation if validation and validation.every else None
        job = TrainingJob(
            self.recipe,
            policy,
            self.run,
            self.console,
            checkpoint,
            settings,
            validation=measured,
            tracker=self.tracker,
        )
        try:
            train(job, train_set.examples)
        except (Interrupted, KeyboardInterrupt, AlarmError):
            self.run.set_status("stopped")
            raise


def _check_encoding() -> None:
    """Raises RecipeError where Python reads texts in another encoding than those of libraries."""
    used = locale.getencoding()
    if not sys.flags.utf8_mode and codecs.lookup(used).name != "utf-8":
        raise RecipeError(f"this Python reads files as {used}; set PYTHONUTF8=1")


def _check_gpu(recipe: Recipe, console: Console) -> None:
    """Raises ModelError where a large model would train on the CPU beside a GPU that is idle."""
    name = unseen_gpu()
    if name is None:
        return
    line = f"torch does not reach the GPU ({name}): see `rftkit doctor`"
    if recipe.model.name not in TINY:
        raise ModelError(f"{line}, or set CUDA_VISIBLE_DEVICES=-1 to train on the CPU, for hours")
    console.print(f"note: {line}", highlight=False, markup=False, soft_wrap=True)


def _check_logger_and_rewards(recipe: Recipe, request: TrainRequest, console: Console) -> None:
    """Raises UserError for a logger that is not installed or a custom reward that does not load."""
    log = request.log
    if log != "none" and find_spec(log) is None:
        raise RecipeError(f"--log {log}: needs {log}: {pip_install('-e', f'.[{log}]')}")
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    for name in filter(CUSTOM_REWARD.fullmatch, recipe.rewards):
        load_reward(name, Patience(say, request.reward_timeout))


@contextmanager
def _no_trace_without_model(run: RunFolder, request: TrainRequest) -> Iterator[None]:
    """A new run whose model cannot be loaded leaves no folder, so that the next may have it."""
    try:
        yield
    except ModelError:
        if not request.resume:
            run.forget()
        raise


@contextmanager
def _early_end_recorded(run: RunFolder, request: TrainRequest) -> Iterator[None]:
    """An error of the user's makes the run "failed"; a stop names the command that continues."""
    try:
        yield
    except AlarmError as alarm:
        command = request.resume_command(run.folder)
        raise TrainingError(f"{alarm}; continue with: {command}") from None
    except UserError as error:
        if is_run(run.folder) and run.status()["state"] == "running":
            run.set_status("failed", error=str(error)[:500])
        raise
    except (Interrupted, KeyboardInterrupt) as stop:
        if not is_run(run.folder):
            raise
        raise stopped(stop, request.resume_command(run.folder)) from None
