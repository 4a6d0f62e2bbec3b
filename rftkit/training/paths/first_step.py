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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from rftkit.messages import first_line
from rftkit.models import out_of_memory
from rftkit.patches.trl import own
from rftkit.shared_prefix.trainer import KEYS, shared_prefix_trainer
from rftkit.training.paths.batch_rows import rows_of

FastPath = Literal["shared prefixes", "vLLM", "merged copy", "adapter off"]
ROWS = 2  # completions of one prompt that are compared
ROUNDING = 4.0  # times what the slow path differs from itself, one row at a time
ENGINE = 0.1  # nats a token, on average, of what writes: bf16 differs by some thousandths


class Difference(NamedTuple):
    """Between two ways to compute the same.

    logps: mean of |difference| in nats a token. gradient: norm of the difference by that of the
    reference; 0 where none was computed.
    """

    logps: float
    gradient: float = 0.0

    def within(self, most: Difference) -> bool:
        """Whether both are at most as large; never where one is not a number."""
        return self.logps <= most.logps and self.gradient <= most.gradient

    @property
    def words(self) -> str:
        """For a line on the console."""
        gradient = f", gradients by {self.gradient:.0e}" if self.gradient else ""
        logps = f"{self.logps:.0e}" if self.logps else "0"
        return f"log-probabilities differ by {logps} nats a token{gradient}"


LEAST = Difference(1e-4, 1e-3)  # allowed at any rate, in 32 bit
LEAST_HALF = Difference(0.02, 0.05)  # in 16


