"""Ask the base model several times about each example, and keep the reasoning of right replies."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from rftkit.core import Attempt, Completion, Example, Style
from rftkit.models.policy import AnswerModel, Decoding, prompt_of
from rftkit.rewards.general import format_reward
from rftkit.tasks import get_task
from rftkit.tasks.task import Task

Keep = Literal["median", "shortest", "first"]


class Thought(NamedTuple):
    """The reasoning of a right reply. tokens: of the whole reply."""

    text: str
    tokens: int


class Sampled(NamedTuple):
    """What came of an example, in the order in which it was sampled."""

    id: str
    right: tuple[Thought, ...]


@dataclass(frozen=True)
class Sampling:
    """How examples are asked. at_once: completions that are generated together."""

    task: str
    style: Style
    samples: int
    temperature: float
    max_new_tokens: int
    seed: int
    at_once: int

    @property
    def batch(self) -> int:
        """Examples that are asked together; with it the seed decides what is sampled."""
        return max(1, self.at_once // self.samples)


def sample(
    policy: AnswerModel, examples: Sequence[Example], sampling: Sampling, done: int = 0
) -> Iterator[list[Sampled]]:
    """The examples, a batch at a time, after so many batches that are done.

    Each batch has a seed of its own, so that those that are left come out as in one go.
    """
    task = get_task(sampling.task)
    for number in range(done, -(-len(examples) // sampling.batch)):
        batch = examples[number * sampling.batch : (number + 1) * sampling.batch]
        asked = [example for example in batch for _ in range(sampling.samples)]
        prompts = [prompt_of(task, example, sampling.style) for example in asked]
        seed = random.Random(f"{sampling.seed}:{number}").randrange(2**31)
        decoding = Decoding(sampling.max_new_tokens, sampling.temperature, seed)
        with policy.base():
            written = policy.generate(prompts, decoding).completions
        right: dict[str, list[Thought]] = {example.id: [] for example in batch}
        for example, completion in zip(asked, written, strict=True):
            if thought := right_thought(task, example, sampling.style, completion):
                right[example.id].append(thought)
        yield [Sampled(name, tuple(thoughts)) for name, thoughts in right.items()]


def right_thought(
    task: Task, example: Example, style: Style, completion: Completion
) -> Thought | None:
    """The reasoning of a completion that answers rightly in the right format, else None.

    As the rationale of the example it must earn the same: SFT writes it beside the gold answer.
    """
    attempt = task.attempt(example, style, completion)
    text = (attempt.reply.reasoning or "").strip()
    if not text or "\0" in text or not _earns_all(task, attempt):
        return None
    target = task.target(replace(example, rationale=text), style)
    if not _earns_all(task, task.attempt(example, style, Completion(target))):
        return None
    return Thought(text, completion.tokens)


def chosen(right: Sequence[Thought], keep: Keep) -> str | None:
    """One reasoning of an example; None where no reply was right.

    median: of middle length, the shorter of two, of equal ones the first. The shortest are often
    empty words, and the longest wander.
    """
    if not right:
        return None
    by_length = sorted(right, key=lambda thought: thought.tokens)
    if keep == "first":
        return right[0].text
    return by_length[0 if keep == "shortest" else (len(by_length) - 1) // 2].text


def _earns_all(task: Task, attempt: Attempt) -> bool:
    """An overlap of boxes is hardly ever 1: there what the gold answer must earn is enough."""
    return task.rewards[task.headline](attempt) >= task.min_gold_reward and (
        format_reward(attempt) == 1
    )
