"""Answers for images of one's own, for every task, with a policy that replays texts."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakes
import pytest
from PIL import Image
from rich.console import Console

from rftkit.core import Completion
from rftkit.errors import UserError
from rftkit.inference import predict as predictions
from rftkit.inference.predict import Prediction, predict
from rftkit.recipe.toml import dump_recipe
from rftkit.runs.adapter import write_card
from rftkit.runs.run import RunFolder
from rftkit.tasks.question import Question

BOX = '{{"Position": [10, 20, 50, 60], "Confidence": 0.75{}}}'
SOURCES = {"detection": "coco", "classification": "folder"}
Ask = Callable[..., list[Prediction]]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Asks a run of a task, whose policy says `answer`, about one image of 200 × 50 pixels."""

    def run(answer: str, question: Question, policy: Any = None, **more: Any) -> list[Prediction]:
        policy = policy or fakes.FakePolicy(
            lambda *_: Completion(f"<think>so</think><answer>{answer}</answer>", 9)
        )
        monkeypatch.setattr(predictions, "open_for_inference", lambda *_: policy)
        labels = more.pop("labels", ("king", "queen"))
        more_names = more.pop("aliases", {})
        source = SOURCES.get(more.get("task", ""), "jsonl")
        data = {"source": source, "path": "p", "shots": 1, **more.pop("data", {})}
        recipe = fakes.recipe(data=data, **more)
        made = RunFolder(tmp_path / "run")
        fakes.FakePolicy(fakes.never).save(made.adapter)
        write_card(made.adapter, recipe, labels, more_names)
        made.resolved.write_text(dump_recipe(recipe), "utf-8")
        made.set_status("trained", labels=labels, versions={})
        Image.new("RGB", (200, 50)).save(tmp_path / "x.png")
        console = Console(file=io.StringIO())
        return list(predict(made.folder, [tmp_path / "x.png"], console, question))

    return run


def test_every_category_is_asked_for_and_boxes_come_in_pixels(ask: Ask) -> None:
    policy = fakes.FakePolicy(
        lambda *_: Completion(f"<think>so</think><answer>[{BOX.format('')}]</answer>", 9)
    )
    found = ask("", Question(), policy, task="detection")
    assert [prediction.asked for prediction in found] == ["king", "queen"]
    assert "Find every queen in this picture." in policy.prompts[1].text
    assert "x runs from 0 to 100 " in policy.prompts[0].text  # the tiny family's own grid
    record = found[1].record()
    assert record["boxes"] == [
        {"label": "queen", "box": [20.0, 10.0, 100.0, 30.0], "confidence": 0.75}
    ]
    assert "answer" not in record
    assert found[1].line().endswith("x.png: queen at 20,10 – 100,30 (0.75)  (so)")


def test_another_name_of_a_label_is_the_label_as_in_training(ask: Ask) -> None:
    (found,) = ask("Regina", Question(), task="classification", aliases={"regina": "queen"})
    assert (found.answer, found.off_the_list) == ("queen", False)


@pytest.mark.parametrize(
    ("answer", "boxes", "line"),
    [
        ("[]", [], "ace: none"),
        ("two of them", None, "ace: no box could be read"),
        ('[{"Position": [5, 5, 1, 1]}]', [], "ace: none"),
    ],
)
def test_a_category_of_ones_own_may_not_be_there(
    ask: Ask, answer: str, boxes: object, line: str
) -> None:
    (found,) = ask(answer, Question(categories=("ace",)), task="detection")
    assert found.record()["boxes"] == boxes
    assert f"x.png: {line}" in found.line()


def test_all_categories_at_once_name_each_box(ask: Ask) -> None:
    boxes = BOX.format(', "Label": "king"')
    more = {"task": "detection", "options": {"ask": "picture"}}
    (found,) = ask(f"[{boxes}]", Question(), **more)
    assert found.boxes
    assert (found.boxes[0].label, found.asked) == ("king", "king, queen")
    with pytest.raises(UserError, match="needs what to look for; give --ask"):
        ask("[]", Question(), labels=("",), **more)


def test_a_phrase_is_found(ask: Ask) -> None:
    policy = fakes.FakePolicy(
        lambda *_: Completion("<think>so</think><answer>(0,0),(50,100)</answer>", 9)
    )
    (found,) = ask("", Question("the dog on the left"), policy, task="grounding")
    assert found.boxes == (("the dog on the left", (0.0, 0.0, 100.0, 50.0), 1.0),)
    assert "Where in this picture is this: the dog on the left?" in policy.prompts[0].text


@pytest.mark.parametrize(
    ("answer", "said", "off"),
    [("B", "right", False), ("(a)", "left", False), ("up", "up (not one of the options)", True)],
)
def test_a_lettered_question_is_answered_in_words(
    ask: Ask, answer: str, said: str, off: bool
) -> None:
    question = Question("Where is it?", ("left", "right"))
    (found,) = ask(answer, question, task="choice")
    assert found.attempt.example.choices == ("left", "right")
    assert (found.line().split("x.png: ")[1], found.off_the_list) == (f"{said}  (so)", off)
    assert found.record()["asked"] == "Where is it?"


def test_a_number_is_answered_in_digits(ask: Ask) -> None:
    (found,) = ask("Seven", Question("How many dogs?"), task="number")
    assert (found.answer, found.asked) == ("7", "How many dogs?")
    assert found.attempt.example.question == "How many dogs?"


@pytest.mark.parametrize(
    ("task", "wording", "asked"),
    [
        ("detection", "Mark each {label}.", "Mark each ace."),
        ("grounding", "Find {phrase}!", "Find ace!"),
        ("number", "Look well. {question}", "Look well. ace"),
    ],
)
def test_the_recipes_own_wording_is_kept(ask: Ask, task: str, wording: str, asked: str) -> None:
    question = Question(categories=("ace",)) if task == "detection" else Question("ace")
    (found,) = ask("1", question, task=task, data={"question": wording})
    assert found.attempt.example.question == asked


@pytest.mark.parametrize(
    ("task", "question", "said"),
    [
        ("grounding", Question(), "needs what to find; give --question"),
        ("choice", Question("Where?"), "needs a question and its options"),
        ("choice", Question(options=("a", "b")), "needs a question and its options"),
        ("choice", Question("Where?", ("up", "up")), "--question: two options are the same"),
        ("number", Question(options=("1", "2")), "--option: this model's task is 'number'"),
        ("classification", Question("Which?"), "--question: the task 'classification' asks its"),
        ("detection", Question("a dog"), "name what to look for with --ask"),
        ("detection", Question(categories=("dog", " ")), "--ask: empty; name what to look for"),
        ("choice", Question(categories=("dog",)), "--ask: this model's task is 'choice'"),
    ],
)
def test_a_question_that_the_task_cannot_use_is_refused(
    ask: Ask, task: str, question: Question, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        ask("", question, fakes.FakePolicy(fakes.never), task=task)
