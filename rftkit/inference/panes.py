"""What one side has answered so far, and what both answers together mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from rftkit.answers import replies
from rftkit.answers.boxes import Box, iou, load_boxes
from rftkit.answers.labels import match_label
from rftkit.answers.literals import in_text
from rftkit.core import Attempt, Completion, Reply, Style
from rftkit.data.box_grid import annotated_size
from rftkit.inference.form import Asked
from rftkit.inference.prediction import PixelBox, pixel_boxes
from rftkit.metrics.lists.calibration import likeliest
from rftkit.metrics.samples import Flag, Side
from rftkit.metrics.scoring import flags_of
from rftkit.tasks import get_task

State = Literal["waiting", "reading image", "thinking", "answering", "done", "stopped", "failed"]
Verdict = Literal["fixed", "broke", "both right", "both wrong", "same answer", "different answer"]

ENDED: tuple[State, ...] = ("done", "stopped", "failed")
GOOD = 0.5  # a degree, such as an IoU, is right from here on
HINTS: dict[str, str] = {
    "no answer": "The answer is empty or missing.",
    "unparseable": "The answer is not in the form that was asked for.",
    "off the list": "The answer is not on the list.",
    "several answers": "It names several answers.",
    "truncated": "The response was truncated before it ended.",
    "repetition": "It repeats itself.",
}


class Piece(NamedTuple):
    """A completion so far, and the seconds since the side began.

    first_token_seconds, prompt_tokens and image_tokens are 0 while they are not known.
    """

    completion: Completion
    seconds: float = 0.0
    first_token_seconds: float = 0.0
    prompt_tokens: int = 0
    image_tokens: int = 0
    last: bool = False


NOTHING_YET, NO_REPLY = Piece(Completion("", finished=False)), Reply(None)


class Unthought(NamedTuple):
    """What the same model answers after an empty thought. right: None without a truth."""

    answer: str | None
    right: bool | None


@dataclass(frozen=True)
class Pane:
    """One side at one moment. `correct` and `rewards` need the truth.

    answer: as the list spells it, or as written; None if none can be read. reasoning_tokens: with
    the tags until the side has ended, then without. think_seconds: from the start, or from the
    answer where that comes first, to the end of the reasoning. probabilities: of each label of a
    closed list, by the model itself. by_list: whether the answer is the likeliest of them, and
    `free_answer` what the reply says. calibration: what the probabilities were calibrated on, in
    words; "" if they were not. unthought: the answer after an empty thought, where it was asked.
    """

    side: Side
    state: State = "waiting"
    piece: Piece = NOTHING_YET
    reply: Reply = NO_REPLY
    answer: str | None = None
    boxes: tuple[PixelBox, ...] | None = None
    reasoning_tokens: int = 0
    answer_tokens: int = 0
    think_seconds: float = 0.0
    correct: float | None = None
    rewards: Mapping[str, float] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()
    all_labels: bool = False
    probabilities: Mapping[str, float] = field(default_factory=dict)
    by_list: bool = False
    free_answer: str | None = None
    calibration: str = ""
    error: str = ""
    unthought: Unthought | None = None

    @property
    def hints(self) -> tuple[str, ...]:
        """What is odd about the reply, in sentences."""
        texts = [HINTS[flag] for flag in self.flags]
        texts += ["It names every label of the list."] if self.all_labels else []
        if self.by_list:  # which is right or wrong whatever became of the reply
            return tuple(f"Free reply: {text[0].lower()}{text[1:]}" for text in texts)
        return tuple(texts)

    @property
    def right(self) -> bool | None:
        """Whether the answer is right; None without a truth."""
        return None if self.correct is None else self.correct >= GOOD

    def record(self) -> dict[str, Any]:
        """For JSON."""
        made, piece = self.piece.completion, self.piece
        return {
            "state": self.state,
            "answer": self.answer,
            "by_list": self.by_list,
            **({"free_answer": self.free_answer} if self.by_list else {}),
            **({} if self.boxes is None else {"boxes": [_plain(box) for box in self.boxes]}),
            "reasoning": self.reply.reasoning,
            "text": made.text,
            "tokens": made.tokens,
            "finished": made.finished,
            "seconds": round(piece.seconds, 3),
            "first_token_seconds": round(piece.first_token_seconds, 3),
            "prompt_tokens": piece.prompt_tokens,
            "image_tokens": piece.image_tokens,
            "correct": self.correct,
            "rewards": dict(self.rewards),
            "flags": list(self.flags),
            "probabilities": {k: round(v, 6) for k, v in self.probabilities.items()},
            "calibrated": bool(self.calibration),
            **({"without_thought": self.unthought.answer} if self.unthought else {}),
            **({"error": self.error} if self.error else {}),
        }


@dataclass(frozen=True)
class Comparison:
    """Both sides of one question at one moment."""

    asked: Asked
    base: Pane = Pane("base")
    tuned: Pane = Pane("tuned")

    @property
    def ended(self) -> bool:
        """Whether nothing more will change."""
        return self.base.state in ENDED and self.tuned.state in ENDED

    @property
    def verdict(self) -> Verdict | None:
        """What changed from base to fine-tuned; None until both have answered to the end."""
        if self.base.state != "done" or self.tuned.state != "done":
            return None
        if self.base.right is None or self.tuned.right is None:
            return "same answer" if _same(self.base, self.tuned) else "different answer"
        if self.base.right != self.tuned.right:
            return "fixed" if self.tuned.right else "broke"
        return "both right" if self.base.right else "both wrong"

    def with_pane(self, pane: Pane) -> Comparison:
        """The comparison with one side moved on."""
        return replace(self, base=pane) if pane.side == "base" else replace(self, tuned=pane)

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "verdict": self.verdict,
            "task": self.asked.task,
            "prompt": self.asked.prompt,
            "truth": self.asked.example.gold if self.asked.has_truth else None,
            "base": self.base.record(),
            "tuned": self.tuned.record(),
        }


def phase(text: str, style: Style) -> State:
    """What a side is at, from the text that it has written so far."""
    if not text:
        return "reading image"
    if style in ("direct", "answer-first"):
        return "answering"
    tags = [tag.group().lower() for tag in replies.TAG.finditer(text)]
    return "answering" if {"</think>", "<answer>"} & {*tags} else "thinking"


def judged(pane: Pane, asked: Asked) -> Pane:
    """The pane with its text read: answer, boxes, flags, and with the truth the rewards."""
    task, made = get_task(asked.task), pane.piece.completion
    attempt = task.attempt(asked.example, asked.settings.style, made)
    parsed = task.parsed(attempt)
    boxes = pixel_boxes(attempt) if task.predicts_boxes else None
    pane = replace(pane, reply=attempt.reply, boxes=boxes, answer=_answer(parsed, boxes, attempt))
    if pane.state not in ENDED:
        return pane
    answer = None if parsed is None else in_text(parsed)
    pane = replace(
        pane,
        flags=flags_of(attempt, answer, listed=task.picks_offered),
        all_labels=_names_all(attempt),
    )
    if not asked.has_truth:
        return pane
    correct = task.rewards[task.headline](attempt)
    return replace(pane, correct=correct, rewards=task.rewards_of(attempt))


def answered_by_list(
    pane: Pane, asked: Asked, probabilities: Mapping[str, float], calibration: str = ""
) -> Pane:
    """The pane with the likeliest label as its answer; as it is where none is known.

    The rewards stay those of the reply, as in training.
    """
    if not probabilities:
        return pane
    label = likeliest(probabilities)
    pane = replace(
        pane,
        answer=label,
        by_list=True,
        free_answer=pane.answer,
        probabilities=probabilities,
        calibration=calibration,
    )
    if not asked.has_truth:
        return pane
    task, text = get_task(asked.task), asked.answers.get(label, (label,))[0]
    attempt = Attempt(asked.example, "direct", Completion(text), Reply(text))
    return replace(pane, correct=task.rewards[task.headline](attempt))


def judged_anew(both: Comparison, asked: Asked) -> Comparison:
    """The same replies to the same question, with another truth or none."""
    panes = []
    for pane in (both.base, both.tuned):
        bare = replace(pane, correct=None, rewards={})
        fresh = judged(bare, asked) if pane.state != "failed" else bare
        if pane.by_list:
            chances, words = pane.probabilities, pane.calibration
            fresh = answered_by_list(fresh, asked, chances, words)
        panes.append(fresh)
    return Comparison(asked, *panes)


def overlaps(pane: Pane, asked: Asked) -> list[float | None]:
    """The best IoU of each of the pane's boxes with a true one; None without the truth."""
    if not asked.has_truth:
        return [None for _ in pane.boxes or ()]
    width, height = annotated_size(asked.example)
    there = load_boxes(asked.example.gold)
    return [
        max((iou(_fraction(box, width, height), gold) for gold in there), default=0.0)
        for box in pane.boxes or ()
    ]


