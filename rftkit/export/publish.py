"""An export is made beside its place, and takes it when it is whole and proved.

A process that is killed leaves a hidden folder, which the next export clears. One whose proof fails
is moved to `NAME-failed`: it can be looked at, and nothing takes it for an export.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rftkit.errors import ModelError, UserError
from rftkit.runs.locks import locked

FILES, BEFORE = "files", "before"  # in the hidden folder, beside its lock


class ProofError(ModelError):
    """An export that does not answer as its adapter does."""


def check_free(out: Path, force: bool) -> None:
    """Raises UserError if something lies where the export is to go, and is not to be replaced."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is a file; name a folder")
    if out.is_dir() and any(out.iterdir()) and not force:
        raise UserError(f"{out}: exists already; --force replaces it, --out names another folder")


@contextmanager
def in_place_of(out: Path, force: bool = False) -> Iterator[Path]:
    """An empty folder to write into, which becomes `out` if the block ends without an error.

    What was in `out` stays until then. Raises UserError if another process is at it.
    """
    check_free(out, force)
    hidden = out.with_name(f".{out.name}.building")
    files, failed = hidden / FILES, failed_folder(out)
    for path in (hidden, files, hidden / BEFORE):
        if path.is_symlink():
            raise UserError(f"{path}: is a link; an export is made there, so delete it")
    hidden.mkdir(parents=True, exist_ok=True)
    try:
        with locked(hidden):
            _clear(files)
            files.mkdir()
            try:
                yield files
            except ProofError:
                _move(files, failed, hidden)
                raise
            _move(files, out, hidden)
            _clear(failed)
    finally:
        _clear_own(hidden)


def failed_folder(out: Path) -> Path:
    """Where an export goes that does not pass."""
    return out.with_name(f"{out.name}-failed")


def _move(files: Path, out: Path, hidden: Path) -> None:
    """Put the files in their place; what was there goes, and comes back if that fails."""
    before = hidden / BEFORE
    _clear(before)
    if out.exists():
        out.rename(before)
    try:
        files.rename(out)
    except OSError:
        if before.exists():
            before.rename(out)
        raise
    _clear(before)


def _clear(folder: Path) -> None:
    """Delete a folder with all that is in it; of a link to one, the link."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def _clear_own(hidden: Path) -> None:
    """Remove the hidden folder, unless another process has come to hold it."""
    if hidden.is_dir() and not (hidden / "lock").exists():
        shutil.rmtree(hidden, ignore_errors=True)
