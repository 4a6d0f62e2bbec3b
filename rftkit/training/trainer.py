"""What the methods share: trainer arguments, the check that they took effect, the loop."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.text import Text
from safetensors import SafetensorError
from transformers import PrinterCallback, TrainerCallback
from transformers.integrations import TensorBoardCallback
from transformers.utils import logging as transformers_logging

from rftkit import files
from rftkit.answers import replies
from rftkit.core import Example
from rftkit.errors import ModelError, TrainingError
from rftkit.files import write_atomically
from rftkit.models import out_of_memory
from rftkit.models.finite import finite_logits
from rftkit.models.policy import Policy
from rftkit.models.processing.template import thinking
from rftkit.recipe.schema import Recipe
from rftkit.rewards.guard import Patience
from rftkit.runs import checkpoints
from rftkit.runs.run import RunFolder
from rftkit.training.alarms.watch import Alarms
from rftkit.training.callbacks import Keeper, Metrics, Stopper
from rftkit.training.dataset import schedule
from rftkit.training.held_out.split import Validation
from rftkit.training.held_out.validation import Validator, Watched
from rftkit.training.phase import WHOLE, Phase, begin_from
from rftkit.training.request import Logger, StopOn
from rftkit.training.taking_up import CheckpointError, taking_up
from rftkit.training.trackers.tracker import NO_TRACKER, Tracker

WARMUP = "warm-up "  # before the name of a setting that the warm-up had, in effective.json
STAGING = ".staging"  # inside the checkpoints folder: what is being written, never resumed from
WHOLE_BATCH_BELOW = 50_000_000  # parameters; larger models take one group at a time
# Unsloth changes these for some losses, to what papers advise; a trainer reads them at every step
PUT_BACK = ("epsilon", "epsilon_high", "mask_truncated_completions", "scale_rewards")


@dataclass(frozen=True)
class SessionSettings:
    """What a session does beside training: it changes nothing about the weights."""

    save_every: int = 25  # steps between checkpoints, and between samples
    log: Logger = "none"
    stop_on: StopOn = "never"
    reward_timeout: float = 0.0  # seconds a custom reward may take for one completion; 0: any


@dataclass(frozen=True)
class TrainingJob:
    """A run that is about to train: everything but the trainer."""

    recipe: Recipe
    policy: Policy
    run: RunFolder
    console: Console
    resume: Path | None = None
    session: SessionSettings = SessionSettings()
    dress: Callable[[Any], Any] = lambda kind: kind  # the last say on the trainer's class
    validation: Validation | None = None
    phase: Phase = WHOLE
    tracker: Tracker = NO_TRACKER

    @property
    def steps(self) -> int:
        """Steps of this part of the run."""
        return self.phase.steps(self.recipe.method)

    @property
    def patience(self) -> Patience:
        """With custom rewards."""
        say = partial(self.console.print, highlight=False, markup=False, soft_wrap=True)
        return Patience(say, self.session.reward_timeout)

    def schedule(self, examples: Sequence[Example]) -> list[int]:
        """The index of each example that this part sees, in order: the second part goes on."""
        size = self.recipe.method.batch_size
        draws = (self.phase.before + self.steps) * size
        return schedule(len(examples), draws, self.recipe.seed)[self.phase.before * size :]


def chat_options(job: TrainingJob) -> dict[str, Any]:
    """What TRL is to give the chat template beside the messages, by TRL's name; mostly nothing."""
    given = thinking(job.policy.processor, replies.thinks(job.recipe.style))
    return {"chat_template_kwargs": given} if given else {}


def common_arguments(job: TrainingJob, rows: int, unit: int) -> dict[str, Any]:
    """Trainer arguments for `rows` sequences a step, split into micro-batches of `unit` rows.

    Every value that decides the result is set, because libraries change their defaults.
    """
    recipe = job.recipe
    small = job.policy.model.num_parameters() < WHOLE_BATCH_BELOW
    micro = rows if small else unit
    dtype = job.policy.facts().dtype
    return {
        "output_dir": str(job.run.checkpoints / STAGING),
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": rows // micro,
        "max_steps": job.steps,
        "learning_rate": job.phase.learning_rate(recipe.method),
        "lr_scheduler_type": "linear",
        "warmup_steps": 0,
        "optim": "adamw_torch",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "gradient_checkpointing": not small,
        "bf16": dtype == "bfloat16",
        "fp16": dtype == "float16",
        "seed": recipe.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": job.session.save_every,
        "report_to": ["trackio"] if job.session.log == "trackio" else [],  # TensorBoard: see fit
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "remove_unused_columns": False,
        "shuffle_dataset": False,
        "use_cpu": not torch.cuda.is_available(),
    }


