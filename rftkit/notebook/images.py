"""Folders of images for a notebook: yours, and one of built-in images to try it with."""

from __future__ import annotations

import json
from collections import Counter
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from rftkit.data import rows
from rftkit.data.images import SUFFIXES
from rftkit.data.locate import locate
from rftkit.errors import DataError
from rftkit.recipe.sections import Data


def image_folder(path: str | Path) -> Path:
    """The folder of classes that a folder or an archive holds; an archive is unpacked.

    Raises DataError if there is neither.
    """
    location = locate(str(path), "", print)
    if not location.is_dir():
        raise DataError(f"{path}: no such folder or zip; upload it, or fix the name")
    return Path(location)


def image_files(folder: str | Path, count: int) -> list[Path]:
    """Some image files of a folder of any depth, evenly spread over it."""
    files = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES)
    return files[:: max(1, len(files) // count)][:count]


def save_images(source: str, folder: str | Path, each: int, split: str = "train") -> Path:
    """The first `each` images of every class of a built-in set as `folder/<class>/*.png`."""
    seen: Counter[str] = Counter()
    for row in rows(Data.model_validate({"source": source}), split):
        label = str(row.values["label"])
        seen[label] += 1
        if seen[label] <= each:
            location = Path(folder) / label / f"{seen[label]}.png"
            location.parent.mkdir(parents=True, exist_ok=True)
            row.image.open().save(location)
    return Path(folder)


def save_boxes(folder: str | Path, each: int) -> Path:
    """`each` scenes of handwritten digits a split, as images beside `train.json` and `test.json`.

    The files are COCO's: boxes in pixels, a category for each digit.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        images, boxes = list[dict[str, object]](), list[dict[str, object]]()
        categories = dict[str, int]()
        data = Data(source="scenes", path="detection")
        for number, row in enumerate(islice(rows(data, split), each)):
            image = row.image.open()
            name = f"{split}-{number}.png"
            image.save(folder / name)
            width, height = image.size
            images.append({"id": number, "file_name": name, "width": width, "height": height})
            things = row.values["objects"]
            assert isinstance(things, tuple)
            for thing in things:
                label, box = thing.label, thing.box
                kind = categories.setdefault(label, len(categories) + 1)
                x, y = round(box.x1 * width, 1), round(box.y1 * height, 1)
                size = [round((box.x2 - box.x1) * width, 1), round((box.y2 - box.y1) * height, 1)]
                boxes.append({"id": len(boxes), "image_id": number, "category_id": kind,
                              "bbox": [x, y, *size]})  # fmt: skip
        kinds = [{"id": kind, "name": label} for label, kind in categories.items()]
        told = {"images": images, "annotations": boxes, "categories": kinds}
        (folder / f"{split}.json").write_text(json.dumps(told), "utf-8")
    return folder


def upload() -> str:
    """Ask for a file on the user's computer, in Colab; the path of what was uploaded.

    Raises DataError elsewhere, and if nothing was chosen.
    """
    if find_spec("google.colab") is None:
        raise DataError("upload: only Colab asks for a file; write the path of yours instead")
    from google.colab import files

    chosen = files.upload()
    if not chosen:
        raise DataError("upload: no file was chosen; run the cell again")
    return str(Path(next(iter(chosen))).absolute())


def download(file: str | Path) -> None:
    """Hand a file to the browser, in Colab; elsewhere say where it is."""
    print("wrote", file)
    if find_spec("google.colab") is not None:
        from google.colab import files

        files.download(str(file))
