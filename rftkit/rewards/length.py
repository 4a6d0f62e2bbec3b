"""Rewards for the length of the reasoning, counted in tokens. All are pure and lie in [0, 1].

A formula that its authors centre on 0 or keep negative is shifted up by a constant, which
subtracting the group's mean removes again. Repetition has a reward of its own: `no_repetition`.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rftkit.errors import RecipeError

Kind = Literal[
    "sigmoid",
    "suitability-like",
    "per_token",
    "cosine",
    "kimi",
    "soft_overlong",
    "l1_exact",
    "l1_max",
    "window",
]
Tokens = Annotated[int, Field(ge=0, le=1_000_000)]

ABOVE_MEDIAN = 1.2  # target = "auto" is this many times the base model's median


class Length(BaseModel):
    """A reward for the length of the reasoning, added to those under `rewards`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    kind: Kind = Field(
        default="sigmoid",
        description="which lengths are rewarded; longer: sigmoid; shorter: per_token, cosine, "
        "kimi, l1_max, soft_overlong; near a length: l1_exact, window. suitability-like is "
        "sigmoid: 2504.05682 publishes neither its λ, L0 and τ nor its weight",
    )
    weight: float = Field(
        default=0.2, ge=0, le=1000, description="weight beside those under `rewards`"
    )
    target: Literal["auto"] | Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default="auto",
        description="tokens: L0, the budget, or the longest allowed; auto: 1.2 × the base model's "
        "median on 64 training prompts",
    )
    scale: float = Field(
        default=32.0,
        gt=0,
        le=1_000_000,
        description="tokens: τ of sigmoid, 1/α of l1_exact and l1_max, end part of soft_overlong",
    )
    lam: float = Field(
        default=1.0, gt=0, le=1e6, description="λ of sigmoid, which gives 1 / (1 + λ) at the target"
    )
    window: tuple[Tokens, Tokens] | None = Field(
        default=None, description="fewest and most tokens that kind window rewards"
    )
    gate: Literal["none", "correct", "format"] = Field(
        default="correct",
        description="which replies it applies to: all, correct ones, well-formed ones",
    )
    least_std: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="a group gets no length reward if its std is below this",
    )

    @field_validator("window", mode="before")
    @classmethod
    def _pair(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value  # TOML has no tuples

    @model_validator(mode="after")
    def _possible(self) -> Length:
        if (self.kind == "window") != (self.window is not None):
            raise ValueError(
                "method.length.window: give [fewest, most] tokens with kind 'window', and only then"
            )
        if self.window is not None and self.window[0] > self.window[1]:
            raise ValueError(
                f"method.length.window: {list(self.window)} is empty; give the smaller number first"
            )
        return self


def reward(
    tokens: int, settings: Length, target: float, correct: bool = True, group: Sequence[int] = ()
) -> float:
    """The reward of one reasoning of so many tokens, before gate and weight, in [0, 1].

    target: in tokens, above 0. correct: used by cosine and kimi. group: the lengths of the whole
    group, this one included; used by kimi.
    """
    scale = settings.scale
    match settings.kind:
        case "sigmoid" | "suitability-like":
            return _sigmoid((tokens - target) / scale - math.log(settings.lam))
        case "per_token":
            return _clip(1 - tokens / target)
        case "cosine":
            return _cosine(tokens / target, correct)
        case "kimi":
            return _kimi(tokens, correct, group)
        case "soft_overlong":
            return _clip((target - tokens) / scale)
        case "l1_exact":
            return _clip(1 - abs(tokens - target) / scale)
        case "l1_max":
            return _clip((target - tokens) / scale + 0.5)
        case "window":
            assert settings.window is not None, "refused as the recipe is read"
            return float(settings.window[0] <= tokens <= settings.window[1])


def group_rewards(
    tokens: Sequence[int],
    correct: Sequence[bool],
    formatted: Sequence[bool],
    settings: Length,
    target: float,
) -> list[float]:
    """The length reward of each completion of one prompt, before the weight, in [0, 1].

    A completion that does not pass the gate gets 0. All get 0 if the (population) standard
    deviation of the rewards is then below `least_std`.
    """
    passes = {"none": [True] * len(tokens), "correct": correct, "format": formatted}[settings.gate]
    values = [
        reward(length, settings, target, right, tokens) if passed else 0.0
        for length, right, passed in zip(tokens, correct, passes, strict=True)
    ]
    # Advantages are divided by the group's std: where all are right, only length differs, and a
    # spread of a few tokens would push as hard as right against wrong, whatever its weight.
    if not values or statistics.pstdev(values) < settings.least_std:
        return [0.0] * len(values)
    return values


@dataclass(frozen=True)
class LengthReward:
    """Length rewards of a group. target: in tokens; tags: those around the reasoning."""

    settings: Length
    target: float
    decode: Callable[[Sequence[int]], str]
    tags: tuple[str, str] = ("<think>", "</think>")

    def tokens(self, ids: Sequence[int]) -> int:
        """The tokens of a completion's reasoning."""
        return reasoning_tokens(ids, self.decode, *self.tags)

    def rewards(
        self,
        ids: Sequence[Sequence[int]],
        correct: Sequence[bool],
        formatted: Sequence[bool],
    ) -> list[float]:
        """The length reward of each completion of one prompt, before the weight, in [0, 1].

        ids: the token ids of each completion, without padding.
        """
        tokens = [self.tokens(row) for row in ids]
        return group_rewards(tokens, correct, formatted, self.settings, self.target)


def auto_target(lengths: Sequence[int]) -> float:
    """The target of "auto", in tokens: 1.2 × the median length of the base model's reasoning.

    Raises RecipeError if that is 0: the base model does not reason.
    """
    median = statistics.median(lengths) if lengths else 0
    if median == 0:
        raise RecipeError(
            f"method.length.target: 'auto': the base model's median reasoning on {len(lengths)} "
            "prompts has 0 tokens; give a number of tokens, or train with SFT first"
        )
    return ABOVE_MEDIAN * median


def reasoning_tokens(
    ids: Sequence[int],
    decode: Callable[[Sequence[int]], str],
    opening: str = "<think>",
    closing: str = "</think>",
) -> int:
    """How many tokens of a completion hold some of its reasoning.

    The reasoning is what stands between the first opening tag and the closing one; without a
    closing tag it continues to the end, without an opening one there is none. Tags match in upper
    and lower case, may be split over tokens or share one with the reasoning.
    ids: without padding. decode: the text of some ids, tags included.
    """
    text = decode(ids)
    opened = re.search(re.escape(opening), text, re.IGNORECASE)
    if opened is None:
        return 0
    closed = re.compile(re.escape(closing), re.IGNORECASE).search(text, opened.end())
    if opened.end() == (len(text) if closed is None else closed.start()):
        return 0
    start = _tokens_until(opened.end(), text, ids, decode)
    if len(decode(ids[:start])) > opened.end():
        start -= 1  # the token that ends the tag also holds the first word, as ">The" in Qwen2.5
    end = len(ids) if closed is None else _tokens_until(closed.start(), text, ids, decode)
    return end - start


def _tokens_until(
    chars: int, text: str, ids: Sequence[int], decode: Callable[[Sequence[int]], str]
) -> int:
    """The fewest first tokens that give the first `chars` characters of the whole text.

    The characters are compared, not counted: the first tokens of a character of several bytes
    decode to a placeholder.
    """
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        if decode(ids[:middle])[:chars] == text[:chars]:
            high = middle
        else:
            low = middle + 1
    return low


def _sigmoid(z: float) -> float:
    """1 / (1 + exp(-z)) for any z, without overflow."""
    if z >= 0:
        return 1 / (1 + math.exp(-z))
    return math.exp(z) / (1 + math.exp(z))


def _cosine(fraction: float, correct: bool) -> float:
    """A right answer: from 1 at length 0 to 0.5 at the longest; a wrong one: from 0 to 0.5.

    Any right answer earns at least as much as any wrong one, as in the source: Demystifying Long
    Chain-of-Thought Reasoning (Yeo et al. 2025). Its penalty for overlength is left out.
    """
    fall = (1 - math.cos(math.pi * min(fraction, 1.0))) / 4
    return 1 - fall if correct else fall


def _kimi(tokens: int, correct: bool, group: Sequence[int]) -> float:
    """From 1 for the group's shortest to 0 for its longest; at most 0.5 for a wrong answer.

    0.5 if all have the same length. Source: Kimi k1.5 (2025), whose values lie 0.5 lower.
    """
    shortest, longest = min(group), max(group)
    if shortest == longest:
        return 0.5
    fraction = 1 - (tokens - shortest) / (longest - shortest)
    return fraction if correct else min(0.5, fraction)


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))
