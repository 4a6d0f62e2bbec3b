"""A GGUF export that answers, through llama.cpp: replies, their likeliest tokens, lists."""

from __future__ import annotations

import base64
import heapq
import io
import json
import math
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

from rftkit.errors import ModelError
from rftkit.export.answers import TOP, Answer
from rftkit.export.llama_cpp.convert import GgufFiles
from rftkit.export.llama_cpp.server_child import ADDRESS
from rftkit.models.policy import Prompt

UNLIKELY = -12.0  # nats beside the best answer: where the end of an answer changes nothing


LISTED = 200  # likeliest tokens among which those of a list are looked up
EVERY = 1_000_000  # all tokens, where one is not among those
IMPOSSIBLE = -100.0  # nats, of a token that the file does not have


class Reading(NamedTuple):
    """How a prompt is written for llama.cpp.

    render: the whole text, as transformers reads it. image: what in it stands for an image, with
    the tokens before and after it. ids: the tokens of an answer, text: of tokens.
    """

    render: Callable[[Prompt], str]
    image: str
    ids: Callable[[str, bool], list[int]]
    text: Callable[[Sequence[int]], str]


class _Beginning(NamedTuple):
    """The beginning of some answers. negative: minus its log-probability, for a heap.

    rare: of the next tokens those that are not among the likeliest: it stands for these alone, with
    the highest score that they can have; start: that of `before`.
    """

    negative: float
    before: tuple[int, ...]
    rare: tuple[int, ...] = ()
    start: float = 0.0

    @property
    def score(self) -> float:
        """Log-probability, in nats."""
        return -self.negative

    def begins(self, ids: Sequence[int]) -> bool:
        """Whether an answer begins so."""
        depth = len(self.before)
        same = tuple(ids[:depth]) == self.before
        return same and (not self.rare or (len(ids) > depth and ids[depth] in self.rare))


class Limits(NamedTuple):
    """context: tokens of prompt and reply. image_tokens: least and most of one image."""

    context: int
    image_tokens: tuple[int, int]


