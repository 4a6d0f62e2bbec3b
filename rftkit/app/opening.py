"""What the app serves: a run with its model, or a file of recorded answers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rftkit import __version__
from rftkit.app.candidates import Candidate, candidates
from rftkit.cache import cache_folder
from rftkit.core import Example
from rftkit.errors import DataError, ModelError, UserError
from rftkit.inference.compare import Backend
from rftkit.inference.form import Setup
from rftkit.inference.recorded_backend import recorded
from rftkit.metrics.files import SAMPLES, evaluations
from rftkit.metrics.samples import Header, SamplesFile, read_samples
from rftkit.metrics.scoring import attempt_of, rescored
from rftkit.recipe.schema import SOURCES_OF, Recipe
from rftkit.runs import adapter as ckpt
from rftkit.runs import run as runs
from rftkit.runs.calibration import read_calibration
from rftkit.runs.run import RunFolder

if TYPE_CHECKING:
    from rich.console import Console

    from rftkit.data.read_cache import ReadCache

FIRST = "quickstart"  # the recipe of the built-in comparison


@dataclass(frozen=True, eq=False)
class Evaluated:
    """One evaluation of what is served: its file, and its examples by id, with their images.

    no_images: why the images cannot be shown, empty where they can.
    """

    name: str
    file: SamplesFile
    examples: Mapping[str, Example] = field(repr=False)
    no_images: str = ""


@dataclass(frozen=True)
class Served:
    """What a page is about.

    name: of the run's folder, or of the file. line: what is open and where it lies, for whoever
    opens it. replay: whether `backend` only replays a file. models: what can stand on either side,
    the base first and then the adapter that is served; none where only those two can.
    """

    name: str
    line: str
    setup: Setup
    backend: Backend
    evaluated: tuple[Evaluated, ...] = ()
    replay: bool = False
    models: tuple[Candidate, ...] = ()

    @property
    def title(self) -> str:
        """What is open, for visitors: they are told no folder of this machine."""
        name = f"recorded answers: {self.name}" if self.replay else self.name
        return f"{name}, {_in_words(self.setup.recipe)}"


def open_recorded(path: Path, pace: float = 1.0) -> Served:
    """A samples file, replayed. Raises DataError if it cannot be read or holds no answers."""
    if not path.is_file():
        raise DataError(f"--recorded {path}: no such file; name an evaluation's samples.jsonl")
    file = rescored(read_samples(path))
    if not file.samples:
        raise DataError(f"--recorded {path}: no answers in it; name another samples.jsonl")
    recipe = _recipe_of(path, file.header)
    evaluated = _evaluated(path.parent.name or path.name, file, recipe)
    setup = Setup(recipe, file.header.labels, file.header.aliases)
    line = f"recorded answers: {path.name}, {_in_words(recipe)}"
    return Served(path.name, line, setup, recorded(file, pace), (evaluated,), replay=True)


def open_model(
    location: Path | None,
    seconds: float,
    console: Console,
    engine: Literal["transformers", "vllm"] = "transformers",
) -> Served:
    """A run and its model; without a place the newest under out/, else the built-in comparison.

    seconds: that one side may take. engine: what answers.
    """
    from rftkit.inference.model_backend import ModelBackend
    from rftkit.models import base_note, open_for_inference

    checkpoint, line = _find(location, console)
    setup = Setup(checkpoint.recipe, ckpt.labels_of(checkpoint), ckpt.aliases_of(checkpoint))
    policy = open_for_inference(checkpoint.recipe.model, checkpoint.adapter, engine)
    if differs := base_note(checkpoint):
        console.print(differs, highlight=False, markup=False, soft_wrap=True)
    names = _evaluations(checkpoint)
    line = f"{line}, {_in_words(checkpoint.recipe)}"
    backend = ModelBackend(policy, seconds, read_calibration(checkpoint.adapter), setup)
    own = checkpoint.run.folder if checkpoint.run else checkpoint.adapter
    others = candidates(checkpoint, [own.parent, Path("out")]) if engine == "transformers" else []
    return Served(own.resolve().name, line, setup, backend, names, models=tuple(others))


def built_in(console: Console) -> RunFolder:
    """The tiny model's run of the quickstart recipe, trained now if it is not in the cache."""
    from rftkit.recipe.builtin import builtin_recipes
    from rftkit.training.request import TrainRequest
    from rftkit.training.run import train

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    folder = cache_folder(say) / f"demo-{__version__}" / FIRST
    run = RunFolder(folder)
    if runs.is_run(folder):
        if (state := runs.state(run)) == "finished":
            return run
        if state == "running":
            raise UserError(f"{folder}: another rftkit is training it; wait a minute, start again")
        shutil.rmtree(folder)
    say("no run under out/: training the built-in tiny model once, about a minute on 2 cores")
    return train(TrainRequest(recipe=builtin_recipes()[FIRST], out=folder), console)


def _find(location: Path | None, console: Console) -> tuple[ckpt.Checkpoint, str]:
    """The checkpoint, and what it is in words."""
    if location is not None:
        checkpoint = ckpt.find(location)
        return checkpoint, checkpoint.note or str(location)
    try:
        checkpoint = ckpt.find(Path("out"))
        return checkpoint, checkpoint.note or "newest run: out"
    except ModelError:
        return ckpt.find(built_in(console).folder), "built-in tiny model, before and after training"


def _evaluations(checkpoint: ckpt.Checkpoint) -> tuple[Evaluated, ...]:
    from rftkit.data.read_cache import ReadCache

    evaluated, cache = [], ReadCache()
    for folder in evaluations(checkpoint.home):
        try:
            file = rescored(read_samples(folder / SAMPLES))
        except DataError:
            continue  # a damaged evaluation is not shown; `rftkit eval` says what is wrong with it
        evaluated.append(_evaluated(folder.name, file, checkpoint.recipe, cache))
    return tuple(evaluated)


def _evaluated(
    name: str, file: SamplesFile, recipe: Recipe, cache: ReadCache | None = None
) -> Evaluated:
    from rftkit.data.examples import load_examples

    examples = {s.id: attempt_of(s, file.header).example for s in file.samples}
    try:
        header = file.header
        loaded = load_examples(recipe, header.split, labels=header.labels, cache=cache).examples
    except UserError as error:  # the data has moved: answers without images
        return Evaluated(name, file, examples, f"the data cannot be read ({error})")
    return Evaluated(name, file, {**examples, **{e.id: e for e in loaded if e.id in examples}})


def _recipe_of(path: Path, header: Header) -> Recipe:
    """The recipe of the run that the file lies in; else one that says what its header says."""
    for folder in list(path.resolve().parents)[:3]:
        if (
            runs.is_run(folder)
            and (recipe := ckpt.recipe_of(RunFolder(folder))).task == header.task
        ):
            return recipe
    named, _, location = header.provenance.data.partition(" ")
    allowed: tuple[str, ...] = SOURCES_OF[header.task]
    source = named if named in allowed else allowed[0]
    where = "" if source in ("digits", "hangar") else location or "recorded"
    return Recipe.model_validate(
        {
            "task": header.task,
            "style": "think" if header.style == "empty-think" else header.style,
            "data": {"source": source, "path": where, "shots": 1},
            "model": {"name": header.provenance.model or "recorded"},
        }
    )


def _in_words(recipe: Recipe) -> str:
    model = Path(recipe.model.name)
    name = model.name if model.is_absolute() else recipe.model.name
    return f"{name}, {recipe.task}, style {recipe.style}"
