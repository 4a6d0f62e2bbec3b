"""`rftkit predict`: answers for images of the user's own."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rftkit.cli.options import AsJson, NewestRun, progress, say
from rftkit.errors import UserError
from rftkit.messages import printable

if TYPE_CHECKING:
    from rftkit.inference.output import Output
    from rftkit.inference.prediction import Prediction

NAMED = 3  # unread images that the last line names


def predict(
    images: Annotated[
        list[Path], typer.Argument(help="files, folders, patterns; - reads paths from a pipe")
    ],
    ckpt: NewestRun = Path("out"),
    question: Annotated[str, typer.Option(help="the question, or the phrase to locate")] = "",
    option: Annotated[
        list[str], typer.Option(help="one option of a multiple choice; repeat for each")
    ] = [],  # noqa: B006
    ask: Annotated[
        list[str], typer.Option(help="category to detect; default: all that it was trained on")
    ] = [],  # noqa: B006
    free: Annotated[
        bool, typer.Option("--free", help="answer by the free reply, not by the list")
    ] = False,
    abstain_at_error: Annotated[
        float | None,
        typer.Option(min=0, max=0.99, help="leave out unsure answers: allowed error, e.g. 0.05"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="folder for predictions.csv and annotated images")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Answer for images of your own with a fine-tuned model.

    \b
    rftkit predict photo.jpg --ckpt out/pets
    rftkit predict holiday/ 'more/*.png' --ckpt out/pets --out answers
    ls *.jpg | rftkit predict - --ckpt out/pets --json
    """
    from rftkit.inference.inputs import image_files
    from rftkit.inference.output import Output
    from rftkit.inference.predict import predict as answers
    from rftkit.inference.reader import Answering
    from rftkit.tasks.question import Question

    files = image_files(images, sys.stdin)
    unread = list[str]()
    with Output(out) if out else nullcontext() as output:

        def skip(image: Path, why: str) -> None:
            unread.append(str(image))
            if len(files) == 1:
                raise UserError(why)
            say(printable(why), progress(False))
            if output:
                output.unread(image, why)
            if as_json:
                typer.echo(json.dumps({"image": str(image), "error": why}, ensure_ascii=False))

        asked = Question(question, tuple(option), tuple(ask))
        answering = Answering(free, abstain_at_error, asked)
        for found in answers(ckpt, files, progress(False), answering, skip):
            _show(found, output, as_json)
    if out:
        say(f"written: {out}", progress(False))
    if unread:
        names = ", ".join(map(printable, unread[:NAMED])) + (", …" if len(unread) > NAMED else "")
        raise UserError(f"{len(unread)} of {len(files)} images could not be read: {names}")


def _show(found: Prediction, output: Output | None, as_json: bool) -> None:
    if output:
        output.add(found)
    text = json.dumps(found.record(), ensure_ascii=False) if as_json else found.line()
    typer.echo(text)
