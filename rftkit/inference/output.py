"""What `rftkit predict --out` writes: a table of all answers, and the images with them.

predictions.csv     a row for each answer, of tasks with boxes one for each box
images/cat.jpg      the image with the boxes, or the answer below it
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rftkit.answers.literals import in_text
from rftkit.data.images import FileImage
from rftkit.errors import UserError
from rftkit.files import write_atomically
from rftkit.inference.drawing import with_boxes, with_caption
from rftkit.inference.prediction import Prediction
from rftkit.messages import inert

TABLE, IMAGES = "predictions.csv", "images"
COLUMNS = (
    *("image", "asked", "answer", "confidence", "left", "top", "right", "bottom"),
    *("abstained", "off_the_list", "reasoning", "reply", "probabilities", "error"),
)
QUALITY = 90  # of JPEG


class Output:
    """A folder of predictions. Use it in a `with`: the table is whole at any time.

    Raises UserError if the folder holds predictions already, or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.table = folder, folder / TABLE
        if self.table.exists():
            raise UserError(f"--out {folder}: holds predictions already; name another folder")
        if folder.exists() and not folder.is_dir():
            raise UserError(f"--out {folder}: is a file; name a folder")
        self._images = folder / IMAGES
        self._of_one: list[Prediction] = []  # the answers about one image
        self._taken = dict[str, int]()

    def __enter__(self) -> Self:
        """Make the folder, and the head of the table."""
        self._images.mkdir(parents=True, exist_ok=True)
        # a file's name may be bytes that are no text
        self._file = self.table.open("w", encoding="utf-8", errors="backslashreplace", newline="")
        self._rows = csv.DictWriter(self._file, COLUMNS, restval="")
        self._rows.writeheader()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Write the last image."""
        try:
            if kind is None:
                self._draw()
        finally:
            self._file.close()

    def add(self, prediction: Prediction) -> None:
        """Write one answer; the image follows once all answers about it are there."""
        if self._of_one and self._of_one[0].image != prediction.image:
            self._draw()
        self._of_one.append(prediction)
        self._rows.writerows(map(_inert, _rows(prediction)))
        self._file.flush()

    def unread(self, image: Path, why: str) -> None:
        """Write a row for an image that could not be read."""
        self._rows.writerow(_inert({"image": image, "error": why}))
        self._file.flush()

    def _draw(self) -> None:
        answers, self._of_one = self._of_one, []
        if not answers:
            return
        path = answers[0].image
        image = FileImage(path, str(path)).open()
        if any(answer.boxed for answer in answers):
            found = [box for answer in answers for box in answer.boxes or ()]
            names = [f"{box.label} {box.confidence:.2g}" for box in found]
            drawn = with_boxes(image, [box.box for box in found], names)
        else:
            drawn = with_caption(image, answers[0].line().removeprefix(f"{path}: "))
        content = io.BytesIO()
        drawn.save(content, format="JPEG", quality=QUALITY)
        write_atomically(self._images / self._name(path), content.getvalue())

    def _name(self, path: Path) -> str:
        """A name of its own for an image, if folders hold images of one name."""
        number = self._taken[path.stem] = self._taken.get(path.stem, 0) + 1
        return f"{path.stem}.jpg" if number == 1 else f"{path.stem}-{number}.jpg"


def _inert(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with texts, of models and of strangers' files, that no spreadsheet runs."""
    return {
        key: inert(str(value)) if isinstance(value, str | Path) else value
        for key, value in row.items()
    }


def _rows(prediction: Prediction) -> Iterator[dict[str, Any]]:
    about = {
        "image": prediction.image,
        "asked": prediction.asked,
        "reasoning": prediction.attempt.reply.reasoning,
        "reply": prediction.attempt.completion.text,
    }
    if prediction.boxed:
        for label, box, confidence in prediction.boxes or ():
            edges = dict(zip(("left", "top", "right", "bottom"), box, strict=True))
            yield {**about, **edges, "answer": label, "confidence": confidence}
        if not prediction.boxes:
            error = "no box could be read" if prediction.boxes is None else ""
            yield {**about, "error": error}
        return
    found = prediction.by_list
    known = found is not None
    yield {
        **about,
        "answer": "" if prediction.answer is None else in_text(prediction.answer),
        "confidence": found.confidence if found else "",
        "abstained": prediction.abstained if known else "",
        "off_the_list": prediction.off_the_list,
        "probabilities": json.dumps(found.probabilities, ensure_ascii=False) if found else "",
    }
