"""Checkpoints that are whole or absent: written beside, listed with sizes and hashes, moved."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from rftkit.errors import UserError
from rftkit.files import plain, require_space, sha256, sync
from rftkit.messages import first_line

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = "manifest.json"
SCRAPS = 2**20  # bytes; with less left on the disk, a failed write is the disk's doing
WEIGHTS, OPTIMIZER = "adapter_model.safetensors", "optimizer.pt"
STATE = "trainer_state.json"
LARGEST = 2**34  # bytes of a LoRA adapter
LARGEST_FILE = 4 * LARGEST  # of a checkpoint: the optimizer keeps two numbers for each weight
PERIODS = ("logging_steps", "save_steps", "eval_steps")  # of a trainer's state
RESUMED_FROM = (OPTIMIZER, "scheduler.pt", "rng_state.pth", STATE)
READ = {".safetensors", ".bin", ".pt", ".pth", ".pkl", ".json"}  # what a trainer may look for
# what torch.load raises for a file of another shape, or one that would run code
UNREADABLE = (
    *(UnpicklingError, OSError, EOFError, RuntimeError),
    *(LookupError, TypeError, AttributeError),
)


def settle(staged: Path, final: Path) -> Path:
    """Turn a folder that was just written into a checkpoint: hash it, sync it, move it.

    After a power cut it is there whole or not at all: its files are on the disk before it has its
    name, and its name is before this returns.
    """
    files = sorted(p for p in staged.rglob("*") if p.is_file())
    listing = {}
    for path in files:
        sync(path)
        listing[path.relative_to(staged).as_posix()] = [path.stat().st_size, sha256(path)]
    manifest = staged / MANIFEST
    manifest.write_text(json.dumps(listing, indent=1, sort_keys=True), "utf-8")
    sync(manifest)
    for folder in {path.parent for path in (*files, manifest)}:
        sync(folder)
    remove(final)
    final.parent.mkdir(exist_ok=True)
    staged.rename(final)
    for folder in (final.parent, final.parent.parent):
        sync(folder)
    return final


@contextmanager
def written(place: Path) -> Iterator[None]:
    """Within it libraries write. Raises UserError where they fail: a full disk, or a broken one."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        require_space(place.parent, SCRAPS)
        raise unwritten(place, error) from None


def unwritten(place: Path, error: Exception) -> UserError:
    """What to say of a library's error, with which writing has ended."""
    reason = first_line(error, 200)
    return UserError(
        f"{place}: cannot be written ({reason}); look after the disk, then continue with --resume"
    )


def too_large(adapter: Path) -> str | None:
    """Why the weights of an adapter are not to be read, in words: a file may claim any size."""
    size = (adapter / WEIGHTS).stat().st_size
    if size <= LARGEST:
        return None
    return f"{WEIGHTS} has {size:,} bytes, and no LoRA has more than {LARGEST:,}"


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, in words.

    None if every file is as it was written, and all of the adapter and optimizer is finite.
    """
    try:
        listing = json.loads(plain(checkpoint / MANIFEST).read_text("utf-8"))
        expected = [(name, size, digest) for name, (size, digest) in listing.items()]
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, UserError):
        return "has no readable manifest"
    if WEIGHTS not in listing:
        return f"its manifest does not name {WEIGHTS}"
    for path in checkpoint.iterdir():
        if path.suffix in READ and path.name not in (*listing, MANIFEST):
            return f"{path.name} is not in its manifest"
    for name, size, digest in expected:
        path = checkpoint / name
        if not path.is_file() or path.is_symlink():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} bytes instead of {size}"
        if size > (LARGEST if name == WEIGHTS else LARGEST_FILE):
            return f"{name} has {size:,} bytes, more than a checkpoint's file has"
        if sha256(path) != digest:
            return f"{name} has changed since it was written"
    return _not_finite(checkpoint)


def unfit(checkpoint: Path) -> str | None:
    """Why a trainer would go on wrongly from a checkpoint that is as it was written, in words."""
    for name in RESUMED_FROM:
        if not (checkpoint / name).is_file():
            return f"{name} is missing"
    try:
        state = json.loads((checkpoint / STATE).read_text("utf-8"))
        right = type(state["global_step"]) is int and isinstance(state["log_history"], list)
        right = right and 0 < state["global_step"] <= step_of(checkpoint)
        right = right and isinstance(state["stateful_callbacks"]["TrainerControl"], dict)
        periods = [state[name] for name in PERIODS if state.get(name) is not None]
        right = right and all(type(one) in (int, float) and one > 0 for one in periods)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        right = False
    return None if right else f"{STATE} is not what a trainer writes"


def _not_finite(checkpoint: Path) -> str | None:
    """Which tensor of adapter or optimizer holds NaN or infinity, in words; None if none does."""
    from safetensors import SafetensorError

    for name, tensors in ((WEIGHTS, _weights), (OPTIMIZER, _moments)):
        path = checkpoint / name
        try:
            damaged = (key for key, tensor in tensors(path) if not tensor.isfinite().all())
            first = next(damaged, None) if path.is_file() else None
        except (SafetensorError, *UNREADABLE):
            return f"{name} cannot be read"
        if first:
            return f"{name}: {first} holds NaN or infinity"
    return None


def _weights(path: Path) -> Iterator[tuple[str, Tensor]]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118  not a dict
            yield name, file.get_tensor(name)


def _moments(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Of each parameter, by its number: the step it is at, and both moments."""
    import torch

    states = torch.load(path, map_location="cpu", weights_only=True)["state"]
    for number, state in states.items():
        for name, tensor in state.items():
            yield f"{name} of parameter {number}", tensor


def bytes_needed(model: Any) -> int:
    """Room on the disk for one checkpoint: adapter, two moments, and as much again beside it."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return int(4 * sum(p.numel() * p.element_size() for p in trained) + 2**20)


def in_order(folder: Path) -> list[Path]:
    """The checkpoints in a folder, newest first, damaged ones included."""
    folders = [p for p in folder.glob("step-*") if p.name.removeprefix("step-").isdecimal()]
    return sorted(folders, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """The optimizer step after which a checkpoint was written."""
    return int(checkpoint.name.removeprefix("step-"))


def keep_only(folder: Path, kept: Collection[Path]) -> None:
    """Delete the other checkpoints in a folder: older ones, and those found to be damaged."""
    for path in in_order(folder):
        if path not in kept:
            remove(path)


def remove(path: Path) -> None:
    """Delete a folder with all that is in it; of a link to one, the link."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)
