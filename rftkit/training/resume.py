"""What a run writes as it begins, and what must be the same when it is resumed."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from rftkit import files
from rftkit.core import Example
from rftkit.data.examples import Examples
from rftkit.errors import RecipeError
from rftkit.models.policy import Policy
from rftkit.recipe.diff import differences
from rftkit.recipe.resolve import own_files, without_places
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import dump_recipe
from rftkit.runs import run as runs
from rftkit.runs.adapter import damage, recipe_of, renew_card
from rftkit.runs.run import RunFolder
from rftkit.runs.versions import versions
from rftkit.training.request import TrainRequest

IMAGES_HASHED = 512  # of the training set, for the fingerprint
READ_LATER = ("eval.limit", "eval.batch_size", "eval.decode")  # they train nothing
EXAMPLE_EDGE = 1024  # pixels, at most, of the image that is kept to try `predict` with


def begin_run(run: RunFolder, request: TrainRequest, recipe: Recipe, train_set: Examples) -> None:
    """Write the recipe, the versions and the labels of a new run."""
    current = versions()
    labels = {"labels": list(train_set.labels), "aliases": dict(train_set.examples[0].aliases)}
    try:
        _write_recipe(run, request, recipe)
        counts = {"training_images": list(train_set.images)}
        run.set_status("running", rftkit=current["rftkit"], versions=current, **labels, **counts)
    except BaseException:
        run.forget_beginning()
        raise


def say_other_folder(run: RunFolder, request: TrainRequest, console: Console) -> None:
    """Say where the run goes, if its folder held a run already."""
    if run.folder != request.out:
        line = f"{request.out} holds a run already; this one goes to {run.folder}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def renew_recipe(run: RunFolder, request: TrainRequest, recipe: Recipe) -> None:
    """Replace the recipe of a resumed run, and of its adapter: [eval] may be another one now."""
    _write_recipe(run, request, recipe)
    if damage(run.adapter) is None:
        renew_card(run.adapter, recipe)


def unfinished_run(request: TrainRequest, recipe: Recipe) -> RunFolder:
    """The run to resume, whose files can be read, and which has not been touched.

    Raises RecipeError, naming each difference, if the recipe is another.
    """
    run = runs.unfinished_run(request.out)
    files.read_steps(run.metrics)  # raises for what could not be continued, before it is touched
    before = recipe_of(run)
    # READ_LATER trains nothing; where files are is no matter, `fingerprint` knows what is in them
    if changed := differences(without_places(recipe), without_places(before), ignore=READ_LATER):
        raise RecipeError(
            f"{run.folder}: cannot resume with another recipe: {'; '.join(changed)}; "
            "repeat the --set of its beginning, or leave out --resume to start a new run"
        )
    return run


def version_notes(run: RunFolder) -> list[str]:
    """A note that names each library that is another version than when the run began."""
    before, now = run.status().get("versions"), versions()
    if not isinstance(before, dict):
        return []
    changed = [
        f"{name} {before[name]} -> {version}"
        for name, version in now.items()
        if name in before and before[name] != version
    ]
    if not changed:
        return []
    return [f"other versions than when the run began, results may differ: {', '.join(changed)}"]


def check_fingerprint(run: RunFolder, now: Mapping[str, str], checkpoint: Path | None) -> None:
    """Raises RecipeError if data or base weights are others than those of the checkpoint."""
    before = run.status().get("fingerprint")
    if checkpoint and before and before != now:
        names = [name for name in now if now[name] != before.get(name, now[name])]
        if names:
            raise RecipeError(
                f"{run.folder}: cannot resume: {' and '.join(names)} changed since the run began; "
                "leave out --resume to start a new run"
            )
    run.set_status("running", fingerprint=dict(now))


def lines_notes(run: RunFolder, step: int) -> list[str]:
    """A note that names the steps up to `step` which metrics.jsonl does not hold exactly once."""
    steps = [line.get("step") for line in files.read_lines(run.metrics)]
    counts = Counter(one for one in steps if type(one) is int)
    wrong = [number for number in range(1, step + 1) if counts[number] != 1]
    if not wrong:
        return []
    more = f" and {len(wrong) - 1} more" if wrong[1:] else ""
    return [
        f"{run.metrics}: does not hold step {wrong[0]}{more} once, of {step} that were trained; "
        "the run goes on from its checkpoint, its curves and alarms do not show them right"
    ]


def fingerprint(recipe: Recipe, examples: Sequence[Example], policy: Policy) -> dict[str, str]:
    """Hashes of what a resumed run must share with its beginning: data, base weights, own files."""
    digest = hashlib.sha256()
    for number, example in enumerate(examples):
        digest.update(f"{example.id}\t{example.gold}\t{example.rationale}\n".encode())
        if number < IMAGES_HASHED:
            for image in example.images:
                digest.update(image.open().tobytes())
    found = {"data": digest.hexdigest(), "base model": policy.fingerprint()}
    for path in own_files(recipe):
        if path.is_file():  # two may have one name, in folders of their own
            found[path.name] = found.get(path.name, "") + files.sha256(path)
    return found


def keep_example(run: RunFolder, example: Example) -> None:
    """Write a held-out image as a file: built-in data and archives have none to name."""
    image, content = example.image.open(), io.BytesIO()
    image.thumbnail((EXAMPLE_EDGE, EXAMPLE_EDGE))
    image.save(content, format="PNG")
    files.write_atomically(run.example, content.getvalue())


def _write_recipe(run: RunFolder, request: TrainRequest, recipe: Recipe) -> None:
    files.write_atomically(run.given, request.recipe_text())
    files.write_atomically(run.resolved, dump_recipe(recipe))
