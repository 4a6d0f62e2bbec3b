"""Answers that were written down: replays a samples file, without a model and without torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rftkit.core import Completion
from rftkit.errors import DataError
from rftkit.inference.compare import Stop
from rftkit.inference.form import Asked
from rftkit.inference.panes import Pane, Piece
from rftkit.metrics.lists.calibration import probabilities
from rftkit.metrics.samples import Sample, SamplesFile, Side

LONGEST = 1.2  # seconds that the replay of one reply takes at most
WORD = re.compile(r"\S+\s*|\s+")


@dataclass(frozen=True)
class RecordedBackend:
    """Replays what each side wrote. pace: 0 shows a reply at once, 1 as slowly as LONGEST says.

    Pieces come without seconds: a sample's are its share of a batch, not what an image takes.
    """

    samples: Mapping[tuple[Side, str], Sample]
    pace: float = 1.0
    temperatures: Mapping[Side, float] = field(default_factory=dict)

    def stream(self, asked: Asked, side: Side, stop: Stop) -> Iterator[Piece]:
        """The recorded reply, word by word."""
        sample = self._sample(asked.example.id, side)
        words = WORD.findall(sample.text)
        share = min(LONGEST, sample.seconds or LONGEST) / max(1, len(words)) * self.pace
        for count in range(1, len(words)):
            if stop.wait(share):
                yield _cut(sample, words[:count])
                return
            yield _piece(sample, "".join(words[:count]), count, len(words))
        whole = Completion(sample.text, sample.tokens, sample.finished)
        yield Piece(whole, last=True)

    def probabilities(self, asked: Asked, pane: Pane) -> Mapping[str, float]:
        """From the scores that the evaluation kept; empty where it kept none."""
        return chances(self._sample(asked.example.id, pane.side), self.temperatures)

    def calibration(self, asked: Asked) -> str:
        """Whether the file has the temperatures of its scores."""
        return in_words(self.temperatures)

    def count_tokens(self, text: str) -> int:
        """In words: the tokeniser is not in the file."""
        return len(text.split())

    def _sample(self, identity: str, side: Side) -> Sample:
        sample = self.samples.get((side, identity))
        if sample is None:
            raise DataError(
                f"no recorded {side} answer for this image: this page replays a file; choose "
                "one of its examples, or start rftkit demo with a model"
            )
        return sample


def recorded(file: SamplesFile, pace: float = 1.0) -> RecordedBackend:
    """The backend for a samples file."""
    samples = {(sample.side, sample.id): sample for sample in file.samples}
    return RecordedBackend(samples, pace, file.header.temperatures)


def chances(sample: Sample, temperatures: Mapping[Side, float]) -> dict[str, float]:
    """The probability of each label that a sample has a score of; {} if it has none."""
    scores, temperature = sample.scores or {}, temperatures.get(sample.side, 1.0)
    return probabilities(scores, temperature) if scores else {}


def in_words(temperatures: Mapping[Side, float]) -> str:
    """What the probabilities of a file were calibrated on; "" if they were not."""
    return "calibrated on held-out images" if temperatures else ""


def _cut(sample: Sample, words: list[str]) -> Piece:
    made = Completion("".join(words), len(words), finished=False)
    return Piece(made, last=True)


def _piece(sample: Sample, text: str, count: int, words: int) -> Piece:
    share = count / words
    made = Completion(text, round(sample.tokens * share), finished=False)
    return Piece(made)
