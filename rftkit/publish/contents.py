"""Which files of a run or an exported model travel, and what is taken out of them.

Nothing travels but what is on the lists here: an image, or a sample or a report that shows one,
cannot come along by being in the folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from rftkit.errors import ModelError
from rftkit.publish import paths
from rftkit.recipe.resolve import portable
from rftkit.recipe.toml import dump_recipe, parse_recipe
from rftkit.runs import adapter as adapters
from rftkit.runs.adapter import CARD, EXPORT_CARD, Checkpoint, read_card
from rftkit.runs.calibration import CALIBRATION
from rftkit.runs.run import is_run

README = "README.md"
ADAPTER = ("adapter_config.json", "adapter_model.safetensors", CARD, CALIBRATION, README)
WEIGHTS = ("*.safetensors", "*.gguf")
CONFIGS = (  # read by transformers, vLLM and their like; they may name a folder of this machine
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
)
VOCABULARY = (
    *("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "merges.txt"),
    *("added_tokens.json", "chat_template.jinja", "chat_template.json"),
    "*.safetensors.index.json",
)
MODELFILE = "Modelfile"  # Ollama's
SERVING = ("serve.sh", "chat_template_thinking.jinja")  # what starts vLLM, and what it is given
EXPORTED = (*WEIGHTS, *CONFIGS, *VOCABULARY, MODELFILE, *SERVING, CARD, CALIBRATION, README)


@dataclass(frozen=True)
class Parcel:
    """One file as it travels: its path in the repository, and its bytes or where they are."""

    name: str
    content: bytes | Path

    @property
    def size(self) -> int:
        """Bytes."""
        if isinstance(self.content, bytes):
            return len(self.content)
        return self.content.stat().st_size


@dataclass(frozen=True)
class Source:
    """What is pushed. checkpoint: the run or adapter behind it; None for an export alone.

    exported: the folder of a whole model; None where the adapter travels.
    """

    checkpoint: Checkpoint | None
    exported: Path | None = None

    @property
    def folder(self) -> Path:
        """Where the files are."""
        if self.exported is not None:
            return self.exported
        assert self.checkpoint is not None
        return self.checkpoint.adapter


def find(location: Path, export: Path | None = None) -> Source:
    """What a run, an adapter or an exported model's folder is to a push.

    export: the folder of the run's whole model, which then travels in place of its adapter.
    Raises ModelError, with what would have been accepted.
    """
    if not location.is_dir():
        raise ModelError(f"{location}: no such folder; name a run such as out/pets")
    if export is not None and not is_exported(export):
        raise ModelError(f"--export {export}: no config.json with *.safetensors or *.gguf there")
    if export is not None:
        _check_proved(export)
    if not is_run(location) and is_exported(location):
        if export is not None:
            raise ModelError(f"{location}: is an exported model itself; leave out --export")
        _check_proved(location)
        return Source(None, location)
    try:
        found = adapters.find(location)
    except ModelError as error:
        raise ModelError(str(error).removeprefix("--ckpt ")) from None
    if found.name:
        raise ModelError(
            f"{location}: {found.name} is a checkpoint of a run that is not finished; "
            "`rftkit train --resume` finishes it"
        )
    return Source(found, export)


def is_exported(folder: Path) -> bool:
    """Whether a folder holds a whole model."""
    weights = any(any(folder.glob(pattern)) for pattern in WEIGHTS)
    adapter = (folder / "adapter_config.json").is_file()
    return weights and not adapter and ((folder / "config.json").is_file() or _has_gguf(folder))


def _check_proved(folder: Path) -> None:
    """Raises ModelError for an export that did not answer as its adapter does."""
    card = folder / EXPORT_CARD
    try:
        proved = json.loads(card.read_text("utf-8"))["proved"] if card.is_file() else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{card}: damaged ({error}); export again") from None
    if proved is False:
        raise ModelError(f"{folder}: failed its proof, see proof.json there; export again")


def parcels(source: Source, readme: str) -> list[Parcel]:
    """The files that travel, by name; readme is the text of the model card."""
    patterns = ADAPTER if source.exported is None else EXPORTED
    found = {name: path for name, path in _files(source.folder) if _listed(name, patterns)}
    made = {name: Parcel(name, _prepared(path)) for name, path in found.items()}
    made[README] = Parcel(README, paths.in_text(readme).encode())
    return [made[name] for name in sorted(made)]


def left_out(source: Source) -> list[str]:
    """The files of the folder that stay here."""
    patterns = ADAPTER if source.exported is None else EXPORTED
    return sorted(name for name, _ in _files(source.folder) if not _listed(name, patterns))


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Name from the folder on, and path, of all that is not hidden."""
    found = [(path.relative_to(folder), path) for path in folder.rglob("*") if path.is_file()]
    return [
        (name.as_posix(), path)
        for name, path in found
        if not any(part.startswith(".") for part in name.parts)
    ]


def _listed(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether it may travel: files of an adapter lie in its folder itself."""
    file = name.rpartition("/")[2] if patterns is EXPORTED else name
    return any(fnmatch(file, pattern) for pattern in patterns) and (file != README or file == name)


def _prepared(path: Path) -> bytes | Path:
    """What travels of a file: itself, or its text without the places of this machine."""
    cut = None if _marks_builtin(path) else _cutter(path.name)
    if cut is None:
        return path
    try:
        return cut(path).encode()
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); export or train again") from None


def _marks_builtin(path: Path) -> bool:
    """Whether it lies beside the weights of a built-in model: an export has it of its base."""
    if path.name != CARD:
        return False
    try:
        held = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False  # whoever reads it says what is wrong with it
    return isinstance(held, dict) and "sha256" in held and "recipe" not in held


def _cutter(name: str) -> Callable[[Path], str] | None:
    if name == CARD:
        return portable_card
    if name in CONFIGS:
        return lambda path: paths.in_json(path.read_text("utf-8"))
    if name == MODELFILE:
        return lambda path: paths.in_text(path.read_text("utf-8"))
    return None


def portable_card(path: Path) -> str:
    """The text of rftkit.json with a recipe that names no folder of this machine."""
    card = read_card(path.parent)
    recipe = portable(parse_recipe(card.recipe, str(path)))
    return adapters.card_text(card._replace(recipe=dump_recipe(recipe)))


def _has_gguf(folder: Path) -> bool:
    return any(folder.glob("*.gguf"))
