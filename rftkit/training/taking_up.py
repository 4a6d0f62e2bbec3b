"""Going on from a checkpoint whose files may be a stranger's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from rftkit.errors import ModelError, UserError
from rftkit.messages import in_short
from rftkit.models.out_of_memory import ran_out


class CheckpointError(ModelError):
    """A checkpoint that is as it was written, and that a trainer cannot read."""


@contextmanager
def taking_up(checkpoint: Path | None, trainer: Any) -> Iterator[None]:
    """Raises CheckpointError for whatever a library raises for a checkpoint's files.

    Until the first step. They may be a stranger's, whose manifest is right and whose files are not
    what a trainer writes.
    """
    began = _FirstStep()
    trainer.add_callback(began)
    try:
        yield
    except Exception as error:
        if checkpoint is None or began.seen or ran_out(error) or isinstance(error, UserError):
            raise
        raise CheckpointError(
            f"{checkpoint}: cannot be continued from ({in_short(error)}); delete it, and --resume "
            "takes an earlier one"
        ) from None


class _FirstStep(TrainerCallback):
    """Sees the first step begin."""

    seen = False

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.seen = True
