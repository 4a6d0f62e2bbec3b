"""rftkit: reinforcement and supervised fine-tuning of vision-language models on few images.

The names below are loaded when they are used, so that `import rftkit` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rftkit.api import (
        Attempt,
        Example,
        Recipe,
        Run,
        compare,
        evaluate,
        load_recipe,
        predict,
        train,
    )
    from rftkit.comparison.schema import Comparison
    from rftkit.inference.prediction import Prediction
    from rftkit.metrics.schema import Summary

__version__ = "0.2.0"
__all__ = [
    "Attempt",
    "Comparison",
    "Example",
    "Prediction",
    "Recipe",
    "Run",
    "Summary",
    "compare",
    "evaluate",
    "load_recipe",
    "predict",
    "train",
]


def __getattr__(name: str) -> object:
    if name == "Prediction":
        from rftkit.inference.prediction import Prediction

        return Prediction
    if name == "Comparison":
        from rftkit.comparison.schema import Comparison

        return Comparison
    if name == "Summary":
        from rftkit.metrics.schema import Summary

        return Summary
    if name in __all__:
        from rftkit import api

        return getattr(api, name)
    raise AttributeError(f"module 'rftkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
