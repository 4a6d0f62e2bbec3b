"""How the published figures were measured, and how that differs from the user's evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rftkit.core import Rules
from rftkit.recipe.schema import Recipe
from rftkit.report.published.figures import Figure

CAVEATS = (
    "One run for each setting, and no intervals: a small difference may be chance.",
    "All parameters are tuned, on 8 A100; rftkit tunes an adapter.",
    "Where a paper averages over data sets, the harmonic mean of the average row is that of the "
    "two averages, not the average of the harmonic means.",
)
_LENIENT = "a reply counts if the label stands anywhere in it, in upper or lower case"
_COCO = "COCO's AP over overlaps from 0.50 to 0.95 for each category, and its mean over them"
NOTES = {
    ("CLS-RL", "few-shot"): "From a new random list of names for each image: 40 % of the "
    f"classes, all if that is fewer than 30, at most 100. Lenient: {_LENIENT}. Not comparable with "
    "an accuracy over all classes.",
    ("CLS-RL", "base-to-new"): "Trained on the first half of the classes. From a new random list "
    "for each image: 80 % of its half, all if that is fewer than 30, at most 100. Lenient: "
    f"{_LENIENT}.",
    ("CLS-RL", "open-set"): f"No names are offered. Lenient: {_LENIENT}.",
    ("CLS-RL", "cv-bench"): "The whole is the mean over all 2,638 questions, not the official one, "
    "which weighs the sources of the images. Our sources do not say how replies were read.",
    ("Visual-RFT", "few-shot"): "No names are offered. Lenient: spaces and underscores are dropped "
    "and case is ignored; a reply counts if it holds the label or the label holds it, so an empty "
    "one does.",
    ("Visual-RFT", "coco-8"): f"{_COCO}; 8 of the 80.",
    ("Visual-RFT", "lvis-6"): f"{_COCO}; 6 rare ones, by COCO's rules, not those of LVIS.",
    ("Visual-RFT", "open-vocabulary"): f"{_COCO}. Trained on 65 categories of COCO.",
    ("Visual-RFT", "lisa"): "Trained on 239 images. mIoU is the mean overlap of boxes; gIoU is "
    "of masks.",
}
_MONSTERS = f"{_COCO}. The images are not released."


def protocol_note(figure: Figure) -> str:
    """One or two sentences: how this figure was measured."""
    if figure.data_set == "Monster Girls":
        return _MONSTERS
    return NOTES[figure.paper, figure.setting]


def differences(
    figure: Figure, recipe: Recipe, rules: Rules, list_size: int | None
) -> tuple[str, ...]:
    """In what the user's evaluation is not the figure's, in short phrases; empty if in nothing.

    rules: those that the user's own number is by. list_size: labels offered for each image, 0 if
    none, None where the task has no list.
    """
    return tuple(_differences(figure, recipe, rules, list_size))


def _differences(
    figure: Figure, recipe: Recipe, rules: Rules, list_size: int | None
) -> Iterator[str]:
    trained = figure.method != "base"
    if _squeezed(figure.model) not in _squeezed(recipe.model.name):
        yield f"model {figure.model}, here {recipe.model.name}"
    if trained:
        yield "all parameters fine-tuned, here LoRA"
    if recipe.model.load_in_4bit:
        yield "here 4-bit weights"
    if trained and figure.shots is not None and figure.shots != recipe.data.shots:
        yield f"{_shots(figure.shots)}, here {_shots(recipe.data.shots)}"
    if figure.protocol == "lenient" and rules == "strict":
        yield "lenient scoring, here strict"
    if None not in (figure.list_size, list_size) and figure.list_size != list_size:
        yield f"{figure.list_size or 'no'} labels offered, here {list_size or 'none'}"


def _shots(shots: int) -> str:
    return {0: "all images", 1: "1 shot"}.get(shots, f"{shots} shots")


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
