"""The data of a recipe written again as tables: both splits, the training one with rationales."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rftkit import files
from rftkit.core import Example, LazyImage
from rftkit.data.images import FileImage
from rftkit.errors import DataError
from rftkit.recipe.schema import Recipe
from rftkit.recipe.sections import Data
from rftkit.recipe.toml import dump_recipe
from rftkit.tasks import get_task

Row = Mapping[str, object]
TRAIN, TEST = "train", "test"


@dataclass(frozen=True)
class Tables:
    """Where the tables are, and what is in their rows but for the rationale.

    suffix: csv, or jsonl where a cell is a list. images: the folder that images are named from.
    """

    folder: Path
    suffix: str
    images: str
    train: Mapping[str, Row]  # example id -> its row
    test: tuple[Row, ...]

    def path(self, split: str) -> Path:
        """The table of a split."""
        return self.folder / f"{split}.{self.suffix}"

    def write(self, split: str, rationales: Mapping[str, str | None] | None = None) -> None:
        """Write one table, in place of what is there, with a rationale where there is one."""
        rows = list(self.test)
        if split == TRAIN:
            given = rationales or {}
            rows = [{**row, "rationale": given.get(name) or ""} for name, row in self.train.items()]
        files.write_atomically(self.path(split), _text(rows, self.suffix))


def prepare(recipe: Recipe, train: Sequence[Example], test: Sequence[Example], out: Path) -> Tables:
    """The rows of both splits; images that are no files of their own are written below `out`.

    Raises DataError for examples that no row of a table can hold.
    """
    root = _common_folder([image for e in (*train, *test) for image in e.images])
    written: dict[tuple[str, str], str] = {}

    def named(split: str, image: LazyImage) -> str:
        if root:
            return _in_folder(image, root)
        key = split, image.name  # several questions may be asked of one image
        if key not in written:
            written[key] = _written(image, out, f"images/{split}/{len(written):05d}.png")
        return written[key]

    rows: dict[str, dict[str, Row]] = {TRAIN: {}, TEST: {}}
    for split, examples in ((TRAIN, train), (TEST, test)):
        for example, values in [(e, _values(recipe, e)) for e in examples]:
            if values:
                names = [named(split, image) for image in example.images]
                image = names if len(names) > 1 else names[0]
                rows[split][example.id] = {"image": image, **values}
    every = [*rows[TRAIN].values(), *rows[TEST].values()]
    lists = any(isinstance(value, list) for row in every for value in row.values())
    images = str(root) if root else ""
    return Tables(out, "jsonl" if lists else "csv", images, rows[TRAIN], tuple(rows[TEST].values()))


def recipe_for(recipe: Recipe, tables: Tables) -> str:
    """The same recipe on these tables, as TOML."""
    asks = any("question" in row for row in tables.train.values())
    data = Data(
        source="jsonl" if tables.suffix == "jsonl" else "csv",
        path=str(tables.folder),
        images=tables.images,
        splits=(TRAIN, TEST),
        choices=recipe.data.choices,
        question="" if asks else recipe.data.question,
    )
    options = recipe.options
    if "shuffle" in type(options).model_fields:  # the rows hold the order that was asked in
        options = options.model_copy(update={"shuffle": False})
    return dump_recipe(recipe.model_copy(update={"data": data, "options": options}))


def _values(recipe: Recipe, example: Example) -> Row:
    row = get_task(recipe.task).row(example)
    if row is None:
        raise DataError(
            f"{example.location or example.id}: no row of a table can hold this example, with all "
            "that its annotation says; write rationales into the data themselves"
        )
    return row


def _common_folder(images: Sequence[LazyImage]) -> Path | None:
    """The folder that all images are files below; None if one is not, or is from an archive."""
    paths = [path for image in images if (path := _plain_file(image))]
    return (
        Path(os.path.commonpath([p.parent for p in paths])) if len(paths) == len(images) else None
    )


def _plain_file(image: LazyImage) -> Path | None:
    """Where the image is, links followed; None if it is no file, or is in an archive."""
    if isinstance(image, FileImage) and str(image.path) == os.fspath(image.path):
        return Path(image.path).resolve()
    return None


def _in_folder(image: LazyImage, root: Path) -> str:
    path = _plain_file(image)
    assert path
    return path.relative_to(root).as_posix()


def _written(image: LazyImage, out: Path, name: str) -> str:
    path = out / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        image.open().save(content, format="PNG")
        files.write_atomically(path, content.getvalue())
    return name


def _text(rows: Sequence[Row], suffix: str) -> str:
    if suffix == "jsonl":
        full = ({name: value for name, value in row.items() if value != ""} for row in rows)
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in full)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
