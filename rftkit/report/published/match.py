"""Which published figures stand beside a recipe's own."""

from __future__ import annotations

from rftkit.recipe.schema import BUILT_IN, Recipe
from rftkit.report.published.figures import Figure, figures
from rftkit.report.published.names import data_set_of
from rftkit.tasks import get_task
from rftkit.tasks.categories import LISTS
from rftkit.tasks.options import DetectionOptions

# the lists of categories that were trained on -> data set and setting
TRAINED = {
    "coco-8": ("COCO", "coco-8"),
    "coco-65": ("COCO", "open-vocabulary"),
    "lvis-6": ("LVIS", "lvis-6"),
    "lvis-13": ("LVIS", "open-vocabulary"),
}
ALL = 1_000_000  # a recipe without shots uses every image: the most shots are nearest


def matching(recipe: Recipe) -> tuple[Figure, ...]:
    """The figures of the recipe's data set and setting, by every method; base, then nearest shots.

    A prompt with a list is set beside figures with a list, an open question beside open ones.
    Empty for data that no paper used, and for settings that none measured.
    """
    data_set, settings = _place(recipe)
    is_open = get_task(recipe.task).predicts_labels and recipe.data.choices == "none"
    results = [
        figure
        for figure in figures()
        if (figure.task, figure.data_set) == (recipe.task, data_set)
        and figure.setting in settings
        and (figure.list == "none") == is_open
    ]
    return tuple(sorted(results, key=lambda figure: _distance(figure, recipe.data.shots)))


def _place(recipe: Recipe) -> tuple[str | None, tuple[str, ...]]:
    """The data set, and its settings that are like the recipe's."""
    if recipe.data.source in BUILT_IN:
        return None, ()
    named = data_set_of(recipe.data.path) or data_set_of(recipe.data.images)
    kind = get_task(recipe.task).answer_kind
    if kind == "label":
        return named, _labels(recipe)
    if kind == "boxes":
        return _boxes(recipe, named)
    if kind == "box":
        return ("LISA" if recipe.data.source == "lisa" else named), ("lisa",)
    if kind == "option" and named in ("SAT", "CV-Bench"):  # train on one, test on the other
        return "CV-Bench", ("cv-bench",)
    return None, ()


def _labels(recipe: Recipe) -> tuple[str, ...]:
    if recipe.data.classes != "all":
        return ("base-to-new",) if recipe.data.classes == "base" else ()
    return ("few-shot", "open-set") if recipe.data.choices == "none" else ("few-shot",)


def _boxes(recipe: Recipe, named: str | None) -> tuple[str | None, tuple[str, ...]]:
    if named == "Monster Girls":
        return named, ("few-shot",)
    assert isinstance(recipe.options, DetectionOptions)
    chosen, new = recipe.options.categories, recipe.options.new
    if named == "COCO" and recipe.data.classes == "base" and _same(new, "coco-15"):
        return named, ("open-vocabulary",)
    for name, (data_set, setting) in TRAINED.items():
        if chosen == name or (named == data_set and _same(chosen, name)):
            return data_set, (setting,)
    return None, ()


def _same(chosen: str | tuple[str, ...], name: str) -> bool:
    return chosen == name or set(chosen) == set(LISTS[name])


def _distance(figure: Figure, shots: int) -> int:
    """0 for base, then by how far the shots are from the recipe's; unknown ones last."""
    if figure.method == "base":
        return 0
    return 1 + (abs(figure.shots - (shots or ALL)) if figure.shots is not None else 2 * ALL)
