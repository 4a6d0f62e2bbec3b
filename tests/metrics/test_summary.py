import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rftkit.measures.rates import rate, spread
from rftkit.metrics import Summary, broken_gates, summarise, to_json
from rftkit.metrics.behaviour import last_named
from rftkit.metrics.lists.calibration import probabilities
from rftkit.metrics.samples import (
    Header,
    Overlap,
    OverlapSkipped,
    Sample,
    SamplesFile,
    Side,
    Timing,
    header_line,
    read_samples,
    sample_line,
    timing_line,
)
from rftkit.metrics.schema import SideSummary
from rftkit.metrics.verdict import points

PETS = ("cat", "dog", "fox")
HEADER = Header(task="classification", style="think", labels=PETS, expected=6)

# gold, then what base and fine-tuned model wrote
TEXTS = [
    ("cat", "It is a cat.", "<think>cat ears</think><answer>cat</answer>"),
    ("cat", "<think>a dog</think><answer>cat</answer>", "<think>soft</think><answer>cat</answer>"),
    ("cat", "<answer>horse</answer>", "<answer>dog</answer>"),
    ("dog", "<answer>dog</answer>", "<answer>dog</answer>"),
    ("dog", "<answer>cat or dog</answer>", "<think>dog</think><answer>dog</answer>"),
    ("fox", "<answer>dog</answer>", "<answer>dog</answer>"),
]


def samples(side: Side, texts: Sequence[str], **more: object) -> list[Sample]:
    return [
        Sample.model_validate(
            {"side": side, "id": f"{location}", "image": f"{location}.png", "text": text}
            | {"gold": gold, "tokens": 10 * (location + 1)}
            | more
        )
        for location, ((gold, _, _), text) in enumerate(zip(TEXTS, texts, strict=True))
    ]


BASE = samples("base", [base for _, base, _ in TEXTS])
TUNED = samples("tuned", [tuned for _, _, tuned in TEXTS])
TIMINGS = (
    Timing(side="base", seconds=1.0, samples=2, tokens=30, first_token_seconds=0.2),
    Timing(side="base", seconds=3.0, samples=4, tokens=180, first_token_seconds=0.5).model_copy(
        update={"peak_memory_bytes": 7, "hardware": "cpu", "warmup_excluded": True}
    ),
)


def both(header: Header = HEADER) -> Summary:
    return summarise(SamplesFile(header, (*BASE, *TUNED), TIMINGS))


def base() -> SideSummary:
    found = both().base
    assert found
    return found


def test_both_sides_are_counted() -> None:
    found = both()
    assert found.base
    assert found.tuned
    assert (found.base.correct, found.base.n) == (2, 6)
    assert found.base.accuracy.value == pytest.approx(1 / 3)
    assert (found.base.accuracy.low, found.base.accuracy.high) == pytest.approx(
        (0.0968, 0.7000), abs=5e-5
    )
    assert found.tuned.correct == 4
    assert (found.chance, found.list_size, found.complete) == (pytest.approx(1 / 3), 3, True)


def test_the_difference_is_paired_and_words_follow_the_interval() -> None:
    found = both().difference
    assert found
    assert (found.pairs, found.lost, found.won) == (6, 0, 2)
    assert found.value == pytest.approx(1 / 3)
    assert (found.mcnemar_exact, found.mcnemar_mid) == (0.5, 0.25)
    assert found.minimum_detectable_effect == pytest.approx(2.8 * (2 / 36) ** 0.5)
    assert found.verdict == "no difference detected"
    assert found.words.startswith(
        "no significant difference (minimum detectable effect at 80 % power: 66.0 points): +33.3"
    )


@pytest.mark.parametrize(
    ("before", "after", "verdict"), [("dog", "cat", "better"), ("cat", "dog", "worse")]
)
def test_better_and_worse_need_an_interval_off_zero(before: str, after: str, verdict: str) -> None:
    made = [
        Sample(side=side, id=f"{i}", image=f"{i}", text=f"<answer>{said}</answer>", gold="cat")
        for side, said in (("base", before), ("tuned", after))
        for i in range(40)
    ]
    found = summarise(SamplesFile(HEADER.model_copy(update={"expected": 40}), tuple(made)))
    assert found.difference
    assert found.difference.verdict == verdict
    assert f"the fine-tuned model is {verdict}" in found.difference.words
    assert broken_gates(found, fail_if_worse=0.02) == (
        [] if verdict == "better" else ["accuracy fell by 100.0 points; 2.0 allowed"]
    )


