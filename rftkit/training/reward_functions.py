"""Rewards as TRL calls them, a sample now and then, and the guard against a cold start."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.text import Text

from rftkit.core import Attempt, Completion, Example, Reward
from rftkit.errors import TrainingError
from rftkit.files import append_line
from rftkit.messages import printable
from rftkit.recipe.schema import CUSTOM_REWARD, Recipe
from rftkit.rewards.custom import load_reward
from rftkit.rewards.general import GENERAL, format_reward, no_repetition
from rftkit.rewards.guard import PATIENT, Patience
from rftkit.rewards.length import LengthReward
from rftkit.tasks import get_task
from rftkit.training.trackers.tracker import NO_TRACKER, ROLLOUTS_SHOWN, Rollout, Tracker

COLD = "the model earned no {part} at all in its first batch"
SILENT = "in the first batch every group of completions earned the same reward"
ADVICE = (
    "GRPO learns from differences within a group, so there is nothing to learn from yet. Try some "
    "imitation first (--set method.warmup.steps=20, docs/warmup.md), a higher method.temperature, "
    "a larger method.group_size, or a model that knows the subject better."
)


@dataclass(frozen=True)
class RolloutLog:
    """Where sampled completions go while training: one of every so many steps.

    file: `rollouts.jsonl` of the run; it also appears on the console, and some of the same step in
    the tracker. before: steps of the run before the trainer's first one. patience: with custom
    rewards.
    """

    file: Path
    console: Console
    every: int = 25
    before: int = 0
    tracker: Tracker = NO_TRACKER
    patience: Patience = PATIENT


class Scorer:
    """Scores completions by the task's rewards, as the recipe's rules and schedules pay them."""

    def __init__(
        self,
        recipe: Recipe,
        examples: Sequence[Example],
        stop_ids: Sequence[int],
        log: RolloutLog,
        length: LengthReward | None = None,
    ) -> None:
        self.recipe, self.examples, self.log, self.length = recipe, examples, log, length
        self.task, self.stop_ids = get_task(recipe.task), frozenset(stop_ids)
        self.weights = recipe.active_rewards
        self.rewards = {**GENERAL, **self._custom()}
        self._set_progress(0.0)
        self.batches = 0

    def functions(self) -> list[Callable[..., list[float]]]:
        """One function per reward, named after it, for `GRPOTrainer(reward_funcs=...)`."""
        functions = [self._function(name) for name in self.weights]
        return [*functions, self._length()] if self.length else functions

    def all_weights(self) -> list[float]:
        """The weights of `functions()`, in its order."""
        weights = [*self.weights.values()]
        return [*weights, self.length.settings.weight] if self.length else weights

    def _custom(self) -> dict[str, Reward]:
        named = [name for name in self.weights if CUSTOM_REWARD.fullmatch(name)]
        return {name: load_reward(name, self.log.patience) for name in named}

    def _set_progress(self, progress: float) -> None:
        """Pay rewards as at this fraction of the run's steps: a threshold may follow a schedule."""
        recipe = self.recipe
        paid = self.task.training_rewards(recipe.rules, recipe.options, progress)
        self.rewards = {**self.rewards, **paid}

    def _function(self, name: str) -> Callable[..., list[float]]:
        first = name == next(iter(self.weights))  # TRL calls the functions in their order

        def reward(
            completions: list[Any], completion_ids: list[list[int]], index: list[int], **rest: Any
        ) -> list[float]:
            attempts = self.attempts(completions, completion_ids, index)
            if first:
                state = rest["trainer_state"]
                self._set_progress(state.global_step / max(1, state.max_steps - 1))
                self._inspect(attempts, state.global_step + 1)
                if log := rest.get("log_metric"):  # Unsloth's own trainer may be of an older TRL
                    log("repetition", 1 - fmean(map(no_repetition, attempts)))
            return [checked(name, self._value(name, attempt)) for attempt in attempts]

        reward.__name__ = short(name)
        return reward

    def _length(self) -> Callable[..., list[float]]:
        def length(
            completions: list[Any], completion_ids: list[list[int]], index: list[int], **_: Any
        ) -> list[float]:
            assert self.length is not None
            attempts = self.attempts(completions, completion_ids, index)
            needed = self.task.min_gold_reward  # an IoU is hardly ever 1: text rounds boxes
            right = [self._value(self.task.headline, a) >= needed for a in attempts]
            shaped = [format_reward(attempt) == 1 for attempt in attempts]
            size = self.recipe.method.group_size
            paid: list[float] = []
            for start in range(0, len(attempts), size):
                group = slice(start, start + size)
                paid += self.length.rewards(completion_ids[group], right[group], shaped[group])
            return paid

        return length

    def attempts(
        self, completions: Sequence[Any], ids: Sequence[Sequence[int]], index: Sequence[int]
    ) -> list[Attempt]:
        """completions, ids, index: (prompts × group_size,), groups side by side."""
        return [
            self.task.attempt(
                self.examples[i],
                self.recipe.style,
                Completion(_text(text), len(tokens), bool(tokens) and tokens[-1] in self.stop_ids),
            )
            for text, tokens, i in zip(completions, ids, index, strict=True)
        ]

    def _value(self, name: str, attempt: Attempt) -> float:
        return self.rewards[name](attempt)

    def parts(self, attempt: Attempt) -> dict[str, float]:
        """Each reward of an attempt, unweighted, by its short name."""
        return {short(name): self._value(name, attempt) for name in self.weights}

    def _inspect(self, attempts: list[Attempt], step: int) -> None:
        """Keep one attempt of every N-th step, show it, and judge the first batch."""
        if self.batches == 0 and step == 1:
            self._check_cold_start(attempts)
        first, step = step == 1, step + self.log.before
        if first or step % self.log.every == 0:
            self._log_sample(attempts[step % len(attempts)], step)
            self.log.tracker.rollouts(step, [self._rollout(a) for a in attempts[:ROLLOUTS_SHOWN]])
        self.batches += 1

    def _rollout(self, attempt: Attempt) -> Rollout:
        example = attempt.example
        return Rollout(
            id=example.id,
            image=example.image,
            prompt=self.task.prompt(example, attempt.style),
            text=attempt.completion.text,
            gold=self.task.written(example),
            rewards=self.parts(attempt),
        )

    def _log_sample(self, attempt: Attempt, step: int) -> None:
        example, parts = attempt.example, self.parts(attempt)
        prompt = self.task.prompt(example, attempt.style)
        text, gold = attempt.completion.text, self.task.written(example)
        record = {"step": step, "id": example.id, "prompt": prompt, "text": text}
        append_line(self.log.file, {**record, "gold": gold, "rewards": parts})
        scores = ", ".join(f"{name} {value:g}" for name, value in parts.items())
        self.log.console.print(
            Text.assemble(
                (f"step {step}", "dim"), f" {_shown(example.id)}  gold ", (_shown(gold), "bold"),
                (f"\n  …{_shown(prompt[-60:])}", "dim"),
                f"\n  {_shown(text)}",
                (f"\n  {scores}", "dim"),
            )
        )  # fmt: skip

    def _check_cold_start(self, attempts: list[Attempt]) -> None:
        scored = [self.parts(attempt) for attempt in attempts]
        size = self.recipe.method.group_size
        groups = [scored[i : i + size] for i in range(0, len(scored), size)]
        headline = self.task.headline
        what = None
        if headline in self.weights and not any(parts[headline] for parts in scored):
            what = COLD.format(part=headline)
        elif all(len({tuple(parts.values()) for parts in group}) == 1 for group in groups):
            what = SILENT
        if what:
            self.log.console.print(Text.assemble(("Cold start:", "yellow"), f" {what}. {ADVICE}"))


def short(name: str) -> str:
    """A reward's name in charts: the function of `file.py:function`."""
    return name.rpartition(":")[2]


def checked(name: str, value: float) -> float:
    """The value. Raises TrainingError if a reward is not finite: it would poison the weights."""
    if not math.isfinite(value):
        raise TrainingError(f"rewards.{name}: returned {value}; a reward must be a finite number")
    return value


def _shown(text: str) -> str:
    return printable(text.strip())


def _text(completion: Any) -> str:
    return completion if isinstance(completion, str) else str(completion[0]["content"])
