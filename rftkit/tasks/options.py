"""What a recipe's `[options]` may say: a few keys for each task, none for the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from rftkit.messages import did_you_mean
from rftkit.tasks import categories

Names = str | tuple[str, ...]
Fraction = Annotated[float, Field(ge=0, le=1)]
Threshold = float | tuple[float, float]
MOST_NUMBERS = 200  # that a list of answers may hold


class Options(BaseModel):
    """The options of a task that has none."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        """Refuses unknown keys here, where those of the task are known."""
        for key in value if isinstance(value, Mapping) else ():
            if key not in cls.model_fields:
                raise ValueError(
                    f"options.{key}: unknown key; {did_you_mean(key, cls.model_fields)}"
                )
        return value


class LabelOptions(Options):
    """Of classification."""

    names: str = Field(
        default="",
        description="CSV of labels: aliases and coarser classes, or `fgvc-aircraft`",
    )
    credit: Mapping[str, Fraction] = Field(
        default={},
        description="what training pays for a wrong label of the same coarser class, by level of "
        "`names`: `{family = 0.5}`",
    )
    confusions: Mapping[str, Mapping[str, Fraction]] = Field(
        default={},
        description="pay for one label in place of another: `{rose = {tulip = 0.2}}`",
    )


class DetectionOptions(Options):
    """Of detection."""

    ask: Literal["category", "picture"] = Field(
        default="category", description="one prompt per category of an image, or one for all"
    )
    absent: Literal["test", "always", "never"] = Field(
        default="test", description="when to ask for categories that are absent from an image"
    )
    categories: Names = Field(
        default="",
        description="category names, or a named list (`coco-8`, `lvis-6`, …); empty: all",
    )
    new: Names = Field(
        default="",
        description="categories of the new (novel) half, e.g. `coco-15`; empty: by sorted name",
    )
    threshold: Threshold = Field(
        default=0.5,
        description="lowest IoU that is rewarded (0: any); two: from first to last step",
    )

    @field_validator("categories", "new", mode="before")
    @classmethod
    def _names(cls, value: object, info: ValidationInfo) -> object:
        """TOML has no tuples, and a text must be the name of a list."""
        names = tuple(value) if isinstance(value, list | tuple) else value
        if isinstance(names, tuple) and all(isinstance(name, str) and name for name in names):
            return names
        if names != "" and not (isinstance(names, str) and categories.named(names)):
            raise ValueError(
                f"options.{info.field_name}: no list {repr(value)[:60]}; known: "
                f'{", ".join(categories.LISTS)}; or give the names themselves: ["cat", "dog"]'
            )
        return names

    @field_validator("threshold", mode="before")
    @classmethod
    def _share(cls, value: object) -> object:
        return _threshold(value)


class GroundingOptions(Options):
    """Of grounding."""

    threshold: Threshold = Field(
        default=0.0,
        description="lowest IoU that is rewarded (0: any); two: from first to last step",
    )

    @field_validator("threshold", mode="before")
    @classmethod
    def _share(cls, value: object) -> object:
        return _threshold(value)


class ChoiceOptions(Options):
    """Of multiple choice."""

    shuffle: bool = Field(default=True, description="options in a random order, fixed by the seed")
    circular: bool = Field(
        default=False, description="evaluate every rotation of the options; correct only if all are"
    )


class NumberOptions(Options):
    """Of counting."""

    tolerance: float = Field(
        default=0.0, ge=0, description="largest difference that counts as correct"
    )
    range: tuple[int, int] | None = Field(
        default=None,
        description="least and largest number that can be right, at most 200 apart; "
        'method.kind = "exact" needs it',
    )

    @field_validator("range", mode="before")
    @classmethod
    def _pair(cls, value: object) -> object:
        """TOML has no tuples."""
        ends = list(value) if isinstance(value, list | tuple) else []
        whole = all(isinstance(end, int) and not isinstance(end, bool) for end in ends)
        if value is None:
            return None
        if len(ends) != 2 or not whole or not ends[0] < ends[1] <= ends[0] + MOST_NUMBERS:
            raise ValueError(
                f"options.range: {repr(value)[:60]} is not the least and the largest of at most "
                f"{MOST_NUMBERS} numbers; write [0, 20]"
            )
        return tuple(ends)


def at(threshold: Threshold, progress: float) -> float:
    """The threshold at this share of the run, from its first to its last step.

    >>> at((0.2, 0.6), 0.5)
    0.4
    """
    if isinstance(threshold, tuple):
        first, last = threshold
        return first + (last - first) * progress
    return threshold


def _threshold(value: object) -> object:
    """TOML has no tuples. Raises ValueError for what is neither a share nor two of them."""
    ends = list(value) if isinstance(value, list | tuple) else [value, value]
    fine = [
        end
        for end in ends
        if isinstance(end, int | float) and not isinstance(end, bool) and 0 <= end <= 1
    ]
    if len(fine) != 2 or len(ends) != 2:
        raise ValueError(
            f"options.threshold: {repr(value)[:60]} is neither a number from 0 to 1 nor two of them"
        )
    return tuple(ends) if isinstance(value, list | tuple) else value