def test_several_questions_on_one_image_are_drawn_together() -> None:
    one = tuple(s.model_copy(update={"image": "same.png"}) for s in (*BASE[:4], *TUNED[:4]))
    found = summarise(SamplesFile(HEADER, one)).difference
    assert found
    assert found.method == "paired bootstrap by image"
    assert (found.mcnemar_exact, found.mcnemar_mid) == (None, None)


def test_only_what_both_sides_answered_is_compared() -> None:
    found = summarise(SamplesFile(HEADER, (*BASE, *TUNED[:2])))
    assert found.difference
    assert found.difference.pairs == 2
    assert not found.complete
    assert found.notes == ("fine-tuned: 2 of 6 examples answered; unfinished",)


@pytest.mark.parametrize("side", ["base", "tuned"])
def test_one_side_alone(side: str) -> None:
    found = summarise(SamplesFile(HEADER, tuple(BASE if side == "base" else TUNED)))
    assert found.difference is None
    assert [found.base is not None, found.tuned is not None] == [side == "base", side == "tuned"]
    assert found.complete


def test_nothing_answered_yet() -> None:
    found = summarise(SamplesFile(HEADER, ()))
    assert (found.base, found.tuned, found.complete, found.chance) == (None, None, False, None)


def test_classes() -> None:
    side = base()
    cat, dog, fox = side.classes
    assert (cat.label, cat.n, cat.correct, cat.predicted, cat.precision) == ("cat", 3, 1, 1, 1)
    assert (cat.recall, cat.f1) == (pytest.approx(1 / 3), 0.5)
    assert cat.confused == (("(invalid)", 2),)
    assert (dog.n, dog.correct, dog.predicted, dog.precision, dog.f1) == (2, 1, 2, 0.5, 0.5)
    assert (fox.predicted, fox.precision, fox.f1, fox.confused) == (0, None, 0, (("dog", 1),))
    assert side.never_predicted == ("fox",)
    assert side.macro_accuracy == pytest.approx((1 / 3 + 1 / 2 + 0) / 3)
    assert side.macro_f1 == pytest.approx(1 / 3)
    cells = [(c.gold, c.answer, c.count) for c in side.confusion]
    assert cells == [
        ("cat", "cat", 1),
        ("cat", None, 2),
        ("dog", "dog", 1),
        ("dog", None, 1),
        ("fox", "dog", 1),
    ]


def test_health_counts_and_invalid_replies_are_wrong() -> None:
    side = base()
    assert side.health == {
        "no answer": 1,
        "unparseable": 0,
        "off the list": 1,
        "several answers": 1,
        "truncated": 0,
        "repetition": 0,
    }
    assert (side.invalid.value, side.invalid.n) == (0.5, 6)


def test_reasoning_against_answer() -> None:
    found = both()
    assert found.base
    assert found.tuned
    one = found.base.consistency["inconsistent"]
    assert (one.n, one.fraction, one.accuracy) == (1, 1, 1)
    cells = {name: cell.n for name, cell in found.tuned.consistency.items()}
    assert cells == {"consistent": 2, "inconsistent": 0, "silent": 1}
    shapes = {name: cell.n for name, cell in found.tuned.shapes.items()}
    assert shapes == {"with reasoning": 3, "answer only": 3, "invalid": 0}


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("It has the look of a ROSE-HIP.", "rose hip"),
        ("a primrose", None),
        ("rose hip? no: a rose", "rose"),
        ("7", None),
    ],
)
def test_the_label_named_last(text: str, label: str | None) -> None:
    assert last_named(text, ("rose", "rose hip")) == label


