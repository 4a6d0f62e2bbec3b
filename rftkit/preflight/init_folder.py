"""The recipe that `rftkit init FOLDER` writes: what the folder holds, and a first run on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from rftkit.data.images import read_size
from rftkit.data.locate import locate
from rftkit.data.paths import DataPath
from rftkit.data.sources.folder import Listing, existing_folder, list_classes, subfolders
from rftkit.errors import DataError

TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "testing", "val", "valid", "validation", "dev", "eval")
MAX_SHOTS = 4
MEASURED = 50  # images whose size is looked at


class Found(NamedTuple):
    """What is in the folder. splits: None if its first level is classes."""

    splits: tuple[str, str] | None
    train: Listing
    test: Listing | None
    sizes: str


def starter_recipe(folder: Path) -> str:
    """A commented recipe (TOML) for a folder of images, `<split>/<class>/*` or `<class>/*`.

    It may be, or be inside, an archive. Raises DataError if the folder is neither, or has a class
    without images.
    """
    return _recipe(folder, existing_folder(locate(str(folder), "")))


def _recipe(folder: Path, root: DataPath) -> str:
    layout = _look(root)
    smallest = min(len(names) for names in layout.train.images.values())
    held_out = 0 if layout.splits else max(1, round(smallest / 5))
    shots = min(MAX_SHOTS, smallest - held_out)
    if shots < 1:
        raise DataError(f"{root}/: a class has one image; it needs two, to train and to test")
    return TEMPLATE.format(
        found="\n".join(f"#   {line}" for line in _described(layout)),
        path=_quoted(str(folder)),
        splits=_splits_line(layout),
        shots=shots,
        limit=0 if len(layout.train.images) * 10 < 1000 else 1000,
    )


def _look(root: DataPath) -> Found:
    names = subfolders(root)
    train = [name for name in names if name.casefold() in TRAIN_NAMES]
    test = [name for wanted in TEST_NAMES for name in names if name.casefold() == wanted]
    if not train and not test:
        listing = list_classes(root, root)
        return Found(None, listing, None, _sizes(root, listing))
    if not train or not test:
        raise DataError(
            f"{root}/: {(train or test)[0]!r} has no {'test' if train else 'train'} folder beside "
            "it; add one, or point at the folder of classes"
        )
    listing = list_classes(root, root / train[0])
    tested = list_classes(root, root / test[0])
    return Found((train[0], test[0]), listing, tested, _sizes(root, listing))


def _sizes(root: DataPath, listing: Listing) -> str:
    names = [name for images in listing.images.values() for name in images]
    step = max(1, len(names) // MEASURED)
    sizes = [read_size(Path(root / name), str(root / name)) for name in names[::step]]
    least, most = min(sizes, key=_area), max(sizes, key=_area)
    return f"images from {least[0]} × {least[1]} to {most[0]} × {most[1]} pixels"


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _described(layout: Found) -> list[str]:
    images = layout.train.images
    total = sum(len(names) for names in images.values())
    smallest = min(images, key=lambda label: len(images[label]))
    shown = ", ".join(list(images)[:8]) + (", …" if len(images) > 8 else "")
    lines = [
        f"{len(images)} classes: {shown}",
        f"{total} images{' to train on' if layout.splits else ''}; "
        f"fewest in {smallest!r}: {len(images[smallest])}",
        layout.sizes,
    ]
    if layout.test:
        tested = sum(len(names) for names in layout.test.images.values())
        lines.insert(2, f"{tested} images to test on")
    if skipped := sum(layout.train.skipped.values()):
        lines.append(f"{skipped} other files, which are skipped")
    return lines


def _splits_line(layout: Found) -> str:
    if layout.splits is None:
        return "# No split folders: one image in five of each class is held out, always the same."
    if layout.splits == ("train", "test"):
        return "# Trains on train/, is tested on test/."
    return f"splits = [{', '.join(_quoted(name) for name in layout.splits)}]"


def _quoted(text: str) -> str:
    """A TOML string. JSON's are the same, but for the one control character it leaves bare."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


TEMPLATE = """\
# Written by `rftkit init`. What the folder holds:
{found}
#
# rftkit check THIS_FILE                          reads every image, shows a prompt
# rftkit train THIS_FILE                          needs a GPU, or much patience
# rftkit train THIS_FILE --set model.name=tiny    a smoke test on any machine: it learns nothing
#                                                 useful here, but walks the whole path
task = "classification"
style = "think"        # think | direct | answer-first | adaptive

[model]
name = "Qwen/Qwen2.5-VL-3B-Instruct"   # hub id or local folder; "tiny" for a smoke test

[data]
source = "folder"
path = {path}
{splits}
shots = {shots}              # training images per class; 0 uses all
choices = "all"        # the prompt lists all classes; "none" asks openly
# question = "What kind of … is this?"   # says better what you want to know

[method]
kind = "grpo"          # reinforcement; "sft" imitates the labels
steps = 200
learning_rate = 1e-5
group_size = 8

[rewards]
accuracy = 1.0
format = 1.0

[eval]
limit = {limit}              # held-out images, evenly by class; 0 uses all
"""
