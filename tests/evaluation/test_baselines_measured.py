"""Baselines of a recipe, from its data to the file and the reports, with a fake model."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from rftkit.core import Completion
from rftkit.data.gold_check import load_checked_splits
from rftkit.errors import DataError, RecipeError
from rftkit.evaluation import baselines as module
from rftkit.evaluation.baselines import measure_baselines
from rftkit.evaluation.run import EvalRequest, EvalSubject, run_evaluation
from rftkit.metrics.baselines import Baseline, Baselines, read_baselines
from rftkit.metrics.samples import read_samples
from rftkit.models.policy import ProbeFeatures, Prompt
from rftkit.recipe.resolve import with_absolute_paths
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import dump_recipe
from rftkit.report.baselines import baselines_beside, show_baselines, table
from rftkit.report.page import ReportInput, render
from rftkit.runs.adapter import Checkpoint, write_card
from rftkit.runs.run import RunFolder

SHADE = {"cat": 40, "cow": 120, "dog": 200}
QUIET = Console(file=io.StringIO())


@dataclass
class Seeing(fakes.FakePolicy):
    """Its vision features tell the shades apart; its hidden state adds the prompt's length."""

    vision: bool = True

    def probe_features(self, prompts: Sequence[Prompt]) -> ProbeFeatures:
        assert not self.tuned  # a baseline is the base model's
        shades = np.array([[np.asarray(p.image.open()).mean()] for p in prompts])
        seen = np.exp(-(((shades - [*SHADE.values()]) / 30) ** 2)).astype(np.float32)
        read = np.concatenate([seen, [[len(p.text)] for p in prompts]], 1).astype(np.float32)
        return ProbeFeatures(seen if self.vision else "it is blind", read)


def always_cat(name: str, tuned: bool) -> Completion:
    """The base takes everything for a cat; the fine-tuned model is right but for dogs."""
    gold = Path(name).parent.name
    return Completion("cow" if tuned and gold == "cow" else "cat", 1)


def images(root: Path, shots: dict[str, int], tests: int = 4) -> Path:
    for split in ("train", "test"):
        for label, count in shots.items():
            for number in range(count if split == "train" else tests):
                path = root / split / label / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (16, 16), SHADE[label] + number + 7 * (split == "test")).save(path)
    return root


def recipe_of(path: Path, **more: Any) -> Recipe:
    data = {"source": "folder", "path": str(path), **more.pop("data", {})}
    return fakes.recipe(data=data, style="direct", eval={"batch_size": 5}, **more)


Measure = Callable[..., Baselines]


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measure:
    def run(recipe: Recipe, policy: fakes.FakePolicy | None = None, to: str = "run") -> Baselines:
        monkeypatch.setattr(module, "open_base", lambda _: policy or Seeing(always_cat))
        file = tmp_path / to / "baselines.json"
        made = measure_baselines(recipe, file, "rftkit baseline x", QUIET)
        assert read_baselines(file) == made
        return made

    return run


def right(baselines: Baselines) -> dict[str, float]:
    """How often each baseline is right; of a missing one nothing."""
    return {
        one.name: sum(p.correct for p in one.predictions) / len(one.predictions)
        for one in baselines.baselines
        if one.predictions
    }


def by_name(baselines: Baselines, name: str) -> Baseline:
    return next(one for one in baselines.baselines if one.name == name)


def test_every_baseline_is_tested_on_the_examples_of_an_evaluation(
    tmp_path: Path, measure: Measure
) -> None:
    recipe = recipe_of(images(tmp_path / "pets", {"cat": 2, "cow": 4, "dog": 3}))
    made = measure(recipe)
    third = pytest.approx(1 / 3)
    assert right(made) == {
        "most_frequent": third,  # cow
        "label_scores": third,  # cat
        "nearest_mean_vision": 1.0,
        "linear_probe_vision": 1.0,
        "nearest_mean_hidden": 1.0,
        "linear_probe_hidden": 1.0,
    }
    assert {p.answer for p in by_name(made, "most_frequent").predictions} == {"cow"}
    assert {p.answer for p in by_name(made, "label_scores").predictions} == {"cat"}
    order = [example.id for example in load_checked_splits(recipe).test.examples]
    assert len(order) == 12
    for one in made.baselines:
        assert [p.id for p in one.predictions] == order
    assert (made.shots, made.classes, made.notes) == (9, 3, ())


def test_label_scores_are_of_the_replies_that_the_style_writes(
    tmp_path: Path, measure: Measure
) -> None:
    policy = Seeing(always_cat)
    recipe = recipe_of(images(tmp_path / "pets", {"cat": 2, "cow": 2}))
    made = measure(Recipe.model_validate({**recipe.model_dump(), "style": "think"}), policy)
    assert policy.scored[:2] == ["<answer>cat</answer>", "<answer>cow</answer>"]
    assert by_name(made, "label_scores").how.endswith("without reasoning")