def test_rules_side_by_side() -> None:
    side = base()
    assert side.scoring.strict == {"accuracy": pytest.approx(1 / 3), "format": pytest.approx(1 / 6)}
    assert side.scoring.paper["accuracy"] == pytest.approx(1 / 3)
    assert side.scoring.paper["evaluation"] == pytest.approx(4 / 6)  # a name anywhere will do
    assert side.scoring.strict_vs_paper == 0
    assert side.scoring.strict_vs_paper_evaluation == 2
    assert side.scoring.metric_vs_training == 0


def test_paper_rewards_can_disagree_with_the_metric() -> None:
    header = HEADER.model_copy(update={"rules": "paper"})
    one = Sample(side="base", id="0", image="0", text="cat", gold="cat")
    found = summarise(SamplesFile(header, (one,))).base
    assert found
    assert (found.scoring.metric_vs_training, found.scoring.strict_vs_paper) == (1, 1)


def test_lengths_of_right_and_wrong() -> None:
    side = base()
    assert (side.lengths["total"].mean, side.lengths["total"].median) == (35, 35)
    assert side.lengths["total"].p95 == 60
    assert side.lengths["total, right"].mean == 30  # 20 and 40
    assert side.lengths["total, wrong"].mean == 37.5
    assert spread(range(1, 101)).p95 == 95


def test_speed_over_two_sessions() -> None:
    speed = base().speed
    assert speed
    assert (speed.samples_per_second, speed.tokens_per_second) == (1.5, 52.5)
    assert speed.first_token_seconds == pytest.approx(0.4)
    assert (speed.token_seconds, speed.peak_memory_bytes) == (None, 7)
    assert (speed.hardware, speed.warmup_excluded) == (("cpu",), False)
    tuned = both().tuned
    assert tuned
    assert tuned.speed is None


def test_base_new_and_their_harmonic_mean() -> None:
    marked = [s.model_copy(update={"half": "base" if s.gold == "cat" else "new"}) for s in TUNED]
    found = summarise(SamplesFile(HEADER, tuple(marked))).tuned
    assert found
    assert found.halves
    assert (found.halves.base.value, found.halves.new.value) == (pytest.approx(2 / 3),) * 2
    assert found.halves.harmonic.value == pytest.approx(2 / 3)
    assert base().halves is None


def test_levels_are_rolled_up_from_the_same_answers() -> None:
    kinds = {"cat": "feline", "dog": "canine", "fox": "canine"}
    found = both(HEADER.model_copy(update={"levels": {"family": kinds}}))
    assert found.base
    assert found.base.levels["family"].value == 0.5  # the fox taken for a dog is right now


def test_calibration_of_scored_labels() -> None:
    header = HEADER.model_copy(update={"decode": "choices"})
    scores = {"cat": -0.1, "dog": -3.0, "fox": -3.0}
    chosen = samples("base", [""] * 6, scores=scores)
    found = summarise(SamplesFile(header, tuple(chosen))).base
    assert found
    assert found.calibration
    top = probabilities(scores)["cat"]
    assert top == pytest.approx(0.900863, abs=1e-6)
    assert found.calibration.ece == pytest.approx(top - 0.5)
    assert found.calibration.mean_gold == pytest.approx((3 * top + 3 * (1 - top) / 2) / 6)
    assert found.invalid.value == 0
    assert base().calibration is None


def test_chance_is_the_mean_over_lists() -> None:
    lists = [["cat", "dog", "fox"], ["cat", "dog"]] * 3
    made = [s.model_copy(update={"choices": tuple(c)}) for s, c in zip(BASE, lists, strict=True)]
    found = summarise(SamplesFile(HEADER, tuple(made)))
    assert (found.chance, found.list_size) == (pytest.approx(5 / 12), 2.5)
    opened = [s.model_copy(update={"choices": ()}) for s in BASE]
    assert summarise(SamplesFile(HEADER, tuple(opened))).chance is None


