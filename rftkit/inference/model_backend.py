"""A model as a backend: one copy of the weights, the adapter off for the base, a real stop."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from rftkit.answers import replies
from rftkit.core import Completion
from rftkit.inference.compare import Stop
from rftkit.inference.form import Asked, Setup
from rftkit.inference.panes import Pane, Piece
from rftkit.metrics.lists.calibration import probabilities
from rftkit.metrics.samples import Side
from rftkit.models.list_scores import list_scores
from rftkit.models.policy import AnswerModel, Decoding, Generation, prompt_with
from rftkit.runs.calibration import HeldOutAnswers
from rftkit.tasks import get_task

OWN = "default"  # the name of the adapter that a policy was opened with
LONGEST = 120.0  # seconds that one side may take
REMEDY = "a smaller image, fewer new tokens, or close other programs that use the GPU"


@dataclass
class ModelBackend:
    """Answers with a policy. One generation runs at a time, since the adapter is on or off for all.

    longest: seconds after which a side is cut off. held_out: what the adapter was calibrated on;
    setup: what was asked there.
    """

    policy: AnswerModel
    longest: float = LONGEST
    held_out: HeldOutAnswers | None = None
    setup: Setup | None = None
    chosen: dict[Side, str] = field(default_factory=lambda: {"base": "", "tuned": OWN})
    lock: threading.Lock = field(default_factory=threading.Lock)

    def stream(self, asked: Asked, side: Side, stop: Stop) -> Iterator[Piece]:
        """The completion as it grows, made in a thread of its own."""
        pieces: queue.Queue[Piece | BaseException] = queue.Queue()
        thread = threading.Thread(
            target=self._generate, args=(asked, side, stop, pieces), daemon=True
        )
        thread.start()
        try:
            while True:
                piece = pieces.get()
                while isinstance(piece, Piece) and not piece.last and not pieces.empty():
                    piece = pieces.get()  # whoever watches is slower than the model
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
                if piece.last:
                    return
        finally:
            if thread.is_alive():  # whoever watched has gone
                stop.set()
            thread.join(self.longest)

    def probabilities(self, asked: Asked, pane: Pane) -> Mapping[str, float]:
        """Of each label of the list, given the reasoning that this side has written."""
        from rftkit.models import out_of_memory

        example, style = asked.example, asked.settings.style
        prompt = prompt_with(asked.prompt, example, style)
        if not asked.answers:
            return {}
        reply = pane.piece.completion.text
        with self.lock, self._side(pane.side), out_of_memory.named("weighing labels", REMEDY):
            (by_label,) = list_scores(self.policy, [prompt], [asked.answers], style, [reply])
        known = self._known(asked)
        if known is None or self.chosen != {"base": "", "tuned": OWN}:
            return probabilities(by_label)
        fitted = known.temperatures
        return probabilities(by_label, fitted.base if pane.side == "base" else fitted.tuned)

    def calibration(self, asked: Asked) -> str:
        """What the adapter's temperatures were fitted on; "" where they are none, or do not fit."""
        known = self._known(asked)
        return known.words if known and self.chosen == {"base": "", "tuned": OWN} else ""

    def _known(self, asked: Asked) -> HeldOutAnswers | None:
        """The calibration, if this is asked as it was in training: same task, style and list."""
        if self.held_out is None or self.setup is None:
            return None
        recipe, task, style = self.setup.recipe, get_task(asked.task), asked.settings.style
        same = (asked.task, style) == (recipe.task, recipe.style)
        same = same and asked.prompt == task.prompt(asked.example, style)
        if task.predicts_labels:
            same = same and {*asked.answers} == {*filter(None, self.setup.labels)}
        return self.held_out if same else None

    def count_tokens(self, text: str) -> int:
        """Length of a text in the model's tokens."""
        return self.policy.count_tokens(text) if text else 0

    def _generate(
        self, asked: Asked, side: Side, stop: Stop, pieces: queue.Queue[Piece | BaseException]
    ) -> None:
        try:
            with self.lock:
                pieces.put(self._last(asked, side, stop, pieces))
        except BaseException as error:  # raised again by whoever reads the queue
            pieces.put(error)

    def _last(
        self, asked: Asked, side: Side, stop: Stop, pieces: queue.Queue[Piece | BaseException]
    ) -> Piece:
        from rftkit.models import out_of_memory

        settings = asked.settings
        start = time.perf_counter()
        first = 0.0

        def watch(made: Completion) -> bool:
            nonlocal first
            seconds = time.perf_counter() - start
            first = first or seconds
            pieces.put(Piece(replies.with_prefill(made, settings.style), seconds, first))
            return stop.is_set() or seconds > self.longest

        decoding = Decoding(
            settings.max_new_tokens, settings.temperature, settings.seed, settings.top_p
        )
        prompt = prompt_with(asked.prompt, asked.example, settings.style)
        with self._side(side), out_of_memory.named("answering", REMEDY):
            made = self.policy.generate([prompt], decoding, watch)
        whole = replies.with_prefill(made.completions[0], settings.style)
        return _ended(whole, made, time.perf_counter() - start)

    def choose(self, side: Side, adapter: Path | None, own: Path) -> None:
        """Put another adapter on a side, or none. own: the one that the policy was opened with.

        It is loaded beside the others, once. Raises UserError where it does not fit the model.
        """
        with self.lock:
            if adapter is None:
                self.chosen[side] = ""
            elif adapter.resolve() == own.resolve():
                self.chosen[side] = OWN
            else:
                self.chosen[side] = self.policy.add_adapter(adapter)

    def _side(self, side: Side) -> AbstractContextManager[None]:
        name = self.chosen[side]
        if not name:
            return self.policy.base()
        return nullcontext() if name == OWN else self.policy.using(name)


def _ended(whole: Completion, made: Generation, seconds: float) -> Piece:
    return Piece(
        whole, seconds, made.first_token_seconds, made.prompt_tokens, made.image_tokens, last=True
    )
