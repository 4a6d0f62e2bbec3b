"""The files beside the weights: configuration, processor, chat template, as the base has them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from rftkit.errors import ModelError
from rftkit.export.publish import ProofError
from rftkit.files import sha256

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".onnx", ".h5", ".msgpack")
PYTHON = (".py", ".pyw", ".pyc")  # a model's own code, which rftkit never runs nor hands on
OURS = ("README.md", ".gitattributes", "model.safetensors.index.json")  # written anew, or of no use


def copied_files(base: Path) -> list[Path]:
    """The files of a base model that an export takes as they are, by their place in its folder."""
    files = [path for path in sorted(base.rglob("*")) if path.is_file() and _is_of(base, path)]
    return [path for path in (file.relative_to(base) for file in files) if _taken(path)]


def _is_of(base: Path, path: Path) -> bool:
    """Whether a file is the base's own; all files of the hub's cache are links."""
    folder, file = base.resolve(), path.resolve()
    cached = folder.parent.name == "snapshots" and file.is_relative_to(folder.parents[1] / "blobs")
    return cached or file.is_relative_to(folder)


def copy_beside(base: Path, folder: Path) -> dict[str, str]:
    """Copy them; the hash of each. Raises ModelError where a copy is not what was copied."""
    for path in copied_files(base):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(base / path, folder / path)
    return check_copies(base, folder)


def check_copies(base: Path, folder: Path) -> dict[str, str]:
    """The hash of each copied file. Raises ProofError if one is missing or not the base's."""
    hashes = {str(path): sha256(base / path) for path in copied_files(base)}
    for name, digest in hashes.items():
        copy = folder / name
        if not copy.is_file() or sha256(copy) != digest:
            how = "differs from" if copy.is_file() else "is missing; it is in"
            raise ProofError(f"{copy}: {how} that of the base, {base / name}; export again")
    return hashes


def config_of(base: Path) -> dict[str, Any]:
    """The configuration in a model's folder. Raises ModelError if it is quantised already."""
    config: dict[str, Any] = json.loads((base / "config.json").read_text("utf-8"))
    if config.get("quantization_config"):
        raise ModelError(
            f"{base}: its weights are quantised already, and an adapter is merged into weights of "
            "16 bit; train with the model that it was made from, as model.name"
        )
    return config


def _taken(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    of_use = path.suffix not in WEIGHTS and path.suffix.lower() not in PYTHON
    return of_use and path.name not in OURS and not hidden
