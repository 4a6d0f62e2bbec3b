"""A run, from top to bottom: recipe, data, model, training, evaluation, report."""

from __future__ import annotations

import hashlib
import io
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from rftkit import files
from rftkit.core import Example
from rftkit.data.examples import Examples
from rftkit.data.gold_check import load_checked_splits
from rftkit.errors import Interrupted, RecipeError, UserError
from rftkit.hardware.prompt_size import largest_prompt
from rftkit.messages import pip_install, runnable
from rftkit.recipe.diff import flat
from rftkit.recipe.resolve import located
from rftkit.recipe.schema import OWN_REWARD, Recipe
from rftkit.recipe.toml import dump_recipe, load_recipe, parse_recipe, read_text
from rftkit.rewards.custom import load_reward
from rftkit.runs import checkpoints
from rftkit.runs import run as runs
from rftkit.runs.adapter import CARD, Checkpoint, read_card, write_card
from rftkit.runs.locks import locked
from rftkit.runs.run import Run

IMAGES_HASHED = 512  # of the training set, for the fingerprint
EXAMPLE_EDGE = 1024  # pixels, at most, of the image that is kept to try `predict` with


@dataclass(frozen=True)
class Request:
    """What the command line asked for."""

    recipe: Path
    out: Path
    overrides: tuple[str, ...] = ()
    resume: bool = False
    command: str = ""
    save_every: int = 25
    log: Literal["none", "tensorboard", "trackio"] = "none"
    base_from: Path | None = None


def train(request: Request, console: Console) -> Run:
    """Train and evaluate by a recipe; the run comes back finished.

    Raises UserError for what the user can fix, before anything is written where possible, and
    Interrupted if a signal stopped it; the run can then be resumed.
    """
    recipe = located(load_recipe(request.recipe, request.overrides))
    _check_logger(request.log)
    for name in filter(OWN_REWARD.fullmatch, recipe.rewards):
        load_reward(name)
    train_set, held_out = load_checked_splits(recipe)
    run = _continued(request, recipe) if request.resume else runs.new_run(request.out)
    with locked(run.folder):
        if not runs.is_run(run.folder):
            _begin(run, request, recipe, train_set, console)
        else:
            _renew_recipe(run, request, recipe)
        for note in dict.fromkeys([*recipe.notes(), *train_set.notes, *held_out.notes]):
            console.print(f"note: {note}", highlight=False, markup=False)
        try:
            _go(run, recipe, train_set, held_out, request, console)
        except UserError as error:
            if run.status()["state"] == "running":
                run.set_status("failed", error=str(error)[:500])
            raise
        except (Interrupted, KeyboardInterrupt) as stop:
            number = stop.number if isinstance(stop, Interrupted) else signal.SIGINT
            command = _resume_command(request, run)
            raise Interrupted(number, f"stopped; go on with: {command}") from None
    return run


def _check_logger(log: str) -> None:
    if log != "none" and find_spec(log) is None:
        raise RecipeError(f"--log {log}: needs {log}: {pip_install('-e', f'.[{log}]')}")


def _resume_command(request: Request, run: Run) -> str:
    changes = [part for override in request.overrides for part in ("--set", override)]
    kept = ["--save-every", str(request.save_every)] if request.save_every != 25 else []
    kept += ["--log", request.log] if request.log != "none" else []
    kept += ["--base-from", str(request.base_from)] if request.base_from else []
    recipe, folder = str(request.recipe), str(run.folder)
    return runnable("train", recipe, "--out", folder, *changes, *kept, "--resume")


def _go(
    run: Run,
    recipe: Recipe,
    train_set: Examples,
    held_out: Examples,
    request: Request,
    console: Console,
) -> None:
    from rftkit.evaluation.leaks import Shots
    from rftkit.evaluation.run import Trial, Wish, run_evaluation
    from rftkit.models import open_learner, open_policy
    from rftkit.models.policy import Generator

    policy: Generator
    if run.status()["state"] not in ("trained", "finished"):
        policy = learner = open_learner(recipe, largest_prompt(recipe, train_set.examples))
        _learn(run, recipe, train_set, learner, request, console)
    else:
        policy = open_policy(recipe.model, run.adapter)
    wish = Wish(command=request.command, base_from=request.base_from)
    ckpt = Checkpoint(run.adapter, recipe, run.evaluations, run)
    trial = Trial(ckpt, recipe, held_out, policy, Shots(train_set.examples))
    run_evaluation(trial, wish, console)
    _keep_example(run, held_out.examples[0])
    run.set_status("finished")


