"""Checkpoints that are whole or absent: written beside, listed with sizes and hashes, moved."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from rftkit.files import sha256

MANIFEST = "manifest.json"


def settle(staged: Path, final: Path) -> Path:
    """Turn a folder that was just written into a checkpoint: hash it, sync it, move it."""
    files = sorted(p for p in staged.rglob("*") if p.is_file())
    listing = {}
    for path in files:
        _sync(path)
        listing[path.relative_to(staged).as_posix()] = [path.stat().st_size, sha256(path)]
    manifest = staged / MANIFEST
    manifest.write_text(json.dumps(listing, indent=1, sort_keys=True), "utf-8")
    _sync(manifest)
    shutil.rmtree(final, ignore_errors=True)
    final.parent.mkdir(exist_ok=True)
    staged.rename(final)
    return final


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, in words; None if every file is as it was written."""
    try:
        listing = json.loads((checkpoint / MANIFEST).read_text("utf-8"))
        expected = [(name, size, digest) for name, (size, digest) in listing.items()]
    except (OSError, ValueError, TypeError, AttributeError):
        return "has no readable manifest"
    for name, size, digest in expected:
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} bytes instead of {size}"
        if sha256(path) != digest:
            return f"{name} has changed since it was written"
    return None


def in_order(folder: Path) -> list[Path]:
    """The checkpoints in a folder, newest first, damaged ones included."""
    found = [p for p in folder.glob("step-*") if p.name.removeprefix("step-").isdecimal()]
    return sorted(found, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """The optimizer step after which a checkpoint was written."""
    return int(checkpoint.name.removeprefix("step-"))


def keep_newest(folder: Path, count: int = 2) -> None:
    """Delete all but the `count` newest checkpoints."""
    for old in in_order(folder)[count:]:
        shutil.rmtree(old)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
