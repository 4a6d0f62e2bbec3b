"""The proof of an export: its answers to held-out images beside those of the adapter.

Replies are greedy. Along each of the export's replies the log-probabilities of its 20 likeliest
tokens are compared with the adapter's at the same place, which also shows what no reply does: a
wrong image or a lost matrix moves them long before it changes a word. Where two replies part, the
adapter must have found both words nearly as likely. Lists of answers are compared by probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from rftkit.core import Style
from rftkit.export.answers import Answer, Answering, InTransformers
from rftkit.metrics.lists.calibration import likeliest, probabilities
from rftkit.models.list_scores import Spellings, list_scores
from rftkit.models.policy import Prompt

if TYPE_CHECKING:
    from torch import Tensor

PROOF = "proof.json"
UNTRIED = {
    "ollama": "the files were run by llama.cpp; Ollama itself was not run",
    "vllm": "the weights were run by transformers; vLLM itself was not run",
}


@dataclass(frozen=True)
class Bounds:
    """What a proof allows. tokens: mean difference of log-probabilities, in nats.

    tie: how much likelier, in nats, the adapter's word may be where replies part. labels: the
    largest difference of a probability in a list.
    """

    tokens: float
    tie: float
    labels: float


class Asked(NamedTuple):
    """What is asked: prompts, the list of each (empty: none), style, tokens of a reply."""

    prompts: Sequence[Prompt]
    lists: Sequence[Spellings]
    style: Style
    tokens: int


@dataclass(frozen=True)
class Side:
    """What a model answered: its replies, and for each the probabilities of its list.

    faults: what is wrong with it already. as_sent: how many replies are the same if the images
    are sent in their own size; None where nobody looked.
    """

    answers: Sequence[Answer]
    lists: Sequence[Mapping[str, float]]
    faults: tuple[str, ...] = ()
    as_sent: int | None = None


@dataclass(frozen=True)
class Proof:
    """How near an export is to its adapter. base_tokens: how near it is to the base model.

    label_difference: None where there are no lists. faults: what is not as near as it must be.
    as_sent: as of `Side`. as_trained: how many replies are those of the adapter on the 4-bit
    weights of its training.
    """

    prompts: int
    same_replies: int
    token_difference: float
    largest_tie: float
    base_tokens: float
    label_difference: float | None
    same_labels: int
    bounds: Bounds
    faults: tuple[str, ...]
    samples: tuple[Mapping[str, Any], ...]
    as_sent: int | None = None
    as_trained: int | None = None

    @property
    def passed(self) -> bool:
        """Whether the export answers as the adapter does."""
        return not self.faults

    @property
    def blind(self) -> bool:
        """Whether training has changed so little that the base model would pass too."""
        return self.base_tokens <= self.bounds.tokens

    def record(self, kind: str) -> dict[str, Any]:
        """For proof.json."""
        return {"kind": kind, "passed": self.passed, "blind": self.blind, **asdict(self)}

    def lines(self, kind: str) -> list[str]:
        """For the terminal: what was measured, and what it does not say."""
        lines = [f"{kind}: {self.words()}"]
        if self.blind:
            lines.append(
                "note: training has changed so little that the base model would pass this proof too"
            )
        if self.as_trained is not None:
            lines.append(
                f"note: the recipe trained on 4-bit weights, where {self.as_trained} of "
                f"{self.prompts} replies are the same; the export has the base's 16-bit weights"
            )
        if self.as_sent is not None:
            lines.append(
                f"note: with images in their own size, which llama.cpp resizes in its own way, "
                f"{self.as_sent} of {self.prompts} replies are the same"
            )
        if kind in UNTRIED:
            lines.append(f"note: {UNTRIED[kind]}")
        return lines

    def words(self) -> str:
        """One line for the terminal."""
        text = (
            f"{self.same_replies} of {self.prompts} replies are the adapter's; log-probabilities "
            f"differ by {self.token_difference:.4f} on average, from the base model's by "
            f"{self.base_tokens:.4f}"
        )
        if self.label_difference is not None:
            text += (
                f"; probabilities of labels by {self.label_difference:.4f} at most, the likeliest "
                f"is the same for {self.same_labels} of {self.prompts}"
            )
        return text


def answered(model: Answering, asked: Asked) -> Side:
    """What an export answers: replies, and the lists after what each reply wrote before."""
    answers = model.answers(asked.prompts, asked.tokens)
    return Side(answers, _lists(model, asked, answers))


def prove(export: Side, reference: InTransformers, asked: Asked, bounds: Bounds) -> Proof:
    """Compare an export's answers with the adapter's. reference: the adapter on its 16-bit base."""
    own = reference.answers(asked.prompts, asked.tokens)
    lists = _lists(reference, asked, export.answers)
    differences, ties, from_base = list[float](), list[float](), list[float]()
    banned = reference.policy.banned_ids()
    for prompt, answer in zip(asked.prompts, export.answers, strict=True):
        rows = reference.distributions(prompt, answer.ids)
        differences += _differences(answer, rows)
        ties.append(_tie(answer, rows, banned))
        with reference.policy.base():
            from_base += _differences(answer, reference.distributions(prompt, answer.ids))
    pairs = [*zip(export.lists, lists, strict=True)]
    apart = [max(abs(a[name] - b[name]) for name in a) for a, b in pairs if a]
    same_labels = sum(likeliest(a) == likeliest(b) for a, b in pairs if a)
    numbers = (_mean(differences), max(ties, default=0.0), max(apart) if apart else None)
    return Proof(
        prompts=len(asked.prompts),
        same_replies=sum(a.text == b.text for a, b in zip(export.answers, own, strict=True)),
        token_difference=numbers[0],
        largest_tie=numbers[1],
        base_tokens=_mean(from_base),
        label_difference=numbers[2],
        same_labels=same_labels,
        bounds=bounds,
        faults=(*export.faults, *_faults(numbers, bounds)),
        samples=tuple(_samples(asked, export, Side(own, lists))),
        as_sent=export.as_sent,
    )


def _faults(numbers: tuple[float, float, float | None], bounds: Bounds) -> list[str]:
    """In words, what is not as near as it must be; not a number is never near."""
    tokens, tie, labels = numbers
    faults = list[str]()
    if not tokens <= bounds.tokens:
        faults.append(f"log-probabilities differ by {tokens:.4f}, at most {bounds.tokens:g} is "
                      "rounding")  # fmt: skip
    if not tie <= bounds.tie:
        faults.append(f"a word that the adapter finds {tie:.3f} nats less likely than its own")
    if labels is not None and not labels <= bounds.labels:
        faults.append(f"the probability of a label differs by {labels:.4f}, at most "
                      f"{bounds.labels:g} is rounding")  # fmt: skip
    return faults


def _lists(model: Answering, asked: Asked, answers: Sequence[Answer]) -> list[dict[str, float]]:
    """The probability of each answer of each list; {} where a prompt has none."""
    found = list[dict[str, float]]()
    for prompt, spelled, answer in zip(asked.prompts, asked.lists, answers, strict=True):
        if not spelled:
            found.append({})
            continue
        written = prompt.prefill + answer.text
        (scores,) = list_scores(model, [prompt], [spelled], asked.style, [written])
        found.append(probabilities(scores))
    return found


def _differences(answer: Answer, rows: Tensor) -> list[float]:
    """Of each likeliest token of each step, how far its log-probability is from the other's."""
    return [
        abs(value - float(rows[step, token]))
        for step, held in enumerate(answer.steps)
        for token, value in held.items()
    ]


def _tie(answer: Answer, rows: Tensor, banned: Sequence[int]) -> float:
    """The most by which another token was likelier than the one of the reply."""
    chosen = [float(row[token]) for row, token in zip(rows, answer.ids, strict=True)]
    allowed = rows.clone()
    allowed[:, list(banned)] = float("-inf")
    best = allowed.amax(-1).tolist() if chosen else []
    return max((max(0.0, b - c) for b, c in zip(best, chosen, strict=True)), default=0.0)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _samples(asked: Asked, export: Side, own: Side) -> list[dict[str, Any]]:
    """What both answered, image by image."""
    rows = zip(asked.prompts, export.answers, own.answers, export.lists, own.lists, strict=True)
    return [
        {
            "image": prompt.image.name,
            "export": {"reply": answer.text, "labels": labels},
            "adapter": {"reply": other.text, "labels": others},
        }
        for prompt, answer, other, labels, others in rows
    ]
