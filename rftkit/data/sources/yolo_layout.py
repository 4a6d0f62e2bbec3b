"""Where a YOLO data set keeps its images, its files of labels and the names of its classes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from rftkit.data.images import SUFFIXES
from rftkit.data.locate import SPLIT
from rftkit.data.paths import DataPath, Note, stay_inside
from rftkit.data.sources.annotated import located, shown
from rftkit.data.sources.fields import text_of
from rftkit.data.sources.local_hub.card import UNREADABLE
from rftkit.errors import DataError
from rftkit.files import plain
from rftkit.messages import did_you_mean
from rftkit.recipe.sections import Data

YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
CLASS_LISTS = ("classes.txt", "labels/classes.txt", "obj.names")
MAX_BYTES = 1_000_000  # of data.yaml
MAX_CLASSES = 100_000

Labels = dict[int, str]


class _Plain(yaml.SafeLoader):
    """YAML without aliases, by which a small file could mean a huge one."""

    def compose_node(self, parent: object, index: object) -> object:
        """The next node. Raises YAMLError for an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias; write the value itself")
        return super().compose_node(parent, index)


class ShownImage(NamedTuple):
    """An image, by its path below the root, and its file of labels, which need not be there."""

    name: str
    text: DataPath
    split: str = ""

    @property
    def location(self) -> str:
        """What an error calls it."""
        return str(self.text)


class Layout(NamedTuple):
    """The data set. images: those of the split, or all of them where `divided` is false."""

    root: DataPath
    labels: Labels
    images: list[ShownImage]
    divided: bool


def layout_of(data: Data, split: str, note: Note) -> Layout:
    """What `data.path` leads to: a data.yaml, a folder that holds one, or a folder of images.

    Raises DataError for a split, a folder or a name that is missing, and for files of labels
    without their image.
    """
    where = located(data, split, note)
    path = where.annotations
    if path.is_dir():
        path = next((path / name for name in YAML_NAMES if (path / name).is_file()), path)
    if path.is_dir() and data.images:
        raise DataError(f"{path}/: holds its own images, without a data.yaml; clear data.images")
    if path.is_dir():
        root, labels = path, _listed_names(path)
        folders, divided = _folders(root, data, split)
    else:
        values = _load(path)
        root = where.images if data.images else _root(path, values, note)
        labels, divided = _names(values.get("names"), path), True
        folders = _places(values, split, root, path)
    images = [item for folder in folders for item in _images(folder, root)]
    _check_labels(images, folders, root)
    return Layout(root, labels, sorted(set(images)), divided)


def _load(path: DataPath) -> Mapping[str, object]:
    if Path(path).stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: above {MAX_BYTES / 1e6:.0f} MB; not a data.yaml")
    try:
        values = yaml.load(plain(Path(path)).read_text("utf-8-sig"), _Plain)
    except UNREADABLE as error:
        line = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: not YAML ({line}); fix it") from error
    if not isinstance(values, dict):
        raise DataError(f"{path}: no keys; write train, val and names")
    return {str(key): value for key, value in values.items()}


def _names(value: object, path: DataPath) -> Labels:
    """Class number -> name, of a YAML list or a YAML mapping."""
    numbered = enumerate(value) if isinstance(value, list) else ()
    pairs = list(value.items() if isinstance(value, dict) else numbered)
    if not pairs or len(pairs) > MAX_CLASSES:
        raise DataError(f"{path}: names {shown(value)} is not a list of class names; write one")
    labels: Labels = {}
    seen: set[str] = set()
    for key, name in pairs:
        location = f"{path}: names[{shown(key)}]"
        if isinstance(key, bool) or not isinstance(key, int) or key < 0:
            raise DataError(f"{location}: not the number of a class; write 0, 1, 2, …")
        label = text_of(name, "name", location)
        if label in seen:
            raise DataError(f"{location}: name {label!r} is that of another class too; rename one")
        seen.add(label)
        labels[key] = label
    return labels


def _listed_names(root: DataPath) -> Labels:
    path = next((root / name for name in CLASS_LISTS if (root / name).is_file()), None)
    if path is None:
        raise DataError(f"{root}/: no data.yaml and no classes.txt; add the names of the classes")
    lines = Path(path).read_text("utf-8-sig", errors="replace").splitlines()
    return _names([line for line in lines if line.strip()], path)


