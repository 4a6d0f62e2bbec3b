"""Several adapters on one copy of the base: loaded beside the first, switched on for a while."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rftkit.errors import ModelError
from rftkit.messages import first_line
from rftkit.models.loading import check_adapter

FIRST = "default"  # what PEFT calls the adapter that a model was opened with


def add(model: Any, adapter: Path) -> str:
    """Load an adapter beside the first, once; the name by which `using` knows it.

    Raises ModelError if it does not fit the model.
    """
    check_adapter(adapter)
    name = hashlib.sha256(str(adapter.resolve()).encode()).hexdigest()[:16]
    if name in model.peft_config:
        return name
    try:
        model.load_adapter(str(adapter), adapter_name=name, is_trainable=False)
    except (RuntimeError, ValueError) as error:
        first = first_line(error, 200)
        raise ModelError(
            f"{adapter}: does not fit the model ({first}); was it trained on another one?"
        ) from None
    return name


@contextmanager
def using(model: Any, name: str) -> Iterator[None]:
    """Within it an adapter that was added answers in place of the first."""
    model.set_adapter(name, inference_mode=True)
    try:
        yield
    finally:
        model.set_adapter(FIRST, inference_mode=True)
