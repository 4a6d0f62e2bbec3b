"""Answers for images of one's own, for every task, with a policy that replays texts."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakes
import pytest
from PIL import Image
from rich.console import Console

from rftkit.core import Completion
from rftkit.errors import UserError
from rftkit.inference import predict as predictions
from rftkit.inference.predict import Answering, predict
from rftkit.inference.prediction import Prediction
from rftkit.measures.selective import Confident
from rftkit.models.policy import Prompt
from rftkit.recipe.toml import dump_recipe
from rftkit.runs.adapter import write_card
from rftkit.runs.calibration import (
    HeldOutAnswers,
    Temperatures,
    write_calibration,
)
from rftkit.runs.run import RunFolder
from rftkit.tasks.question import Question

BOX = '{{"Position": [10, 20, 50, 60], "Confidence": 0.75{}}}'
SOURCES = {"detection": "coco", "classification": "folder"}
Ask = Callable[..., list[Prediction]]
FREE = Answering(free=True)


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Asks a run of a task, whose policy says `answer`, about one image of 200 × 50 pixels.

    By the free reply, unless `answering` says otherwise. held_out: kept beside its adapter.
    """

    def run(answer: str, question: Question, policy: Any = None, **more: Any) -> list[Prediction]:
        policy = policy or fakes.FakePolicy(
            lambda *_: Completion(f"<think>so</think><answer>{answer}</answer>", 9)
        )
        monkeypatch.setattr(predictions, "open_for_inference", lambda *_: policy)
        labels = more.pop("labels", ("king", "queen"))
        more_names = more.pop("aliases", {})
        more_kept = more.pop("held_out", None)
        answering = more.pop("answering", FREE)
        said = more.pop("said", io.StringIO())
        source = SOURCES.get(more.get("task", ""), "jsonl")
        data = {"source": source, "path": "p", "shots": 1, **more.pop("data", {})}
        recipe = fakes.recipe(data=data, **more)
        made = RunFolder(tmp_path / "run")
        fakes.FakePolicy(fakes.never).save(made.adapter)
        write_card(made.adapter, recipe, labels, more_names)
        made.resolved.write_text(dump_recipe(recipe), "utf-8")
        made.set_status("trained", labels=labels, versions={})
        Image.new("RGB", (200, 50)).save(tmp_path / "x.png")
        write_calibration(made.adapter, more_kept)
        console = Console(file=said, width=400)
        how = replace(answering, question=question)
        return list(predict(made.folder, [tmp_path / "x.png"], console, how))

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


class Weighed(fakes.FakePolicy):
    """Writes `text` and gives the labels these probabilities, in their order."""

    def __init__(self, text: str, *chances: float) -> None:
        super().__init__(lambda *_: Completion(text, 9))
        self.chances = chances

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        self.prefills = [prompt.prefill for prompt in prompts]
        self.scored += [text for row in answers for text in row]
        return [[math.log(chance) for chance in self.chances] for _ in prompts]


KING = "<think>so</think><answer>king</answer>"
HELD_OUT = HeldOutAnswers(
    Temperatures(1.0, 2.0),
    "fold",
    (*[Confident(0.9, True)] * 18, Confident(0.6, True), Confident(0.5, False)),
)
BY_LIST = Answering()


@pytest.mark.parametrize(
    ("text", "held_out", "line"),
    [
        (KING.replace("king", "queen"), None, "queen (by list, 80% uncalibrated)  (so)"),
        (KING, None, "queen (by list, 80% uncalibrated; the free reply: king)  (so)"),
        (KING, HELD_OUT, "queen (by list, 67%; the free reply: king)  (so)"),
        ("<answer>ace</answer>", HELD_OUT, "queen (by list, 67%; the free reply: ace)"),
        ("<answer>", HELD_OUT, "queen (by list, 67%; the free reply: no answer could be read)"),
        ("no idea", HELD_OUT, "queen (by list, 67%; the free reply: no answer could be read)"),
    ],
)
def test_a_list_is_answered_by_its_likeliest_label(
    ask: Ask, text: str, held_out: HeldOutAnswers | None, line: str
) -> None:
    policy = Weighed(text, 0.2, 0.8)
    more = {"task": "classification", "answering": BY_LIST, "held_out": held_out}
    (found,) = ask("", Question(), policy, **more)
    assert found.line().split("x.png: ")[1] == line


def test_the_record_has_both_answers_and_every_probability(ask: Ask) -> None:
    policy = Weighed(KING, 0.2, 0.8)
    more = {"task": "classification", "answering": BY_LIST, "held_out": HELD_OUT}
    (found,) = ask("", Question(), policy, **more)
    record = found.record()
    assert (record["answer"], record["free_answer"]) == ("queen", "king")
    assert record["probabilities"] == {"king": 0.333333, "queen": 0.666667}  # at temperature 2
    assert (record["confidence"], record["calibrated"]) == (0.666667, True)
    assert (record["abstained"], record["off_the_list"]) == (False, False)
    assert policy.prefills == ["<think>so</think>"]
    assert policy.scored == ["<answer>king</answer>", "<answer>queen</answer>"]
    (mute,) = ask("", Question(), Weighed("no idea", 0.2, 0.8), **more)
    assert (mute.record()["answer"], mute.record()["free_answer"]) == ("queen", None)


