"""How near an export must be to its adapter, by the numbers that its weights are written in."""

from __future__ import annotations

from rftkit.export.llama_cpp.support import NEAR, support_of
from rftkit.export.proof import Bounds
from rftkit.export.request import IN_GGUF, ExportRequest

# measured with small models of random weights, which exaggerate: f16 0.002 to 0.008 nats, bf16
# 0.008 to 0.07, q8_0 0.06 to 0.1; another image 0.08 to 0.7 (docs/export.md)
EXACT = Bounds(NEAR, 0.1, 0.05)
ROUNDED = Bounds(0.1, 0.5, 0.1)
QUANTISED = Bounds(0.15, 0.5, 0.1)


def bounds_for(request: ExportRequest, architecture: str, dtype: str, *, half: bool) -> Bounds:
    """What a proof allows. dtype: of the merged weights. half: transformers computes in 16 bit."""
    if request.kind not in IN_GGUF:
        return ROUNDED if half or dtype == "bfloat16" else EXACT
    if request.outtype == "q8_0":
        return QUANTISED
    if half or request.outtype == "bf16":
        return ROUNDED
    near = support_of(architecture).near
    return EXACT if near == NEAR else Bounds(near, 10 * near, 5 * near)
