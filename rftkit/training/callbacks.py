"""What a person sees, and what is kept, while a model learns."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from os import _exit as end_process  # by name, for a custom reward's calls of it are errors
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback

from rftkit import files
from rftkit.errors import Interrupted, TrainingError
from rftkit.exits import stop_signals
from rftkit.files import append_line, forget_after
from rftkit.models.finite import all_finite, damaged_base
from rftkit.runs import checkpoints
from rftkit.runs.run import RunFolder
from rftkit.training.alarms.watch import Alarms
from rftkit.training.held_out.validation import Validator
from rftkit.training.phase import WHOLE, Phase
from rftkit.training.trackers.tracker import NO_TRACKER, Tracker

KEPT = 2  # checkpoints of a run
STUBBORN = 3  # signals that a run may swallow
NAMES = {  # TRL's name -> ours
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "reward": "reward",
    "completions/mean_length": "length",
    "completions/clipped_ratio": "truncated",
    "frac_reward_zero_std": "silent_groups",
    "kl": "kl",
    "entropy": "entropy",
    "repetition": "repetition",
    "mean_token_accuracy": "token_accuracy",
    "off_list": "off_list",
}


class Metrics(TrainerCallback):
    """Writes one line of metrics per step, shows a live bar, stops on numbers that are not."""

    tracker: Tracker = NO_TRACKER
    alarms: Alarms | None = None

    def __init__(
        self,
        run: RunFolder,
        console: Console,
        every: int,
        validator: Validator | None = None,
        phase: Phase = WHOLE,
    ) -> None:
        self.run, self.console, self.every, self.validator = run, console, every, validator
        self.phase = phase
        self.bar: Progress | None = None
        self.task: Any = None
        self.started = 0.0

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
    ) -> None:
        """Forget what a killed run logged after its last checkpoint, then start the bar."""
        for path in (self.run.metrics, self.run.rollouts):
            forget_after(path, self.phase.before + state.global_step)
        if self.alarms:
            self.alarms.begin(model, self.phase.before + state.global_step)
        self.started = time.perf_counter()
        if self.console.is_terminal:
            self.bar = Progress(
                TextColumn("warm-up" if self.phase.name == "warmup" else "training"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                console=self.console,
            )
            self.task = self.bar.add_task("", total=self._total(state), note="")
            self.bar.update(self.task, completed=self.phase.before + state.global_step)
            self.bar.start()

    def on_log(
        self, args: Any, state: Any, control: Any, model: Any, logs: Any = None, **_: Any
    ) -> None:
        """Keep a step's numbers. Raises TrainingError if they or the weights are not finite.

        The trainer calls this after every step and before it saves, so that no checkpoint holds
        weights with NaN or infinity.
        """
        if not logs or "loss" not in logs:
            return
        step = self.phase.before + state.global_step
        record: dict[str, Any] = {"step": step}
        record |= {"phase": self.phase.name} if self.phase.name else {}
        record |= {ours: logs[name] for name, ours in NAMES.items() if logs.get(name) is not None}
        record["rewards"] = rewards_in(logs)
        record["seconds"] = round(time.perf_counter() - self.started, 3)
        if self.validator and self.validator.beside:
            record |= self.validator.beside
            record["seconds"] -= record["validation_seconds"]
            self.validator.beside = {}
        self.started = time.perf_counter()
        if line := _not_finite(record, model):
            raise TrainingError(f"step {step}: {line}")
        record = {k: v for k, v in record.items() if v != {}}
        append_line(self.run.metrics, record)
        self.tracker.step(record)
        self._show(state, record)
        if self.alarms:
            self.alarms.step(record, model, control)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leave the bar as it stands."""
        self.close()

    def close(self) -> None:
        """Stop drawing; safe to call twice."""
        if self.bar:
            self.bar.stop()
            self.bar = None

    def _total(self, state: Any) -> int:
        """Steps of the whole run."""
        return int(self.phase.before + state.max_steps + self.phase.after)

    def _show(self, state: Any, record: dict[str, Any]) -> None:
        note, before = describe(record), self.phase.before
        step, own = before + state.global_step, state.global_step
        if self.bar:
            self.bar.update(self.task, completed=step, note=note)
        elif step % self.every == 0 or own in (1, state.max_steps):
            part = "warm-up " if self.phase.name == "warmup" else ""
            line = f"{part}step {step}/{self._total(state)}  {note}"
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)


