"""What the tests of the app share: an evaluation's file, and a backend that a test can hold."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import fakes

from rftkit.core import Completion
from rftkit.errors import UserError
from rftkit.inference.form import Asked, Settings, Setup
from rftkit.inference.panes import Pane, Piece
from rftkit.metrics.samples import Header, Provenance, Sample, Side, header_line, sample_line

LABELS = tuple("0123456789")
REPLY = "<think>one closed loop</think>\n<answer>{}</answer>"
EVIL = "<img src=x onerror=\"document.title='owned'\"> ${document.title='owned'} {{value}}"


def setup(**more: object) -> Setup:
    """What a model of the built-in digits was trained for."""
    return Setup(fakes.recipe(**more), LABELS)


def settings(tokens: int = 32) -> Settings:
    """Greedy, with reasoning."""
    return Settings("think", tokens)


def samples_file(folder: Path, evil: bool = False) -> Path:
    """Answers about six digits: fixed, broke, both right, both wrong, unread, and one injected."""
    header = Header(task="classification", style="think", labels=LABELS, expected=6,
                    provenance=Provenance(model="tiny", data="digits"))  # fmt: skip
    right = _gold(range(6))
    wrong = [str((int(gold) + 1) % 10) for gold in right]
    reply = REPLY.format
    sides: dict[Side, list[str]] = {
        "base": [reply(wrong[0]), reply(right[1]), reply(right[2]), reply(wrong[3]), "no idea",
                 reply(right[5])],
        "tuned": [reply(right[0]), reply(wrong[1]), reply(right[2]), reply(wrong[3]),
                  reply(right[4]), reply(EVIL if evil else right[5])],
    }  # fmt: skip
    lines = [header_line(header)]
    for side, texts in sides.items():
        for location, text in enumerate(texts):
            name = f"digits:test:{location}"
            lines.append(sample_line(Sample(side=side, id=name, image=name, text=text,
                                            gold=right[location], tokens=9,
                                            seconds=0.1)))  # fmt: skip
    path = folder / "samples.jsonl"
    path.write_text("".join(lines), "utf-8")
    return path


def boxes_file(folder: Path) -> Path:
    """Answers about one drawn scene with two zeros: base finds none, tuned both."""
    made = Provenance(model="tiny-scenes", data="scenes detection")
    header = Header(task="detection", style="direct", expected=1, provenance=made)
    boxes = '[{"Position": [9, 6, 13, 12], "Confidence": 1}, {"Position": [3, 7, 8, 14]}]'
    lines = [header_line(header)]
    sides: tuple[tuple[Side, str], ...] = (("base", "[]"), ("tuned", boxes))
    for side, text in sides:
        lines.append(sample_line(Sample(
            side=side, id="scenes:test:3: 0", image="scenes:test:3", text=text, category="0",
            gold="[[0.5625, 0.375, 0.8125, 0.75], [0.1875, 0.4375, 0.5, 0.875]]",
            meta={"grid": "16x16", "size": "112x112", "label": "0"}, tokens=9, seconds=0.1,
        )))  # fmt: skip
    folder.mkdir()
    path = folder / "samples.jsonl"
    path.write_text("".join(lines), "utf-8")
    return path


def _gold(places: range) -> list[str]:
    from rftkit.data.sources.builtin import digits_rows

    rows = list(digits_rows("test"))
    return [str(rows[location].values["label"]) for location in places]


@dataclass
class HeldBackend:
    """Writes `texts[side]` word by word; with a gate it takes one from it for each word to come.

    fails: the side that raises. chances: of each side, what its labels are given; none by default.
    """

    texts: Mapping[Side, str]
    gate: threading.Semaphore | None = None
    fails: Side | None = None
    written: list[tuple[Side, int]] = field(default_factory=list)
    chances: Mapping[Side, Mapping[str, float]] = field(default_factory=dict)
    calibrated_on: str = ""

    def stream(self, asked: Asked, side: Side, stop: threading.Event) -> Iterator[Piece]:
        if side == self.fails:
            raise UserError(f"{side}: out of memory; use a smaller image")
        words = self.texts[side].split(" ")
        for count in range(1, len(words)):
            self.written.append((side, count))
            made = Completion(" ".join(words[:count]), count, finished=False)
            yield (piece := Piece(made, count / 10, 0.1))
            while self.gate and not self.gate.acquire(timeout=0.01) and not stop.is_set():
                yield piece  # again: whoever looks now and then only has to see where it stands
            if stop.is_set():
                yield piece._replace(last=True)
                return
        yield Piece(Completion(self.texts[side], len(words)), len(words) / 10, 0.1, 52, 4, True)

    def probabilities(self, asked: Asked, pane: Pane) -> Mapping[str, float]:
        return self.chances.get(pane.side, {})

    def calibration(self, asked: Asked) -> str:
        return self.calibrated_on

    def count_tokens(self, text: str) -> int:
        return len(text.split())
