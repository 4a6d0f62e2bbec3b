"""How torch is to keep the GPU's memory: said before it is imported."""

from __future__ import annotations

import os
from importlib.util import find_spec

NAMES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")  # of today, and of before


def grow_segments() -> None:
    """Have torch grow its blocks instead of keeping one of every size.

    Rows change their length from step to step, and blocks of each length fragment a small GPU.
    What the user has set stays. vLLM's sleep mode, and Unsloth's sharing of weights with it, do not
    go together with it: where vLLM is installed nothing is set.
    """
    if find_spec("vllm") is None and not any(name in os.environ for name in NAMES):
        os.environ[NAMES[0]] = "expandable_segments:True"
