"""Generate: base and fine-tuned model on every example, from one copy of the weights.

The file grows by whole batches, so an evaluation that was cut off continues where it stopped.
What the samples mean is worked out by `summary`, from the file alone.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress

from rftkit.answers import replies
from rftkit.core import Example, Reply, Style
from rftkit.evaluation.peak_memory import Peak, peak_memory
from rftkit.files import append, make_folder, write_atomically
from rftkit.metrics.samples import (
    Header,
    Provenance,
    Sample,
    Side,
    Timing,
    header_line,
    read_samples,
    repair,
    sample_line,
    timing_line,
)
from rftkit.metrics.scoring import derive, sample_of
from rftkit.models.list_scores import list_scores
from rftkit.models.policy import AnswerModel, Decoding, Generation, prompt_of
from rftkit.runs.versions import versions
from rftkit.tasks import get_task
from rftkit.tasks.options import Options

TIMED_TOGETHER = 16  # batches


@dataclass(frozen=True)
class EvalSpec:
    """What is to be measured, and where the samples go. options: of the task."""

    header: Header
    file: Path
    sides: tuple[Side, ...]
    batch_size: int
    decoding: Decoding
    options: Options = Options()  # noqa: RUF009  it is frozen


def evaluate(
    policy: AnswerModel, examples: Sequence[Example], spec: EvalSpec, console: Console
) -> None:
    """Answer every example on every side; answers already in the file are kept."""
    _open(spec)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        for side in spec.sides:
            done = read_samples(spec.file).done(side)
            left = [example for example in examples if example.id not in done]
            task = bar.add_task(f"evaluating {side}", total=len(examples), completed=len(done))
            with _side(policy, side):
                for answered in _answer_all(policy, left, spec, side):
                    bar.advance(task, answered)


def header_of(
    policy: AnswerModel,
    examples: Sequence[Example],
    style: Style,
    header: Header,
    decoding: Decoding,
) -> Header:
    """`header`, with what only the model and the examples can tell filled in."""
    prompts = [get_task(header.task).prompt(example, style) for example in examples]
    facts = policy.facts()
    provenance = Provenance(
        model=facts.model,
        revision=facts.revision,
        dtype=facts.dtype,
        quantisation=facts.quantisation,
        max_pixels=facts.max_pixels,
        prompt=prompts[0],
        prompt_sha256=_sha(*prompts),
        data_sha256=_sha(*(f"{example.id}\t{example.gold}" for example in examples)),
        decoding=_in_words(header, decoding),
        seed=decoding.seed,
        versions=versions(),
        hardware=facts.device,
        **header.provenance.model_dump(exclude_defaults=True),
    )
    shared = prompts[0] if len({*prompts}) == 1 else ""
    return header.model_copy(update={"provenance": provenance, "prompt": shared})


def same_evaluation(file: Path, header: Header) -> bool:
    """Whether `file` is not there yet, or holds the evaluation that `header` describes."""
    return not file.exists() or _identity(read_samples(file).header) == _identity(header)


def _open(spec: EvalSpec) -> None:
    """Start the samples file, or make one that was cut off ready to continue."""
    assert same_evaluation(spec.file, spec.header), f"{spec.file} holds another evaluation"
    if spec.file.exists():
        return repair(spec.file)
    make_folder(spec.file.parent)
    write_atomically(spec.file, header_line(spec.header))
    return None


def _identity(header: Header) -> Header:
    """The header without what differs from one session to the next.

    Whether training images could be read, to look for them among the test images, is no part of it.
    """
    fixed = header.provenance.model_copy(update={"started": "", "command": "", "hardware": ""})
    update = {"provenance": fixed, "overlap": None, "overlap_skipped": None}
    return header.model_copy(update=update)


def _answer_all(
    policy: AnswerModel, examples: Sequence[Example], spec: EvalSpec, side: Side
) -> Iterator[int]:
    """Answer in batches, append each as it ends, yield its size; the first one warms up."""
    with peak_memory() as peak:
        watch = _Stopwatch(spec, side, peak)
        try:
            for start in range(0, len(examples), spec.batch_size):
                batch = examples[start : start + spec.batch_size]
                samples, made, scoring = _answer(policy, batch, spec, side)
                append(spec.file, "".join(sample_line(sample) for sample in samples))
                watch.add(len(batch), sum(s.tokens for s in samples), made, scoring)
                yield len(batch)
        finally:
            watch.write()


class _Spent(NamedTuple):
    """What a batch took. scoring: seconds, of its lists."""

    images: int
    tokens: int
    made: Generation
    scoring: float


class _Stopwatch:
    """Writes a timing for every few batches of a session, so that a kill loses the last few.

    The session's first batch warms up and is not timed, unless it is the only one.
    """

    def __init__(self, spec: EvalSpec, side: Side, peak: Peak) -> None:
        self.spec, self.side, self.peak = spec, side, peak
        self.spent: list[_Spent] = []
        self.warm = False

    def add(self, images: int, tokens: int, made: Generation, scoring: float) -> None:
        self.spent.append(_Spent(images, tokens, made, scoring))
        if len(self.spent) >= TIMED_TOGETHER:
            self.write()

    def write(self) -> None:
        counted = self.spent if self.warm else self.spent[1:] or self.spent
        if counted:
            self.warm = self.warm or len(self.spent) > 1
            timing = _timing(counted, self.spec, self.side, self.warm).model_copy(
                update={"peak_memory_bytes": self.peak.read(), "peak_memory_of": self.peak.of}
            )
            append(self.spec.file, timing_line(timing))
            self.spent = []


def _answer(
    policy: AnswerModel, examples: Sequence[Example], spec: EvalSpec, side: Side
) -> tuple[list[Sample], Generation, float]:
    """Samples, what writing them took, and the seconds that scoring their lists took."""
    header = spec.header
    task, style = get_task(header.task), header.style
    prompts = [prompt_of(task, example, style) for example in examples]
    made = policy.generate(prompts, spec.decoding)
    samples = []
    for example, written in zip(examples, made.completions, strict=True):
        completion = replies.with_prefill(written, header.style)
        sample = sample_of(example, completion, header, side)
        reply = replies.read(completion, header.style)
        cost = _cost(policy, reply, made.seconds / len(examples))
        samples.append(sample.model_copy(update=cost))
    started = time.perf_counter()
    if header.list_scores:
        samples = _with_scores(policy, examples, spec, samples)
    seconds = time.perf_counter() - started
    return [derive(sample, header) for sample in samples], made, seconds


def _with_scores(
    policy: AnswerModel, examples: Sequence[Example], spec: EvalSpec, samples: Sequence[Sample]
) -> list[Sample]:
    """The samples with a score of each answer of their lists, after the reasoning they wrote."""
    task, style = get_task(spec.header.task), spec.header.style
    lists = [task.spellings(example, spec.options) for example in examples]
    prompts = [prompt_of(task, example, style) for example in examples]
    scores = list_scores(policy, prompts, lists, style, [sample.text for sample in samples])
    return [
        sample.model_copy(update={"scores": {k: round(v, 6) for k, v in by_answer.items()}})
        for sample, by_answer in zip(samples, scores, strict=True)
    ]


def _cost(policy: AnswerModel, reply: Reply, seconds: float) -> dict[str, float]:
    """The fields of a Sample that say what its reply took. seconds: its part of the batch's."""
    return {
        "reasoning_tokens": policy.count_tokens(reply.reasoning or ""),
        "answer_tokens": policy.count_tokens(reply.answer or ""),
        "seconds": round(seconds, 6),
    }