class Keeper(TrainerCallback):
    """Turns each folder that the trainer saved into a checkpoint that is whole.

    before: steps of the run before the trainer's first one.
    """

    def __init__(self, run: RunFolder, resumed: Path | None = None, before: int = 0) -> None:
        self.run, self.before = run, before
        self.whole = [resumed] if resumed else []  # newest first; others here are damaged
        self.saving = False

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Look for room on the disk before a save begins; always save the last step."""
        control.should_save = control.should_save or state.global_step >= state.max_steps
        if control.should_save and model is not None:
            files.require_space(self.run.folder, checkpoints.bytes_needed(model))
            self.saving = True

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep the newest that are whole; delete what a kill kept from being deleted."""
        others = (p for p in checkpoints.in_order(self.run.checkpoints) if p not in self.whole)
        self.whole += [path for path in others if checkpoints.damage(path) is None]
        self.whole = self.whole[:KEPT]
        checkpoints.keep_only(self.run.checkpoints, self.whole)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move what was saved into place, when its steps' lines are on the disk."""
        for path in (self.run.metrics, self.run.rollouts, self.run.alarms):
            if path.exists():
                files.sync(path)
        files.sync(self.run.folder)
        staged = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if self.run.effective.exists():  # a second copy, with a hash
            (staged / self.run.effective.name).write_bytes(self.run.effective.read_bytes())
        name = f"step-{self.before + state.global_step:06d}"
        saved = checkpoints.settle(staged, self.run.checkpoints / name)
        self.whole = [saved, *(path for path in self.whole if path != saved)][:KEPT]
        checkpoints.keep_only(self.run.checkpoints, self.whole)
        self.saving = False


class Stopper(TrainerCallback):
    """Ctrl-C, SIGTERM or a closed terminal once: finish the step and save. Twice: stop now.

    A fourth time ends the process, for a custom reward may swallow what stops it.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.count = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save and stop, if that was asked for."""
        if self.received is not None:
            control.should_save = control.should_training_stop = True

    @contextmanager
    def listening(self, console: Console) -> Iterator[None]:
        """Take over their signals meanwhile. Raises Interrupted once training has stopped."""

        def handle(number: int, frame: FrameType | None) -> None:
            self.count += 1
            if self.count > STUBBORN:
                line = "ended by force; continue with --resume"
                console.print(line, highlight=False, markup=False)
                end_process(128 + number)
            if self.received is not None:
                raise Interrupted(number)
            self.received = number
            line = "stopping after this step; once more stops at once"
            console.print(line, highlight=False, markup=False)

        before = {number: signal.signal(number, handle) for number in stop_signals()}
        for number in before:
            signal.siginterrupt(number, False)  # torch does not open a file again as Python would
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.received is not None:
            raise Interrupted(self.received)


def _not_finite(record: dict[str, Any], model: Any) -> str | None:
    """What of a step is NaN or infinite, and what to do about it; None if nothing is."""
    names = ("loss", "grad_norm")
    wrong = [
        f"{name} is {record[name]}" for name in names if not math.isfinite(record.get(name, 0.0))
    ]
    if not wrong and not all_finite(p for p in model.parameters() if p.requires_grad):
        wrong = ["the adapter's weights hold NaN or infinity"]
    if not wrong:
        return None
    remedy = damaged_base(model) or "lower method.learning_rate, then start again"
    return f"{wrong[0]}; {remedy}"


def rewards_in(logs: dict[str, Any]) -> dict[str, float]:
    """Mean of each reward over the step, by name."""
    head, tail = "rewards/", "/mean"
    return {
        key.removeprefix(head).removesuffix(tail): value
        for key, value in logs.items()
        if key.startswith(head) and key.endswith(tail)
    }


def describe(record: dict[str, Any]) -> str:
    """A step in one line: mean rewards, length, fractions truncated and without reward variance."""
    parts = [f"{name} {value:.2f}" for name, value in record.get("rewards", {}).items()]
    if "validation" in record:
        parts.append(f"validation {record['validation']:.1%}")
    if "length" in record:
        parts.append(f"{record['length']:.0f} tokens")
        parts.append(f"{record.get('truncated', 0):.0%} truncated")
        parts.append(f"{record.get('silent_groups', 0):.0%} zero-variance")
    elif "off_list" in record:
        parts.append(f"{record['off_list']:.0%} off the list")
    else:
        parts.append(f"loss {record['loss']:.3f}")
    return " · ".join(parts)
