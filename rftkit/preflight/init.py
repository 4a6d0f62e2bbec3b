"""`rftkit init`: a commented recipe for a folder of images or annotations."""

from __future__ import annotations

from pathlib import Path

from rftkit.recipe.builtin import write_new


def write_starter(folder: Path, out: Path | None) -> Path:
    """Write a commented recipe for images or annotations; never over a file that is there."""
    from rftkit.data.archives.members import SUFFIXES
    from rftkit.data.detect import annotations_at
    from rftkit.preflight.init_boxes import boxes_recipe
    from rftkit.preflight.init_folder import starter_recipe
    from rftkit.preflight.init_refused import refuse_others

    refuse_others(folder)
    location = annotations_at(folder)
    text = starter_recipe(folder) if location is None else boxes_recipe(location)
    packed = folder.name.lower().endswith(SUFFIXES)
    root = folder if packed or folder.is_dir() else folder.parent
    name = root.resolve().name
    suffix = next((end for end in SUFFIXES if name.lower().endswith(end)), "")
    return write_new(out or Path(f"{name[: len(name) - len(suffix)]}.toml"), text)