def verify(
    trainer: Any,
    wanted: Mapping[str, object],
    run: RunFolder,
    copies: Mapping[str, str] | None = None,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Compare what the trainer will do with what was asked, and write it to the run.

    copies: setting -> the trainer's own attribute, where the loss reads that instead. facts: what
    else to write, by name.
    What a library has silently changed is put back where that still counts.
    Raises ModelError where it does not.
    """
    for name in PUT_BACK:
        if name in wanted:
            setattr(trainer.args, name, wanted[name])
            setattr(trainer, (copies or {}).get(name, name), wanted[name])
    effective = {name: getattr(trainer.args, name) for name in wanted}
    effective |= {name: getattr(trainer, attribute) for name, attribute in (copies or {}).items()}
    shown = {"trainer": type(trainer).__name__, **(facts or {})}
    shown |= {name: str(value) for name, value in effective.items()} | _of_warmup(run)
    write_atomically(run.effective, _json(shown))
    for name, value in wanted.items():
        if _plain(effective[name]) != _plain(value):
            raise ModelError(
                f"{name}: the recipe asks for {value!r}, but a library changed it to "
                f"{effective[name]!r}; pin the versions in constraints.txt"
            )


def note(run: RunFolder, facts: Mapping[str, str]) -> None:
    """Add to what `verify` has written of a run."""
    write_atomically(run.effective, _json({**run.settings_in_force(), **facts}))


def note_warmup(run: RunFolder) -> None:
    """Keep what `verify` has written of a warm-up beside what it will write of the next part."""
    own = {n: v for n, v in run.settings_in_force().items() if not n.startswith(WARMUP)}
    note(run, {f"{WARMUP}{name}": value for name, value in own.items()})


def _of_warmup(run: RunFolder) -> dict[str, str]:
    return {n: v for n, v in run.settings_in_force().items() if n.startswith(WARMUP)}


@contextmanager
def prints_to_stderr() -> Iterator[None]:
    """What libraries print while they train goes where progress goes: it is no result."""
    with redirect_stdout(sys.stderr):
        yield


def fit(trainer: Any, job: TrainingJob) -> None:
    """Train to the last step, or until the user stops it. The policy then holds the adapter.

    Raises TrainingError if memory runs out or a number is not finite; Interrupted on a signal.
    """
    transformers_logging.set_verbosity_error()
    checkpoints.remove(job.run.checkpoints / STAGING)  # what a kill left there
    stopper = Stopper()
    validator = _validator(job)
    every, phase = job.session.save_every, job.phase
    metrics = Metrics(job.run, job.console, every, validator, phase)
    metrics.tracker = job.tracker
    stop = job.session.stop_on == "alarm"
    metrics.alarms = alarms = Alarms(job.recipe, job.run, job.console, stop)
    trainer.remove_callback(PrinterCallback)
    keeper = Keeper(job.run, job.resume or phase.start, phase.before)
    own = (
        metrics,
        *([validator] if validator else []),
        stopper,
        keeper,
    )
    for callback in (*own, *_tensorboard(job)):
        trainer.add_callback(callback)
    job.policy.model = trainer.model
    widen(trainer.model)  # before the optimizer is made: its moments take the weights' format
    if phase.start:
        begin_from(trainer.model, phase.start, job.recipe.seed)
    try:
        with (
            stopper.listening(job.console),
            out_of_memory.named("training", out_of_memory.training(job.recipe)),
            finite_logits(trainer.model),
            taking_up(job.resume, trainer),
        ):
            trainer.train(resume_from_checkpoint=str(job.resume) if job.resume else None)
            alarms.raise_any()
            if validator and validator.found and phase.name != "warmup":
                validator.use_best(trainer.model)
    except CheckpointError:
        raise
    except ModelError as error:
        raise TrainingError(
            f"step {phase.before + trainer.state.global_step + 1}: {error}"
        ) from None
    except (OSError, RuntimeError, SafetensorError) as error:
        # a full disk shows as any of these
        files.require_space(job.run.folder, checkpoints.SCRAPS)
        if keeper.saving and not isinstance(error, OSError):
            raise checkpoints.unwritten(job.run.checkpoints, error) from None
        raise
    finally:
        metrics.close()
        checkpoints.remove(job.run.checkpoints / STAGING)


def _validator(job: TrainingJob) -> Validator | None:
    if job.validation is None:
        return None
    watched = Watched(job.policy, job.recipe, job.run, job.console, job.phase)
    return Validator(job.validation, watched)


def _tensorboard(job: TrainingJob) -> Iterator[TrainerCallback]:
    """The logger, if it is asked for: the trainer's own would write into the staging folder."""
    if job.session.log == "tensorboard":
        from torch.utils.tensorboard import SummaryWriter

        yield TensorBoardCallback(SummaryWriter(str(job.run.folder / "tensorboard")))


def widen(model: Any) -> None:
    """Put the trained parameters in 32 bit, and thereby the optimizer's moments.

    TRL casts the adapter of a quantised model to bf16. That has 8 significant bits: an AdamW step
    below 1/512 of a weight rounds away, which at a learning rate of 1e-5 is most of lora_A, and a
    second moment times 0.999 rounds back to itself. fp16's loss scaling has no kernel for bf16.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def newest_checkpoint(run: RunFolder, console: Console) -> Path | None:
    """The newest checkpoint that is whole; damaged ones are named and passed over."""
    for path in checkpoints.in_order(run.checkpoints):
        harm = checkpoints.damage(path) or checkpoints.unfit(path)
        if harm is None:
            return path
        rest = f" is damaged ({harm}); an earlier one is used"
        console.print(Text.assemble((path.name, "yellow"), rest))
    return None


def _plain(value: object) -> object:
    """Enums as their values, so that they compare with what the recipe says."""
    value = getattr(value, "value", value)
    return [value] if isinstance(value, str) else value


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"