def test_the_free_reply_alone_is_as_before(ask: Ask) -> None:
    policy = Weighed(KING, 0.2, 0.8)
    (found,) = ask("", Question(), policy, task="classification", held_out=HELD_OUT)
    assert found.line().endswith("x.png: king  (so)")
    assert [*found.record()][:3] == ["image", "answer", "off_the_list"]
    assert "probabilities" not in found.record()
    assert policy.scored == []


def test_a_direct_reply_is_scored_after_the_prompt(ask: Ask) -> None:
    policy = Weighed("king", 0.2, 0.8)
    more = {"task": "classification", "answering": BY_LIST, "style": "direct"}
    (found,) = ask("", Question(), policy, **more)
    assert (found.answer, policy.prefills, policy.scored) == ("queen", [""], ["king", "queen"])


def test_one_label_is_no_list(ask: Ask) -> None:
    more = {"task": "classification", "answering": BY_LIST, "labels": ("king",)}
    (found,) = ask("", Question(), Weighed(KING, 1.0), **more)
    assert (found.answer, found.by_list) == ("king", None)


def test_options_and_numbers_of_a_range_are_lists(ask: Ask) -> None:
    policy = Weighed(KING.replace("king", "B"), 0.7, 0.3)
    question = Question("Where is it?", ("left", "right"))
    (found,) = ask("", question, policy, task="choice", answering=BY_LIST)
    assert (found.answer, found.free_answer) == ("left", "right")
    assert policy.scored == ["<answer>A</answer>", "<answer>B</answer>"]
    policy = Weighed(KING.replace("king", "12"), 0.2, 0.7, 0.1)
    counting = {"task": "number", "options": {"range": [6, 8]}, "answering": BY_LIST}
    (found,) = ask("", Question("How many?"), policy, **counting)
    assert (found.answer, found.free_answer) == ("7", "12")
    assert policy.scored == [f"<answer>{number}</answer>" for number in (6, 7, 8)]
    (found,) = ask("", Question("How many?"), policy, task="number", answering=BY_LIST)
    assert (found.answer, found.by_list) == ("12", None)  # without a range there is no list


def test_what_is_not_sure_enough_is_left_out(ask: Ask) -> None:
    said = io.StringIO()
    more = {"task": "classification", "held_out": HELD_OUT, "said": said}
    strict = Answering(abstain_at_error=0.0)
    (unsure,) = ask("", Question(), Weighed(KING, 0.3, 0.7), answering=strict, **more)
    assert unsure.line().split("x.png: ")[1] == "queen (by list, 60%; the free reply: king)  (so)"
    assert said.getvalue().startswith(
        "abstains below 60.0%: that keeps 19 of 20 held-out images, 0 of them wrong; error at "
        "most 14.6% with 95 % confidence"
    )
    (unsure,) = ask("", Question(), Weighed(KING, 0.4, 0.6), answering=strict, **more)
    assert unsure.line().split("x.png: ")[1] == "abstains (by list queen, 55%)  (so)"
    record = unsure.record()
    assert (record["answer"], record["abstained"], record["off_the_list"]) == (None, True, False)
    assert record["probabilities"]["queen"] == record["confidence"] == 0.55051
    loose = Answering(abstain_at_error=0.05)  # one wrong of twenty
    (kept,) = ask("", Question(), Weighed(KING, 0.4, 0.6), answering=loose, **more)
    assert kept.answer == "queen"
    (mute,) = ask("", Question(), Weighed("no idea", 0.4, 0.6), answering=loose, **more)
    assert mute.line().endswith("queen (by list, 55%; the free reply: no answer could be read)")


def test_where_even_the_surest_were_wrong_nothing_is_answered(ask: Ask) -> None:
    said, wrong = (
        io.StringIO(),
        HeldOutAnswers(Temperatures(1, 1), "split", (Confident(0.9, False),)),
    )
    more = {"task": "classification", "held_out": wrong, "said": said}
    how = Answering(abstain_at_error=0.5)
    (found,) = ask("", Question(), Weighed(KING, 1e-9, 1.0), answering=how, **more)
    assert found.abstained
    assert said.getvalue().startswith("abstains always: on 1 held-out images")


@pytest.mark.parametrize(
    ("more", "answering", "said"),
    [
        ({}, Answering(abstain_at_error=0.05),
         "adapter has no calibration.json, so nothing says how often it is right; set eval.during"),
        ({"held_out": HELD_OUT}, Answering(free=True, abstain_at_error=0.05),
         "a free reply has no probability"),
        ({"held_out": HELD_OUT}, Answering(abstain_at_error=1.0), "1: not in [0, 1); give a"),
        ({"data": {"choices": "none"}}, Answering(abstain_at_error=0.05), "answers from no list"),
    ],
)  # fmt: skip
def test_an_error_that_cannot_be_promised_is_refused(
    ask: Ask, more: dict[str, Any], answering: Answering, said: str
) -> None:
    with pytest.raises(UserError) as refused:
        ask("", Question(), Weighed(KING, 0.5, 0.5), task="classification", answering=answering,
            **more)  # fmt: skip
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
