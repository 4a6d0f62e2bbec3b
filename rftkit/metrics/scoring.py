"""From what a model wrote to whether it was right: the derived fields of a sample."""

from __future__ import annotations

from dataclasses import replace

from rftkit.answers import replies
from rftkit.answers.labels import names_several
from rftkit.answers.literals import in_text
from rftkit.core import Attempt, Completion, Example, NoImage, Reply
from rftkit.errors import DataError
from rftkit.metrics.samples import FLAGS, Flag, Header, Sample, SamplesFile, Side
from rftkit.rewards.general import no_repetition
from rftkit.tasks import get_task

LOOPING = 0.5  # share of fresh word 4-grams under which a reply is said to repeat itself


def offered(sample: Sample, header: Header) -> tuple[str, ...]:
    """The labels or options offered for a sample; none if the answer was open."""
    return header.labels if sample.choices is None else sample.choices


def reasoning(sample: Sample, header: Header) -> str | None:
    """The reasoning that a sample's text holds; None if it holds none."""
    return replies.read(_completion(sample), header.style).reasoning


def attempt_of(sample: Sample, header: Header) -> Attempt:
    """The sample as rewards see it. With decode = choices, the likeliest label is the reply."""
    return _listed(sample, header) if header.decode == "choices" else _free(sample, header)


def _free(sample: Sample, header: Header) -> Attempt:
    """What the model wrote."""
    example = _example(sample, header)
    return get_task(header.task).attempt(example, header.style, _completion(sample))


def _listed(sample: Sample, header: Header) -> Attempt:
    """The likeliest answer of the list, as a reply."""
    answer = likeliest(sample, header)
    return Attempt(_example(sample, header), "direct", Completion(answer), Reply(answer))


def _example(sample: Sample, header: Header) -> Example:
    return Example(
        id=sample.id,
        image=NoImage(sample.image),
        question=header.prompt if sample.prompt is None else sample.prompt,
        gold=sample.gold,
        choices=offered(sample, header),
        labels=header.labels,
        location=sample.location,
        meta=sample.meta,
        category=sample.category,
        aliases=header.aliases,
    )


def likeliest(sample: Sample, header: Header) -> str:
    """The offered label with the best score; the first in the list's order if two tie.

    Raises DataError if a label has no score.
    """
    scores = sample.scores or {}
    labels = offered(sample, header) or tuple(scores)  # a range of numbers is not offered
    missing = [label for label in labels if label not in scores]
    if missing or not labels:
        name = missing[0] if missing else "any label"
        raise DataError(f"{sample.location or sample.id}: no score for {name!r}; evaluate it again")
    return max(labels, key=lambda label: scores[label])


def derive(sample: Sample, header: Header) -> Sample:
    """The sample with answer, correct, rewards, paper, flags, both decodings computed anew."""
    task = get_task(header.task)
    attempt = attempt_of(sample, header)
    parsed = task.parsed(attempt)
    answer = None if parsed is None else in_text(parsed)
    paper = task.rewards_of(attempt, "paper")
    if task.paper_evaluation is not None:
        paper["evaluation"] = task.paper_evaluation(attempt)
    return sample.model_copy(
        update={
            "answer": answer,
            "correct": task.rewards[task.headline](attempt),
            "rewards": task.rewards_of(attempt, "strict"),
            "paper": paper,
            "flags": flags_of(attempt, answer, listed=task.picks_offered),
            **_decodings(sample, header),
        }
    )


def _decodings(sample: Sample, header: Header) -> dict[str, object]:
    """Whether free reply and likeliest answer are right, and that answer; {} without a list.

    With decode = choices older files hold no free reply.
    """
    if not sample.scores:
        return {}
    headline = get_task(header.task).rewards[get_task(header.task).headline]
    listed = _listed(sample, header)
    known = header.list_scores or header.decode == "generate"
    return {
        "free_correct": headline(_free(sample, header)) if known else None,
        "list_answer": listed.reply.answer,
        "list_correct": headline(listed),
    }


def rescored(file: SamplesFile) -> SamplesFile:
    """The file with every sample derived anew, base first, by id: its order tells nothing."""
    samples = sorted(file.samples, key=lambda sample: (sample.side, sample.id))
    return replace(file, samples=tuple(derive(sample, file.header) for sample in samples))


def _completion(sample: Sample) -> Completion:
    return Completion(sample.text, sample.tokens, sample.finished)


def flags_of(attempt: Attempt, answer: str | None, listed: bool) -> tuple[Flag, ...]:
    """What is odd about a reply, in the order of FLAGS. listed: answers are on a list, or wrong."""
    flags: set[Flag] = set()
    if attempt.reply.problem:
        flags.add(attempt.reply.problem)
    allowed = attempt.example.choices or attempt.example.labels
    if answer is None and attempt.reply.answer is not None:
        flags.add("unparseable")
    elif answer is not None and listed and allowed and answer not in allowed:
        flags.add("several answers" if names_several(answer, allowed) else "off the list")
    if not attempt.completion.finished:
        flags.add("truncated")
    if no_repetition(attempt) < LOOPING:
        flags.add("repetition")
    return tuple(flag for flag in FLAGS if flag in flags)


def sample_of(example: Example, whole: Completion, header: Header, side: Side) -> Sample:
    """One side's sample of an example, before tokens are counted and fields derived.

    whole: the reply with its prefill (`replies.with_prefill`).
    """
    prompt = get_task(header.task).prompt(example, header.style)
    half = example.meta.get("half", "")
    return Sample(
        side=side,
        id=example.id,
        image=example.image.name,
        location=example.location,
        prompt=None if prompt == header.prompt else prompt,
        text=whole.text,
        gold=example.gold,
        choices=None if example.choices == header.labels else example.choices,
        half="base" if half == "base" else "new" if half == "new" else "",
        category="" if get_task(header.task).predicts_labels else example.category,
        meta={name: value for name, value in example.meta.items() if name != "half"},
        tokens=whole.tokens,
        finished=whole.finished,
    )