def test_features_that_cannot_be_had_leave_the_other_rows(tmp_path: Path, measure: Measure) -> None:
    recipe = recipe_of(images(tmp_path / "pets", {"cat": 2, "cow": 2}))
    made = measure(recipe, Seeing(always_cat, vision=False))
    assert by_name(made, "linear_probe_vision").missing == "it is blind"
    assert {"label_scores", "linear_probe_hidden"} < {*right(made)}
    assert "linear_probe_vision" not in right(made)
    out = io.StringIO()
    show_baselines(table(tmp_path, made), Console(file=out, width=100))
    assert "linear probe, vision features: none, as it is blind\n" in out.getvalue()


def test_new_classes_have_no_answer_and_a_note(tmp_path: Path, measure: Measure) -> None:
    root = images(tmp_path / "pets", {"cat": 2, "cow": 2, "dog": 2})
    made = measure(recipe_of(root, data={"classes": "base"}))
    (note,) = made.notes
    assert note.startswith("4 of 12 test examples offer no answer that has a training shot")
    last = [p for p in by_name(made, "nearest_mean_vision").predictions if "dog" in p.id]
    assert [(p.answer, p.correct) for p in last] == [(None, 0.0)] * 4


def questions(folder: Path, rows: Sequence[dict[str, Any]], task: str, **more: Any) -> Recipe:
    """A table of these questions, in both splits, each with an image of its own."""
    folder.mkdir()
    lines = []
    for split in ("train", "test"):
        for number, row in enumerate(rows):
            name = f"{split}{number}.png"
            Image.new("L", (16, 16), 5 * number + (split == "test")).save(folder / name)
            lines.append(json.dumps({"image": name, "split": split, **row}))
    (folder / "t.jsonl").write_text("\n".join(lines))
    data = {"source": "jsonl", "path": str(folder / "t.jsonl")}
    return fakes.recipe(task=task, style="direct", data=data, **more)


def test_of_a_choice_the_letter_is_what_is_learnt(tmp_path: Path, measure: Measure) -> None:
    rows = [{"question": f"{n}?", "options": ["x", "y", "z"], "answer": "xyy"[n]} for n in range(3)]
    recipe = questions(tmp_path / "quiz", rows, "choice", options={"shuffle": False})
    made = measure(recipe, Seeing(lambda *_: Completion("C")))
    assert [p.answer for p in by_name(made, "most_frequent").predictions] == ["y"] * 3
    assert right(made)["most_frequent"] == pytest.approx(2 / 3)
    assert [p.answer for p in by_name(made, "label_scores").predictions] == ["z"] * 3
    assert by_name(made, "nearest_mean_vision").missing == module.BLIND
    assert "linear_probe_hidden" in right(made)


def test_of_numbers_the_range_is_the_list(tmp_path: Path, measure: Measure) -> None:
    rows = [{"question": "How many?", "answer": str(n)} for n in (1, 1, 3, 3, 3)]
    recipe = questions(tmp_path / "counts", rows, "number", options={"range": [0, 4]})
    policy = Seeing(lambda *_: Completion("4"))
    made = measure(recipe, policy)
    assert policy.scored[:5] == ["0", "1", "2", "3", "4"]
    assert right(made)["label_scores"] == 0.0
    assert right(made)["most_frequent"] == pytest.approx(3 / 5)
    assert "linear_probe_vision" in right(made)  # one question: the image decides


@pytest.mark.parametrize(
    ("task", "more"),
    [
        ("detection", {"data": {"source": "scenes", "path": "detection"}}),
        ("grounding", {"data": {"source": "scenes", "path": "grounding"}}),
        ("number", {"data": {"source": "scenes", "path": "number"}}),
        ("classification", {"data": {"source": "digits", "choices": "none"}}),
    ],
)
def test_open_answers_are_refused_in_one_line(
    tmp_path: Path, task: str, more: dict[str, Any]
) -> None:
    with pytest.raises(RecipeError, match="no closed list of answers here") as caught:
        measure_baselines(fakes.recipe(task=task, **more), tmp_path / "baselines.json", "", QUIET)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "baselines.json").exists()


def test_baselines_of_other_settings_are_not_written_over(tmp_path: Path, measure: Measure) -> None:
    recipe = recipe_of(images(tmp_path / "pets", {"cat": 3, "cow": 3}))
    measure(recipe)
    again = measure(recipe)  # the same settings: made anew
    with pytest.raises(DataError, match="holds baselines of other settings; name another folder"):
        measure(recipe_of(tmp_path / "pets", data={"shots": 1}))
    assert read_baselines(tmp_path / "run" / "baselines.json") == again
    (tmp_path / "file").touch()
    with pytest.raises(RecipeError, match="is a file; name a folder"):
        measure(recipe, to="file")


