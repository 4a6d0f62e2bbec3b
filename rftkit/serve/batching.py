"""A bounded queue and the one thread that empties it: what waits together is answered together.

    waiting   ask  ask  chat(t=0)  ask  chat(t=1)        batch = 16
    forward   ask  ask             ask                   the oldest, and all that may share with it
    then                chat(t=0)
    then                                chat(t=1)

Nothing waits for company: a batch is what came while the one before was computed.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from rftkit.errors import UserError
from rftkit.serve.engine import Answer, Work
from rftkit.serve.errors import ApiError

BUG = "something went wrong inside rftkit; the service's log says what"
LONGEST_RETRY = 60  # seconds
SMOOTHING = 0.2  # weight of the newest forward in the mean time of one prompt


@dataclass(eq=False)
class Job:
    """A piece of work and the answer to come. shares: jobs of one value share a forward."""

    work: Work
    shares: Hashable
    future: Future[Answer] = field(default_factory=Future)


class Watch(Protocol):
    """What is told of each forward, and of how many wait."""

    def waiting(self, prompts: int) -> None:
        """Prompts that wait now."""

    def forward(self, prompts: int, seconds: float) -> None:
        """A batch that was computed."""


class Batcher:
    """Computes batches in one thread, since a model answers one at a time.

    compute: the answers of works that share a forward. queue, batch: prompts that may wait, and
    that one forward may have; a single work may be larger than a batch.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[Work]], list[Answer]],
        queue: int,
        batch: int,
        watch: Watch,
    ) -> None:
        self.compute, self.queue, self.batch, self.watch = compute, queue, batch, watch
        self.closing = False
        self.each = 0.0  # seconds of one prompt, a moving mean
        self._waiting = deque[Job]()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._loop, name="rftkit-serve", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether somebody empties the queue."""
        return self._thread.is_alive() and not self.closing

    def submit(self, works: Sequence[Work]) -> list[Job]:
        """Queue works, all of them or none. Raises ApiError where they do not fit, or at the end.

        A work that is larger than the queue is taken while nothing else waits.
        """
        jobs = [Job(work, work.shares) for work in works]
        with self._changed:
            if self.closing:
                raise ApiError(503, "the service is shutting down", code="shutting_down")
            waiting = self.depth
            if waiting and waiting + sum(work.size for work in works) > self.queue:
                raise ApiError(
                    429,
                    f"the queue is full: {waiting} prompts wait, --queue {self.queue}; "
                    "try again later",
                    code="queue_full",
                    retry_after=self._seconds_left(waiting),
                )
            self._waiting += jobs
            self._told()
        return jobs

    def drop(self, job: Job) -> None:
        """Nobody waits for it any more: it is not computed, where that has not begun."""
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)
                self._told()
        job.future.cancel()

    def close(self) -> None:
        """Take no more; what waits is still answered."""
        with self._changed:
            self.closing = True
            self._changed.notify_all()

    def tell_waiting(self) -> None:
        """Answer all that wait by saying that the service stops."""
        with self._changed:
            left, self._waiting = [*self._waiting], deque()
            self._told()
        for job in left:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(
                    ApiError(503, "the service was stopped before this was answered; send it again",
                             code="shutting_down")
                )  # fmt: skip

    def until(self, happened: Callable[[], bool], seconds: float | None = None) -> bool:
        """Return once it has happened to the queue; False if not within so many seconds."""
        with self._changed:
            return self._changed.wait_for(happened, seconds)

    @property
    def depth(self) -> int:
        """Prompts that wait."""
        with self._changed:
            return sum(job.work.size for job in self._waiting)

    def _loop(self) -> None:
        while jobs := self._next():
            self._answer(jobs)

    def _next(self) -> list[Job]:
        """The oldest job and those that share a forward with it; none once it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.closing)
            if not self._waiting:
                return []
            chosen, size = [self._waiting[0]], self._waiting[0].work.size
            for job in list(self._waiting)[1:]:
                fits = size + job.work.size <= self.batch
                if job.shares == chosen[0].shares and fits:
                    chosen.append(job)
                    size += job.work.size
            self._waiting = deque(job for job in self._waiting if job not in chosen)
            self._told()
        return [job for job in chosen if job.future.set_running_or_notify_cancel()] or self._next()

    def _answer(self, jobs: Sequence[Job]) -> None:
        """Compute a batch; where it fails, its halves: no request takes another along."""
        start = time.perf_counter()
        try:
            answers = self.compute([job.work for job in jobs])
        except Exception as error:  # a server's boundary: the next request is answered
            if len(jobs) > 1:
                middle = len(jobs) // 2
                self._answer(jobs[:middle])
                self._answer(jobs[middle:])
            else:
                jobs[0].future.set_exception(_refusal(error))
            return
        prompts, seconds = sum(job.work.size for job in jobs), time.perf_counter() - start
        weight = SMOOTHING if self.each else 1.0
        self.each += weight * (seconds / prompts - self.each)
        self.watch.forward(prompts, seconds)
        for job, answer in zip(jobs, answers, strict=True):
            job.future.set_result(answer)

    def _told(self) -> None:
        self.watch.waiting(self.depth)
        self._changed.notify_all()

    def _seconds_left(self, waiting: int) -> int:
        """After how long what waits now will be answered, as far as that is known."""
        return min(LONGEST_RETRY, max(1, math.ceil(waiting * self.each)))


def _refusal(error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, UserError):
        return ApiError(500, str(error), code="model_error")
    logging.getLogger(__name__).error("a forward failed", exc_info=error)
    return ApiError(500, BUG, code="internal_error")
