"""Room on the disk, checked before an export writes anything."""

from __future__ import annotations

import shutil
from pathlib import Path

from rftkit.errors import UserError
from rftkit.export.request import IN_GGUF, ExportRequest

# size of a GGUF file beside that of the 16-bit weights: q8_0 has 8.5 bits a weight, and what is not
# a matrix stays as it is
SHARE = {"f16": 1.0, "bf16": 1.0, "f32": 2.0, "q8_0": 0.6}
MORE = 1.05  # beside the weights: tokenizer, headers, the files of the card


def needed(base: Path, request: ExportRequest) -> int:
    """Bytes that an export takes while it is made: merged weights, and what is made of them."""
    weights = sum(path.stat().st_size for path in base.glob("*.safetensors"))
    share = 1.0 + (SHARE[request.outtype] if request.kind in IN_GGUF else 0.0)
    return int(weights * share * MORE)


def check_space(base: Path, out: Path, request: ExportRequest) -> str:
    """Says what is needed and what is free. Raises UserError, with both, if it is too little."""
    there = next(path for path in (out, *out.absolute().parents) if path.exists())
    free, most = shutil.disk_usage(there).free, needed(base, request)
    sizes = f"needs {_readable(most)} on the disk, {_readable(free)} are free at {there}"
    if free < most:
        raise UserError(f"--to {request.kind}: {sizes}; make room, or name another disk with --out")
    return f"{request.kind}: {sizes}"


def _readable(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
