"""A fine-tuned model's answers for single images: the logic behind `rftkit predict`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from rich.console import Console

from rftkit.data.box_grid import grid_setter
from rftkit.data.images import FileImage, read_size
from rftkit.errors import DataError
from rftkit.inference import question as asked
from rftkit.inference.prediction import Prediction
from rftkit.inference.reader import BY_LIST, Answering, Reader, surety_of
from rftkit.models import base_note, open_for_inference, out_of_memory
from rftkit.runs.adapter import aliases_of, find, labels_of

Skip = Callable[[Path, str], None]  # an image that cannot be read, and the line that says why


def predict(
    location: Path,
    paths: Sequence[Path],
    console: Console,
    answering: Answering = BY_LIST,
    skip: Skip | None = None,
) -> Iterator[Prediction]:
    """Answers for images, in their order; of detection one for each category asked for.

    skip: is told of each image that cannot be read, which is then left out. Without it all are
    opened before a model is loaded, and the first that cannot be raises DataError. Raises UserError
    if the task needs a question, options or a category that is not given, or cannot use the one
    that is, and if nothing says when to abstain.
    """
    images = [FileImage(path, str(path)) for path in paths]
    if skip is None:
        for image in images:
            image.open()
    elif all(faults := [_fault(image, header=True) for image in images]):
        for path, fault in zip(paths, faults, strict=True):
            skip(path, fault)
        return  # before a model is loaded
    ckpt = find(location)
    recipe = ckpt.recipe
    prepared = asked.prompts(recipe, labels_of(ckpt), answering.question)
    if ckpt.note:
        console.print(ckpt.note, highlight=False, markup=False)
    for line in _untrained(answering.question.categories, labels_of(ckpt)):
        console.print(line, highlight=False, markup=False)
    surety = surety_of(ckpt, answering, console)
    place_boxes, aliases = grid_setter(recipe.model), aliases_of(ckpt)
    policy = open_for_inference(recipe.model, ckpt.adapter)
    if differs := base_note(ckpt):
        console.print(differs, highlight=False, markup=False, soft_wrap=True)
    reader = Reader(policy, recipe, surety, free=answering.free)
    width = max(1, recipe.eval.batch_size // len(prepared))
    for start in range(0, len(images), width):
        batch = [(image, skip and _fault(image)) for image in images[start : start + width]]
        examples = [
            replace(place_boxes(example_of(image)), aliases=aliases)
            for image, fault in batch
            if not fault
            for example_of in prepared
        ]
        with out_of_memory.named("answering", out_of_memory.evaluating(recipe)):
            found = iter(list(reader.predict(examples)))
        for image, why in batch:
            if skip and why:
                skip(Path(image.path), why)
            else:
                yield from islice(found, len(prepared))


def _untrained(asked_for: Sequence[str], labels: Sequence[str]) -> Iterator[str]:
    """A line for each category that looks like a trained one that was mistyped."""
    for name in asked_for:
        close = get_close_matches(name, labels, 1)
        if close and name not in labels:
            yield f"note: {name!r} was not trained; did you mean {close[0]!r}?"


def _fault(image: FileImage, *, header: bool = False) -> str:
    """Why an image, or its header alone, cannot be read; "" if it can."""
    try:
        if header:
            read_size(Path(image.path), image.name)
        else:
            image.open()
    except DataError as error:
        return str(error)
    return ""
