"""Image folders: `<split>/<class>/*`, or `<class>/*` with a seeded split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rftkit.core import Row
from rftkit.data import splits
from rftkit.data.images import SUFFIXES, FileImage
from rftkit.data.locate import locate
from rftkit.data.paths import DataPath, check_name, stay_inside
from rftkit.data.source_notes import SourceNotes
from rftkit.errors import DataError
from rftkit.messages import did_you_mean
from rftkit.recipe.sections import Data

SPLIT_NAMES = ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval")
LITTER = ("thumbs.db", "desktop.ini", "__macosx")


@dataclass(frozen=True)
class Listing:
    """The images of each class, as paths relative to the root, sorted; and what was skipped."""

    images: Mapping[str, tuple[str, ...]]
    skipped: Mapping[str, int]


def rows(data: Data, split: str, note: SourceNotes) -> Iterator[Row]:
    """One row for each image of the split, sorted by class and name; the class is the label.

    `maine_coon` is the label "maine coon": prompts have it as a person writes it.
    """
    root = existing_folder(locate(data.path, split, note))
    divided = has_splits(root, data.splits)
    if divided and split not in (present := subfolders(root)):
        raise DataError(f"{root}/: no split {split!r}; {did_you_mean(split, present)}")
    listing = list_classes(root, root / split if divided else root)
    if listing.skipped:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(listing.skipped.items()))
        note(f"{root}/: skipped what is not an image: {kinds}")
    if not divided:
        note.note_held_out(f"{root}/: {splits.NOTE}")
        listing = _share(listing, data, split, f"{root}/")
    for label, names in listing.images.items():
        for name in names:
            path = root / name
            yield Row(str(path), FileImage(path, name), {"image": name, "label": spelled(label)})


def spelled(folder: str) -> str:
    """The label that a folder of images stands for."""
    return " ".join(folder.replace("_", " ").split()) or folder


def existing_folder(root: DataPath, key: str = "data.path") -> DataPath:
    """The folder that a recipe names under `key`. Raises DataError if there is none."""
    if not root.is_dir():
        what = "a file, not a folder" if root.exists() else "no such folder"
        raise DataError(f"{root}: {what}; set {key} to the folder of images")
    return root


def subfolders(folder: DataPath) -> list[str]:
    """The names of the folders inside, sorted, hidden ones and litter left out."""
    return sorted(e.name for e in folder.iterdir() if e.is_dir() and not _is_litter(e.name))


def has_splits(root: DataPath, wanted: tuple[str, str]) -> bool:
    """Whether the first level is splits rather than classes. Never guessed: raises if unclear."""
    names = subfolders(root)
    if all(split in names for split in wanted if split):
        return True
    if looks := [name for name in names if name.casefold() in SPLIT_NAMES]:
        missing = next(split for split in wanted if split and split not in names)
        raise DataError(
            f"{root}/: no split {missing!r}, but {', '.join(looks)}; set data.splits to the "
            "names of the training and the test folder"
        )
    return False


def list_classes(root: DataPath, folder: DataPath) -> Listing:
    """The classes and images in `folder`, one class for each folder inside it."""
    names = subfolders(folder)
    if not names:
        raise DataError(f"{folder}/: no class folders; put the images into one folder per class")
    skipped: Counter[str] = Counter()
    images = {name: _images(root, folder / name, skipped) for name in names}
    return Listing(images, skipped)


def _images(root: DataPath, folder: DataPath, skipped: Counter[str]) -> tuple[str, ...]:
    check_name(folder.name, f"{folder.parent}/")
    stay_inside(folder, root, f"{root}/")
    images = []
    for entry in sorted(folder.iterdir()):
        if _is_litter(entry.name):
            continue
        if entry.suffix.lower() not in SUFFIXES or entry.is_dir():
            kind = ascii(entry.suffix)[1:-1] or "without suffix"
            skipped["folders" if entry.is_dir() else kind] += 1
            continue
        check_name(entry.name, f"{folder}/")
        if entry.is_symlink():
            stay_inside(entry, root, f"{root}/")
        images.append(entry.relative_to(root).as_posix())
    if not images:
        raise DataError(f"{folder}/: no images in this class; add some or remove the folder")
    return tuple(images)


def _share(listing: Listing, data: Data, split: str, location: str) -> Listing:
    test = splits.is_test(data, split, location)
    chosen = splits.held_out(listing.images, location)
    kept = {
        label: tuple(name for name in names if (name in chosen) == test)
        for label, names in listing.images.items()
    }
    return Listing(kept, listing.skipped)


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.casefold() in LITTER
