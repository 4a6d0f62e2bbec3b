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
from rftkit.evaluation.run import EvalRequest, EvalSubject, run_evaluation
from rftkit.measures.values import Measure
from rftkit.metrics import Summary, to_json
from rftkit.metrics.files import Evaluation, rescore
from rftkit.metrics.samples import read_samples
from rftkit.metrics.schema import SideSummary
from rftkit.models.policy import Decoding, Generation, Prompt
from rftkit.recipe.schema import Recipe
from rftkit.runs.adapter import Checkpoint, write_card
from rftkit.runs.run import RunFolder
from rftkit.tasks import get_task

Write = Callable[[Example], str]

THOUSANDTHS = {"name": "Qwen/Qwen2-VL-2B-Instruct"}


def by_key(model: SideSummary | None) -> dict[str, Measure]:
    """A model's metrics, each by "name label", or by its name where it has no label."""
    assert model
    return {f"{m.name} {m.label}".strip(): m for m in model.metrics}


@dataclass
class Knowing(fakes.FakePolicy):
    """Writes `write(example)` in answer to the prompt of an example; the base writes nothing."""

    recipe: Recipe = field(default_factory=fakes.recipe)
    examples: Sequence[Example] = ()
    write: Write = str

    def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> Generation:
        self.prompts += prompts
        return Generation([self._made(prompt) for prompt in prompts], 0.5, 0.1)

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]], *, ended: bool = True
    ) -> list[list[float]]:
        """What it writes is likeliest, the others fall off in their order."""
        return [
            [-0.1 if self._made(prompt).text.endswith(text) else -2.0 - location
             for location, text in enumerate(texts)]
            for prompt, texts in zip(prompts, answers, strict=True)
        ]  # fmt: skip

    def _made(self, prompt: Prompt) -> Completion:
        task = get_task(self.recipe.task)
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
    """A function: recipe and the fine-tuned model's texts (default: gold) -> evaluation."""

    def run(recipe: Recipe, write: Write | None = None) -> Measured:
        found = load_examples(recipe, "test")
        task = get_task(recipe.task)
        ideal = write or (lambda example: task.ideal(example, recipe.style))
        policy = Knowing(fakes.never, recipe=recipe, examples=found.examples, write=ideal)
        run = RunFolder(tmp_path / "run")
        policy.save(run.adapter)
        console = Console(file=io.StringIO())
        subject = EvalSubject(
            Checkpoint(run.adapter, recipe, run.evaluations, run), recipe, found, policy
        )
        return Measured(run_evaluation(subject, EvalRequest(), console), found, policy)

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
    metrics, asked = by_key(found.tuned), {"category": 6, "picture": 3}[ask]
    assert (found.tuned.n, found.summary.metric) == (asked, "IoU")
    assert metrics["map"].value == pytest.approx(1.0)
    assert metrics["map"].note == "COCO rules, constant confidences"
    assert {metrics[name].value for name in ("ap50", "f1_at_50", "exact_count")} == {1.0}
    assert (metrics["count_error"].value, metrics["count_error"].unit) == (0.0, "number")
    assert {name for name in metrics if name.startswith("ap ")} == {"ap cat", "ap dog"}
    assert found.tuned.accuracy.value > 0.9  # boxes are rounded in text
    assert found.summary.base
    assert by_key(found.summary.base)["map"].value == 0.0
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
    metrics = by_key(measure(recipe("detection", "coco", path, options={"ask": ask})).tuned)
    assert metrics["map"].note == "LVIS rules, constant confidences"
    assert metrics["map_by_frequency rare"].value == pytest.approx(1.0)