def evaluated(folder: Path, recipe: Recipe, policy: fakes.FakePolicy) -> Path:
    """The main evaluation of a run of this recipe, on disk with its report."""
    run = RunFolder(folder)
    recipe = with_absolute_paths(recipe)
    policy.save(run.adapter)
    splits = load_checked_splits(recipe)
    write_card(run.adapter, recipe, splits.test.labels)
    run.resolved.write_text(dump_recipe(recipe), "utf-8")
    run.set_status("finished", labels=splits.test.labels, versions={"rftkit": "0"})
    checkpoint = Checkpoint(run.adapter, recipe, run.evaluations, run)
    subject = EvalSubject(checkpoint, recipe, splits.test, policy)
    return run_evaluation(subject, EvalRequest(), QUIET).folder


@pytest.mark.parametrize("where", ["run", "beside"])
def test_the_report_of_an_evaluation_shows_baselines_that_fit(
    tmp_path: Path, measure: Measure, where: str
) -> None:
    recipe = recipe_of(images(tmp_path / "pets", {"cat": 3, "cow": 3, "dog": 3}, tests=12))
    measure(recipe, to=f"out/{where}")
    folder = evaluated(tmp_path / "out" / "run", recipe, Seeing(always_cat))
    page = (folder / "report.html").read_text("utf-8")
    assert "<h2>Baselines</h2>" in page
    assert "4 baselines beat the fine-tuned model: " in page
    assert "linear probe, vision features" in page
    assert RunFolder(tmp_path / "out" / "run").report.read_text("utf-8") == page


def test_the_difference_is_the_fine_tuned_model_less_the_baseline(
    tmp_path: Path, measure: Measure
) -> None:
    recipe = recipe_of(images(tmp_path / "pets", {"cat": 3, "cow": 3, "dog": 3}, tests=12))
    measure(recipe)
    folder = evaluated(tmp_path / "run", recipe, Seeing(always_cat))
    shown = baselines_beside(folder, summary_of(folder))
    assert shown is not None
    assert shown.tuned is not None
    assert shown.tuned.value == pytest.approx(2 / 3)
    values = {row.name: row.difference.value for row in shown.rows if row.difference}
    assert values["label_scores"] == pytest.approx(1 / 3)
    assert values["linear_probe_vision"] == pytest.approx(-1 / 3)


def summary_of(folder: Path) -> Any:
    from rftkit.metrics import summarise

    return summarise(read_samples(folder / "samples.jsonl"))


def test_baselines_of_other_shots_or_images_are_not_shown(tmp_path: Path, measure: Measure) -> None:
    root = images(tmp_path / "pets", {"cat": 3, "cow": 3})
    recipe = recipe_of(root)
    measure(recipe_of(root, data={"shots": 1}))
    folder = evaluated(tmp_path / "run", recipe, Seeing(always_cat))
    assert baselines_beside(folder, summary_of(folder)) is None
    assert "<h2>Baselines</h2>" not in (folder / "report.html").read_text("utf-8")
    (tmp_path / "run" / "baselines.json").unlink()
    measure(recipe)
    summary = summary_of(folder)
    assert baselines_beside(folder, summary) is not None
    elsewhere = summary.provenance.model_copy(update={"data": "folder /elsewhere"})
    assert baselines_beside(folder, summary.model_copy(update={"provenance": elsewhere})) is None
    assert baselines_beside(folder, summary.model_copy(update={"style": "think"})) is None


def test_a_damaged_file_of_the_run_is_named_and_spoils_no_report(
    tmp_path: Path, measure: Measure
) -> None:
    recipe = recipe_of(images(tmp_path / "pets", {"cat": 3, "cow": 3}))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "baselines.json").write_text("{}")
    folder = evaluated(tmp_path / "run", recipe, Seeing(always_cat))
    assert "no baselines of schema 1" in (folder / "report.html").read_text("utf-8")
    with pytest.raises(DataError, match="no baselines of schema 1"):
        measure(recipe)


def test_a_table_without_an_evaluation_has_accuracies_alone(
    tmp_path: Path, measure: Measure
) -> None:
    made = measure(recipe_of(images(tmp_path / "pets", {"cat": 2, "cow": 4, "dog": 3})))
    out = io.StringIO()
    show_baselines(table(tmp_path, made), Console(file=out, width=90))
    lines = out.getvalue().splitlines()
    assert lines[1].split() == ["Baselines", "accuracy", "95", "%"]
    assert lines[2].split() == ["most", "frequent", "answer", "33.3", "%", "13.8–60.9"]
    assert "from 9 training shots of 3 classes, or the base model alone; 12 test examples" in lines


def test_a_page_takes_what_a_baseline_says_as_text(tmp_path: Path, measure: Measure) -> None:
    made = measure(recipe_of(images(tmp_path / "pets", {"cat": 2, "cow": 2})))
    hack = made.baselines[0].model_copy(update={"how": "<b>bold</b>"})
    shown = table(tmp_path, made.model_copy(update={"baselines": (hack,)}))
    folder = evaluated(tmp_path / "run", recipe_of(tmp_path / "pets"), Seeing(always_cat))
    page = render(ReportInput("a run", summary=summary_of(folder), baselines=shown))
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<b>bold" not in page
