"""A run that is watched: alarms go to the console, into `alarms.jsonl`, and may stop it."""

from __future__ import annotations

import shutil
from typing import Any

from rich.console import Console
from rich.text import Text

from rftkit.errors import TrainingError
from rftkit.files import append_line, forget_after, read_lines
from rftkit.recipe.schema import Recipe
from rftkit.runs.checkpoints import bytes_needed
from rftkit.runs.run import RunFolder
from rftkit.training.alarms.rules import Watch
from rftkit.training.alarms.seen import LIMITS, Alarm, Record

LOOKED_AT = 64  # values of each trained tensor, to see whether training moves it


class AlarmError(TrainingError):
    """A run was stopped by its first alarm, as asked; its last step is saved."""


class Alarms:
    """Watches the steps of one trainer. stop: end training, saved, with the first alarm."""

    def __init__(
        self, recipe: Recipe, run: RunFolder, console: Console, stop: bool = False
    ) -> None:
        self.recipe, self.run, self.console, self.stop = recipe, run, console, stop
        self.stopped_by: Alarm | None = None

    def begin(self, model: Any, step: int) -> None:
        """Before the step after `step`, whose metrics the run holds."""
        forget_after(self.run.alarms, step)
        raised = [str(line.get("name")) for line in read_lines(self.run.alarms)]
        self.watch = Watch(self.recipe, read_lines(self.run.metrics), raised)
        self.before, self.needed, self.steps = _some_of(model), bytes_needed(model), 0

    def step(self, record: Record, model: Any, control: Any) -> None:
        """Look at a step; say what is wrong, keep it, and stop where that is asked."""
        self.steps += 1
        moved = None
        if self.steps == LIMITS.unchanged_steps:
            pairs = zip(_some_of(model), self.before, strict=True)
            moved = max((float((now - then).abs().max()) for now, then in pairs), default=None)
        room = shutil.disk_usage(self.run.folder).free / self.needed
        for alarm in self.watch.step(record, moved, room):
            append_line(self.run.alarms, alarm._asdict())
            self.console.print(Text.assemble(("Alarm:", "yellow"), f" {alarm.line}"))
            if self.stop and not self.stopped_by:
                self.stopped_by = alarm
                control.should_save = control.should_training_stop = True

    def raise_any(self) -> None:
        """Raises AlarmError if an alarm has stopped the training."""
        if self.stopped_by:
            raise AlarmError(f"stopped by --stop-on alarm: {self.stopped_by.line}")


def _some_of(model: Any) -> list[Any]:
    """The first values of each trained tensor, in 32 bit on the CPU: (LOOKED_AT,) or fewer each."""
    return [
        parameter.detach().flatten()[:LOOKED_AT].float().cpu().clone()
        for parameter in model.parameters()
        if parameter.requires_grad and parameter.numel()
    ]
