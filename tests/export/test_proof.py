"""A proof tells an export that answers as its adapter from one that does not."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from fakes import BlankImage

from rftkit.export.answers import Answer
from rftkit.export.bounds import EXACT, QUANTISED, ROUNDED, bounds_for
from rftkit.export.proof import Asked, Bounds, Proof, Side, answered, prove
from rftkit.export.request import ExportRequest
from rftkit.models.policy import Prompt

WORDS = ("cat", "dog", "emu", "<stop>", "<image>")
STOP, IMAGE = 3, 4
BOUNDS = Bounds(0.01, 0.1, 0.05)


def row(*chances: float) -> dict[int, float]:
    return {token: math.log(chance) for token, chance in enumerate(chances)}


class FakeModel:
    """Answers one word and stops; `chances` of the first word, and those of the base model."""

    def __init__(self, *chances: float, base: Sequence[float] = (0.1, 0.8, 0.05, 0.05)) -> None:
        self.chances, self.other, self.policy = chances, base, self

    def answers(self, prompts: Sequence[Prompt], tokens: int) -> list[Answer]:
        first = row(*self.chances)
        word = max((t for t in first if t != IMAGE), key=lambda token: first[token])
        steps = [first, row(0.001, 0.001, 0.001, 0.997)]
        return [Answer(WORDS[word], [word, STOP], steps, True) for _ in prompts]

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]], *, ended: bool = True
    ) -> list[list[float]]:
        assert ended
        return [[row(*self.chances)[WORDS.index(text)] for text in some] for some in answers]

    def distributions(self, prompt: Prompt, ids: Sequence[int]) -> torch.Tensor:
        rows = [row(*self.chances), row(0.001, 0.001, 0.001, 0.997)]
        return torch.tensor([[one.get(t, -20.0) for t in range(len(WORDS))] for one in rows])

    def banned_ids(self) -> list[int]:
        return [IMAGE]

    @contextmanager
    def base(self) -> Iterator[None]:
        self.chances, own = tuple(self.other), self.chances
        yield
        self.chances = own


def asked(listed: bool = True) -> Asked:
    prompts = [Prompt(BlankImage(name), "Which pet?") for name in ("a.jpg", "b.jpg")]
    spelled = {"cat": ("cat",), "dog": ("dog",)} if listed else {}
    return Asked(prompts, [spelled, spelled], "direct", 8)


def proved(export: FakeModel, adapter: FakeModel, listed: bool = True) -> Proof:
    some = asked(listed)
    return prove(answered(export, some), adapter, some, BOUNDS)  # type: ignore[arg-type]


def test_equal_models_pass_and_the_base_is_told_apart() -> None:
    proof = proved(FakeModel(0.7, 0.2, 0.05, 0.05), FakeModel(0.7, 0.2, 0.05, 0.05))
    assert proof.passed
    assert not proof.blind
    assert (proof.same_replies, proof.same_labels) == (2, 2)
    assert proof.token_difference == pytest.approx(0, abs=1e-6)
    # of 8 tokens three differ from the base: 0.7 / 0.1, 0.2 / 0.8, and the last two not
    assert proof.base_tokens == pytest.approx((math.log(7) + math.log(4)) / 8, abs=1e-4)
    assert proof.label_difference == pytest.approx(0, abs=1e-9)
    assert proof.samples[1]["image"] == "b.jpg"
    assert proof.samples[1]["export"]["reply"] == "cat"


def test_another_distribution_fails_though_every_reply_is_the_same() -> None:
    proof = proved(FakeModel(0.8, 0.1, 0.05, 0.05), FakeModel(0.7, 0.2, 0.05, 0.05))
    assert proof.same_replies == 2
    expected = (math.log(8 / 7) + math.log(2)) / 8
    assert proof.token_difference == pytest.approx(expected, abs=1e-4)
    assert proof.label_difference == pytest.approx(8 / 9 - 7 / 9)
    assert [fault.split(" differ")[0] for fault in proof.faults] == [
        "log-probabilities", "the probability of a label",
    ]  # fmt: skip
    assert not proof.passed


def test_replies_may_part_where_both_words_are_nearly_as_likely() -> None:
    tie = proved(FakeModel(0.46, 0.45, 0.05, 0.04), FakeModel(0.452, 0.458, 0.05, 0.04))
    assert tie.same_replies == 0
    assert tie.largest_tie == pytest.approx(math.log(458 / 452), abs=1e-4)
    assert tie.passed
    apart = proved(FakeModel(0.6, 0.3, 0.05, 0.05), FakeModel(0.3, 0.6, 0.05, 0.05))
    assert "a word that the adapter finds 0.693 nats less likely than its own" in apart.faults


def test_a_token_that_is_never_sampled_breaks_no_tie() -> None:
    """rftkit bans the tokens of images; the reply is right although one is likelier."""
    likely_image = (0.35, 0.1, 0.05, 0.05, 0.45)
    assert proved(FakeModel(*likely_image), FakeModel(*likely_image)).largest_tie == 0.0


def test_what_is_not_a_number_fails() -> None:
    side = answered(FakeModel(0.7, 0.2, 0.05, 0.05), asked())
    broken = [one._replace(steps=[{0: math.nan}, {}]) for one in side.answers]
    proof = prove(
        Side(broken, side.lists),
        FakeModel(0.7, 0.2, 0.05, 0.05),
        asked(),
        BOUNDS,  # type: ignore[arg-type]
    )
    assert not proof.passed


def test_faults_that_were_seen_before_stay() -> None:
    side = answered(FakeModel(0.7, 0.2, 0.05, 0.05), asked())
    proof = prove(
        Side(side.answers, side.lists, ("the prompt is longer",), 1),
        FakeModel(0.7, 0.2, 0.05, 0.05), asked(), BOUNDS,  # type: ignore[arg-type]
    )  # fmt: skip
    assert proof.faults == ("the prompt is longer",)
    assert any("1 of 2 replies are the same" in line for line in proof.lines("gguf"))


def test_training_that_changed_nothing_is_no_proof_of_the_merge() -> None:
    same = (0.7, 0.2, 0.05, 0.05)
    proof = proved(FakeModel(*same), FakeModel(*same, base=same))
    assert proof.passed
    assert proof.blind
    assert any("the base model would pass this proof too" in line for line in proof.lines("merged"))


def test_without_a_list_replies_are_compared() -> None:
    proof = proved(FakeModel(0.7, 0.2, 0.05, 0.05), FakeModel(0.7, 0.2, 0.05, 0.05), listed=False)
    assert proof.label_difference is None
    assert "labels" not in proof.words()
    assert proof.passed


def test_an_empty_reply_is_compared_as_such() -> None:
    some = asked(listed=False)
    side = Side([Answer("", [], [], False)] * 2, [{}, {}])
    reference = FakeModel(0.7, 0.2, 0.05, 0.05)
    reference.distributions = lambda prompt, ids: torch.zeros(0, 5)  # type: ignore[method-assign]
    proof = prove(side, reference, some, BOUNDS)  # type: ignore[arg-type]
    assert (proof.same_replies, proof.largest_tie) == (0, 0.0)


def test_the_record_is_json() -> None:
    proof = proved(FakeModel(0.8, 0.1, 0.05, 0.05), FakeModel(0.7, 0.2, 0.05, 0.05))
    held: Mapping[str, Any] = json.loads(json.dumps(proof.record("merged")))
    assert (held["kind"], held["passed"], held["bounds"]["tie"]) == ("merged", False, 0.1)
    assert len(held["samples"]) == 2


@pytest.mark.parametrize(
    ("kind", "outtype", "architecture", "dtype", "half", "expected"),
    [
        ("merged", "f16", "qwen2_vl", "float16", False, EXACT),
        ("merged", "f16", "qwen2_vl", "bfloat16", False, ROUNDED),
        ("vllm", "f16", "qwen2_vl", "float16", True, ROUNDED),
        ("gguf", "f16", "qwen2_vl", "bfloat16", False, EXACT),
        ("gguf", "f16", "internvl", "bfloat16", False, Bounds(0.06, 0.6, 0.3)),
        ("ollama", "bf16", "qwen2_vl", "bfloat16", False, ROUNDED),
        ("ollama", "q8_0", "qwen2_vl", "bfloat16", True, QUANTISED),
    ],
)
def test_what_is_allowed(
    kind: Any, outtype: Any, architecture: str, dtype: str, half: bool, expected: Bounds
) -> None:
    request = ExportRequest(kind=kind, outtype=outtype)
    found = bounds_for(request, architecture, dtype, half=half)
    assert (
        found == pytest.approx(expected)
        if found is expected
        else found.__dict__ == (pytest.approx(expected.__dict__))
    )