def _root(path: DataPath, values: Mapping[str, object], note: Note) -> DataPath:
    """The folder that data.yaml's `path` means, never one outside its own."""
    own, root = path.parent, values.get("path", ".")
    if not isinstance(root, str):
        raise DataError(f"{path}: path {shown(root)} is not the name of a folder; fix it")
    if _is_inside(root) and (own / root).is_dir():
        return own / root
    note(f"{path}: its path {root!r} is not a folder below it; its own folder is taken")
    return own


def _places(
    values: Mapping[str, object], split: str, root: DataPath, path: DataPath
) -> list[DataPath]:
    """The folders, or lists of images, of one split of a data.yaml."""
    entries = values.get(split)
    if not entries:
        there = [key for key in ("train", "val", "test") if values.get(key)]
        raise DataError(
            f"{path}: no split {split!r}; {did_you_mean(split, there)}; set data.splits"
        )
    places = []
    for value in entries if isinstance(entries, list) else [entries]:
        if not isinstance(value, str):
            raise DataError(f"{path}: {split} {shown(value)} is not the name of a folder; fix it")
        value = value.replace("\\", "/")
        while value.startswith("../") and not _is_inside(value):
            value = value.removeprefix("../")  # as some exports have it, beside the folder meant
        if not _is_inside(value):
            raise DataError(f"{path}: {split} {value!r} leaves {root}/; name it relative to that")
        if not (root / value).exists():
            raise DataError(f"{path}: {split}: no {value!r} below {root}/; set data.images to it")
        places.append(root / value)
    return places


def _folders(root: DataPath, data: Data, split: str) -> tuple[list[DataPath], bool]:
    """The folder of a split's images, and whether it holds that split alone."""
    for inside in (root / "images" / split, root / split / "images"):
        if inside.is_dir():
            return [inside], True
    images = root / "images"
    if not images.is_dir():
        there = sorted(p.name for p in root.iterdir() if p.is_dir())
        raise DataError(f"{root}/: no images/{split} (folders: {', '.join(there) or 'none'})")
    inside_it = sorted(p.name for p in images.iterdir() if p.is_dir())
    if inside_it:
        raise DataError(f"{images}/: no split {split!r}; {did_you_mean(split, inside_it)}")
    return [images], SPLIT in data.path


def _images(location: DataPath, root: DataPath) -> list[ShownImage]:
    """The images below a folder, or those that a text file lists."""
    if location.is_file():
        return [_imaged(name, root) for name in _lines(location, root)]
    images = [path for path in sorted(location.glob("**/*")) if path.suffix.lower() in SUFFIXES]
    if not images:
        raise DataError(f"{location}/: no images; check the path")
    return [_imaged(path.relative_to(root).as_posix(), root) for path in images]


def _lines(path: DataPath, root: DataPath) -> list[str]:
    stay_inside(path, root, str(path))
    lines = []
    for number, line in enumerate(
        Path(path).read_text("utf-8-sig", "replace").splitlines(), start=1
    ):
        name = os.path.normpath(line.strip())
        if not line.strip():
            continue
        if not _is_inside(name):
            raise DataError(f"{path}:{number}: {name!r} leaves {root}/; name it relative to that")
        lines.append(name)
    return lines


def _imaged(name: str, root: DataPath) -> ShownImage:
    """The labels are in `labels` where the image is in `images`; else beside it."""
    parts = Path(name).parts
    swap = max((n for n, part in enumerate(parts[:-1]) if part == "images"), default=None)
    if swap is not None:
        parts = (*parts[:swap], "labels", *parts[swap + 1 :])
    return ShownImage(name, root / Path(*parts).with_suffix(".txt"))


def _check_labels(images: list[ShownImage], folders: list[DataPath], root: DataPath) -> None:
    """Raises DataError for files of labels without an image, and for a set without labels."""
    expected = {item.text for item in images}
    if len(expected) < len({item.name for item in images}):
        raise DataError(f"{root}/: two images share one file of labels; rename one of them")
    for folder in {item.text.parent for item in images}:
        stay_inside(folder, root, f"{root}/")
    if not any(path.is_file() for path in expected):
        raise DataError(f"{min(expected)}: no such file, nor any other labels; check the folders")
    if not all(folder.is_dir() for folder in folders):
        return  # a list names some images of a folder, and leaves out others
    for text in sorted(
        {path for parent in {p.parent for p in expected} for path in parent.glob("*.txt")}
    ):
        if text not in expected and text.name != "classes.txt":
            raise DataError(f"{text}: labels without an image; add the image or remove it")


def _is_inside(value: str) -> bool:
    path = Path(os.path.normpath(value))
    return not path.is_absolute() and path.parts[:1] != ("..",)
