"""One evaluation of a checkpoint: which examples, which sides, where its files go, its report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from rftkit import files
from rftkit.core import Style
from rftkit.data.detect import annotations_at
from rftkit.data.examples import Examples, load_examples, load_undivided
from rftkit.data.gold_check import with_gold_check
from rftkit.data.locate import locate
from rftkit.data.read_cache import ReadCache
from rftkit.errors import DataError, RecipeError
from rftkit.evaluation.generate import EvalSpec, evaluate, header_of, same_evaluation
from rftkit.evaluation.overlap import NO_SHOTS, Shots, find_overlap, read_shots
from rftkit.evaluation.reuse_base import check_base_from, reuse_base
from rftkit.files import sha256
from rftkit.metrics import Summary
from rftkit.metrics.files import REPORT, SAMPLES, Evaluation, finish
from rftkit.metrics.samples import (
    Header,
    Overlap,
    OverlapSkipped,
    Provenance,
    Side,
    read_samples,
)
from rftkit.models import base_note, open_for_inference, out_of_memory
from rftkit.models.policy import AnswerModel, Decoding, schema_of
from rftkit.recipe.builtin import find_recipe
from rftkit.recipe.schema import Recipe, budget
from rftkit.recipe.sections import Data
from rftkit.recipe.toml import load_recipe
from rftkit.runs.adapter import Checkpoint, find, labels_of
from rftkit.runs.calibration import temperatures_for
from rftkit.runs.checkpoints import WEIGHTS
from rftkit.runs.locks import locked
from rftkit.tasks import get_task

FREELY = (
    "options.structured: this engine writes freely; `rftkit eval --engine vllm` holds replies to "
    "the schema"
)
SOURCE_OF = {".csv": "csv", ".jsonl": "jsonl"}


@dataclass(frozen=True, kw_only=True)
class EvalRequest:
    """What the command line asked of an evaluation; the recipe fills in the rest."""

    split: str | None = None
    data: Path | None = None
    limit: int | None = None
    style: Style | None = None
    base: bool = True
    command: str = ""
    base_from: Path | None = None  # a run, or a folder of them: see `reuse_base`
    engine: Literal["transformers", "vllm"] = "transformers"


@dataclass(frozen=True)
class EvalSubject:
    """What is evaluated: a checkpoint's model on examples, by a recipe. shots: it was trained on.

    recipe: the checkpoint's own, or that with other data, as `--data` asks.
    """

    ckpt: Checkpoint
    recipe: Recipe
    examples: Examples
    policy: AnswerModel
    shots: Shots = NO_SHOTS


def evaluate_checkpoint(location: Path, request: EvalRequest, console: Console) -> Evaluation:
    """Evaluate what `--ckpt` names, with the recipe it was trained by."""
    check_base_from(request.base_from)
    ckpt = find(location)
    if ckpt.note:
        console.print(ckpt.note, highlight=False, markup=False)
    recipe = _with_data(ckpt.recipe, request)
    split, style = request.split or recipe.data.test_split, request.style or recipe.style
    cache = ReadCache()
    examples = with_gold_check(recipe, _examples(recipe, ckpt, request, cache), split, style)
    shots = read_shots(ckpt.recipe, cache)
    del cache  # what it holds is not needed while the model answers
    for note in examples.notes:
        console.print(f"note: {note}", highlight=False, markup=False)
    _check_folder(ckpt, recipe, request)
    policy = open_for_inference(recipe.model, ckpt.adapter, request.engine)
    if differs := base_note(ckpt):
        console.print(differs, highlight=False, markup=False, soft_wrap=True)
    subject = EvalSubject(ckpt, recipe, examples, policy, shots)
    return run_evaluation(subject, request, console)


def run_evaluation(subject: EvalSubject, request: EvalRequest, console: Console) -> Evaluation:
    """Answer, score, write summary, confusion and report. Continues where it was cut off.

    Raises UserError if another process is running the same evaluation.
    """
    recipe, examples = subject.recipe, subject.examples.examples
    style: Style = request.style or recipe.style
    schema = schema_of(get_task(recipe.task), examples[0], style)
    held = bool(schema) and request.engine == "vllm"
    if schema and not held:
        console.print(f"note: {FREELY}", highlight=False, markup=False)
    decoding = Decoding(_budget(recipe, style), seed=recipe.seed, structured=held)
    header = header_of(subject.policy, examples, style, _header(subject, request, style), decoding)
    sides: tuple[Side, ...] = ("base", "tuned") if request.base else ("tuned",)
    with _held_folder(subject.ckpt, recipe, request, header) as folder:
        file, size = folder / SAMPLES, recipe.eval.batch_size
        spec = EvalSpec(header, file, sides, size, decoding, recipe.options)
        if request.base_from and (used := reuse_base(spec, examples, request.base_from)):
            console.print(f"base: the replies in {used}", highlight=False, markup=False)
        with out_of_memory.named("evaluating", out_of_memory.evaluating(recipe)):
            evaluate(subject.policy, examples, spec, console)
        summary = finish(folder)
        _report(subject, folder, summary)
    return Evaluation(folder, summary)


def _header(subject: EvalSubject, request: EvalRequest, style: Style) -> Header:
    """What the samples file says of itself, as far as it is known without the model."""
    recipe, examples = subject.recipe, subject.examples
    overlap = find_overlap(subject.shots, examples.examples)
    return Header(
        task=recipe.task,
        style=style,
        rules=recipe.rules,
        decode=recipe.eval.decode,
        list_scores=_scores_lists(recipe, request),
        labels=examples.labels if get_task(recipe.task).predicts_labels else (),
        levels=_known_levels(examples),
        aliases=examples.examples[0].aliases,
        temperatures=temperatures_for(subject.ckpt.adapter, recipe, style),
        split=request.split or recipe.data.test_split,
        expected=len(examples.examples),
        provenance=Provenance(
            adapter_sha256=sha256(subject.ckpt.adapter / WEIGHTS),
            data=f"{recipe.data.source} {recipe.data.path}".strip(),
            command=request.command,
            started=files.now(),
        ),
        overlap=overlap if isinstance(overlap, Overlap) else None,
        overlap_skipped=overlap if isinstance(overlap, OverlapSkipped) else None,
    )


def _scores_lists(recipe: Recipe, request: EvalRequest) -> bool:
    """Whether the answers of a list are scored beside the replies.

    vLLM computes a prompt anew for each answer, so there it is done where the recipe wants it.
    """
    return recipe.has_list and (request.engine != "vllm" or recipe.eval.decode == "choices")


def _known_levels(examples: Examples) -> dict[str, dict[str, str]]:
    """The coarser classes of the labels that are tested; those of others say nothing."""
    return {
        level: {label: parents[label] for label in examples.labels if label in parents}
        for level, parents in examples.levels.items()
    }


def _with_data(recipe: Recipe, request: EvalRequest) -> Recipe:
    """The recipe with `--data` in place of its own images: files, or those of another recipe."""
    data = recipe.data
    if request.data is not None and request.data.suffix == ".toml":
        return _with_recipe(recipe, request)
    if request.data is not None:
        data = _other_data(request.data, recipe)
        if request.split is not None and request.split not in data.splits:
            data = data.model_copy(update={"splits": (data.train_split, request.split)})
    return recipe.model_copy(update={"data": data})


def _other_data(path: Path, recipe: Recipe) -> Data:
    """The recipe's data with those of a file, folder or archive in their place.

    Raises DataError for what is not there, or does not say how to read it for this task.
    """
    located, source = locate(str(path), ""), SOURCE_OF.get(path.suffix.lower())
    change: dict[str, object] = {"path": str(path), "images": ""}
    if not located.exists():
        raise DataError(f"--data {path}: not found; name a folder, .csv or .jsonl")
    if source:
        change["source"] = source
    elif get_task(recipe.task).answer_kind == "boxes" and (location := annotations_at(path)):
        change |= {"source": location.kind, **location._asdict()}
        del change["kind"]
    elif recipe.data.source in ("csv", "jsonl") and [*located.glob(f"*.{recipe.data.source}")]:
        pass  # a folder that holds the table of each split
    elif get_task(recipe.task).predicts_labels:
        change["source"] = "folder"
    else:
        raise DataError(
            f"--data {path}: it does not say how to read it for task {recipe.task!r}; name a "
            "recipe with its data.source"
        )
    return recipe.data.model_copy(update=change)


def _with_recipe(recipe: Recipe, request: EvalRequest) -> Recipe:
    """The recipe with data, options and evaluation of the one that `--data` names."""
    assert request.data is not None
    other = load_recipe(find_recipe(request.data))
    if other.task != recipe.task:
        raise RecipeError(
            f"--data {request.data}: its task is {other.task!r}, but the model was trained for "
            f"{recipe.task!r}"
        )
    return recipe.model_copy(
        update={"data": other.data, "options": other.options, "eval": other.eval}
    )


def _examples(recipe: Recipe, ckpt: Checkpoint, request: EvalRequest, cache: ReadCache) -> Examples:
    split = request.split or recipe.data.test_split
    limit = recipe.eval.limit if request.limit is None else request.limit
    if request.data is None or request.data.suffix == ".toml":
        return load_examples(recipe, split, limit=limit, cache=cache)
    labels = labels_of(ckpt)
    if request.split is None:
        return load_undivided(recipe, limit=limit, labels=labels, cache=cache)
    return load_examples(recipe, split, limit=limit, labels=labels, cache=cache)


def _budget(recipe: Recipe, style: Style) -> int:
    """New tokens an answer may take: the recipe's, or more if another style needs it."""
    recipe_budget = recipe.method.max_new_tokens
    return (
        recipe_budget if style == recipe.style else max(recipe_budget, budget(recipe.task, style))
    )