class PathRefused(Exception):  # noqa: N818  nothing is wrong with the run
    """A fast path that does not give what its slow twin gives. why: in a few words."""

    def __init__(self, path: FastPath, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = path, why


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
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
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
            plain = _plainly(trainer, *written.given, **more)[0]
            alone = _by_engine(written._replace(by_trainer=plain))
            if alone and alone.within(Difference(ENGINE)):
                raise PathRefused("shared prefixes", difference.words)
        raise PathRefused("vLLM", difference.words)
    step.found["vLLM"] = difference.words


def _by_engine(written: _Written) -> Difference | None:
    """None where there is nothing to compare: the trainer computes masked completions as 0."""
    columns = written.by_trainer.shape[1]
    masks = written.given[2][:, -columns:].bool().cpu()
    apart = []
    for row, ours, mask in zip(
        written.by_engine, written.by_trainer.float().cpu(), masks, strict=True
    ):
        theirs = torch.tensor([math.nan if value is None else value for value in row])
        known = ~theirs.isnan() & mask[: len(row)]
        apart.append((ours[: len(row)] - theirs)[known].abs())
    all_of_them = torch.cat(apart)
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
            twin = _Twin.of(trainer, model, batch)
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
        if "adapter off" not in step.left and _is_new(trainer.accelerator.unwrap_model(model)):
            step.found["adapter off"] = twin.adapter_off()
    step.loss_checked = True


@dataclass(frozen=True)
class _Twin:
    """A batch of a few completions by the slow path, and how much a fast one may differ from it."""

    trainer: Any
    model: Any
    batch: Mapping[str, Any]
    plain: Computed
    most: Difference

    @classmethod
    def of(cls, trainer: Any, model: Any, batch: Mapping[str, Any]) -> _Twin:
        """Computed together and one by one, which differ by rounding alone."""
        plain = _computed(trainer, model, [batch], _plainly)
        alone = [rows_of(batch, [row]) for row in range(len(batch["prompt_ids"]))]
        rounding = _between(_computed(trainer, model, alone, _plainly), plain)
        least = LEAST_HALF if trainer.args.bf16 or trainer.args.fp16 else LEAST
        most = [max(a, ROUNDING * b) for a, b in zip(least, rounding, strict=True)]
        return cls(trainer, model, batch, plain, Difference(*most))

    def shared_prefixes(self) -> str:
        """What was measured. Raises PathRefused where they differ."""
        packed = _computed(self.trainer, self.model, [self.batch], _as_it_trains)
        return self._judged("shared prefixes", _between(packed, self.plain), self.most)

    def merged_copy(self) -> str:
        """What was measured. Raises PathRefused where they differ by more than a merge rounds."""
        with torch.no_grad(), self.trainer.merged.in_place():
            merged = _logps(self.trainer, self.model, self.batch, _plainly)
        difference = Difference(_apart(merged, self.plain.logps))
        return self._judged("merged copy", difference, Difference(ENGINE))

    def adapter_off(self) -> str:
        """What was measured, of an adapter that has learnt nothing yet. Raises PathRefused."""
        peft = self.trainer.accelerator.unwrap_model(self.model)
        with torch.no_grad(), peft.disable_adapter():
            off = _logps(self.trainer, self.model, self.batch, _plainly)
        difference = Difference(_apart(off, self.plain.logps))
        return self._judged("adapter off", difference, self.most)

    def _judged(self, path: FastPath, difference: Difference, most: Difference) -> str:
        if not difference.within(most):
            raise PathRefused(path, difference.words)
        return difference.words


def _is_new(peft: Any) -> bool:
    """Whether an adapter changes nothing yet: that of a resumed run has learnt."""
    weights = [weight for name, weight in peft.named_parameters() if ".lora_B.default" in name]
    return not any(bool(weight.any()) for weight in weights)


class Computed(NamedTuple):
    """logps: of the tokens of some completions, (N,). gradients: of the adapter's weights."""

    logps: Tensor
    gradients: list[Tensor]


def _computed(
    trainer: Any, model: Any, batches: Sequence[Any], how: Callable[..., Any]
) -> Computed:
    """Log-probabilities of all batches, and the gradient of their sum; on the CPU."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    tokens = sum(int(batch["completion_mask"].sum()) for batch in batches)
    kept = [weight.grad for weight in trained]
    for weight in trained:
        weight.grad = None
    try:
        logps = []
        for batch in batches:
            found = _logps(trainer, model, batch, how)
            loss: Any = found.sum() / tokens  # the size of a loss: in fp16 a sum may overflow
            loss.backward()
            logps.append(found.detach().float().cpu())
        gradients = [
            torch.zeros(weight.shape) if weight.grad is None else weight.grad.float().cpu()
            for weight in trained
        ]
        return Computed(torch.cat(logps), gradients)
    finally:
        for weight, gradient in zip(trained, kept, strict=True):
            weight.grad = gradient


def _logps(trainer: Any, model: Any, batch: Mapping[str, Any], how: Callable[..., Any]) -> Tensor:
    """Of the completion tokens of a batch, row after row, (N,)."""
    mask = batch["completion_mask"].bool()
    inputs = {name: batch.get(name) for name in INPUTS}
    logps, *_ = how(
        trainer,
        model,
        torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1),
        torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1),
        mask.shape[1],
        keys=batch.get(KEYS),
        **{name: value for name, value in inputs.items() if value is not None},
    )
    found: Tensor = logps[mask]
    return found


# what TRL hands to the model beside token ids
INPUTS = (
    "pixel_values", "image_grid_thw", "num_images", "pixel_attention_mask", "mm_token_type_ids",
)  # fmt: skip


def _plainly(trainer: Any, *given: Any, keys: Any = None, **more: Any) -> Any:
    """By TRL's own method, every row by itself."""
    return own("GRPOTrainer")._get_per_token_logps_and_entropies(trainer, *given, **more)


def _as_it_trains(trainer: Any, *given: Any, keys: Any, **more: Any) -> Any:
    trainer._prompts_B = keys
    return trainer._get_per_token_logps_and_entropies(*given, **more)


def _between(one: Computed, reference: Computed) -> Difference:
    pairs = zip(one.gradients, reference.gradients, strict=True)
    apart = sum(float((a - b).double().square().sum()) for a, b in pairs)
    norm = sum(float(gradient.double().square().sum()) for gradient in reference.gradients)
    return Difference(_apart(one.logps, reference.logps), (apart / max(norm, 1e-30)) ** 0.5)


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one.float().cpu() - other).abs().mean())
