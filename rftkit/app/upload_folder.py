"""The folder of uploads and downloads: its size has a bound, and the oldest uploads go first."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rftkit.app.limits import MOST_KEPT

FULL = "uploads: no room left for files; try again in a few minutes"


class UploadFolder:
    """kept: bytes in the folder, counted anew before each request and then as they come."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self.most, self.kept = most, 0

    @property
    def is_full(self) -> bool:
        """Whether a byte more than allowed is there."""
        return self.kept > self.most

    async def make_room(self, app: Any, size: int) -> None:
        """Delete the oldest uploads of Gradio's app until so many bytes more may come."""
        uploads = list(app.get_blocks().upload_file_set)
        folder = Path(app.uploaded_file_dir)
        self.kept = await asyncio.to_thread(cleared, folder, uploads, self.most - size)


def cleared(folder: Path, uploads: Iterable[str], most: int) -> int:
    """Bytes in the folder, once the oldest uploads are deleted that make them more than `most`."""
    found = [_size(Path(place) / name) for place, _, names in os.walk(folder) for name in names]
    kept = sum(found)
    if kept <= most:
        return kept
    for path in sorted(map(Path, uploads), key=_modified):
        if kept <= most:
            break
        size = _size(path)
        path.unlink(missing_ok=True)
        kept -= size
    return kept


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # deleted meanwhile
        return 0


def _modified(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0
