"""A user's custom reward: a function in a file of theirs. Loading it runs that file."""

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
    """The function that `file.py:function` names: it takes an Attempt, and gives a number.

    Raises RecipeError if there is no such file or function, or if the file cannot be run. The
    reward raises TrainingError if the function raises, or gives something else.
    """
    file, _, function = name.rpartition(":")
    path = Path(file).expanduser()
    if not path.is_file():
        raise RecipeError(f"rewards.{name}: no file {path}; give its path from where you are")
    module = _run(path.resolve(), name)
    found = getattr(module, function, None)
    if not callable(found):
        functions = inspect.getmembers(module, inspect.isfunction)
        names = [own for own, f in functions if f.__module__ == module.__name__]
        there = ", ".join(names) or "none"
        raise RecipeError(f"rewards.{name}: no function {function!r} in {path}; it has {there}")
    return _guarded(name, found)


def _run(path: Path, name: str) -> ModuleType:
    known_as = f"rftkit_own_{sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(known_as, path)
    assert spec is not None, "a file that ends in .py has a loader"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[known_as] = module  # dataclasses look their own module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the user's file raises is theirs to fix
        del sys.modules[known_as]
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise RecipeError(f"rewards.{name}: {path} cannot be run ({said}); fix it") from error
    return module


def _guarded(name: str, found: Callable[[Attempt], object]) -> Reward:
    def reward(attempt: Attempt) -> float:
        try:
            value = found(attempt)
        except (Exception, SystemExit) as error:  # which would end training as if it were done
            said = " ".join(f"{type(error).__name__}: {error}".split())
            example = attempt.example
            raise TrainingError(
                f"rewards.{name}: raised {said} on {example.place or example.id}; fix it"
            ) from error
        if not isinstance(value, Real):
            raise TrainingError(
                f"rewards.{name}: returned {repr(value)[:60]}; a reward must be a number"
            )
        return float(value)

    return reward
