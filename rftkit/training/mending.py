"""What of a resumed run's files is gone or changed: mended from a second copy, else said."""

from __future__ import annotations

from pathlib import Path

from rftkit import files
from rftkit.answers.replies import thinks
from rftkit.data.examples import Examples
from rftkit.models.policy import AnswerModel
from rftkit.models.processing.template import undecided
from rftkit.recipe.schema import Recipe
from rftkit.runs import checkpoints
from rftkit.runs.adapter import CONFIG, README, damage
from rftkit.runs.model_card import write_model_card
from rftkit.runs.run import RunFolder

KEPT = (CONFIG, README)  # of an adapter; of its weights the card beside them has the hash


def hashes(adapter: Path) -> dict[str, str]:
    """Of the files that `run.json` keeps hashes of, until the run has finished."""
    return {name: files.sha256(adapter / name) for name in KEPT if (adapter / name).is_file()}


def adapter_harm(run: RunFolder) -> str | None:
    """What is wrong with the adapter of a run that has trained, in words; None if nothing is."""
    harm = damage(run.adapter)
    if harm is None and _has_changed(run, CONFIG):
        remedy = "take it from a copy, or train again"
        return f"{run.adapter}: {CONFIG} has changed since it was saved; {remedy}"
    return harm


def readme_of(run: RunFolder) -> bytes:
    """The text of the adapter's model card; empty if there is none."""
    readme = run.adapter / README
    return readme.read_bytes() if readme.is_file() else b""


def write_readme(run: RunFolder, recipe: Recipe, model: AnswerModel, shots: Examples) -> None:
    """Write the model card into the run's adapter."""
    template = undecided(model.processor, thinks(recipe.style))
    write_model_card(run.adapter, recipe, shots.examples, shots.labels, template)


def mend_readme(run: RunFolder, recipe: Recipe, model: AnswerModel, shots: Examples) -> list[str]:
    """Write the model card again where it is gone; a note of that, or that it is another one.

    One that is another one stays: a person may have edited it.
    """
    readme = run.adapter / README
    if not readme_of(run):
        write_readme(run, recipe, model, shots)
        return [f"{readme}: was gone; it is written again"]
    if _has_changed(run, README):
        return [f"{readme}: is not as the run wrote it; delete it, and --resume writes it anew"]
    return []


def _has_changed(run: RunFolder, name: str) -> bool:
    """Whether a file of the adapter is not as it was saved. Once a run has finished, it may be."""
    status = run.status()
    saved = status.get("adapter_files", {}).get(name)  # runs of before have none
    if status["state"] != "trained" or saved is None:
        return False
    return bool(hashes(run.adapter).get(name) != saved)


def restore_settings(run: RunFolder) -> list[str]:
    """Put `effective.json` back from a checkpoint, where it is gone; a note that says so."""
    found = checkpoints.in_order(run.checkpoints)
    if run.effective.exists() or not found:
        return []
    for checkpoint in found:
        copy = checkpoint / run.effective.name  # checkpoints of before have none
        if copy.is_file() and checkpoints.damage(checkpoint) is None:
            files.write_atomically(run.effective, copy.read_bytes())
            return [f"{run.effective}: was gone; it is again as {checkpoint.name} holds it"]
    return [f"{run.effective}: is gone; the report lacks what it said of how the run trained"]


def rollouts_notes(run: RunFolder, recipe: Recipe, step: int) -> list[str]:
    """A note of a run of reinforcement, trained up to `step`, that has lost its rollouts."""
    method = recipe.method
    sampled = method.kind != "sft" and step > method.warmup.steps  # the first of them is kept
    if not sampled or (run.rollouts.is_file() and run.rollouts.stat().st_size):
        return []
    return [f"{run.rollouts}: is gone, or empty; what it held of the steps up to {step} is lost"]