class LlamaCpp:
    """Answers from GGUF files, one prompt after another."""

    def __init__(self, address: str, process: subprocess.Popen[str], reading: Reading) -> None:
        self.address, self.process, self.reading = address, process, reading
        self.marker = str(self._ask("/props")["media_marker"])  # random, of each server

    def answers(self, prompts: Sequence[Prompt], tokens: int) -> list[Answer]:
        """The greedy reply to each prompt, with its likeliest tokens."""
        return [self._answer(prompt, tokens) for prompt in prompts]

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]], *, ended: bool = True
    ) -> list[list[float]]:
        """Log-probability, in nats, of each answer; of an `UNLIKELY` one that of its beginning."""
        return [
            self._scores(prompt, [self.reading.ids(text, ended) for text in row])
            for prompt, row in zip(prompts, answers, strict=True)
        ]

    def chat(self, prompt: Prompt, tokens: int, template: Mapping[str, bool]) -> str:
        """The reply to a prompt by the file's own chat template, as other programs ask for it.

        template: what that is given beside the messages.
        """
        urls = [f"data:image/png;base64,{png}" for png in _pngs(prompt)]
        images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        content = [*images, {"type": "text", "text": prompt.text}]
        body = {
            "messages": [{"role": "user", "content": content}],
            "max_tokens": tokens,
            "temperature": 0,
            "samplers": ["temperature"],
            "cache_prompt": False,
            "reasoning_format": "none",
            "chat_template_kwargs": dict(template),
        }
        reply = self._ask("/v1/chat/completions", body)
        return str(reply["choices"][0]["message"]["content"])

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Length of a whole prompt in the file's tokens, those of its images among them."""
        return int(self._complete(prompt, "", 1)["tokens_evaluated"])

    def _answer(self, prompt: Prompt, tokens: int) -> Answer:
        reply = self._complete(prompt, "", tokens)
        ids, held = list(map(int, reply["tokens"])), list(reply["completion_probabilities"])
        steps = list[Mapping[int, float]]()
        for token in ids:  # a token that is a part of a character may be left out of the steps
            there = bool(held) and int(held[0]["id"]) == token
            steps.append(_logps(held.pop(0)) if there else {})
        return Answer(str(reply["content"]), ids, steps, reply["stop_type"] == "eos")

    def _scores(self, prompt: Prompt, answers: Sequence[Sequence[int]]) -> list[float]:
        """Down the tree of the answers' tokens, the likeliest beginning first.

        A beginning that is `UNLIKELY` beside the best whole answer is not followed to its end.
        """
        scores, best = [0.0] * len(answers), -math.inf
        waiting = [_Beginning(0.0, ())]
        while waiting:
            one = heapq.heappop(waiting)
            below = [n for n, ids in enumerate(answers) if one.begins(ids)]
            for number in below:
                scores[number] = one.score
            depth = len(one.before)
            if not one.rare and any(len(answers[number]) == depth for number in below):
                best = max(best, one.score)
            wanted = {answers[n][depth] for n in below if len(answers[n]) > depth}
            if wanted and one.score >= best + UNLIKELY:
                for longer in self._longer(prompt, one, wanted):
                    heapq.heappush(waiting, longer)
        return scores

    def _longer(
        self, prompt: Prompt, one: _Beginning, wanted: Collection[int]
    ) -> Iterator[_Beginning]:
        """A beginning with each of these tokens, and one for those not among the likeliest.

        That one waits with the highest score that they can have; all tokens are asked for only if
        its turn comes.
        """
        most = EVERY if one.rare else LISTED
        reply = self._complete(prompt, self.reading.text(one.before), 1, most)
        logps = _logps(reply["completion_probabilities"][0])
        start = one.start if one.rare else one.score
        for token in wanted:
            if token in logps or one.rare:
                score = start + logps.get(token, IMPOSSIBLE)
                yield _Beginning(-score, (*one.before, token))
        rare = tuple(sorted({*wanted} - {*logps}))
        if rare and not one.rare:
            yield _Beginning(-start - min(logps.values()), one.before, rare, start)

    def _complete(
        self, prompt: Prompt, written: str, tokens: int, likeliest: int = TOP
    ) -> dict[str, Any]:
        text = self.reading.render(prompt).replace(self.reading.image, self.marker) + written
        return self._ask(
            "/completion",
            {
                "prompt": {"prompt_string": text, "multimodal_data": _pngs(prompt)},
                "n_predict": tokens,
                "temperature": 0,
                "samplers": ["temperature"],
                "n_probs": likeliest,
                "cache_prompt": bool(written),  # replies are computed anew, lists share a prompt
                "return_tokens": True,
            },
        )

    def _ask(self, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.address + path, data, headers)
        try:
            with urllib.request.urlopen(request) as reply:
                found: dict[str, Any] = json.load(reply)
                return found
        except urllib.error.HTTPError as error:
            why = error.read(300).decode("utf-8", "replace")
            raise ModelError(f"llama.cpp refuses a prompt ({why})") from None
        except OSError:
            code = self.process.wait()
            raise ModelError(f"llama.cpp ended (exit code {code}) while it answered") from None


@contextmanager
def serving(made: GgufFiles, reading: Reading, limits: Limits) -> Iterator[LlamaCpp]:
    """llama.cpp with these files, in a process of its own that ends with the block.

    Raises ModelError, with its last words, if it does not load them.
    """
    job = {
        "text": str(made.text),
        "mmproj": str(made.mmproj),
        "context": limits.context,
        "image_tokens": limits.image_tokens,
        "threads": int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))),
    }
    words = [sys.executable, "-P", "-m", "rftkit.export.llama_cpp.server_child", json.dumps(job)]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log,
        subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=log, text=True) as process,
    ):
        try:
            yield LlamaCpp(_address(process, log), process, reading)
        finally:
            process.kill()


def _address(process: subprocess.Popen[str], log: IO[str]) -> str:
    """Where it listens, once it does."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(ADDRESS):
            return line.removeprefix(ADDRESS).strip()
    code = process.wait()
    log.seek(0)
    raise ModelError(f"llama.cpp does not load the files (exit code {code}: {_complaint(log)})")


def _complaint(log: IO[str]) -> str:
    """The line that says why; what a debugger adds to it says nothing."""
    lines = [line.strip() for line in log if line.strip()]
    why = [line for line in lines if "ASSERT" in line or "error" in line.lower()]
    return (why or lines or ["it said nothing"])[0][:300]


def _pngs(prompt: Prompt) -> list[str]:
    """The images of a prompt, base64."""
    found = list[str]()
    for image in (prompt.image, *prompt.others):
        held = io.BytesIO()
        image.open().save(held, "PNG")
        found.append(base64.b64encode(held.getvalue()).decode())
    return found


def _logps(step: Mapping[str, Any]) -> dict[int, float]:
    return {int(one["id"]): float(one["logprob"]) for one in step["top_logprobs"]}
