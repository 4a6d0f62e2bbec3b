"""Every place where rftkit changes what a library does: one file per library.

A patch names what it replaces and why, is compared with the library's own signature before a run
starts, and puts back what was there before, so that patches nest.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    """Within it `owner.name` is `value`; afterwards it is what it was before.

    owner: an object or a module. A name that an object only inherits from its class is inherited
    again afterwards.
    """
    own = vars(owner)
    inherited, before = name not in own, own.get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if inherited:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


def parameters(function: Callable[..., Any]) -> str:
    """The names of a function's parameters, in order.

    >>> parameters(lambda self, rows, **more: None)
    'self rows more'
    """
    return " ".join(inspect.signature(function).parameters)


def reads_global(function: Callable[..., Any], name: str) -> bool:
    """True if a function looks `name` up in its module, where it can be replaced."""
    return name in inspect.unwrap(function).__code__.co_names
