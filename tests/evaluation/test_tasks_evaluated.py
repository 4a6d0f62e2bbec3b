"""Each task from its data to its summary, with a policy that knows the answers; and rescored."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fakes
import pytest
from PIL import Image
from rich.console import Console

from rftkit.core import Completion, Example
from rftkit.data.examples import Examples, load_examples, load_undivided
from rftkit.errors import DataError
from rftkit.evaluation import run as evaluation
from rftkit.evaluation.run import Trial, Wish, run_evaluation
from rftkit.metrics import Summary, to_json
from rftkit.metrics.files import Evaluation, rescore
from rftkit.metrics.samples import read_samples
from rftkit.metrics.schema import SideSummary
from rftkit.models.policy import Decoding, Generation, Prompt
from rftkit.recipe.schema import Recipe
from rftkit.runs.adapter import Checkpoint, write_card
from rftkit.runs.run import Run
from rftkit.tasks import by_name

Write = Callable[[Example], str]

THOUSANDTHS = {"name": "Qwen/Qwen2-VL-2B-Instruct"}


@dataclass
class Knowing(fakes.FakePolicy):
    """Writes `write(example)` in answer to the prompt of an example; the base writes nothing."""

    recipe: Recipe = field(default_factory=fakes.recipe)
    examples: Sequence[Example] = ()
    write: Write = str

    def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> Generation:
        self.prompts += prompts
        return Generation([self._made(prompt) for prompt in prompts], 0.5, 0.1)

    def _made(self, prompt: Prompt) -> Completion:
        task = by_name(self.recipe.task)
        (asked,) = [
            example
            for example in self.examples
            if (example.image.name, task.prompt(example, self.recipe.style))
            == (prompt.image.name, prompt.text)
        ]
        return Completion(self.write(asked) if self.tuned else "<answer></answer>", 7)


@dataclass(frozen=True)
class Measured:
    """One evaluation, and what it was made with."""

    evaluation: Evaluation
    examples: Examples
    policy: Knowing

    @property
    def summary(self) -> Summary:
        return self.evaluation.summary

    @property
    def tuned(self) -> SideSummary:
        assert self.summary.tuned
        return self.summary.tuned


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Measured]:
    """A function: recipe and what the tuned model writes (gold, unless given) -> evaluation."""

    def run(recipe: Recipe, write: Write | None = None) -> Measured:
        found = load_examples(recipe, "test")
        task = by_name(recipe.task)
        ideal = write or (lambda example: task.ideal(example, recipe.style))
        policy = Knowing(fakes.never, recipe=recipe, examples=found.examples, write=ideal)
        run = Run(tmp_path / "run")
        policy.save(run.adapter)
        console = Console(file=io.StringIO())
        trial = Trial(Checkpoint(run.adapter, recipe, run.evaluations, run), recipe, found, policy)
        return Measured(run_evaluation(trial, Wish(), console), found, policy)

    monkeypatch.setattr(evaluation, "_report", lambda *_: None)
    return run


def recipe(task: str, source: str, path: Path, **more: Any) -> Recipe:
    data = {"source": source, "path": str(path), **more.pop("data", {})}
    eval_ = {"batch_size": 3}
    return Recipe.model_validate({"task": task, "data": data, "eval": eval_, **more})


def png(folder: Path, *names: str) -> None:
    for shade, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (200, 100), shade).save(path)


def table(folder: Path, **splits: list[dict[str, object]]) -> Path:
    lines = [{**row, "split": split} for split, rows in splits.items() for row in rows]
    path = folder / "t.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def same_when_rescored(found: Measured) -> None:
    file = found.evaluation.folder / "samples.jsonl"
    before = (found.evaluation.folder / "summary.json").read_text("utf-8")
    again = rescore(file)
    assert to_json(again.summary) == to_json(found.summary) == before


# Detection


def coco(folder: Path, **more: object) -> Path:
    """Two splits; in each: a with a cat and two dogs, b with a crowd of dogs, c with nothing."""
    for split in ("train", "test"):
        names = [f"{split}/{name}.png" for name in "abc"]
        png(folder, *names)
        boxes = [
            (1, 1, 1, [20, 10, 40, 30], 0), (2, 1, 2, [100, 50, 60, 40], 0),
            (3, 1, 2, [10, 60, 30, 30], 0), (4, 2, 2, [0, 0, 200, 100], 1),
        ]  # fmt: skip
        whole = {
            "images": [
                {"id": n, "file_name": name, "width": 200, "height": 100}
                for n, name in enumerate(names, start=1)
            ],
            "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
            "annotations": [
                {"id": i, "image_id": image, "category_id": label, "bbox": box, "iscrowd": crowd}
                for i, image, label, box, crowd in boxes
            ],
        }
        (folder / f"{split}.json").write_text(json.dumps({**whole, **more}))
    return folder / "{split}.json"


@pytest.mark.parametrize("ask", ["category", "picture"])
@pytest.mark.parametrize("model", ["Qwen/Qwen2-VL-2B-Instruct", "Qwen/Qwen2.5-VL-3B-Instruct"])
def test_gold_boxes_score_all_there_is(
    tmp_path: Path, measure: Callable[..., Measured], ask: str, model: str
) -> None:
    found = measure(
        recipe("detection", "coco", coco(tmp_path), options={"ask": ask}, model={"name": model})
    )
    figures, asked = found.tuned.figures, {"category": 6, "picture": 3}[ask]
    assert (found.tuned.n, found.summary.metric) == (asked, "IoU")
    assert figures["mAP"].value == pytest.approx(1.0)
    assert figures["mAP"].note == "COCO rules, constant confidences"
    assert {figures[name].value for name in ("AP50", "F1 at 0.5", "right count")} == {1.0}
    assert (figures["count error"].value, figures["count error"].unit) == (0.0, "number")
    assert {name for name in figures if name.startswith("AP of")} == {"AP of cat", "AP of dog"}
    assert found.tuned.accuracy.value > 0.9  # boxes are rounded in text
    assert found.summary.base
    assert found.summary.base.figures["mAP"].value == 0.0
    assert found.tuned.classes == found.tuned.confusion == ()
    same_when_rescored(found)


@pytest.mark.parametrize("ask", ["category", "picture"])
def test_lvis_is_scored_by_its_own_rules(
    tmp_path: Path, measure: Callable[..., Measured], ask: str
) -> None:
    path = coco(tmp_path)
    for split in ("train", "test"):
        whole = json.loads((tmp_path / f"{split}.json").read_text())
        whole["annotations"] = whole["annotations"][:3]
        for entry in whole["images"]:
            entry |= {"neg_category_ids": [], "not_exhaustive_category_ids": [2]}
        for entry, how in zip(whole["categories"], "rf", strict=True):
            entry["frequency"] = how
        (tmp_path / f"{split}.json").write_text(json.dumps(whole))
    figures = measure(recipe("detection", "coco", path, options={"ask": ask})).tuned.figures
    assert figures["mAP"].note == "LVIS rules, constant confidences"
    assert figures["mAP of rare ones"].value == pytest.approx(1.0)


def test_the_results_of_detection_are_grouped_by_category(
    tmp_path: Path, measure: Callable[..., Measured]
) -> None:
    task = by_name("detection")

    def cats_only(example: Example) -> str:
        return task.ideal(example, "think") if example.category == "cat" else "<answer>[]</answer>"

    found = measure(recipe("detection", "coco", coco(tmp_path), model=THOUSANDTHS), cats_only)
    groups = found.tuned.groups
    assert {name: rate.n for name, rate in groups.items()} == {"cat": 3, "dog": 3}
    assert groups["cat"].value == pytest.approx(1.0)
    assert groups["dog"].value == pytest.approx(2 / 3)  # none are counted on b and c
    assert found.tuned.figures["AP of dog"].value == 0.0
    assert found.tuned.figures["count error"].value == pytest.approx(2 / 6)


def test_a_limit_counts_images_not_prompts(tmp_path: Path) -> None:
    mine = recipe("detection", "coco", coco(tmp_path))
    found = load_examples(mine, "test", limit=2).examples
    assert len({example.image.name for example in found}) == 2
    assert len(found) == 4


# Grounding


def test_gold_boxes_of_phrases_score_all_there_is(
    tmp_path: Path, measure: Callable[..., Measured]
) -> None:
    png(tmp_path, "a.png", "b.png")
    rows = [
        {"image": "a.png", "phrase": "the left one", "box": [100, 100, 400, 900]},
        {"image": "b.png", "phrase": "the right one", "box": [500, 100, 900, 900]},
    ]
    path = table(tmp_path, train=rows[:1], test=rows)
    found = measure(recipe("grounding", "jsonl", path, model=THOUSANDTHS))
    figures = found.tuned.figures
    assert (figures["mIoU"].value, figures["accuracy at 0.5"].value) == (1.0, 1.0)
    same_when_rescored(found)
    wide = measure(
        recipe("grounding", "jsonl", path, model=THOUSANDTHS, seed=1),
        lambda example: "<answer>(100,100),(900,900)</answer>",
    )
    first, second = 30 * 80 / (80 * 80), 40 * 80 / (80 * 80)
    assert wide.tuned.figures["mIoU"].value == pytest.approx((first + second) / 2)
    assert wide.tuned.figures["accuracy at 0.5"].value == 0.5
    assert wide.tuned.accuracy.value == wide.tuned.figures["mIoU"].value


# Choice


def question(name: str, answer: str, source: str, category: str) -> dict[str, object]:
    return {
        "image": name, "question": f"Which is nearer in {name}?", "options": ["tree", "car", "dog"],
        "answer": answer, "source": source, "category": category,
    }  # fmt: skip


def bench(folder: Path) -> Path:
    png(folder, *(f"{n}.png" for n in range(6)))
    rows = [
        question(f"{n}.png", "ABC"[n % 3], source, category)
        for n, (source, category) in enumerate(
            [("ADE20K", "Count"), ("ADE20K", "Relation"), ("COCO", "Count"),
             ("Omni3D", "Depth"), ("Omni3D", "Depth"), ("Omni3D", "Distance")]
        )
    ]  # fmt: skip
    return table(folder, train=rows[:1], test=rows)


def test_cv_bench_is_scored_its_own_way(tmp_path: Path, measure: Callable[..., Measured]) -> None:
    task = by_name("choice")

    def three_d(example: Example) -> str:
        right = example.meta["source"] == "Omni3D"
        return task.ideal(example, "think") if right else "<answer>Z</answer>"

    found = measure(recipe("choice", "jsonl", bench(tmp_path)), three_d)
    figures = found.tuned.figures
    assert figures["CV-Bench official"].value == 0.5
    assert figures["CV-Bench micro"].value == found.tuned.accuracy.value == 0.5
    parts = [figures[f"accuracy on {name}"].value for name in ("ADE20K", "COCO", "Omni3D")]
    assert parts == [0.0, 0.0, 1.0]
    assert found.tuned.health["off the list"] == 3
    assert (found.summary.list_size, found.summary.chance) == (3, pytest.approx(1 / 3))
    assert {name: rate.n for name, rate in found.tuned.groups.items()} == {
        "Count": 2, "Depth": 2, "Distance": 1, "Relation": 1,
    }  # fmt: skip
    same_when_rescored(found)


def test_a_rotated_question_is_right_if_all_its_turns_are(
    tmp_path: Path, measure: Callable[..., Measured]
) -> None:
    task = by_name("choice")

    def always_a(example: Example) -> str:
        known = example.image.name == "0.png"
        return task.ideal(example, "think") if known else "<answer>A</answer>"

    mine = recipe("choice", "jsonl", bench(tmp_path), options={"circular": True})
    assert len(load_examples(mine, "train").examples) == 1
    found = measure(mine, always_a)
    assert found.tuned.n == 18
    assert found.tuned.accuracy.value == pytest.approx((3 + 5) / 18)
    assert found.tuned.figures["circular accuracy"].value == pytest.approx(1 / 6)
    assert found.tuned.figures["circular accuracy"].n == 6
    same_when_rescored(found)


def test_a_limit_on_other_images_keeps_every_turn_of_a_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = recipe("choice", "jsonl", bench(tmp_path), options={"circular": True})
    adapter = tmp_path / "alone"
    fakes.FakePolicy(fakes.never).save(adapter)
    write_card(adapter, mine, ())
    policy = Knowing(fakes.never, recipe=mine, examples=load_examples(mine, "test").examples,
                     write=lambda example: by_name("choice").ideal(example, "think"))  # fmt: skip
    monkeypatch.setattr(evaluation, "open_policy", lambda *_: policy)
    wish = Wish(split="test", data=tmp_path / "t.jsonl", limit=2)
    found = evaluation.evaluate_checkpoint(adapter, wish, Console(file=io.StringIO()))
    assert found.summary.expected == 2 * 3
    assert found.summary.tuned
    assert found.summary.tuned.figures["circular accuracy"].n == 2


def test_every_question_that_nobody_divided_is_asked_in_every_turn(tmp_path: Path) -> None:
    bench(tmp_path)
    lines = (tmp_path / "t.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    undivided = [{key: row[key] for key in row if key != "split"} for row in rows[1:]]
    (tmp_path / "loose.jsonl").write_text("\n".join(map(json.dumps, undivided)), "utf-8")
    mine = recipe("choice", "jsonl", tmp_path / "loose.jsonl", options={"circular": True})
    found = load_undivided(mine)
    assert (len(undivided), len(found.examples), found.notes) == (6, 6 * 3, ())
    assert len(load_examples(mine, "test").examples) == 3


def test_every_image_of_a_question_is_shown_in_order(
    tmp_path: Path, measure: Callable[..., Measured]
) -> None:
    png(tmp_path, "a.png", "b.png", "c.png")
    row = {**question("a.png", "A", "", ""), "image": ["b.png", "a.png", "c.png"]}
    found = measure(recipe("choice", "jsonl", table(tmp_path, train=[row], test=[row])))
    assert {(p.image.name, *(other.name for other in p.others)) for p in found.policy.prompts} == {
        ("b.png", "a.png", "c.png")
    }
    assert found.tuned.accuracy.value == 1.0
    assert "CV-Bench micro" not in found.tuned.figures


@pytest.mark.parametrize("scored", ["tree", "dog"])
def test_options_can_be_scored_instead_of_written(
    tmp_path: Path, measure: Callable[..., Measured], scored: str
) -> None:
    png(tmp_path, "a.png")
    rows = [question("a.png", "tree", "", "")]
    mine = recipe(
        "choice", "jsonl", table(tmp_path, train=rows, test=rows), style="direct",
        eval={"decode": "choices"}, options={"shuffle": False},
    )  # fmt: skip
    found = load_examples(mine, "test")
    letter = by_name("choice").spelled(found.examples[0], scored)
    policy = fakes.FakePolicy(lambda name, tuned: Completion(letter))
    policy.save((run := Run(tmp_path / "scored")).adapter)
    console = Console(file=io.StringIO())
    trial = Trial(Checkpoint(run.adapter, mine, run.evaluations, run), mine, found, policy)
    summary = run_evaluation(trial, Wish(base=False), console).summary
    assert summary.tuned
    assert summary.tuned.accuracy.value == float(scored == "tree")
    assert summary.tuned.calibration


# Number


def test_counts_are_measured_by_how_far_off_they_are(
    tmp_path: Path, measure: Callable[..., Measured]
) -> None:
    png(tmp_path, *(f"{n}.png" for n in range(4)))
    rows = [{"image": f"{n}.png", "answer": n + 2} for n in range(4)]
    path = table(tmp_path, train=rows[:1], test=rows)
    gold = measure(recipe("number", "jsonl", path))
    assert gold.tuned.accuracy.value == gold.tuned.figures["within one"].value == 1.0
    assert {gold.tuned.figures[name].value for name in ("mean absolute error", "bias")} == {0.0}
    same_when_rescored(gold)
    written = {"2": "two", "3": "4", "4": "1", "5": "many"}
    off = measure(
        recipe("number", "jsonl", path, seed=1),
        lambda example: f"<think>so</think><answer>{written[example.gold]}</answer>",
    )
    figures = off.tuned.figures
    assert off.tuned.accuracy.value == 0.25
    assert figures["within one"].value == 0.5
    assert figures["mean absolute error"].value == pytest.approx((0 + 1 + 3) / 3)
    assert figures["bias"].value == pytest.approx((0 + 1 - 3) / 3)
    assert (figures["bias"].n, figures["bias"].unit) == (3, "number")
    assert off.tuned.health["unparseable"] == 1


# Aliases and levels


NAMES = "label,aliases,kind\ncat,kitty;puss,pet\ndog,hound,pet\nfox,,wild\n"


def named(folder: Path, text: str = NAMES, labels: str = "cat dog fox", **more: Any) -> Recipe:
    (folder / "names.csv").write_text(text, "utf-8")
    png(folder, *(f"{name}.png" for name in labels.split()))
    rows = [{"image": f"{name}.png", "label": name} for name in labels.split()]
    options = {"names": str(folder / "names.csv")}
    path = table(folder, train=rows, test=rows)
    return recipe("classification", "jsonl", path, options=options, **more)


@pytest.mark.parametrize("choices", ["all", "none"])
def test_an_alias_is_right_and_levels_are_rolled_up(
    tmp_path: Path, measure: Callable[..., Measured], choices: str
) -> None:
    written = {"cat": "Kitty", "dog": "puss", "fox": "hound"}
    found = measure(
        named(tmp_path, data={"choices": choices}),
        lambda example: f"<think>so</think><answer>{written[example.gold]}</answer>",
    )
    assert found.tuned.accuracy.value == pytest.approx(1 / 3)
    assert {name: rate.value for name, rate in found.tuned.levels.items()} == {
        "kind": pytest.approx(2 / 3)
    }
    answers = [s.answer for s in read_samples(found.evaluation.folder / "samples.jsonl").samples]
    assert sorted(answer for answer in answers if answer) == ["cat", "cat", "dog"]
    assert found.tuned.invalid.value == 0
    same_when_rescored(found)


def boxed_set(root: Path, name: str) -> Path:
    """COCO's files `train.json` and `val.json` in a folder, each of two images with a cat."""
    folder = root / name
    for split in ("train", "val"):
        names = [f"{name}-{split}{number}.png" for number in range(2)]
        png(folder, *names)
        whole = {
            "images": [
                {"id": number, "file_name": file, "width": 200, "height": 100}
                for number, file in enumerate(names)
            ],
            "categories": [{"id": 1, "name": "cat"}],
            "annotations": [
                {"id": n, "image_id": n, "category_id": 1, "bbox": [20, 20, 100, 50]}
                for n in range(2)
            ],
        }
        (folder / f"{split}.json").write_text(json.dumps(whole))
    return folder


def test_other_images_with_boxes_are_recognised_as_init_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RFTKIT_CACHE", str(tmp_path / "cache"))
    own, other = boxed_set(tmp_path, "own"), boxed_set(tmp_path, "other")
    mine = recipe("detection", "coco", own / "{split}.json", data={"splits": ["train", "val"]})
    adapter = tmp_path / "alone"
    fakes.FakePolicy(fakes.never).save(adapter)
    write_card(adapter, mine, ())
    policy = fakes.FakePolicy(lambda *_: Completion("<answer>[]</answer>"))
    monkeypatch.setattr(evaluation, "open_policy", lambda *_: policy)
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", other))
    for given in (other, other / "train.json", packed):
        wish, policy.asked = Wish(data=given), []
        found = evaluation.evaluate_checkpoint(adapter, wish, Console(file=io.StringIO()))
        assert found.summary.expected == 2
        assert {name for name, _ in policy.asked} == {"other-val0.png", "other-val1.png"}
    (tmp_path / "classes/cat").mkdir(parents=True)
    with pytest.raises(DataError, match=r"how to read it for task 'detection'; name a recipe"):
        evaluation.evaluate_checkpoint(
            adapter, Wish(data=tmp_path / "classes"), Console(file=io.StringIO())
        )
