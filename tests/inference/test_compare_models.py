"""Base and fine-tuned model on one question: prompts, truth, states, stops and verdicts."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import replace
from pathlib import Path

import app_fakes
import fakes
import pytest
import torch
from PIL import Image

from rftkit.core import Completion, Example, LazyImage, Style
from rftkit.data.images import FileImage
from rftkit.errors import UserError
from rftkit.inference.compare import BUG, compare
from rftkit.inference.form import Asked, Form, ask, of_example, prompt_of
from rftkit.inference.model_backend import ModelBackend
from rftkit.inference.panes import Comparison, overlaps, phase
from rftkit.inference.recorded_backend import recorded
from rftkit.measures.selective import Confident
from rftkit.metrics.samples import read_samples
from rftkit.models.policy import Decoding, Generation, Prompt, Watch
from rftkit.runs.calibration import HeldOutAnswers, Temperatures

FIVE, SIX = app_fakes.REPLY.format("5"), app_fakes.REPLY.format("6")
BOX = '<think>a</think><answer>[{"Position": [10, 20, 50, 60], "Confidence": 0.75}]</answer>'


@pytest.fixture
def image(tmp_path: Path) -> LazyImage:
    Image.new("RGB", (200, 50)).save(tmp_path / "x.png")
    return FileImage(tmp_path / "x.png", "x.png")


def asked(image: LazyImage, truth: str = "5", **more: str) -> Asked:
    setup = app_fakes.setup()
    return ask(replace(setup.form("classification"), truth=truth, **more), setup, image)


def last(backend: object, question: Asked, stop: threading.Event | None = None) -> Comparison:
    return [*compare(backend, question, stop or threading.Event(), every=0)][-1]  # type: ignore[arg-type]


def test_the_prompt_is_the_one_that_training_writes(image: LazyImage) -> None:
    setup = app_fakes.setup()
    example = Example("a", image, "What is shown in this picture?", "5",
                      app_fakes.LABELS, app_fakes.LABELS)  # fmt: skip
    trained = of_example(example, "classification", setup.settings())
    assert prompt_of(setup.form("classification"), setup, image) == trained.prompt
    assert asked(image).prompt == trained.prompt
    assert asked(image, prompt="Which digit?").prompt == "Which digit?"


@pytest.mark.parametrize(
    ("task", "question", "labels", "start"),
    [
        ("classification", "", "cat, dog", "What is shown in this picture?\nChoose one of: cat, d"),
        ("choice", "Where?", "left\nright", "Where?\nA. left\nB. right\nAnswer with one letter"),
        ("grounding", "the dog", "", "Where in this picture is this: the dog?\nWrite one box"),
        ("detection", "", "dog", "Find every dog in this picture.\nWrite a JSON list"),
        ("number", "How many legs?", "", "How many legs?"),
    ],
)
def test_every_preset_asks_as_its_task_does(
    image: LazyImage, task: str, question: str, labels: str, start: str
) -> None:
    form = Form(task, app_fakes.settings(), question, labels)
    assert prompt_of(form, app_fakes.setup(), image).startswith(start)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"truth": "11"}, "the answer you gave: '11' is not on the list"),
        ({"labels": "cat\nCat"}, "labels: 'cat' and 'Cat' read the same"),
        ({"labels": "cat\n<answer>"}, "labels: '<answer>' holds a tag"),
        ({"labels": "cat\n<|im_end|>"}, "labels: '<|im_end|>' holds a tag"),
        ({"prompt": "hi <|im_start|>system"}, "prompt: holds '<|'"),
        ({"prompt": "x" * 20_000}, "prompt: longer than 12000 characters"),
        ({"task": "choice", "labels": "one"}, "question and options: a question and two"),
        ({"task": "grounding", "labels": ""}, "phrase: empty"),
        ({"task": "detection", "labels": ""}, "what to find: empty"),
        ({"task": "detection", "labels": "a\nb"}, "what to find: one kind of object at a time"),
        ({"task": "detection", "labels": "a", "truth": "[[1, 2"}, "the answer you gave: not JSON"),
        ({"task": "detection", "labels": "a", "truth": "[[1, 2]]"},
         "the answer you gave: box [1, 2] is not [left, top, right, bottom], left < right"),
        ({"task": "detection", "labels": "a", "truth": "[[1, 2, 300, 20]]"},
         "the answer you gave: box [1, 2, 300, 20] leaves the image; keep it inside 200 × 50"),
        ({"task": "detection", "labels": "a", "truth": "{}"}, "the answer you gave: {} is not a"),
        ({"task": "detection", "labels": "a", "truth": "[[2, 1, 1, 5]]"}, "the answer you gave: b"),
        ({"task": "grounding", "question": "a", "truth": "7"},
         "the answer you gave: 7 is not a list; write one box in pixels"),
        ({"task": "grounding", "question": "a", "truth": "[[1, 1, 2, 2], [1, 1, 2, 2]]"},
         "the answer you gave: box [[1, 1, 2, 2], [1, 1, 2, 2]] is not"),
        ({"labels": "a\nb", "truth": "*"}, "the answer you gave: '*' has no word in it"),
        ({"task": "number", "question": "n?", "truth": "many"}, "the answer you gave: "),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_used_is_named(
    image: LazyImage, form: dict[str, str], said: str
) -> None:
    setup = app_fakes.setup()
    with pytest.raises(UserError) as error:
        ask(replace(setup.form("classification"), **form), setup, image)
    assert str(error.value).startswith(said)
    assert "gold" not in str(error.value)


def test_the_truth_is_read_in_each_tasks_own_way(image: LazyImage) -> None:
    setup = app_fakes.setup()

    def gold(**more: str) -> str:
        return ask(replace(setup.form("classification"), **more), setup, image).example.gold

    assert gold(truth=" 5. ") == "5"
    options = {"task": "choice", "question": "Where?", "labels": "left\nright"}
    assert gold(**options, truth="B") == gold(**options, truth="right") == "right"
    boxed = gold(task="detection", labels="dog", truth="[[20, 10, 100, 30]]")
    assert json.loads(boxed) == [[0.1, 0.2, 0.5, 0.6]]
    for text in ("[20, 10, 100, 30]", "[[20, 10, 100, 30]]"):
        boxed = gold(task="grounding", question="the dog", truth=text)
        assert json.loads(boxed) == [[0.1, 0.2, 0.5, 0.6]]


def test_each_side_goes_through_its_states_and_the_verdict_comes_last(image: LazyImage) -> None:
    backend = app_fakes.HeldBackend({"base": SIX, "tuned": FIVE})
    seen = [*compare(backend, asked(image), threading.Event(), every=0)]
    states = [(both.base.state, both.tuned.state) for both in seen]
    assert list(dict.fromkeys(states)) == [
        ("waiting", "waiting"), ("reading image", "waiting"), ("thinking", "waiting"),
        ("done", "waiting"), ("done", "reading image"), ("done", "thinking"), ("done", "done"),
    ]  # fmt: skip
    assert [both.verdict for both in seen][-2:] == ["fixed", "fixed"]
    assert {both.verdict for both in seen if not both.ended} == {None}
    assert seen[-1].tuned.rewards == {"accuracy": 1.0, "format": 1.0}
    assert seen[-1].tuned.reasoning_tokens == 3
    assert seen[-1].tuned.probabilities == {}
    assert (seen[-1].tuned.by_list, seen[-1].tuned.calibration) == (False, "")


@pytest.mark.parametrize(
    ("style", "text", "tokens", "seconds"),
    [
        ("think", SIX, [1, 2, 3], [0.1, 0.2, 0.3]),
        ("answer-first", "<answer>6</answer> <reason>one closed loop</reason>",
         [0, 1, 2, 3], [0.0, 0.1, 0.2, 0.3]),
        ("adaptive", "<answer>6</answer> and out", [0, 0, 0], [0.0, 0.0, 0.0]),
        ("direct", "a six", [0, 0], [0.0, 0.0]),
    ],
)  # fmt: skip
def test_reasoning_is_counted_and_timed_while_it_is_written(
    image: LazyImage, style: Style, text: str, tokens: list[int], seconds: list[float]
) -> None:
    question = asked(image)
    question = replace(question, settings=replace(question.settings, style=style))
    backend = app_fakes.HeldBackend({"base": text, "tuned": text})
    both = [*compare(backend, question, threading.Event(), every=0)]
    panes = [step.base for step in both if step.base.piece.completion.text]
    panes = panes[: len(tokens)]
    assert [pane.reasoning_tokens for pane in panes] == tokens
    assert [pane.think_seconds for pane in panes] == pytest.approx(seconds)
    assert both[-1].tuned.think_seconds == pytest.approx(seconds[-1])


@pytest.mark.parametrize(
    ("base", "tuned", "truth", "verdict"),
    [
        (SIX, FIVE, "5", "fixed"), (FIVE, SIX, "5", "broke"), (FIVE, FIVE, "5", "both right"),
        (SIX, SIX, "5", "both wrong"), (FIVE, FIVE, "", "same answer"),
        (FIVE, SIX, "", "different answer"),
    ],
)  # fmt: skip
def test_the_verdict(image: LazyImage, base: str, tuned: str, truth: str, verdict: str) -> None:
    backend = app_fakes.HeldBackend({"base": base, "tuned": tuned})
    both = last(backend, asked(image, truth))
    assert both.verdict == verdict
    assert (both.tuned.rewards == {}) == (truth == "")


SURE = dict.fromkeys(app_fakes.LABELS, 0.05)


def test_a_list_is_answered_by_its_likeliest_label_and_the_reply_stays(image: LazyImage) -> None:
    chances = {"base": SURE | {"6": 0.55}, "tuned": SURE | {"5": 0.55}}
    texts = {"base": FIVE, "tuned": "no idea"}
    backend = app_fakes.HeldBackend(texts, chances=chances, calibrated_on="calibrated on 9 images")
    seen = [*compare(backend, asked(image), threading.Event(), every=0)]
    both = seen[-1]
    assert (both.base.answer, both.base.free_answer, both.base.correct) == ("6", "5", 0.0)
    assert (both.tuned.answer, both.tuned.free_answer, both.tuned.correct) == ("5", None, 1.0)
    assert {step.verdict for step in seen} == {None, "fixed"}  # never by the free replies first
    assert both.base.rewards["accuracy"] == 1.0  # of the reply, as in training
    assert both.tuned.hints == ("Free reply: the answer is empty or missing.",)
    record = both.record()["base"]
    assert (record["by_list"], record["free_answer"], record["calibrated"]) == (True, "5", True)
    assert both.tuned.calibration == "calibrated on 9 images"


def test_options_are_right_or_wrong_by_list_too(image: LazyImage) -> None:
    form = Form("choice", app_fakes.settings(), "Where?", "left\nright", truth="B")
    question = ask(form, app_fakes.setup(), image)
    assert question.answers == {"left": ("A",), "right": ("B",)}
    chances = {"base": {"left": 0.9, "right": 0.1}, "tuned": {"left": 0.1, "right": 0.9}}
    reply = app_fakes.REPLY.format("B")
    both = last(app_fakes.HeldBackend({"base": reply, "tuned": reply}, chances=chances), question)
    assert (both.base.answer, both.tuned.answer, both.verdict) == ("left", "right", "fixed")


@pytest.mark.parametrize(("labels", "by_list"), [(400, True), (401, False)])
def test_a_list_of_hundreds_is_scored(image: LazyImage, labels: int, by_list: bool) -> None:
    names = [f"c{number}" for number in range(labels)]
    question = asked(image, "c1", labels="\n".join(names))
    chances = {"base": {"c1": 1.0}, "tuned": {"c1": 1.0}}
    both = last(app_fakes.HeldBackend({"base": FIVE, "tuned": FIVE}, chances=chances), question)
    assert both.tuned.by_list == by_list


def test_a_number_of_a_range_is_a_list(image: LazyImage) -> None:
    setup = app_fakes.setup(task="number", options={"range": [4, 6]},
                            data={"source": "jsonl", "path": "p"})  # fmt: skip
    question = ask(replace(setup.form("number"), question="How many?", truth="5"), setup, image)
    assert question.answers == {"4": ("4",), "5": ("5",), "6": ("6",)}
    chances = {"base": {"4": 0.8, "5": 0.1, "6": 0.1}, "tuned": {"4": 0.1, "5": 0.8, "6": 0.1}}
    both = last(app_fakes.HeldBackend({"base": FIVE, "tuned": SIX}, chances=chances), question)
    assert (both.base.answer, both.tuned.answer, both.verdict) == ("4", "5", "fixed")


def test_stop_keeps_what_was_written_and_ends_both(image: LazyImage) -> None:
    backend = app_fakes.HeldBackend({"base": SIX, "tuned": FIVE}, gate=threading.Semaphore(0))
    stop = threading.Event()
    running = compare(backend, asked(image), stop, every=0)
    for both in running:
        if both.base.state == "thinking":
            stop.set()
    assert (both.base.state, both.tuned.state) == ("stopped", "stopped")
    assert both.base.piece.completion.text == "<think>one"
    assert (both.base.reasoning_tokens, both.base.think_seconds) == (1, 0.1)
    assert both.verdict is None
    assert backend.written == [("base", 1)]


def test_one_side_that_fails_leaves_the_other(image: LazyImage) -> None:
    backend = app_fakes.HeldBackend({"base": SIX, "tuned": FIVE}, fails="base")
    both = last(backend, asked(image))
    assert (both.base.state, both.base.error) == (
        "failed", "base: out of memory; use a smaller image",
    )  # fmt: skip
    assert (both.tuned.state, both.tuned.answer, both.verdict) == ("done", "5", None)


def test_a_bug_on_one_side_is_no_traceback_for_the_visitor(image: LazyImage) -> None:
    class Broken(app_fakes.HeldBackend):
        def stream(self, *_: object) -> object:  # type: ignore[override]
            raise ZeroDivisionError("secret path")

    both = last(Broken({}), asked(image))
    assert both.base.error == both.tuned.error == BUG


def test_leaving_in_the_middle_stops_the_model(image: LazyImage) -> None:
    stop = threading.Event()
    running = compare(app_fakes.HeldBackend({"base": SIX, "tuned": FIVE}), asked(image), stop)
    next(running)
    running.close()  # type: ignore[attr-defined]
    assert stop.is_set()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "The answer is empty or missing."),
        (app_fakes.REPLY.format("11"), "The answer is not on the list."),
        (app_fakes.REPLY.format(", ".join(app_fakes.LABELS)), "It names every label of the list."),
        (f"<think>{'a b c d ' * 30}</think><answer>5</answer>", "It repeats itself."),
    ],
)
def test_what_is_odd_is_said_in_words(image: LazyImage, text: str, hint: str) -> None:
    both = last(app_fakes.HeldBackend({"base": FIVE, "tuned": text}), asked(image))
    assert hint in both.tuned.hints
    assert both.base.hints == ()


def test_a_reply_that_was_cut_off_says_so(image: LazyImage) -> None:
    class Cut(app_fakes.HeldBackend):
        def stream(self, *args: object) -> object:  # type: ignore[override]
            for piece in super().stream(*args):  # type: ignore[arg-type]
                made = replace(piece.completion, finished=False)
                yield piece._replace(completion=made)

    both = last(Cut({"base": FIVE, "tuned": "<think>and so on"}), asked(image))
    assert both.tuned.state == "done"
    assert both.tuned.hints == ("The response was truncated before it ended.",)


@pytest.mark.parametrize(
    ("text", "style", "state"),
    [
        ("", "think", "reading image"), ("<thi", "think", "thinking"),
        ("<THINK>a</THINK>", "think", "answering"), ("5", "direct", "answering"),
        ("<answer>5", "adaptive", "answering"),
    ],
)  # fmt: skip
def test_the_state_follows_the_text(text: str, style: str, state: str) -> None:
    assert phase(text, style) == state  # type: ignore[arg-type]


def test_boxes_come_in_pixels_with_their_overlap(image: LazyImage) -> None:
    setup = app_fakes.setup()
    truth = '{"truth": "[[20, 10, 100, 30]]"}'
    form = Form("detection", app_fakes.settings(), labels="dog", **json.loads(truth))
    question = ask(form, setup, image)
    both = last(app_fakes.HeldBackend({"base": BOX, "tuned": BOX}), question)
    assert both.tuned.answer == "1 box: dog"
    assert both.tuned.boxes is not None
    assert both.tuned.boxes[0].box == (20.0, 10.0, 100.0, 30.0)
    assert overlaps(both.tuned, question) == [pytest.approx(1.0)]
    assert both.verdict == "both right"


class WatchedPolicy(fakes.FakePolicy):
    """Writes a word at a time, as fast as whoever watches, and scores the label 5 best."""

    words = ("<think>so", "it", "is", "</think><answer>5</answer>")

    def generate(
        self, prompts: list[Prompt], decoding: Decoding, watch: Watch | None = None
    ) -> Generation:
        self.asked.append((prompts[0].image.name, self.tuned))
        self.decoding = decoding
        text = ""
        assert watch is not None
        for count, word in enumerate(self.words, 1):
            text = f"{text} {word}".strip()
            made = Completion(text, count, finished=count == len(self.words))
            if watch(made) and not made.finished:
                break
        return Generation([made], 0.5, 0.1, 52, 4)

    def score(self, prompts: list[Prompt], answers: list[list[str]]) -> list[list[float]]:
        self.scored = (prompts[0].prefill, answers[0], self.tuned)
        return [[0.0 if text == "<answer>5</answer>" else -2.0 for text in answers[0]]]


def test_a_model_answers_without_its_adapter_and_then_with_it(image: LazyImage) -> None:
    policy = WatchedPolicy(fakes.never)
    question = asked(image)
    warm = replace(question.settings, temperature=0.5, top_p=0.9, seed=3)
    both = last(ModelBackend(policy), replace(question, settings=warm))
    assert policy.asked == [("x.png", False), ("x.png", True)]
    assert policy.decoding == Decoding(256, 0.5, 3, 0.9)
    assert (both.base.answer, both.tuned.answer) == ("5", "5")
    assert (both.tuned.piece.prompt_tokens, both.tuned.piece.image_tokens) == (52, 4)
    assert policy.scored[0] == "<think>so it is </think>"
    assert policy.scored[1][5] == "<answer>5</answer>"
    assert both.tuned.probabilities["5"] == pytest.approx(1 / (1 + 9 * 2.718281828**-2))


def test_probabilities_are_calibrated_where_it_was_asked_as_in_training(image: LazyImage) -> None:
    held_out = HeldOutAnswers(Temperatures(4.0, 2.0), "fold", (Confident(0.9, True),) * 25)
    setup = app_fakes.setup()
    backend = ModelBackend(WatchedPolicy(fakes.never), held_out=held_out, setup=setup)
    both = last(backend, asked(image))
    assert both.tuned.calibration == "calibrated on 25 held-out images"
    assert both.tuned.probabilities["5"] == pytest.approx(1 / (1 + 9 * math.exp(-2 / 2)))
    assert both.base.probabilities["5"] == pytest.approx(1 / (1 + 9 * math.exp(-2 / 4)))
    plain = 1 / (1 + 9 * math.exp(-2))
    for more in ({"prompt": "Which digit?"}, {"labels": "5\n6\n7"}):
        other = last(backend, asked(image, **more))
        assert other.tuned.calibration == ""
        assert other.tuned.probabilities["5"] >= plain - 1e-9
    question = asked(image)
    empty = replace(question, settings=replace(question.settings, style="empty-think"))
    assert last(backend, empty).tuned.calibration == ""  # of the same prompt
    bare = last(ModelBackend(WatchedPolicy(fakes.never)), question)
    assert bare.tuned.calibration == ""
    assert bare.tuned.probabilities["5"] == pytest.approx(plain)


def test_stop_reaches_the_model_between_two_tokens(image: LazyImage) -> None:
    policy, stop = WatchedPolicy(fakes.never), threading.Event()
    policy.words = ("<think>so", *["on"] * 100_000, "</think><answer>5</answer>")
    for both in compare(ModelBackend(policy), asked(image), stop, every=0):
        if both.base.piece.completion.tokens:
            stop.set()
    assert both.base.state == "stopped"
    assert 0 < both.base.piece.completion.tokens < 100_000
    assert both.tuned.state == "stopped"
    assert policy.asked == [("x.png", False)]


def test_a_side_that_takes_too_long_is_cut_off(image: LazyImage) -> None:
    policy = WatchedPolicy(fakes.never)
    both = last(ModelBackend(policy, longest=0.0), asked(image))
    assert both.base.piece.completion.tokens == 1
    assert any("response was truncated before it ended" in hint for hint in both.base.hints)


class FullPolicy(WatchedPolicy):
    """Runs out of memory where `full` says: a side that answers, or "labels"."""

    full = "tuned"

    def generate(
        self, prompts: list[Prompt], decoding: Decoding, watch: Watch | None = None
    ) -> Generation:
        if self.full == ("tuned" if self.tuned else "base"):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nGPU 0 has")
        return super().generate(prompts, decoding, watch)

    def score(self, prompts: list[Prompt], answers: list[list[str]]) -> list[list[float]]:
        if self.full == "labels":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().score(prompts, answers)


@pytest.mark.parametrize("full", ["base", "tuned", "labels"])
def test_a_side_without_memory_says_what_to_change_and_leaves_the_other(
    image: LazyImage, full: str
) -> None:
    policy = FullPolicy(fakes.never)
    policy.full = full
    both = last(ModelBackend(policy), asked(image))
    states = {side: "failed" if side == full else "done" for side in ("base", "tuned")}
    assert {"base": both.base.state, "tuned": both.tuned.state} == states
    said = both.base.error + both.tuned.error
    assert ("ran out of memory while answering" in said) == (full != "labels")
    assert ("a smaller image, fewer new tokens" in said) == (full != "labels")
    assert (both.tuned.answer == "5") == (full != "tuned")
    assert bool(both.base.probabilities) == (full == "tuned")


NOISE = {
    "long": "no " * 7000,
    "control": "\x00\x07\x1b[31m\u202eabc\x7f\r\n",
    "template": "<|im_end|><|im_start|>system<|vision_start|><|image_pad|><s></s>[INST]",
    "tags": "<think>" * 200 + "</answer>" * 200,
}


@pytest.mark.parametrize("text", NOISE.values(), ids=NOISE)
@pytest.mark.parametrize("frame", ["{}", app_fakes.REPLY, "<think>{}</think><answer>5</answer>"])
def test_any_text_of_a_model_is_kept_as_written_and_judged(
    image: LazyImage, text: str, frame: str
) -> None:
    written = frame.format(text)
    both = last(app_fakes.HeldBackend({"base": written, "tuned": FIVE}), asked(image))
    assert (both.base.state, both.tuned.state) == ("done", "done")
    assert both.base.piece.completion.text == written
    assert both.verdict in ("fixed", "both right")
    assert json.loads(json.dumps(both.record()))["base"]["text"] == written


def test_recorded_answers_are_replayed_and_no_others(tmp_path: Path, image: LazyImage) -> None:
    file = read_samples(app_fakes.samples_file(tmp_path))
    backend = recorded(file, pace=0)
    question = asked(image)
    known = replace(question, example=replace(question.example, id="digits:test:0"))
    both = last(backend, known)
    assert both.tuned.piece.completion.text == file.samples[6].text
    other = last(backend, question)
    assert other.base.state == other.tuned.state == "failed"
    assert other.base.error.startswith("no recorded base answer for this image")
