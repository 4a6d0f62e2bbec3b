"""A GPU that is not there: what Unsloth asks torch.cuda before it will load, answered on a CPU.

Import it before unsloth, then call `after_unsloth`. Nothing runs on CUDA: tensors stay on the CPU,
and Unsloth's own kernels are left out, so this tests its Python and not its speed.
"""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import torch

GIB = 2**30
QUIET = ("empty_cache", "ipc_collect", "reset_peak_memory_stats", "set_device", "synchronize")
NOTHING = ("max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved")
CARD = SimpleNamespace(
    name="no GPU", major=8, minor=6, total_memory=24 * GIB, multi_processor_count=1, warp_size=32,
    gcnArchName="", L2_cache_size=2**20, uuid="0", is_integrated=0,
)  # fmt: skip
ENVIRONMENT = {
    "UNSLOTH_ALLOW_CPU": "1",
    "UNSLOTH_DISABLE_PINNED_MEMORY": "1",  # which a CPU does not have
    "HF_HUB_OFFLINE": "1",
}


def before_unsloth(*, compiled: bool = False) -> None:
    """Let torch.cuda describe a card of 24 GB; it still says that none is available.

    compiled: whether Unsloth compiles layers, which takes minutes.
    """
    os.environ.update(ENVIRONMENT)
    os.environ["UNSLOTH_COMPILE_DISABLE"] = "0" if compiled else "1"
    answers: dict[str, Any] = {
        "get_device_properties": lambda *_, **__: CARD,
        "get_device_capability": lambda *_, **__: (CARD.major, CARD.minor),
        "get_device_name": lambda *_, **__: CARD.name,
        "mem_get_info": lambda *_, **__: (20 * GIB, CARD.total_memory),
        "current_device": lambda *_, **__: 0,
        **{name: (lambda *_, **__: None) for name in QUIET},
        **{name: (lambda *_, **__: 0) for name in NOTHING},
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, answer)


def after_unsloth() -> None:
    """Patch TRL as Unsloth does on a GPU, and let it quantise."""
    import unsloth.models.loader
    import unsloth.models.vision
    from unsloth import FastVisionModel
    from unsloth.models.rl import PatchFastRL

    os.environ["UNSLOTH_ALLOW_CPU"] = "0"
    PatchFastRL(FastLanguageModel=FastVisionModel)
    for module in (unsloth.models.loader, unsloth.models.vision):
        module.ALLOW_BITSANDBYTES = True
