"""A step that runs out of GPU memory is repeated in smaller parts, instead of ending the run.

The forward and backward passes of a micro-batch are split by rows, the writing of completions into
waves. What is learnt stays the same: every loss of TRL that rftkit offers is a weighted sum over
the parts of a micro-batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rftkit.models import out_of_memory
from rftkit.training.paths.batch_rows import rows_of


@cache
def halving(kind: Any) -> Any:
    """A class of trainers that halves its micro-batches where memory runs out.

    kind: TRL's class or one of ours on it, with as many micro-batches a rollout as a step. Give an
    instance `on_halved`, which is called with one line.
    """

    class HalvingTrainer(kind):
        """Raises what torch raises only where not even one completion at a time fits."""

        parts = 1  # that the rows of a micro-batch are computed in
        waves = 1  # that completions are written in
        on_halved: Callable[[str], None] = staticmethod(lambda line: None)
        _writing = False
        _prepared = False  # whether the micro-batch of this step is at hand

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
            before, self._prepared, again = _random_state(), False, False
            while True:
                try:
                    if again:
                        self._learn_again(model)
                    return super().training_step(model, inputs, num_items_in_batch)
                except RuntimeError as error:
                    if not out_of_memory.ran_out(error) or not self._halve():
                        raise
                # outside the handler: the traceback holds what did not fit
                out_of_memory.free_memory()
                self._writing, again = False, True
                if not self._prepared:
                    _set_random_state(before)

        def _halve(self) -> bool:
            """Compute less at once from now on. False where that is impossible."""
            if getattr(self, "writes_merged", False):
                self.give_up_copy()
                self._say("the merged copy is given back")
                return True
            rows = self.args.per_device_train_batch_size
            if self._writing and self.use_vllm:
                return False  # the engine divides its work by itself
            if self._writing:
                rows *= self.args.steps_per_generation
                most, self.waves = self.waves, min(2 * self.waves, rows)
                doing = f"completions are written {-(-rows // self.waves)} at a time"
                changed = self.waves > most
            else:
                most, self.parts = self.parts, min(2 * self.parts, rows)
                doing = f"a micro-batch is computed {-(-rows // self.parts)} rows at a time"
                changed = self.parts > most
            if changed:
                self._say(doing)
            return changed

        def _say(self, doing: str) -> None:
            number = self.state.global_step + 1
            self.on_halved(f"step {number}: the GPU ran out of memory, so {doing}")

        def _learn_again(self, model: Any) -> None:
            """Repeat the micro-batches of this step that came before this one."""
            model.zero_grad(set_to_none=True)
            for earlier in range(self._step % self.args.steps_per_generation):
                loss = self.compute_loss(model, self._buffered_inputs[earlier])
                self.accelerator.backward(loss)

        def _prepare_inputs(self, generation_batch: Any) -> Any:
            number = self._step % self.args.steps_per_generation
            if self._prepared:
                return self._buffered_inputs[number]
            found = super()._prepare_inputs(generation_batch)
            self._prepared = True
            return found

        def _generate_single_turn(self, prompt_ids: Any, images: Any, *given: Any) -> Any:
            self._writing = True
            whole = super()._generate_single_turn
            if self.waves == 1 or self.use_vllm:
                found = whole(prompt_ids, images, *given)
            else:
                found = _in_waves(whole, self.waves, (prompt_ids, images, *given))
            self._writing = False
            return found

        def _get_per_token_logps_and_entropies(
            self, *given: Any, batch_size: int | None = None, **more: Any
        ) -> Any:
            if batch_size is not None:
                batch_size = max(1, batch_size // self.parts)
            return super()._get_per_token_logps_and_entropies(*given, batch_size=batch_size, **more)

        def compute_loss(self, model: Any, inputs: Any, *given: Any, **more: Any) -> Any:
            if self.parts == 1:
                return super().compute_loss(model, inputs, *given, **more)
            *parts, last = _parts(inputs, self.parts, self.loss_type)
            done = 0.0
            for part, weight in parts:
                loss = super().compute_loss(model, part, *given, **more) * weight
                self.accelerator.backward(loss)
                done += loss.detach()
            part, weight = last
            return super().compute_loss(model, part, *given, **more) * weight + done

    HalvingTrainer.__name__ = kind.__name__
    return HalvingTrainer


def _parts(
    inputs: Mapping[str, Any], parts: int, loss_type: str
) -> Iterator[tuple[dict[str, Any], float | Tensor]]:
    """Rows of a micro-batch in parts, and what each counts in the loss of all.

    TRL averages `grpo` and `dr_grpo` over rows and `bnpo` over tokens; `dapo` is a sum.
    """
    mask = inputs["completion_mask"]
    rows = len(mask)
    for part in torch.arange(rows).chunk(parts):
        weight: float | Tensor = 1.0
        if loss_type in ("grpo", "dr_grpo"):
            weight = len(part) / rows
        elif loss_type == "bnpo":
            weight = mask[part.to(mask.device)].sum() / mask.sum().clamp(min=1.0)
        yield rows_of(inputs, part.tolist()), weight


def _in_waves(write: Callable[..., Any], waves: int, asked: tuple[Any, ...]) -> tuple[Any, Any]:
    """As TRL's `_generate_single_turn` returns for all prompts. asked: its arguments."""
    prompt_ids, images, fields, *rest = asked
    counts = {} if images is None else {"num_images": [len(row or ()) for row in images]}
    fields = {
        name: torch.from_numpy(values) if isinstance(values, np.ndarray) else values
        for name, values in fields.items()
    }
    written: list[list[int]] = []
    for part in torch.arange(len(prompt_ids)).chunk(waves):
        rows = part.tolist()
        shown = rows_of({**fields, **counts}, rows)
        shown.pop("num_images", None)
        those = None if images is None else [images[row] for row in rows]
        written += write([prompt_ids[row] for row in rows], those, shown, *rest)[0]
    return written, None


def _random_state() -> tuple[Tensor, Tensor | None]:
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    return torch.get_rng_state(), cuda


def _set_random_state(state: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1])
