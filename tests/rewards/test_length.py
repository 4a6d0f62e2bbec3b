"""Rewards for length: what each kind pays, who is paid, and how reasoning is counted in tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from rftkit.errors import RecipeError
from rftkit.rewards.length import Kind, Length, auto_target, group_rewards, reasoning_tokens, reward

KINDS: tuple[str, ...] = get_args(Kind)
LONGER = ("sigmoid", "suitability-like")
SHORTER = ("per_token", "cosine", "kimi", "soft_overlong", "l1_max")
SHORT_AND_LONG = (10, 110)  # the rest of a group


def length_of(kind: str, **settings: object) -> Length:
    window = {"window": (20, 60)} if kind == "window" else {}
    return Length.model_validate({"kind": kind, **window, **settings})


@pytest.mark.parametrize(
    ("kind", "scale", "values"),  # target 100; at 0, 50, 90, 100, 110, 200 tokens
    [
        ("sigmoid", 10, [4.5398e-5, 0.0066929, 0.26894, 0.5, 0.73106, 0.9999546]),
        ("per_token", 10, [1, 0.5, 0.1, 0, 0, 0]),
        ("cosine", 10, [1, 0.75, 0.512236, 0.5, 0.5, 0.5]),
        ("soft_overlong", 20, [1, 1, 0.5, 0, 0, 0]),
        ("l1_exact", 50, [0, 0, 0.8, 1, 0.8, 0]),
        ("l1_max", 100, [1, 1, 0.6, 0.5, 0.4, 0]),
    ],
)
def test_each_kind_pays_what_its_formula_says(kind: str, scale: float, values: list[float]) -> None:
    settings = length_of(kind, scale=float(scale))
    paid = [reward(tokens, settings, 100.0) for tokens in (0, 50, 90, 100, 110, 200)]
    assert paid == pytest.approx(values, rel=1e-4)


def test_the_preset_is_sigmoid_under_its_own_name() -> None:
    likes, plain = (length_of(kind, scale=7.0, lam=2.0) for kind in ("suitability-like", "sigmoid"))
    assert [reward(n, likes, 50.0) for n in range(0, 200, 9)] == [
        reward(n, plain, 50.0) for n in range(0, 200, 9)
    ]
    assert "publishes neither" in str(Length.model_fields["kind"].description)


@pytest.mark.parametrize(("lam", "at_target"), [(1.0, 0.5), (3.0, 0.25), (0.25, 0.8)])
def test_lambda_says_what_the_target_pays(lam: float, at_target: float) -> None:
    assert reward(80, length_of("sigmoid", lam=lam), 80.0) == pytest.approx(at_target)


def test_a_wrong_answer_is_paid_for_length_in_cosine_and_never_more_than_a_right_one() -> None:
    settings = length_of("cosine")
    wrong = [reward(n, settings, 100.0, correct=False) for n in (0, 50, 100, 200)]
    assert wrong == pytest.approx([0, 0.25, 0.5, 0.5])


def test_kimi_ranks_a_group_from_its_shortest_to_its_longest() -> None:
    group = (10, 35, 60, 110)
    right = [reward(n, length_of("kimi"), 1.0, True, group) for n in group]
    wrong = [reward(n, length_of("kimi"), 1.0, False, group) for n in group]
    assert right == [1, 0.75, 0.5, 0]
    assert wrong == [0.5, 0.5, 0.5, 0]
    assert [reward(9, length_of("kimi"), 1.0, right, (9, 9)) for right in (True, False)] == [
        0.5
    ] * 2


def test_a_window_pays_both_of_its_ends() -> None:
    settings = length_of("window")
    assert [reward(n, settings, 1.0) for n in (19, 20, 60, 61)] == [0, 1, 1, 0]


@pytest.mark.parametrize("kind", KINDS)
@given(
    tokens=st.integers(0, 10**9),
    target=st.floats(1e-3, 1e9),
    scale=st.floats(1e-300, 1e6),
    lam=st.floats(1e-300, 1e6),
    correct=st.booleans(),
)
def test_every_reward_is_a_number_from_0_to_1(
    kind: str, tokens: int, target: float, scale: float, lam: float, correct: bool
) -> None:
    settings = length_of(kind, scale=scale, lam=lam)
    assert 0 <= reward(tokens, settings, target, correct, (tokens, *SHORT_AND_LONG)) <= 1


@pytest.mark.parametrize("kind", [*LONGER, *SHORTER])
@given(one=st.integers(0, 500), other=st.integers(0, 500), target=st.floats(1, 300))
def test_who_wants_it_longer_or_shorter_never_pays_the_opposite(
    kind: str, one: int, other: int, target: float
) -> None:
    short, long = sorted((one, other))
    group = (short, long, *SHORT_AND_LONG)
    paid = [reward(n, length_of(kind), target, True, group) for n in (short, long)]
    assert (paid[0] <= paid[1]) if kind in LONGER else (paid[0] >= paid[1])


@pytest.mark.parametrize(
    ("gate", "paid"),
    [("none", [0.9, 0.6, 0.3, 0.1]), ("correct", [0.9, 0, 0.3, 0]), ("format", [0.9, 0.6, 0, 0])],
)
def test_only_who_passes_the_gate_is_paid(gate: str, paid: list[float]) -> None:
    settings = length_of("per_token", gate=gate)
    rewards = group_rewards(
        [10, 40, 70, 90], [True, False, True, False], [True, True, False, False], settings, 100.0
    )
    assert rewards == pytest.approx(paid)


def test_a_group_of_almost_equal_lengths_gets_nothing() -> None:
    right = [True] * 4
    close, apart = [50, 51, 52, 53], [20, 40, 60, 80]
    settings = length_of("per_token")  # pays 0.47 to 0.50: a spread of 0.011
    assert group_rewards(close, right, right, settings, 100.0) == [0.0] * 4
    assert group_rewards(apart, right, right, settings, 100.0) == pytest.approx(
        [0.8, 0.6, 0.4, 0.2]
    )
    no_floor = length_of("per_token", least_std=0.0)
    assert group_rewards(close, right, right, no_floor, 100.0)[0] == pytest.approx(0.5)


def test_the_floor_is_the_population_deviation_of_what_is_paid() -> None:
    right, pair = [True, True], [40, 60]  # pays 0.6 and 0.4: a deviation of 0.1
    below, above = (length_of("per_token", least_std=floor) for floor in (0.099, 0.101))
    assert group_rewards(pair, right, right, below, 100.0) == pytest.approx([0.6, 0.4])
    assert group_rewards(pair, right, right, above, 100.0) == [0.0, 0.0]


def advantages(rewards: Sequence[float]) -> list[float]:
    mean = sum(rewards) / len(rewards)
    std = math.sqrt(sum((r - mean) ** 2 for r in rewards) / (len(rewards) - 1))
    return [(r - mean) / (std + 1e-4) for r in rewards]


def test_a_tiny_weight_acts_like_a_large_one_where_all_are_right_unless_a_floor_stops_it() -> None:
    tokens, right = [50, 51, 52, 53], [True] * 4
    weight, accuracy = 0.01, 1.0

    def pushes(floor: float) -> list[float]:
        settings = length_of("per_token", least_std=floor)
        paid = group_rewards(tokens, right, right, settings, 100.0)
        return advantages([accuracy + weight * value for value in paid])

    assert max(pushes(floor=0.0)) > 0.5  # as much as right against wrong would get
    assert pushes(floor=0.05) == [0.0] * 4


def drift(kind: str, start: float, scale: float, target: float) -> float:
    """Where the mean length of a toy policy goes: 300 steps along the z-scored reward."""
    settings, mean = length_of(kind, scale=scale, least_std=0.02), start
    for _ in range(300):
        group = [max(0, round(mean + offset)) for offset in (-9, -3, 3, 9)]
        paid = group_rewards(group, [True] * 4, [True] * 4, settings, target)
        if any(paid):
            mean += sum(a * n for a, n in zip(advantages(paid), group, strict=True)) / 20
    return mean


def test_a_toy_policy_settles_past_the_target_of_sigmoid() -> None:
    assert 100 < drift("sigmoid", start=60.0, scale=20.0, target=100.0) < 220


def test_a_distant_target_with_a_small_scale_moves_nothing() -> None:
    assert drift("sigmoid", start=60.0, scale=1.0, target=200.0) == 60.0


def test_a_rank_in_the_group_never_saturates() -> None:
    assert drift("kimi", start=60.0, scale=20.0, target=100.0) < 10


@pytest.mark.parametrize(
    ("base", "target"), [([50], 60.0), ([10, 20, 30, 40], 30.0), ([0, 100, 200], 120.0)]
)
def test_an_automatic_target_is_a_little_above_the_median(base: list[int], target: float) -> None:
    assert auto_target(base) == pytest.approx(target)


@pytest.mark.parametrize("base", [[], [0, 0, 0], [0, 0, 0, 90]])
def test_no_automatic_target_without_reasoning(base: list[int]) -> None:
    with pytest.raises(RecipeError, match=f"on {len(base)} prompts has 0 tokens; give a number"):
        auto_target(base)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"kind": "window"}, "only then"),
        ({"kind": "cosine", "window": [1, 2]}, "only then"),
        ({"kind": "window", "window": [9, 3]}, "is empty"),
        ({"kind": "zscore"}, "Input should be"),
        ({"target": 0}, "greater than or equal to 1"),
        ({"target": "median"}, "'auto'"),
        ({"scale": 0.0}, "greater than 0"),
        ({"scale": math.inf}, "finite"),
        ({"lam": -1.0}, "greater than 0"),
        ({"tau": 3}, "Extra inputs"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Length.model_validate(settings)


def test_a_window_comes_from_a_list_as_toml_has_no_tuples() -> None:
    assert Length.model_validate({"kind": "window", "window": [5, 9]}).window == (5, 9)


def test_every_setting_is_described_and_there_are_few() -> None:
    assert len(Length.model_fields) == 8
    assert all(field.description for field in Length.model_fields.values())


Decode = Callable[[Sequence[int]], str]


def byte_level_bpe(texts: Sequence[str], size: int) -> Tokenizer:
    """A real tokenizer whose tags are no tokens of their own."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, initial_alphabet=alphabet)
    bpe.train_from_iterator(texts, trainer)
    return bpe


