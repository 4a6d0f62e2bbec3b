"""Generate: base and fine-tuned model on every example, from one copy of the weights.

The file grows by whole batches, so an evaluation that was cut off continues where it stopped.
What the samples mean is worked out by `summary`, from the file alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from rftkit.answers import replies
from rftkit.core import Completion, Example, Reply, Style
from rftkit.evaluation.peak_memory import Peak, peak_memory
from rftkit.files import write_atomically
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
from rftkit.models.policy import AnswerModel, Decoding, Generation, Prompt
from rftkit.runs.versions import versions
from rftkit.tasks import get_task

TIMED_TOGETHER = 16  # batches


@dataclass(frozen=True)
class EvalSpec:
    """What is to be measured, and where the samples go."""

    header: Header
    file: Path
    sides: tuple[Side, ...]
    batch_size: int
    decoding: Decoding


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
    spec.file.parent.mkdir(parents=True, exist_ok=True)
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
                samples, made = _answer(policy, batch, spec, side)
                with spec.file.open("a", encoding="utf-8") as file:
                    file.write("".join(sample_line(sample) for sample in samples))
                watch.add(len(batch), sum(s.tokens for s in samples), made)
                yield len(batch)
        finally:
            watch.write()


class _Stopwatch:
    """Writes a timing for every few batches of a session, so that a kill loses the last few.

    The session's first batch warms up and is not timed, unless it is the only one.
    """

    def __init__(self, spec: EvalSpec, side: Side, peak: Peak) -> None:
        self.spec, self.side, self.peak = spec, side, peak
        self.spent: list[tuple[int, int, Generation]] = []  # images, tokens, times
        self.warm = False

    def add(self, images: int, tokens: int, made: Generation) -> None:
        self.spent.append((images, tokens, made))
        if len(self.spent) >= TIMED_TOGETHER:
            self.write()

    def write(self) -> None:
        counted = self.spent if self.warm else self.spent[1:] or self.spent
        if counted:
            self.warm = self.warm or len(self.spent) > 1
            timing = _timing(counted, self.spec, self.side, self.warm).model_copy(
                update={"peak_memory_bytes": self.peak.read(), "peak_memory_of": self.peak.of}
            )
            with self.spec.file.open("a", encoding="utf-8") as file:
                file.write(timing_line(timing))
            self.spent = []


def _answer(
    policy: AnswerModel, examples: Sequence[Example], spec: EvalSpec, side: Side
) -> tuple[list[Sample], Generation]:
    header = spec.header
    prompts = [_prompt(example, header) for example in examples]
    if header.decode == "choices":
        return _choose(policy, examples, prompts, spec, side)
    made = policy.generate(prompts, spec.decoding)
    samples = []
    for example, written in zip(examples, made.completions, strict=True):
        completion = replies.with_prefill(written, header.style)
        sample = sample_of(example, completion, header, side)
        reply = replies.read(completion, header.style)
        cost = _cost(policy, reply, made.seconds / len(examples))
        samples.append(derive(sample.model_copy(update=cost), header))
    return samples, made


def _choose(
    policy: AnswerModel,
    examples: Sequence[Example],
    prompts: list[Prompt],
    spec: EvalSpec,
    side: Side,
) -> tuple[list[Sample], Generation]:
    """Score every offered label instead of writing; the likeliest is the answer."""
    import time

    header, started = spec.header, time.perf_counter()
    choices = [example.choices for example in examples]
    spelled = get_task(header.task).spelled
    written = [
        [replies.continuation(spelled(example, label), header.style) for label in example.choices]
        for example in examples
    ]
    scores = policy.score(prompts, written)
    seconds = time.perf_counter() - started
    samples = []
    for example, labels, values in zip(examples, choices, scores, strict=True):
        by_label = dict(zip(labels, (round(value, 6) for value in values), strict=True))
        best = max(labels, key=lambda label: by_label[label])
        completion = Completion(replies.render(spelled(example, best), None, header.style))
        sample = sample_of(example, completion, header, side)
        cost = _cost(policy, replies.read(completion, header.style), seconds / len(examples))
        samples.append(derive(sample.model_copy(update={**cost, "scores": by_label}), header))
    return samples, Generation([], seconds, 0.0)


def _prompt(example: Example, header: Header) -> Prompt:
    text = get_task(header.task).prompt(example, header.style)
    return Prompt(example.image, text, replies.prefill(header.style), example.others)


def _cost(policy: AnswerModel, reply: Reply, seconds: float) -> dict[str, float]:
    """The fields of a Sample that say what its reply took. seconds: its part of the batch's."""
    return {
        "reasoning_tokens": policy.count_tokens(reply.reasoning or ""),
        "answer_tokens": policy.count_tokens(reply.answer or ""),
        "seconds": round(seconds, 6),
    }


def _timing(
    counted: list[tuple[int, int, Generation]], spec: EvalSpec, side: Side, warm: bool
) -> Timing:
    seconds = sum(made.seconds for _, _, made in counted)
    firsts = [made.first_token_seconds for _, _, made in counted]
    longest = sum(max((c.tokens for c in made.completions), default=0) for _, _, made in counted)
    steps = max(1, longest - len(counted))
    written = spec.header.decode == "generate"
    return Timing(
        side=side,
        seconds=round(seconds, 6),
        samples=sum(size for size, _, _ in counted),
        tokens=sum(tokens for _, tokens, _ in counted),
        first_token_seconds=round(sum(firsts) / len(firsts), 6) if written else None,
        token_seconds=round((seconds - sum(firsts)) / steps, 6) if written else None,
        batch_size=spec.batch_size,
        warmup_excluded=warm,
        hardware=spec.header.provenance.hardware,
    )


def _side(policy: AnswerModel, side: Side) -> AbstractContextManager[None]:
    return policy.base() if side == "base" else nullcontext()


def _in_words(header: Header, decoding: Decoding) -> str:
    if header.decode == "choices":
        after = ", after an empty thought" if replies.prefill(header.style) else ""
        return f"log-probability of each offered label{after}"
    how = f"sampled at {decoding.temperature:g}" if decoding.temperature else "greedy"
    return f"{how}, at most {decoding.max_new_tokens} new tokens"


def _sha(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
