"""Custom rewards: a function in a file of the user's. Loading it runs that file."""

from __future__ import annotations

import importlib.util
import inspect
import math
import sys
from collections.abc import Callable
from copy import copy
from hashlib import sha256
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any

from rftkit.core import Attempt, Reward
from rftkit.errors import RecipeError, TrainingError
from rftkit.messages import in_short
from rftkit.rewards.guard import PATIENT, FaultError, Patience, call

LARGEST = 1e9  # of a reward: squares of it, and their sums, are numbers of 32 bits


def load_reward(name: str, patience: Patience = PATIENT) -> Reward:
    """The reward that `file.py:function` names; the function takes an Attempt and returns a number.

    Raises RecipeError if there is no such file or function, or if the file cannot be run. The
    reward raises TrainingError if the function raises, returns anything but a number in
    [-1e9, 1e9], or takes longer than `patience` allows.
    """
    return _guarded(name, _function(name, patience), patience)


_functions: dict[str, Callable[[Attempt], object]] = {}  # a file is run once


def _function(name: str, patience: Patience) -> Callable[[Attempt], object]:
    if name in _functions:
        return _functions[name]
    file, _, function = name.rpartition(":")
    path = Path(file).expanduser()
    if not path.is_file():
        raise RecipeError(f"rewards.{name}: no file {path}; give its path from the recipe's folder")
    module = _run(path.resolve(), name, patience)
    held = vars(module)
    loaded = held.get(function)
    if not callable(loaded):
        functions = [(key, value) for key, value in held.items() if inspect.isfunction(value)]
        names = sorted(key for key, f in functions if f.__module__ == module.__name__)
        available = ", ".join(names) or "none"
        raise RecipeError(f"rewards.{name}: no function {function!r} in {path}; it has {available}")
    _functions[name] = loaded
    return _functions[name]


def _run(path: Path, name: str, patience: Patience) -> ModuleType:
    module_name = f"rftkit_custom_reward_{sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None, "a file that ends in .py has a loader"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their own module up there
    try:
        call(f"rewards.{name}: {path}", patience, spec.loader.exec_module, module)
    except FaultError as fault:
        del sys.modules[module_name]
        reason = str(fault).removeprefix("raised ")
        raise RecipeError(f"rewards.{name}: {path} cannot be run ({reason}); fix it") from fault
    return module


def _guarded(name: str, function: Callable[[Attempt], object], patience: Patience) -> Reward:
    def reward(attempt: Attempt) -> float:
        example = attempt.example
        where = example.location or example.id
        try:
            value: Any = call(f"rewards.{name}: {where}", patience, function, copy(attempt))
        except FaultError as fault:
            raise TrainingError(f"rewards.{name}: {fault} on {where}; fix it") from fault
        try:
            number = float(value) if isinstance(value, Real) else None
        except Exception as error:  # an integer beyond floats, a number of the user's own
            raise TrainingError(
                f"rewards.{name}: returned no number that can be used ({in_short(error)}) on "
                f"{where}; fix it"
            ) from error
        if number is None:
            shown = in_short(value)
            raise TrainingError(f"rewards.{name}: returned {shown}; a reward must be a number")
        if not math.isfinite(number):
            raise TrainingError(
                f"rewards.{name}: returned {number}; a reward must be a finite number"
            )
        if abs(number) > LARGEST:
            raise TrainingError(
                f"rewards.{name}: returned {number:g} on {where}; a reward must be between "
                f"{-LARGEST:g} and {LARGEST:g}"
            )
        return number

    return reward