BYTES = byte_level_bpe([], 256)  # one token for each byte
MERGED = byte_level_bpe(["a striped tail, so a tiger.</think>\n<answer>tiger</answer>"] * 9, 320)


def decoder(bpe: Tokenizer) -> Decode:
    return lambda ids: str(bpe.decode(list(ids), skip_special_tokens=False))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("<think>abc</think><answer>x</answer>", 3),
        ("<think>\n\n</think>\n<answer>x</answer>", 2),
        ("<think></think><answer>x</answer>", 0),
        ("well: <THINK>abc</Think>", 3),
        ("<think>abc", 3),  # cut off
        ("<think>abc</thin", 9),  # cut off within the tag: nobody knows that it is one
        ("abc</think>", 0),
        ("", 0),
        ("<think>a</think><think>bcd</think>", 1),
        ("</think><think>abcd</think>", 4),
        ("<think>é猫😀</think>", 2 + 3 + 4),
        ("<think>a�b</think>", 1 + 3 + 1),
        ("猫<think>a猫</think>😀", 4),
    ],
)
def test_reasoning_is_counted_in_tokens(text: str, tokens: int) -> None:
    assert reasoning_tokens(BYTES.encode(text).ids, decoder(BYTES)) == tokens


def test_a_reason_after_the_answer_has_its_own_tags() -> None:
    ids = BYTES.encode("<answer>cat</answer>\n<reason>ears</reason>").ids
    assert reasoning_tokens(ids, decoder(BYTES), "<reason>", "</reason>") == 4
    assert reasoning_tokens(ids, decoder(BYTES)) == 0