def test_a_leak_is_noted() -> None:
    found = both(HEADER.model_copy(update={"overlap": Overlap(exact=2, near=1)}))
    assert "2 identical, 1 near-duplicate" in found.notes[0]
    assert found.notes[0].endswith("the accuracy may be too high")
    boxed = HEADER.model_copy(update={"task": "grounding", "overlap": Overlap(near=1)})
    assert summarise(SamplesFile(boxed, ())).notes[0].endswith("the IoU may be too high")
    assert both(HEADER.model_copy(update={"overlap": Overlap()})).notes == ()


def test_it_is_noted_why_no_leak_was_looked_for() -> None:
    skipped = OverlapSkipped(reason="unreadable", detail="pets: no such folder")
    found = both(HEADER.model_copy(update={"overlap_skipped": skipped}))
    assert found.overlap_skipped == skipped
    assert found.notes == ("train/test overlap was not checked: pets: no such folder",)
    assert both(HEADER).notes == ()  # written by a version that gave no reason


def test_gates() -> None:
    found = both()
    assert broken_gates(found, fail_if_worse=0.0, max_invalid=0.1) == []
    swapped = {"base": "tuned", "tuned": "base"}
    worse = [s.model_copy(update={"side": swapped[s.side]}) for s in (*BASE, *TUNED)]
    fallen = summarise(SamplesFile(HEADER, tuple(worse)))
    assert broken_gates(fallen, fail_if_worse=0.34) == []
    assert broken_gates(fallen, fail_if_worse=0.33) == [
        "accuracy fell by 33.3 points; 33.0 allowed"
    ]
    alone = summarise(SamplesFile(HEADER, tuple(BASE)))
    assert broken_gates(alone, fail_if_worse=0.02, max_invalid=0.1) == [
        "--fail-if-worse: base and fine-tuned model were not both evaluated",
        "50.0 % of the replies are invalid; 10.0 % allowed",
    ]


def test_rescoring_gives_the_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    lines = [*map(sample_line, (*TUNED[::-1], *BASE)), *map(timing_line, TIMINGS)]
    path.write_text(header_line(HEADER) + "".join(lines), encoding="utf-8")
    text = to_json(both())
    assert to_json(summarise(read_samples(path))) == text
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert json.loads(text)["schema_version"] == 1
    assert json.loads(text)["base"]["accuracy"]["value"] == 0.333333


@settings(max_examples=25, deadline=None)
@given(st.permutations([*BASE, *TUNED]), st.permutations(TIMINGS))
def test_no_order_of_the_samples_changes_a_figure(
    mixed: list[Sample], timings: list[Timing]
) -> None:
    assert to_json(summarise(SamplesFile(HEADER, tuple(mixed), tuple(timings)))) == to_json(both())


def test_the_bootstrap_does_not_see_the_order_of_the_file() -> None:
    made = [
        Sample(side=side, id=f"{i:03}", image=f"{i}", text=f"<answer>{said}</answer>", gold="cat")
        for i in range(60)
        for side, said in (("base", PETS[i % 2]), ("tuned", PETS[i % 3]))
    ]
    header = HEADER.model_copy(update={"expected": 60})
    once = to_json(summarise(SamplesFile(header, tuple(made))))
    sorted_otherwise = sorted(made, key=lambda sample: (sample.text, sample.id))
    assert to_json(summarise(SamplesFile(header, tuple(sorted_otherwise)))) == once


def test_a_summary_is_read_back_as_it_was_written() -> None:
    text = to_json(both())
    assert to_json(Summary.model_validate_json(text)) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "+50.0"), (-0.02, "−2.0"), (0.0, "0.0"), (-0.0001, "0.0")]
)
def test_points(value: float, text: str) -> None:
    assert points(value, signed=True) == text


def test_questions_about_one_image_are_no_further_sample() -> None:
    scores, images = [1.0] * 10 + [0.0] * 10, [f"{n}.png" for n in range(20)]
    once, often = rate(scores, images), rate(scores * 4, images * 4)
    assert (once.low, once.high) == (rate(scores).low, rate(scores).high)
    assert (often.value, often.n) == (0.5, 80)
    assert often.high - often.low == pytest.approx(once.high - once.low, abs=0.05)
    never = rate([0.0] * 80, images * 4)
    assert never.high == pytest.approx(rate([0.0] * 20).high)