@contextmanager
def _held_folder(
    ckpt: Checkpoint, recipe: Recipe, request: EvalRequest, header: Header
) -> Iterator[Path]:
    """A folder for this evaluation, locked: the one it began in, else one of its own."""
    name = _name(ckpt, recipe, request)
    for number in range(1, 10_000):
        folder = ckpt.home / (name if number == 1 else f"{name}-{number}")
        if not same_evaluation(folder / SAMPLES, header):
            continue
        files.make_folder(folder)
        with locked(folder):
            if same_evaluation(folder / SAMPLES, header):  # none began before it was locked
                yield folder
                return
    raise DataError(f"{ckpt.home}: 9999 evaluations named {name!r}; delete some")


def _name(ckpt: Checkpoint, recipe: Recipe, request: EvalRequest) -> str:
    """What the folder of an evaluation is called, but for a number behind it."""
    style, limit = request.style or recipe.style, request.limit
    parts = [request.split or recipe.data.test_split, ckpt.name]
    parts += [style] if style != recipe.style else []
    parts += [f"first-{limit}"] if limit not in (None, recipe.eval.limit) else []
    parts += [request.data.stem] if request.data else []
    return "-".join(part for part in parts if part)


def _check_folder(ckpt: Checkpoint, recipe: Recipe, request: EvalRequest) -> None:
    """Raises DataError, before a model is loaded, if what the folder holds cannot be read."""
    begun = ckpt.home / _name(ckpt, recipe, request) / SAMPLES
    if begun.exists():
        read_samples(begun)


def _report(subject: EvalSubject, folder: Path, summary: Summary) -> None:
    """Write the evaluation's page; that of a run's main evaluation is also the run's report."""
    from rftkit.report.run_page import ShownData, ShownEvaluation, write_run_report

    page, run = folder / REPORT, subject.ckpt.run
    evaluation, data = ShownEvaluation(folder, summary), ShownData(subject.examples.examples)
    write_run_report(page, run, subject.recipe, evaluation, data)
    if run and folder == run.main_evaluation(subject.recipe):
        files.write_atomically(run.report, page.read_bytes())
