"""NaN and infinity in weights and logits: found before a save or a sampled token, and named."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import LogitsProcessor

from rftkit.errors import ModelError
from rftkit.patches.transformers import logits_processed_by
from rftkit.shared_prefix.supported import bare

LORA = ".lora_"  # in the names of the parameters that PEFT adds


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no tensor holds NaN or infinity. Waits for the device once."""
    flags = [tensor.isfinite().all() for tensor in tensors]
    return not flags or bool(torch.stack(flags).all())


def damaged_base(model: Any) -> str | None:
    """A line that names the first base weight holding NaN or infinity; None if there is none.

    4-bit weights are whole numbers and are not looked at.
    """
    name = _first_damaged(model, adapter=False)
    if name is None:
        return None
    return (
        f"the base model: {name} holds NaN or infinity; download it again, or name another one in "
        "model.name"
    )


def finite_logits(model: Any) -> AbstractContextManager[None]:
    """Within it `model.generate` samples from no logits that are NaN or infinite.

    It raises ModelError, naming the base model or the adapter. Without it torch would end in an
    error of its own where tokens are sampled, and greedy decoding would write noise.
    """
    return logits_processed_by(bare(model), _Finite(model))


class _Finite(LogitsProcessor):
    """Passes logits on as they are, if they can be sampled from."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if not (scores < math.inf).all():  # a token that is ruled out has -inf; NaN is not less
            raise ModelError(fault(self.model))
        return scores


def fault(model: Any) -> str:
    """Why the model's logits are not finite, in a line: base model or adapter, and a remedy."""
    if line := damaged_base(model):
        return line
    tuned = isinstance(model, PeftModel) and model.get_model_status().enabled is True
    name = _first_damaged(model, adapter=True) if tuned else None
    if name:
        return (
            f"the adapter: {name} holds NaN or infinity; use an earlier checkpoint, or train again "
            "with a lower method.learning_rate"
        )
    dtype, who, remedy = bare(model).dtype, "base model", "name another one in model.name"
    if tuned:
        who, remedy = "adapter", "train again with a lower method.learning_rate"
    remedy += ", or use a GPU that has bfloat16" if dtype == torch.float16 else ""
    return (
        f"the {who}: logits are NaN or infinite, but no floating-point weight is "
        f"({str(dtype).removeprefix('torch.')}); {remedy}"
    )


def _first_damaged(model: Any, adapter: bool) -> str | None:
    for name, parameter in bare(model).named_parameters():
        looked_at = (LORA in name) == adapter and parameter.is_floating_point()
        if looked_at and not all_finite([parameter]):
            return str(name)
    return None
