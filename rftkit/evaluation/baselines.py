"""Honest baselines of a recipe: what its shots and the base model give without fine-tuning.

All are made from the recipe's own training shots, and tested on the examples that its evaluation
tests on, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import Progress

from rftkit import files
from rftkit.core import Attempt, Completion, Example, Reply
from rftkit.data.gold_check import load_checked_splits
from rftkit.errors import DataError, RecipeError
from rftkit.evaluation import probes
from rftkit.metrics.baselines import (
    Baseline,
    BaselineName,
    Baselines,
    Prediction,
    TestExample,
    data_of,
    read_baselines,
    setting_sha256,
    write_baselines,
)
from rftkit.metrics.lists.calibration import likeliest
from rftkit.models import open_base, out_of_memory
from rftkit.models.list_scores import list_scores
from rftkit.models.policy import ModelFacts, Policy, ProbeFeatures, prompt_of
from rftkit.recipe.schema import Recipe
from rftkit.runs.versions import versions
from rftkit.tasks import get_task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Part = TypeVar("Part")
Fit = Callable[[probes.ProbeData], probes.Fitted]
BLIND = "the questions differ, and vision features do not see them"


@dataclass(frozen=True)
class Splits:
    """The shots and the test examples of a recipe, with the answers that each test one allows."""

    recipe: Recipe
    shots: tuple[Example, ...]
    tests: tuple[Example, ...]

    @property
    def answers(self) -> list[str]:
        """The right answer of each shot, as a model is to write it."""
        return [get_task(self.recipe.task).written(example) for example in self.shots]

    @property
    def offered(self) -> list[tuple[str, ...]]:
        """The answers on the list of each test example, as a model is to write them."""
        return [tuple(names[0] for names in one.values()) for one in self.lists]

    @property
    def lists(self) -> list[dict[str, tuple[str, ...]]]:
        """The list of each test example: answer -> how it may be written."""
        task, options = get_task(self.recipe.task), self.recipe.options
        return [task.spellings(example, options) for example in self.tests]

    @property
    def one_question(self) -> bool:
        """Whether all examples ask the same, so that the image alone decides."""
        asked = {example.question for example in (*self.shots, *self.tests)}
        return get_task(self.recipe.task).predicts_labels or len(asked) == 1


def check_baselines(recipe: Recipe, file: Path) -> None:
    """Raises UserError where no baselines can be made, or `file` holds those of other settings."""
    if not recipe.has_list:
        raise RecipeError(
            f"task: {recipe.task!r} has no closed list of answers here, and baselines need one: "
            'task "classification" with data.choices = "all" or "paper", task "choice", or task '
            '"number" with options.range'
        )
    if file.parent.is_file():
        raise RecipeError(f"--out {file.parent}: is a file; name a folder")
    if file.exists() and read_baselines(file).setting_sha256 != setting_sha256(recipe):
        raise DataError(
            f"{file}: holds baselines of other settings; name another folder with --out"
        )


def measure_baselines(recipe: Recipe, file: Path, command: str, console: Console) -> Baselines:
    """Make every baseline of a recipe, test it, and write `file`.

    Raises UserError as `check_baselines` does, before anything is loaded.
    """
    check_baselines(recipe, file)
    training, test = load_checked_splits(recipe)
    for note in dict.fromkeys([*training.notes, *test.notes]):
        console.print(f"note: {note}", highlight=False, markup=False)
    splits = Splits(recipe, training.examples, test.examples)
    policy = open_base(recipe.model)
    with policy.base(), out_of_memory.named("evaluating", out_of_memory.evaluating(recipe)):
        rows = (
            _row(splits, "most_frequent", probes.most_frequent(splits.answers, splits.offered)),
            _row(splits, "label_scores", _label_scores(policy, splits, console)),
            *_probes(splits, _read_features(policy, splits, console)),
        )
    baselines = _file(splits, rows, policy.facts(), command)
    write_baselines(file, baselines)
    return baselines


def _label_scores(policy: Policy, splits: Splits, console: Console) -> probes.Fitted:
    """The likeliest answer of each list, by the base model."""
    recipe, chosen = splits.recipe, list[str | None]()
    task, style = get_task(recipe.task), recipe.style
    pairs = list(zip(splits.tests, splits.lists, strict=True))
    for batch in _batches(pairs, recipe, "scoring the answers of the list", console):
        prompts = [prompt_of(task, example, style) for example, _ in batch]
        lists = [one for _, one in batch]
        for one, scores in zip(lists, list_scores(policy, prompts, lists, style), strict=True):
            chosen.append(one[likeliest(scores)][0])
    reasoning = "" if recipe.style == "direct" else ", without reasoning"
    how = f"the answer of the list that the base model finds likeliest{reasoning}"
    return probes.Fitted(chosen, how)


def _read_features(policy: Policy, splits: Splits, console: Console) -> ProbeFeatures:
    """Features of the shots, then of the test examples, from the base model."""
    examples, recipe = (*splits.shots, *splits.tests), splits.recipe
    task = get_task(recipe.task)
    parts = [
        policy.probe_features([prompt_of(task, example, recipe.style) for example in batch])
        for batch in _batches(examples, recipe, "reading features", console)
    ]
    return ProbeFeatures(
        _joined([part.vision for part in parts]), _joined([part.hidden for part in parts])
    )


def _joined(parts: Sequence[NDArray[np.float32] | str]) -> NDArray[np.float32] | str:
    import numpy as np

    arrays = []
    for part in parts:
        if isinstance(part, str):
            return part
        arrays.append(part)
    return np.concatenate(arrays)


def _probes(splits: Splits, features: ProbeFeatures) -> Iterator[Baseline]:
    vision = features.vision if splits.one_question else BLIND
    fitted: tuple[tuple[BaselineName, NDArray[np.float32] | str, Fit], ...] = (
        ("nearest_mean_vision", vision, probes.nearest_mean),
        ("linear_probe_vision", vision, _linear_probe(splits)),
        ("nearest_mean_hidden", features.hidden, probes.nearest_mean),
        ("linear_probe_hidden", features.hidden, _linear_probe(splits)),
    )
    for name, values, fit in fitted:
        yield _probe(splits, name, values, fit)


def _probe(
    splits: Splits, name: BaselineName, features: NDArray[np.float32] | str, fit: Fit
) -> Baseline:
    if isinstance(features, str):
        return Baseline(name=name, missing=features)
    shots = len(splits.shots)
    data = probes.ProbeData(features[:shots], splits.answers, features[shots:], splits.offered)
    if problem := data.problem():
        return Baseline(name=name, missing=problem)
    return _row(splits, name, fit(data))


def _linear_probe(splits: Splits) -> Fit:
    return lambda data: probes.linear_probe(data, splits.recipe.seed)


def _row(splits: Splits, name: BaselineName, fitted: probes.Fitted) -> Baseline:
    pairs = zip(splits.tests, fitted.answers, strict=True)
    predictions = tuple(_prediction(splits.recipe, example, answer) for example, answer in pairs)
    return Baseline(name=name, how=fitted.how, predictions=predictions)


def _prediction(recipe: Recipe, example: Example, answer: str | None) -> Prediction:
    """The answer, scored as an evaluation scores it; none at all is wrong."""
    if answer is None:
        return Prediction(id=example.id, answer=None, correct=0.0)
    task = get_task(recipe.task)
    attempt = Attempt(example, "direct", Completion(answer), Reply(answer))
    correct = task.rewards[task.headline](attempt)
    return Prediction(id=example.id, answer=str(task.parsed(attempt)), correct=correct)


def _file(splits: Splits, rows: Sequence[Baseline], facts: ModelFacts, command: str) -> Baselines:
    recipe = splits.recipe
    return Baselines(
        task=recipe.task,
        style=recipe.style,
        split=recipe.data.test_split,
        setting_sha256=setting_sha256(recipe),
        model=facts.model,
        revision=facts.revision,
        dtype=facts.dtype,
        quantisation=facts.quantisation,
        max_pixels=facts.max_pixels,
        hardware=facts.device,
        data=data_of(recipe),
        shots=len(splits.shots),
        classes=len({*splits.answers}),
        seed=recipe.seed,
        versions=versions() | {"scikit-learn": version("scikit-learn")},
        command=command,
        created=files.now(),
        notes=_notes(splits),
        examples=tuple(TestExample(id=e.id, image=e.image.name, gold=e.gold) for e in splits.tests),
        baselines=tuple(rows),
    )


def _notes(splits: Splits) -> tuple[str, ...]:
    """Test examples to which nothing that learns from the shots can have an answer."""
    seen = {*splits.answers}
    unseen = sum(not seen.intersection(offered) for offered in splits.offered)
    if not unseen:
        return ()
    return (
        f"{unseen} of {len(splits.tests)} test examples offer no answer that has a training shot: "
        "probes and class means have none to give there, which counts as wrong",
    )


def _batches(
    items: Sequence[Part], recipe: Recipe, doing: str, console: Console
) -> Iterator[Sequence[Part]]:
    """The items in batches of an evaluation, with a bar."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing, total=len(items))
        for start in range(0, len(items), recipe.eval.batch_size):
            batch = items[start : start + recipe.eval.batch_size]
            yield batch
            bar.advance(task, len(batch))
