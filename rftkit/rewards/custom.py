"""Custom rewards: a function in a file of the user's. Loading it runs that file."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from numbers import Real
from pathlib import Path
from types import ModuleType

from rftkit.core import Attempt, Reward
from rftkit.errors import RecipeError, TrainingError


@cache
def load_reward(name: str) -> Reward:
    """The reward that `file.py:function` names; the function takes an Attempt and returns a number.

    Raises RecipeError if there is no such file or function, or if the file cannot be run. The
    reward raises TrainingError if the function raises or returns anything but a number.
    """
    file, _, function = name.rpartition(":")
    path = Path(file).expanduser()
    if not path.is_file():
        raise RecipeError(f"rewards.{name}: no file {path}; give its path from the recipe's folder")
    module = _run(path.resolve(), name)
    loaded = getattr(module, function, None)
    if not callable(loaded):
        functions = inspect.getmembers(module, inspect.isfunction)
        names = [function_name for function_name, f in functions if f.__module__ == module.__name__]
        available = ", ".join(names) or "none"
        raise RecipeError(f"rewards.{name}: no function {function!r} in {path}; it has {available}")
    return _guarded(name, loaded)


def _run(path: Path, name: str) -> ModuleType:
    module_name = f"rftkit_custom_reward_{sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None, "a file that ends in .py has a loader"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their own module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the user's file raises is theirs to fix
        del sys.modules[module_name]
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise RecipeError(f"rewards.{name}: {path} cannot be run ({reason}); fix it") from error
    return module


def _guarded(name: str, function: Callable[[Attempt], object]) -> Reward:
    def reward(attempt: Attempt) -> float:
        try:
            value = function(attempt)
        except (Exception, SystemExit) as error:  # SystemExit would end training as if finished
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            example = attempt.example
            raise TrainingError(
                f"rewards.{name}: raised {reason} on {example.location or example.id}; fix it"
            ) from error
        if not isinstance(value, Real):
            raise TrainingError(
                f"rewards.{name}: returned {repr(value)[:60]}; a reward must be a number"
            )
        return float(value)

    return reward
