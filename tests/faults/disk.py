"""What a disk may hold after a power cut: only what was synced.

Two kinds, as far apart as file systems are. One forgets every name and every byte that nobody
synced. The other has every name at once, as journals of names do, but of bytes that were not
synced only their number: it reads as zeros.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from stat import S_ISDIR
from typing import NamedTuple

Tree = Mapping[str, bytes | None]


class _Entry(NamedTuple):
    number: int
    is_folder: bool


class Disk:
    """Told of each fsync before it happens, while the process waits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.contents: dict[int, bytes] = {}
        self.names: dict[int, dict[str, _Entry]] = {}
        self.held: dict[int, int] = {}  # open, so that no other file gets its number
        self.sync(folder)

    def sync(self, path: Path) -> None:
        """What fsync of a file or folder puts on the disk."""
        handle = os.open(path, os.O_PATH)
        number = os.fstat(handle).st_ino
        if number in self.held:
            os.close(handle)
        else:
            self.held[number] = handle
        if path.is_dir():
            self.names[number] = {entry.name: _entry(entry) for entry in os.scandir(path)}
            for entry in os.scandir(path):
                self._hold(Path(entry.path))
        else:
            self.contents[number] = path.read_bytes()

    def forgetting(self) -> Tree:
        """Of the disk that forgets all that was not synced, below the folder."""
        found: dict[str, bytes | None] = {}
        self._collect(self.folder.stat().st_ino, "", found)
        return {n: c for n, c in found.items() if n.startswith("out")}

    def with_zeros(self, tree: Tree) -> Tree:
        """Of the disk that has all names of `tree`, and zeros for bytes that were not synced."""
        return {
            name: content if content is None else self._zeroed(self.folder / name, content)
            for name, content in tree.items()
        }

    def _zeroed(self, path: Path, content: bytes) -> bytes:
        synced = self.contents.get(path.stat().st_ino, b"")
        if synced == content[: len(synced)]:
            return synced + bytes(len(content) - len(synced))
        return bytes(len(content))

    def _collect(self, number: int, name: str, found: dict[str, bytes | None]) -> None:
        for entry_name, entry in self.names.get(number, {}).items():
            path = f"{name}/{entry_name}" if name else entry_name
            if entry.is_folder:
                found[path] = None
                self._collect(entry.number, path, found)
            else:
                found[path] = self.contents.get(entry.number, b"")

    def _hold(self, path: Path) -> None:
        handle = os.open(path, os.O_PATH | os.O_NOFOLLOW)
        number = os.fstat(handle).st_ino
        if number in self.held:
            os.close(handle)
        else:
            self.held[number] = handle


def _entry(entry: os.DirEntry[str]) -> _Entry:
    seen = entry.stat(follow_symlinks=False)
    return _Entry(seen.st_ino, S_ISDIR(seen.st_mode))