@pytest.mark.parametrize("cut", range(1, 4))
def test_a_character_that_is_cut_off_counts_its_bytes(cut: int) -> None:
    ids = BYTES.encode("<think>ab😀").ids
    assert reasoning_tokens(ids[: len(ids) - 4 + cut], decoder(BYTES)) == 2 + cut


def spelled(*pieces: str) -> tuple[list[int], Decode]:
    """Ids of these pieces, and their decoder: tokens wherever the case needs them."""
    return list(range(len(pieces))), lambda ids: "".join(pieces[i] for i in ids)


@pytest.mark.parametrize(
    ("pieces", "tokens"),
    [
        (("<th", "ink", ">", "a ", "b", "</th", "ink>"), 2),
        (("<think", ">The", " tail", "</think>"), 2),  # the end of the tag brings a word
        (("<think>", "a", ".</", "think>"), 2),  # the last word brings the start of the tag
        (("<think></", "think>", "x"), 0),
        (("<think></think>",), 0),
        (("<think>a</think>",), 1),
        (("<think>", "a</think>"), 1),
        (("<think>",), 0),
    ],
)
def test_a_token_across_a_tag_counts_if_it_holds_reasoning(
    pieces: tuple[str, ...], tokens: int
) -> None:
    assert reasoning_tokens(*spelled(*pieces)) == tokens


@given(before=st.text(max_size=20), thought=st.text(max_size=40), after=st.text(max_size=20))
def test_bytes_are_counted_whatever_is_written(before: str, thought: str, after: str) -> None:
    ids = BYTES.encode(f"{before}<think>{thought}</think>{after}").ids
    assert reasoning_tokens(ids, decoder(BYTES)) == len(thought.encode())


@given(words=st.lists(st.sampled_from(["a", "tiger", "tail", "😀", "é", ".", " "]), max_size=12))
def test_merged_tokens_are_counted_until_they_cover_the_thought(words: list[str]) -> None:
    thought, decode = "".join(words), decoder(MERGED)
    ids = MERGED.encode(f"<think>{thought}</think>\n<answer>a</answer>").ids
    start = next(k for k in range(len(ids)) if len(decode(ids[: k + 1])) > len("<think>"))
    end = next(k for k in range(len(ids)) if decode(ids[:k]).startswith("<think>" + thought))
    assert reasoning_tokens(ids, decode) == (end - start if thought else 0)
