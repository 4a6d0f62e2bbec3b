"""The temperatures of a model that has just been trained, from examples it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence

from rftkit.answers import replies
from rftkit.core import Example
from rftkit.metrics.lists.calibration import LabelScores, fit_temperature
from rftkit.models.list_scores import list_scores
from rftkit.models.policy import AnswerModel, Decoding, prompt_of
from rftkit.recipe.schema import Recipe
from rftkit.runs.calibration import HeldOutAnswers, Origin, Temperatures
from rftkit.tasks import get_task


def calibrated(
    policy: AnswerModel, recipe: Recipe, examples: Sequence[Example], origin: Origin
) -> HeldOutAnswers:
    """A temperature for each model. examples: one at least."""
    tuned = label_scores(policy, recipe, examples)
    with policy.base():
        base = label_scores(policy, recipe, examples)
    temperatures = Temperatures(fit_temperature(base), fit_temperature(tuned))
    answers = tuple(one.confident(temperatures.tuned) for one in tuned)
    return HeldOutAnswers(temperatures, origin, answers)


def label_scores(
    policy: AnswerModel, recipe: Recipe, examples: Sequence[Example]
) -> list[LabelScores]:
    """The scores of each example's list, by the model as it stands, after what it reasons."""
    size = recipe.eval.batch_size
    return [
        one
        for start in range(0, len(examples), size)
        for one in _batch(policy, recipe, examples[start : start + size])
    ]


def _batch(policy: AnswerModel, recipe: Recipe, examples: Sequence[Example]) -> list[LabelScores]:
    task, style = get_task(recipe.task), recipe.style
    prompts = [prompt_of(task, example, style) for example in examples]
    written = [""] * len(examples)
    if style != "direct":
        decoding = Decoding(recipe.method.max_new_tokens, seed=recipe.seed)
        made = policy.generate(prompts, decoding).completions
        written = [replies.with_prefill(completion, style).text for completion in made]
    lists = [task.spellings(example, recipe.options) for example in examples]
    found = list_scores(policy, prompts, lists, style, written)
    return [LabelScores(one, example.gold) for one, example in zip(found, examples, strict=True)]
