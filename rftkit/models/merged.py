"""A copy of the language model's matrices with the adapter merged in, for writing completions.

bitsandbytes dequantises every 4-bit matrix again for every token, and an adapter adds two small
products to each. With a copy in plain numbers both are done once a step, which pays where
completions have more than a few tokens, and takes two bytes a weight while the model is trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from rftkit.models import loading
from rftkit.patches import replaced


class _Layer(NamedTuple):
    """An adapted matrix, and its copy."""

    module: Any  # peft's LoRA layer
    weight: Tensor


class MergedCopy:
    """Stands in for the adapted matrices of a language model. `refresh` it after every step."""

    def __init__(self, model: Any) -> None:
        """model: a PeftModel. Raises what torch raises where there is no memory for the copy."""
        dtype = loading.dtype_here()
        self.layers = [
            _Layer(module, torch.empty(_shape(module), dtype=dtype, device=_device(module)))
            for name, module in model.named_modules()
            if hasattr(module, "lora_A") and not {*name.split(".")} & {*loading.UNQUANTISED}
        ]

    @property
    def bytes(self) -> int:
        """What the copy takes."""
        return sum(int(layer.weight.nbytes) for layer in self.layers)

    @torch.no_grad()
    def refresh(self) -> None:
        """Dequantise and merge again: W + scale × B A of every matrix."""
        for module, weight in self.layers:
            weight.copy_(_plain(module.get_base_layer().weight))
            for name in module.active_adapters:
                if name in module.lora_A:
                    inner, outer = module.lora_A[name].weight, module.lora_B[name].weight
                    update = (outer @ inner) * module.scaling[name]  # in the adapter's own 32 bit
                    weight.add_(update.to(weight.dtype))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the model computes with the copy, and not with its adapter or 4-bit weights."""
        with ExitStack() as stack:
            for module, weight in self.layers:
                bias = module.get_base_layer().bias
                stack.enter_context(replaced(module, "forward", _Product(weight, bias)))
            yield


class _Product(NamedTuple):
    """The forward of a merged layer."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, inputs: Tensor, *_: Any, **__: Any) -> Tensor:
        bias = None if self.bias is None else self.bias.to(self.weight.dtype)
        return linear(inputs.to(self.weight.dtype), self.weight, bias).to(inputs.dtype)


def _plain(weight: Any) -> Tensor:
    """A weight as numbers, dequantised if it is in 4 bit."""
    state = getattr(weight, "quant_state", None)
    if state is None:
        data: Tensor = weight.data
        return data
    from bitsandbytes.functional import dequantize_4bit

    found: Tensor = dequantize_4bit(weight.data, state)
    return found


def _shape(module: Any) -> tuple[int, int]:
    base = module.get_base_layer()
    return base.out_features, base.in_features


def _device(module: Any) -> torch.device:
    device: torch.device = module.get_base_layer().weight.device
    return device
