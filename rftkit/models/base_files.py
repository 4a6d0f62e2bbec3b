"""The files of a base model: none of them leads to a file, or to a repository, outside of it.

They may be a stranger's. What transformers reads as a vocabulary or a template comes back in
replies, and goes into every checkpoint and export.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from rftkit.errors import ModelError
from rftkit.model_info import demands
from rftkit.patches import replaced

HASHED_BYTES = 2**27  # at either end of a weights file
# links to these are common, and what they lead to is read as weights or not at all
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".onnx", ".h5", ".msgpack")
TOKENIZER, SPECIALS = "tokenizer_config.json", "special_tokens_map.json"
# the folders within a model's that transformers reads a second tokenizer from
TOKENIZER_FOLDERS = ("", "qformer_tokenizer/", "protein_tokenizer/")
PROCESSORS = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
VOCABULARY = re.compile("(^|_)(vocab|merges)$")  # tables, which libraries take as paths too
FILE = re.compile("(^|_)(files?|spm|font)$")
FORMERLY = "special_tokens_map_file"  # left by old versions: where it was; nothing opens it
VERSIONS, INPUTS, REPOSITORY = "fast_tokenizer_files", "init_inputs", "repo_path"


def check_links(folder: Path, name: str) -> None:
    """Raises ModelError for a link in a model's folder that leads out of it, weights excepted.

    name: what the recipe calls it.
    """
    roots = _roots_of(folder)
    for path in _links(folder):
        real = Path(os.path.realpath(path))
        if path.suffix.lower() in WEIGHTS and not real.is_dir():
            continue
        if not any(real.is_relative_to(root) for root in roots):
            shown = str(path.relative_to(folder))
            raise ModelError(
                f"model.name: {name}: {shown!r} there is a link that leaves the folder; copy into "
                "the folder what it leads to"
            )


def check_named(name: str, revision: str | None) -> None:
    """Raises ModelError if a tokenizer's or a processor's files name any outside of the model.

    name: a folder or a hub id. Raises ValueError for files that are no JSON.
    """
    for folder in TOKENIZER_FOLDERS:
        for file in (TOKENIZER, SPECIALS):
            held = demands.table(name, revision, folder + file)
            for key, value in demands.entries(held):
                if _of_tokenizer(file, key, value, Path(name, folder)):
                    raise _elsewhere(name, folder + file, key, value)
    for file in PROCESSORS:
        for key, value in demands.entries(demands.table(name, revision, file)):
            repository = key == REPOSITORY and value is not None
            if repository or (FILE.search(key) and _outside(value, Path(name))):
                raise _elsewhere(name, file, key, value)


def alone(name: str) -> AbstractContextManager[None]:
    """Within it nothing is fetched from the hub, where `name` is a folder."""
    if not Path(name).is_dir():
        return nullcontext()
    from huggingface_hub import constants

    return replaced(constants, "HF_HUB_OFFLINE", True)  # transformers asks this too


def digest(folder: Path) -> str:
    """A hash of a folder's weights: of each file's size, its first and its last bytes."""
    found = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        found.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            found.update(file.read(HASHED_BYTES))
            file.seek(max(HASHED_BYTES, size - HASHED_BYTES))
            found.update(file.read())
    return found.hexdigest()


def _roots_of(folder: Path) -> tuple[Path, ...]:
    """Where a model's files may really lie: in its folder.

    In the hub's cache, `models--a--b/snapshots/1f2e`, files are links into `blobs` beside it.
    """
    real = Path(os.path.realpath(folder))
    repository = real.parent.parent
    blobs = repository / "blobs"
    cached = real.parent.name == "snapshots" and repository.name.startswith("models--")
    return (real, blobs) if cached and os.path.realpath(blobs) == str(blobs) else (real,)


def _links(folder: Path) -> Iterator[Path]:
    """The links in a folder and those within it, but for hidden ones, which no library reads."""
    for parent, folders, files in os.walk(folder):
        paths = (Path(parent, name) for name in (*folders, *files))
        yield from (path for path in paths if path.is_symlink())
        folders[:] = [name for name in folders if not name.startswith(".")]


def _of_tokenizer(file: str, key: str, value: Any, folder: Path) -> bool:
    """Whether an entry of a tokenizer's file has transformers open another than the model's."""
    if key == VERSIONS:
        if not isinstance(value, list):
            return value is not None
        return any(_outside(name, folder) or not str(name).endswith(".json") for name in value)
    if key == INPUTS:
        return bool(value)
    if VOCABULARY.search(key):
        texts = value if isinstance(value, list) else [value]
        return any(isinstance(text, str) for text in texts)
    if key == FORMERLY and file == TOKENIZER:
        return False
    # what special_tokens_map.json names is looked for in the current folder
    here = isinstance(value, str) and file == SPECIALS
    return bool(FILE.search(key)) and (here or _outside(value, folder))


def _outside(value: Any, folder: Path) -> bool:
    """Whether a value is anything but null or the name of a file in the folder.

    Of the hub's folders only the name is known. A table is no name: its entries are looked at.
    """
    if value is None or isinstance(value, dict):
        return False
    plain = isinstance(value, str) and Path(value).name == value and "\\" not in value
    if not plain or Path(value).suffix.lower() in WEIGHTS:
        return True
    return folder.is_dir() and not (folder / value).is_file()


def _elsewhere(name: str, file: str, key: str, value: Any) -> ModelError:
    what = "another repository" if key == REPOSITORY else "a file that is not the model's own"
    return ModelError(
        f"model.name: {name}: its {file} names {what}: {str(value)[:80]!r} as {key[:40]!r}; remove "
        "that key there"
    )