def _answer(parsed: object, boxes: tuple[PixelBox, ...] | None, attempt: Attempt) -> str | None:
    if "grid" not in attempt.example.meta:
        return None if parsed is None else in_text(parsed)
    if boxes is None:
        return None
    names = ", ".join(dict.fromkeys(box.label for box in boxes))
    count = f"{len(boxes)} box{'es' if len(boxes) != 1 else ''}"
    return f"{count}: {names}" if boxes else "none found"


def _names_all(attempt: Attempt) -> bool:
    """Whether the answer lists every label that was offered."""
    choices, answer = attempt.example.choices, attempt.reply.answer
    if not answer or len(choices) < 2 or "grid" in attempt.example.meta:
        return False
    parts = [part for part in answer.replace("\n", ",").split(",") if part.strip()]
    return {match_label(part, choices) for part in parts} >= {*choices}


def _same(base: Pane, tuned: Pane) -> bool:
    if base.boxes is not None or tuned.boxes is not None:
        return base.boxes == tuned.boxes
    return base.answer == tuned.answer


def _fraction(box: PixelBox, width: int, height: int) -> Box:
    x1, y1, x2, y2 = box.box
    return Box(x1 / width, y1 / height, x2 / width, y2 / height)


def _plain(box: PixelBox) -> dict[str, Any]:
    return {**box._asdict(), "box": list(box.box)}
