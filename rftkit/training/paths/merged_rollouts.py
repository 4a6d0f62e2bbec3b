"""Completions written by a merged copy of the language model, made anew before each step."""

from __future__ import annotations

from functools import cache
from typing import Any

from rftkit.models.merged import MergedCopy


@cache
def writing_merged(kind: Any) -> Any:
    """A class of trainers that writes completions by a `MergedCopy`. kind: TRL's, or one on it."""

    class MergedTrainer(kind):
        """The loss is computed by the model itself, so the copy only has to sample like it."""

        merged: MergedCopy | None = None
        writes_merged = True  # until it is given up

        def _generate_single_turn(self, *given: Any, **more: Any) -> Any:
            if not self.writes_merged:
                return super()._generate_single_turn(*given, **more)
            self.merged = self.merged or MergedCopy(self.model)
            self.merged.refresh()
            with self.merged.in_place():
                return super()._generate_single_turn(*given, **more)

        def give_up_copy(self) -> None:
            """Give back the copy's memory, and write without one from now on."""
            self.merged, self.writes_merged = None, False

    MergedTrainer.__name__ = kind.__name__
    return MergedTrainer
