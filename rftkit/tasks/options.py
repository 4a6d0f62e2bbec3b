"""What a recipe's `[options]` may say: a few keys for each task, none for the others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from rftkit.answers import field_schema
from rftkit.answers.dates import Order
from rftkit.answers.field_schema import Field as DocumentField
from rftkit.messages import did_you_mean
from rftkit.tasks import categories

Names = str | tuple[str, ...]
Fraction = Annotated[float, Field(ge=0, le=1)]
Threshold = float | tuple[float, float]
MOST_NUMBERS = 200  # that a list of answers may hold
SCHEMA_BYTES = 1_000_000  # of a file of JSON Schema


class Options(BaseModel):
    """The options of a task that has none."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def lacking(self) -> str:
        """What a recipe must say beside this, as an error says it; "" if nothing."""
        return ""

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


class FieldOptions(Options):
    """Of reading fields."""

    fields: Mapping[str, Mapping[str, str | bool | tuple[str, ...]]] = Field(
        default={},
        description='name and type of each field: `{shop = "string", total = "number?", '
        'currency = ["EUR", "USD"]}`',
    )
    schema_file: str = Field(
        default="", description="file of JSON Schema that says the same, read in place of `fields`"
    )
    tolerance: float = Field(
        default=0.0, ge=0, description="largest difference of numbers that counts as correct"
    )
    exact: tuple[str, ...] = Field(
        default=(), description="strings that are right or wrong, such as the number of an invoice"
    )
    weights: Mapping[str, Annotated[float, Field(gt=0, le=1000)]] = Field(
        default={}, description="of fields that count more or less than the others, which have 1"
    )
    dates: Order = Field(
        default="", description="how the data write 03/07/2026; empty: such a date is refused"
    )
    structured: bool = Field(
        default=False,
        description="vLLM can write nothing but an object of this schema, in style direct "
        "(docs/howto_documents.md)",
    )

    @model_validator(mode="before")
    @classmethod
    def _spelled_out(cls, values: object) -> object:
        """Fields in their short form, or in a file, become tables: a run needs no other file."""
        if not isinstance(values, Mapping):
            return values
        file, short = values.get("schema_file"), values.get("fields")
        filled = {**values, "exact": _as_tuple(values.get("exact", ()))}
        if isinstance(file, str) and file:
            if short:
                raise ValueError("options.schema_file: options.fields is there too; leave one out")
            fields = _fields_in(file)
        elif isinstance(short, Mapping) and short:
            fields = [_short(name, value) for name, value in short.items()]
        else:
            return filled
        if len(fields) > field_schema.MOST:
            raise ValueError(f"options.fields: {len(fields)}; at most {field_schema.MOST} are read")
        tables = {field.name: field_schema.table_of(field) for field in fields}
        return {**filled, "schema_file": "", "fields": tables}

    @model_validator(mode="after")
    def _of_known_fields(self) -> FieldOptions:
        for key, names in (("exact", self.exact), ("weights", tuple(self.weights))):
            if other := next((name for name in names if name not in self.fields), None):
                raise ValueError(
                    f"options.{key}: no field {other!r}; {did_you_mean(other, self.fields)}"
                )
        for name in self.exact:
            if self.fields[name]["type"] != "string":
                raise ValueError(
                    f"options.exact: {name!r} is no string; leave it out, others are exact anyway"
                )
        return self

    def lacking(self) -> str:
        """The fields."""
        if self.fields:
            return ""
        return (
            "options.fields: missing; name what is to be read, such as fields = "
            '{ shop = "string", total = "number" }, or set options.schema_file'
        )

    def document(self) -> tuple[DocumentField, ...]:
        """The fields, with what the other options say of them."""
        return tuple(
            replace(
                field_schema.field_of(name, table),
                exact=name in self.exact,
                weight=self.weights.get(name, 1.0),
                tolerance=self.tolerance,
            )
            for name, table in self.fields.items()
        )


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


def _as_tuple(value: object) -> object:
    """TOML has no tuples."""
    return tuple(value) if isinstance(value, list) else value


def _short(name: object, value: object) -> DocumentField:
    try:
        return field_schema.field_of(str(name), value)
    except ValueError as error:
        raise ValueError(f"options.fields.{error}") from None


def _fields_in(file: str) -> list[DocumentField]:
    """The fields of a file of JSON Schema. Raises ValueError with the file's name."""
    try:
        with Path(file).expanduser().open("rb") as opened:
            content = opened.read(SCHEMA_BYTES + 1)  # a device has no end
        if len(content) > SCHEMA_BYTES:
            raise ValueError(f"above {SCHEMA_BYTES // 1000} kB")
        schema = json.loads(content)
    except OSError as error:
        raise ValueError(f"options.schema_file: {file}: {error.strerror}; check the path") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"options.schema_file: {file}: not JSON ({error}); fix it") from None
    try:
        return field_schema.fields_of_json_schema(schema)
    except ValueError as error:
        raise ValueError(f"options.schema_file: {file}: {error}") from None