def _timing(counted: Sequence[_Spent], spec: EvalSpec, side: Side, warm: bool) -> Timing:
    seconds = sum(one.made.seconds for one in counted)
    firsts = [one.made.first_token_seconds for one in counted]
    longest = sum(max((c.tokens for c in one.made.completions), default=0) for one in counted)
    steps = max(1, longest - len(counted))
    scored = sum(one.scoring for one in counted) if spec.header.list_scores else None
    return Timing(
        side=side,
        seconds=round(seconds, 6),
        samples=sum(one.images for one in counted),
        tokens=sum(one.tokens for one in counted),
        first_token_seconds=round(sum(firsts) / len(firsts), 6),
        token_seconds=round((seconds - sum(firsts)) / steps, 6),
        scoring_seconds=None if scored is None else round(scored, 6),
        batch_size=spec.batch_size,
        warmup_excluded=warm,
        hardware=spec.header.provenance.hardware,
    )


def _side(policy: AnswerModel, side: Side) -> AbstractContextManager[None]:
    return policy.base() if side == "base" else nullcontext()


def _in_words(header: Header, decoding: Decoding) -> str:
    how = f"sampled at {decoding.temperature:g}" if decoding.temperature else "greedy"
    listed = "; log-probability of each answer of the list" if header.list_scores else ""
    held = "; replies held to a JSON Schema" if decoding.structured else ""
    return f"{how}, at most {decoding.max_new_tokens} new tokens{listed}{held}"


def _sha(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
