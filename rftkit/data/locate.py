"""Where a recipe's path leads: `{split}` filled in, archives unpacked."""

from __future__ import annotations

from pathlib import Path

from rftkit.data.archives.unpack import unpacked
from rftkit.data.paths import DataPath, Note, silent

SPLIT = "{split}"  # stands for the name of a split in data.path and data.images


def locate(value: str, split: str, note: Note = silent) -> DataPath:
    """The file or folder that a path of a recipe names for this split; it need not be there.

    An archive that holds nothing but one folder stands for that folder; a path inside an archive
    is taken as it is.
    """
    path = Path(value.replace(SPLIT, split)).expanduser()
    location = unpacked(path, note)
    while path.is_file() and location.is_dir() and len(entries := [*location.iterdir()]) == 1:
        if not entries[0].is_dir():
            break
        location = entries[0]
    return location
