"""The temperatures of an adapter: fitted right after training, kept beside its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rftkit.core import Style
from rftkit.errors import ModelError
from rftkit.files import write_atomically
from rftkit.measures.selective import Confident, Kept, keep_at_error
from rftkit.recipe.schema import Recipe

CALIBRATION = "calibration.json"  # in an adapter's folder
SCHEMA = 1  # of that file; a newer one is refused
DIGITS = 6  # of a confidence, in the file and where it is compared with one in the file

Origin = Literal["split", "fold"]


class Temperatures(NamedTuple):
    """What log-probabilities are divided by before the softmax, for each model."""

    base: float
    tuned: float


@dataclass(frozen=True)
class HeldOutAnswers:
    """What was learnt on examples that training held out.

    origin: a split of their own, or a fold of the training examples. answers: of the fine-tuned
    model by list, after its temperature; empty is not allowed.
    """

    temperatures: Temperatures
    origin: Origin
    answers: tuple[Confident, ...]

    @property
    def words(self) -> str:
        """How well a probability is known, for people."""
        return f"calibrated on {len(self.answers)} held-out images"

    def kept_at_error(self, budget: float) -> Kept:
        """The lowest threshold at which at most `budget` of the held-out answers kept is wrong."""
        return keep_at_error(self.answers, budget)


def rounded(confidence: float) -> float:
    """A confidence as the file has it, to be compared with one from there."""
    return round(confidence, DIGITS)


def write_calibration(adapter: Path, found: HeldOutAnswers | None) -> None:
    """Save it into an adapter folder, in one step; None removes what an earlier session left."""
    path = adapter / CALIBRATION
    if found is None:
        path.unlink(missing_ok=True)
        return
    record = {
        "schema": SCHEMA,
        "temperatures": found.temperatures._asdict(),
        "examples": len(found.answers),
        "origin": found.origin,
        "held_out": [
            {"confidence": rounded(one.confidence), "right": one.right} for one in found.answers
        ],
    }
    write_atomically(path, json.dumps(record, indent=1) + "\n")


def read_calibration(adapter: Path) -> HeldOutAnswers | None:
    """What is in an adapter folder; None in one of an older rftkit, or where none was fitted.

    Raises ModelError if the file is damaged or of a newer rftkit.
    """
    path = adapter / CALIBRATION
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text("utf-8"))
        if record["schema"] == SCHEMA:
            return _read(record)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ModelError(
            f"{path}: damaged ({reason}); delete it to go on without, or train again"
        ) from None
    raise ModelError(f"{path}: written by a newer rftkit; upgrade rftkit")


def temperatures_for(adapter: Path, recipe: Recipe, style: Style) -> Mapping[str, float]:
    """Side -> temperature where answers are scored as when it was fitted, in that style."""
    found = read_calibration(adapter) if style == recipe.style else None
    return found.temperatures._asdict() if found else {}


def _read(record: Mapping[str, Any]) -> HeldOutAnswers:
    """Raises ValueError, KeyError or TypeError for what is none."""
    temperatures = Temperatures(**{k: float(v) for k, v in dict(record["temperatures"]).items()})
    answers = tuple(
        Confident(float(one["confidence"]), one["right"] is True) for one in record["held_out"]
    )
    fits = all(temperature > 0 for temperature in temperatures)
    fits = fits and all(0 <= one.confidence <= 1 for one in answers)
    if not fits or not answers or record["origin"] not in ("split", "fold"):
        raise ValueError("a value is out of its range")
    return HeldOutAnswers(temperatures, record["origin"], answers)
