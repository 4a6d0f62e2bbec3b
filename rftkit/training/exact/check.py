"""The fast paths of the first step, beside their slow twins.

fast path         its slow twin                           compared
shared prefixes   a row for each answer                   log-probabilities and one gradient
adapter off       a new adapter, which changes nothing    log-probabilities
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from rftkit.messages import first_line
from rftkit.models import out_of_memory
from rftkit.shared_prefix.difference import FAILURES, Difference, allowed, apart, between, computed
from rftkit.training.exact.answers import Question
from rftkit.training.exact.trainer import ExactTrainer
from rftkit.training.paths.first_step import FirstStep
from rftkit.training.paths.reference import unlearnt
from rftkit.training.paths.twin import FastPath

ANSWERS = 3  # that are compared


def compare(
    step: FirstStep, say: Callable[[FirstStep], None], trainer: ExactTrainer, asked: Question
) -> None:
    """Leave what is not as its twin: prompts once for each answer, the base as a copy of its own.

    say: called with what was found.
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):  # the run draws what it would have drawn
        try:
            _compare(step, trainer, asked)
        except RuntimeError as error:
            if not out_of_memory.ran_out(error):
                raise
            step.found["shared prefixes"] = "not compared: the slow path does not fit the GPU"
            out_of_memory.free_memory()
    say(step)


def _compare(step: FirstStep, trainer: ExactTrainer, asked: Question) -> None:
    model = trainer.policy.model
    count = min(ANSWERS, len(asked.ids_K))
    tokens = sum(len(ids) for ids in asked.ids_K[:count])
    plainly = partial(trainer.some_logps, asked, shared=False)
    plain = computed(model, [partial(plainly, slice(count))], tokens)
    alone = [partial(plainly, slice(number, number + 1)) for number in range(count)]
    rounding = between(computed(model, alone, tokens), plain)
    half = trainer.args.bf16 or trainer.args.fp16
    most = allowed(rounding, half=half)
    if trainer.shared:
        packed = partial(trainer.some_logps, asked, slice(count), shared=True)
        try:
            difference = between(computed(model, [packed], tokens), plain)
        except FAILURES as error:
            if out_of_memory.ran_out(error):
                raise
            trainer.shared = False
            step.left["shared prefixes"] = f"left: {first_line(error, 120)}"
        else:
            trainer.shared = _judged(step, "shared prefixes", difference, most)
    if "shared prefixes" in step.left:
        trainer.policy.shares = False  # in the evaluation too
    if trainer.goal.needs_base and trainer.state.global_step == 0:
        with torch.no_grad(), unlearnt(model):
            new = plainly(slice(count))
        with torch.no_grad(), trainer.policy.base():
            off = plainly(slice(count))
        difference = Difference(apart(off, new))
        trainer.policy.base_apart = not _judged(step, "adapter off", difference, most)


def _judged(step: FirstStep, path: FastPath, difference: Difference, most: Difference) -> bool:
    within = difference.within(most)
    words = difference.words
    (step.found if within else step.left)[path] = words if within else f"left: {words}"
    return within
