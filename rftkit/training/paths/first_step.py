"""Every fast path proves itself on the first batch of a run, beside the slow path it stands for.

A path that differs by more than rounding, or fails, is left: `PathRefused` ends the trainer before
its first step, and `training/grpo.py` builds another without it.

    fast path            its slow twin                          compared
    shared prefixes      TRL's own forward, a row each          log-probabilities and one gradient
    vLLM, merged copy    the trainer                            log-probabilities of what they wrote
    base = adapter off   a new adapter, which changes nothing   log-probabilities
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rftkit.messages import first_line
from rftkit.models import out_of_memory
from rftkit.shared_prefix.difference import FAILURES, Difference
from rftkit.shared_prefix.trainer import KEYS, shared_prefix_trainer
from rftkit.training.paths.batch_rows import rows_of
from rftkit.training.paths.twin import ENGINE, FastPath, PathRefused, Twin, plainly

ROWS = 2  # completions of one prompt that are compared


@dataclass
class FirstStep:
    """What the fast paths showed in this run.

    found: path -> what was measured. left: path -> why it is not taken any more.
    """

    found: dict[FastPath, str] = field(default_factory=dict)
    left: dict[FastPath, str] = field(default_factory=dict)
    loss_checked: bool = False
    engine_checked: bool = False

    def refuse(self, refused: PathRefused) -> None:
        """Leave a path; the others are compared anew."""
        self.left[refused.path] = f"left: {refused.why}"
        self.found.clear()
        self.loss_checked = self.engine_checked = False

    def record(self) -> dict[str, str]:
        """For effective.json."""
        return {f"checked {path}": words for path, words in {**self.found, **self.left}.items()}

    @property
    def line(self) -> str:
        """One line for the console."""
        parts = [f"{path}: {words}" for path, words in self.found.items()]
        return f"checked on the first batch, against the slower way: {'; '.join(parts)}"


@cache
def checked(kind: Any) -> Any:
    """A class of trainers that compares its fast paths before its first step.

    kind: TRL's class or one of ours on it. Give an instance `first_step`, and `on_checked`, which
    is called with it once everything is compared.
    """

    class CheckedTrainer(kind):
        """Raises PathRefused from its first step where a fast path is not as its twin."""

        first_step: FirstStep | None = None
        on_checked: Callable[[FirstStep], None] = staticmethod(lambda found: None)
        _written: list[list[float | None]] | None = None  # log-probabilities, by the engine

        def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
            merged = getattr(self, "writes_merged", False)
            path: FastPath = "merged copy" if merged else "shared prefixes"
            with _refusing(self, "vLLM" if self.use_vllm else path):
                ids, logps = super()._generate_single_turn(*args, **kwargs)
            if self.use_vllm and self.first_step and not self.first_step.engine_checked:
                self._written = logps
            return ids, logps

        def _get_per_token_logps_and_entropies(self, *given: Any, **more: Any) -> Any:
            with _refusing(self, "shared prefixes"):
                found = super()._get_per_token_logps_and_entropies(*given, **more)
            if self._written is not None and self.first_step:
                written, self._written = self._written, None
                _check_engine(self, self.first_step, _Written(written, found[0], given, more))
            return found

        def _compute_loss(self, model: Any, inputs: Any) -> Any:
            if self.first_step and not self.first_step.loss_checked:
                _check_loss(self, self.first_step, model, inputs)
                if self.first_step.loss_checked:
                    self.on_checked(self.first_step)
            return super()._compute_loss(model, inputs)

    CheckedTrainer.__name__ = kind.__name__
    return CheckedTrainer


@contextmanager
def _refusing(trainer: Any, path: FastPath) -> Iterator[None]:
    """Raises PathRefused if a path does not run, before it has been compared."""
    step, shares = trainer.first_step, isinstance(trainer, shared_prefix_trainer())
    if step is None or step.loss_checked or (path == "shared prefixes" and not shares):
        yield
        return
    try:
        yield
    except FAILURES as error:
        if out_of_memory.ran_out(error):
            raise
        raise PathRefused(path, first_line(error, 120)) from error


class _Written(NamedTuple):
    """What an engine wrote, and the trainer made of it.

    by_engine: log-probabilities of each completion, ragged; None where vLLM has none. by_trainer:
    the same, padded on the right. given, more: the arguments of which the trainer computed them.
    """

    by_engine: list[list[float | None]]
    by_trainer: Tensor
    given: tuple[Any, ...]
    more: Mapping[str, Any]


def _check_engine(trainer: Any, step: FirstStep, written: _Written) -> None:
    difference = _by_engine(written)
    if difference is None:
        return  # every completion is masked: a later batch tells
    step.engine_checked = True
    if not difference.within(Difference(ENGINE)):
        if isinstance(trainer, shared_prefix_trainer()):
            more = {**written.more, "batch_size": 1}
            plain = plainly(trainer, *written.given, **more)[0]
            alone = _by_engine(written._replace(by_trainer=plain))
            if alone and alone.within(Difference(ENGINE)):
                raise PathRefused("shared prefixes", difference.words)
        raise PathRefused("vLLM", difference.words)
    step.found["vLLM"] = difference.words


def _by_engine(written: _Written) -> Difference | None:
    """None where there is nothing to compare: the trainer computes masked completions as 0."""
    columns = written.by_trainer.shape[1]
    masks = written.given[2][:, -columns:].bool().cpu()
    differences = []
    for row, ours, mask in zip(
        written.by_engine, written.by_trainer.float().cpu(), masks, strict=True
    ):
        theirs = torch.tensor([math.nan if value is None else value for value in row])
        known = ~theirs.isnan() & mask[: len(row)]
        differences.append((ours[: len(row)] - theirs)[known].abs())
    all_of_them = torch.cat(differences)
    return Difference(float(all_of_them.mean())) if len(all_of_them) else None


def _check_loss(trainer: Any, step: FirstStep, model: Any, inputs: Mapping[str, Any]) -> None:
    """Shared prefixes and the adapter switched off, on a few completions of the first prompt."""
    keys, kept = inputs.get(KEYS), inputs["completion_mask"].any(1).nonzero()[:, 0].tolist()
    if not kept:
        return  # every completion is masked: a later batch tells
    same = [row for row in kept if not keys or keys[row] == keys[kept[0]]]
    batch = rows_of(inputs, same[:ROWS])
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):  # the run draws what it would have drawn
        try:
            twin = Twin.of(trainer, model, batch)
        except RuntimeError as error:
            if not out_of_memory.ran_out(error):
                raise
            # the slow path does not fit, so there is nothing to fall back to
            step.found["shared prefixes"] = "not compared: the slow path does not fit the GPU"
            step.loss_checked = True
            return
        if isinstance(trainer, shared_prefix_trainer()):
            with _refusing(trainer, "shared prefixes"):
                step.found["shared prefixes"] = twin.shared_prefixes()
        if getattr(trainer, "merged", None):
            with _refusing(trainer, "merged copy"):
                step.found["merged copy"] = twin.merged_copy()
        if "adapter off" not in step.left and trainer.state.global_step == 0:
            step.found["adapter off"] = twin.adapter_off()
    step.loss_checked = True
