"""What trains by `method.kind`, after imitation where the recipe asks for a warm-up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rftkit.core import Example
from rftkit.models.out_of_memory import free_memory
from rftkit.runs.checkpoints import step_of
from rftkit.training import grpo, sft
from rftkit.training.exact import run as exact
from rftkit.training.phase import Phase
from rftkit.training.trainer import TrainingJob, newest_checkpoint, note_warmup

TRAIN: dict[str, Callable[[TrainingJob, Sequence[Example]], None]] = {
    "grpo": grpo.train,
    "sft": sft.train,
    "exact": exact.train,
}


def train(job: TrainingJob, examples: Sequence[Example]) -> None:
    """Train the policy's adapter by the recipe's method, from `job.resume` if that is given.

    A warm-up of W steps is a trainer of its own. Its last checkpoint, step W, is where the second
    trainer begins, with an optimizer and a schedule of its own.
    """
    method = job.recipe.method
    warmup, second = method.warmup.steps, TRAIN[method.kind]
    if not warmup:
        return second(job, examples)
    done = step_of(job.resume) if job.resume else 0
    if done > warmup:
        return second(replace(job, phase=Phase("reinforcement", before=warmup)), examples)
    if method.kind == "grpo":
        grpo.check_before(job, examples)
    last, first = job.resume, Phase("warmup", after=method.steps - warmup)
    if done < warmup:
        sft.train(replace(job, phase=first), examples)
        note_warmup(job.run)
        last = newest_checkpoint(job.run, job.console)
        free_memory()  # of the first trainer
    phase = Phase("reinforcement", before=warmup, start=last)
    return second(replace(job, phase=phase, resume=None), examples)
