"""Held-out accuracy while a run trains: which step's adapter is kept, and when to stop.

Never measured on the test split: a choice made there would be reported as if it were luck.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from transformers import TrainerCallback

from rftkit.core import Attempt, Completion, Example, Reply
from rftkit.files import read_lines, sync, sync_tree
from rftkit.metrics.lists.calibration import likeliest
from rftkit.models.list_scores import list_scores
from rftkit.models.policy import Decoding, Policy, prompt_of
from rftkit.recipe.schema import Recipe
from rftkit.runs.run import RunFolder
from rftkit.tasks import get_task
from rftkit.training.held_out.split import Validation
from rftkit.training.phase import WHOLE, Phase


def measure(policy: Policy, recipe: Recipe, examples: Sequence[Example]) -> float:
    """The mean headline reward: of the likeliest answer of a list, else of a greedy reply."""
    task, size, total = get_task(recipe.task), recipe.eval.batch_size, 0.0
    for start in range(0, len(examples), size):
        batch = examples[start : start + size]
        answer = _by_list if recipe.has_list and recipe.style == "direct" else _by_reply
        total += sum(task.rewards[task.headline](one) for one in answer(policy, recipe, batch))
    return total / len(examples)


def _by_list(policy: Policy, recipe: Recipe, batch: Sequence[Example]) -> Iterator[Attempt]:
    task, style = get_task(recipe.task), recipe.style
    lists = [task.spellings(example, recipe.options) for example in batch]
    prompts = [prompt_of(task, example, style) for example in batch]
    for example, scores in zip(batch, list_scores(policy, prompts, lists, style), strict=True):
        answer = likeliest(scores)
        yield Attempt(example, "direct", Completion(answer), Reply(answer))


def _by_reply(policy: Policy, recipe: Recipe, batch: Sequence[Example]) -> Iterator[Attempt]:
    task = get_task(recipe.task)
    prompts = [prompt_of(task, example, recipe.style) for example in batch]
    made = policy.generate(prompts, Decoding(recipe.method.max_new_tokens, seed=recipe.seed))
    for example, completion in zip(batch, made.completions, strict=True):
        yield task.attempt(example, recipe.style, completion)


@dataclass(frozen=True)
class Watched:
    """A run, or a part of it, while it trains."""

    policy: Policy
    recipe: Recipe
    run: RunFolder
    console: Console
    phase: Phase = WHOLE


class Validator(TrainerCallback):
    """Measures every so many steps, keeps the adapter of the best, and stops without progress.

    beside: what of the step that was measured goes into its line of metrics, and how many seconds
    that took, which are none of the step's.
    """

    def __init__(self, validation: Validation, watched: Watched) -> None:
        self.validation, self.policy, self.recipe = validation, watched.policy, watched.recipe
        self.run, self.console, self.phase = watched.run, watched.console, watched.phase
        self.found: dict[int, float] = {}
        self.beside: dict[str, float] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take up what was measured before; of a new run, measure the model as it begins."""
        done = self.phase.before + state.global_step
        lines = [line for line in read_lines(self.run.metrics) if line["step"] <= done]
        before = self.run.status().get("validation", {})
        if done and before:
            self.found = {0: before["base"]}
            self.found |= {one["step"]: one["validation"] for one in lines if "validation" in one}
            return
        base = self._measured()
        self.found = {0: base}
        record = {"base": base, "images": len(self.validation.examples)}
        self.run.set_status("running", validation=record)
        self.console.print(
            f"validation: {base:.1%} of {record['images']} held-out examples before training",
            highlight=False, markup=False,
        )  # fmt: skip

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure; a checkpoint goes with it, so that a resumed run has measured it too."""
        step = self.phase.before + state.global_step
        if step % self.validation.every and state.global_step < state.max_steps:
            return
        started = time.perf_counter()
        value = self._measured()
        trained = [known for number, known in self.found.items() if number]
        if value > max(trained, default=-1.0):
            _replaced(self.run.best, self.policy)
        self.found[step] = value
        self.beside = {"validation": value, "validation_seconds": time.perf_counter() - started}
        control.should_save = True
        if self._patience_is_over():
            control.should_training_stop = True
            line = f"step {step}: no better for {self.validation.patience} checks, so it ends here"
            self.console.print(line, highlight=False, markup=False)

    def _patience_is_over(self) -> bool:
        """Never in a warm-up, which is no reason to leave out what comes after it."""
        best = max(self.best(), self.phase.before)
        checks = sum(step > best for step in self.found)
        return self.phase.name != "warmup" and 0 < self.validation.patience <= checks

    def best(self) -> int:
        """The trained step with the highest value, the first of equal ones."""
        trained = {step: value for step, value in self.found.items() if step}
        return max(trained, key=lambda step: (trained[step], -step))

    def use_best(self, model: Any) -> None:
        """Put the best step's weights into the adapter; nothing before the first check."""
        if not any(self.found):
            return
        from peft import load_peft_weights, set_peft_model_state_dict

        step, last = self.best(), max(self.found)
        lines = read_lines(self.run.metrics)
        seconds = round(sum(one.get("validation_seconds", 0.0) for one in lines), 1)
        chosen = {"step": step, "value": self.found[step], "seconds": seconds}
        record = {**self.run.status().get("validation", {}), **chosen}
        self.run.set_status("running", validation=record)
        if step != last:
            weights = load_peft_weights(str(self.run.best), device="cpu")
            set_peft_model_state_dict(model, weights)
        line = f"validation: step {step} is kept, with {self.found[step]:.1%}"
        self.console.print(line, highlight=False, markup=False)

    def _measured(self) -> float:
        with _random_state_kept():
            return measure(self.policy, self.recipe, self.validation.examples)


def _replaced(folder: Path, policy: Policy) -> None:
    """Save the adapter, in place of what is there, in one step."""
    new = folder.with_name(f".{folder.name}")
    shutil.rmtree(new, ignore_errors=True)
    policy.save(new)
    sync_tree(new)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
    sync(folder.parent)


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Training draws what it would have drawn."""
    own, numpys = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        yield
    random.setstate(own)
    np.random.set_state(numpys)