def _keep_example(run: Run, example: Example) -> None:
    """Write a held-out image as a file: built-in data and archives have none to name."""
    image, content = example.image.open(), io.BytesIO()
    image.thumbnail((EXAMPLE_EDGE, EXAMPLE_EDGE))
    image.save(content, format="PNG")
    files.write_atomically(run.example, content.getvalue())


def _learn(
    run: Run,
    recipe: Recipe,
    train_set: Examples,
    policy: Any,
    request: Request,
    console: Console,
) -> None:
    """Fit the policy, from the newest whole checkpoint if there is one, and save the adapter."""
    from rftkit.training import grpo, sft
    from rftkit.training.trainer import Job, Keeping, newest_checkpoint

    resume = newest_checkpoint(run, console)
    _check_fingerprint(run, fingerprint(recipe, train_set.examples, policy), resume)
    if resume:
        line = f"continuing from step {checkpoints.step_of(resume)}"
        console.print(line, highlight=False, markup=False)
    run.set_status("running")
    method = grpo if recipe.method.kind == "grpo" else sft
    try:
        keeping = Keeping(request.save_every, request.log)
        method.train(Job(recipe, policy, run, console, resume, keeping), train_set.examples)
    except (Interrupted, KeyboardInterrupt):
        run.set_status("stopped")
        raise
    policy.save(run.adapter)
    write_card(run.adapter, recipe, train_set.labels, train_set.examples[0].aliases)
    run.set_status("trained")


def _begin(
    run: Run, request: Request, recipe: Recipe, train_set: Examples, console: Console
) -> None:
    from rftkit.runs.versions import versions

    if run.folder != request.out:
        line = f"{request.out} holds a run already; this one goes to {run.folder}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    _write_recipe(run, request, recipe)
    known = versions()
    told = {"labels": list(train_set.labels), "aliases": dict(train_set.examples[0].aliases)}
    run.set_status("running", rftkit=known["rftkit"], versions=known, **told)


def _write_recipe(run: Run, request: Request, recipe: Recipe) -> None:
    files.write_atomically(run.given, read_text(request.recipe))
    files.write_atomically(run.resolved, dump_recipe(recipe))


def _renew_recipe(run: Run, request: Request, recipe: Recipe) -> None:
    """Replace the recipe of a resumed run, and of its adapter: [eval] may be another one now."""
    _write_recipe(run, request, recipe)
    if (run.adapter / CARD).is_file():
        card = read_card(run.adapter)
        write_card(run.adapter, recipe, card.labels, card.aliases)


def _continued(request: Request, recipe: Recipe) -> Run:
    """The run to resume. Raises RecipeError, naming each difference, if the recipe is another."""
    run = runs.unfinished_run(request.out)
    old = parse_recipe(read_text(run.resolved), str(run.resolved))
    ours, theirs = flat(recipe), flat(old)
    free = "eval."  # changes nothing about the training
    differ = [
        f"{key} is {ours.get(key)!r}, was {theirs.get(key)!r}"
        for key in sorted({*ours, *theirs})
        if ours.get(key) != theirs.get(key) and not key.startswith(free)
    ]
    if differ:
        raise RecipeError(
            f"{run.folder}: cannot resume with another recipe: {'; '.join(differ)}; "
            "repeat the --set of its beginning, or leave out --resume to start a new run"
        )
    return run


def fingerprint(recipe: Recipe, examples: Sequence[Example], policy: Any) -> dict[str, str]:
    """Hashes of what a resumed run must share with its beginning: data and base weights."""
    digest = hashlib.sha256()
    for number, example in enumerate(examples):
        digest.update(f"{example.id}\t{example.gold}\t{example.rationale}\n".encode())
        if number < IMAGES_HASHED:
            for image in example.images:
                digest.update(image.open().tobytes())
    return {"data": digest.hexdigest(), "base model": policy.fingerprint()}


def _check_fingerprint(run: Run, now: dict[str, str], resume: Path | None) -> None:
    before = run.status().get("fingerprint")
    if resume and before and before != now:
        names = [name for name in now if now[name] != before.get(name)]
        raise RecipeError(
            f"{run.folder}: cannot resume: {' and '.join(names)} changed since the run began; "
            "leave out --resume to start a new run"
        )
    run.set_status("running", fingerprint=now)