def test_the_results_of_detection_are_grouped_by_category(
    tmp_path: Path, measure: Callable[..., Measured]
) -> None:
    task = get_task("detection")

    def cats_only(example: Example) -> str:
        return task.ideal(example, "think") if example.category == "cat" else "<answer>[]</answer>"

    found = measure(recipe("detection", "coco", coco(tmp_path), model=THOUSANDTHS), cats_only)
    groups = found.tuned.groups
    assert {name: rate.n for name, rate in groups.items()} == {"cat": 3, "dog": 3}
    assert groups["cat"].value == pytest.approx(1.0)
    assert groups["dog"].value == pytest.approx(2 / 3)  # none are counted on b and c
    assert by_key(found.tuned)["ap dog"].value == 0.0
    assert by_key(found.tuned)["count_error"].value == pytest.approx(2 / 6)


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
    metrics = by_key(found.tuned)
    assert (metrics["miou"].value, metrics["acc_at_50"].value) == (1.0, 1.0)
    same_when_rescored(found)
    wide = measure(
        recipe("grounding", "jsonl", path, model=THOUSANDTHS, seed=1),
        lambda example: "<answer>(100,100),(900,900)</answer>",
    )
    first, second = 30 * 80 / (80 * 80), 40 * 80 / (80 * 80)
    assert by_key(wide.tuned)["miou"].value == pytest.approx((first + second) / 2)
    assert by_key(wide.tuned)["acc_at_50"].value == 0.5
    assert wide.tuned.accuracy.value == by_key(wide.tuned)["miou"].value


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
    task = get_task("choice")

    def three_d(example: Example) -> str:
        right = example.meta["source"] == "Omni3D"
        return task.ideal(example, "think") if right else "<answer>Z</answer>"

    found = measure(recipe("choice", "jsonl", bench(tmp_path)), three_d)
    metrics = by_key(found.tuned)
    assert metrics["cv_bench_official"].value == 0.5
    assert metrics["cv_bench_micro"].value == found.tuned.accuracy.value == 0.5
    parts = [metrics[f"accuracy_by_source {name}"].value for name in ("ADE20K", "COCO", "Omni3D")]
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
    task = get_task("choice")

    def always_a(example: Example) -> str:
        known = example.image.name == "0.png"
        return task.ideal(example, "think") if known else "<answer>A</answer>"

    mine = recipe("choice", "jsonl", bench(tmp_path), options={"circular": True})
    assert len(load_examples(mine, "train").examples) == 1
    found = measure(mine, always_a)
    assert found.tuned.n == 18
    assert found.tuned.accuracy.value == pytest.approx((3 + 5) / 18)
    assert by_key(found.tuned)["circular_accuracy"].value == pytest.approx(1 / 6)
    assert by_key(found.tuned)["circular_accuracy"].n == 6
    same_when_rescored(found)


def test_a_limit_on_other_images_keeps_every_turn_of_a_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = recipe("choice", "jsonl", bench(tmp_path), options={"circular": True})
    adapter = tmp_path / "alone"
    fakes.FakePolicy(fakes.never).save(adapter)
    write_card(adapter, mine, ())
    policy = Knowing(fakes.never, recipe=mine, examples=load_examples(mine, "test").examples,
                     write=lambda example: get_task("choice").ideal(example, "think"))  # fmt: skip
    monkeypatch.setattr(evaluation, "open_for_inference", lambda *_: policy)
    request = EvalRequest(split="test", data=tmp_path / "t.jsonl", limit=2)
    found = evaluation.evaluate_checkpoint(adapter, request, Console(file=io.StringIO()))
    assert found.summary.expected == 2 * 3
    assert found.summary.tuned
    assert by_key(found.summary.tuned)["circular_accuracy"].n == 2


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
    assert "cv_bench_micro" not in by_key(found.tuned)


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
    letter = get_task("choice").spelled(found.examples[0], scored)
    policy = fakes.FakePolicy(lambda name, tuned: Completion(letter))
    policy.save((run := RunFolder(tmp_path / "scored")).adapter)
    console = Console(file=io.StringIO())
    subject = EvalSubject(Checkpoint(run.adapter, mine, run.evaluations, run), mine, found, policy)
    summary = run_evaluation(subject, EvalRequest(base=False), console).summary
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
    assert gold.tuned.accuracy.value == by_key(gold.tuned)["within_one"].value == 1.0
    assert {by_key(gold.tuned)[name].value for name in ("mae", "bias")} == {0.0}
    same_when_rescored(gold)
    written = {"2": "two", "3": "4", "4": "1", "5": "many"}
    off = measure(
        recipe("number", "jsonl", path, seed=1),
        lambda example: f"<think>so</think><answer>{written[example.gold]}</answer>",
    )
    metrics = by_key(off.tuned)
    assert off.tuned.accuracy.value == 0.25
    assert metrics["within_one"].value == 0.5
    assert metrics["mae"].value == pytest.approx((0 + 1 + 3) / 3)
    assert metrics["bias"].value == pytest.approx((0 + 1 - 3) / 3)
    assert (metrics["bias"].n, metrics["bias"].unit) == (3, "number")
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
    monkeypatch.setattr(evaluation, "open_for_inference", lambda *_: policy)
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", other))
    for given in (other, other / "train.json", packed):
        request, policy.asked = EvalRequest(data=given), []
        found = evaluation.evaluate_checkpoint(adapter, request, Console(file=io.StringIO()))
        assert found.summary.expected == 2
        assert {name for name, _ in policy.asked} == {"other-val0.png", "other-val1.png"}
    (tmp_path / "classes/cat").mkdir(parents=True)
    with pytest.raises(DataError, match=r"how to read it for task 'detection'; name a recipe"):
        evaluation.evaluate_checkpoint(
            adapter, EvalRequest(data=tmp_path / "classes"), Console(file=io.StringIO())
        )
