"""The file of baselines, and what is said of the fine-tuned model beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import fakes
import pytest

from rftkit.errors import DataError
from rftkit.metrics.baselines import (
    Baseline,
    Baselines,
    Prediction,
    TestExample,
    compare,
    fits,
    read_baselines,
    sentences,
    setting_sha256,
    write_baselines,
)
from rftkit.metrics.samples import Sample

N = 100


def made(**correct: int) -> Baselines:
    """Baselines of N examples, each right on so many of the first ones."""
    return Baselines(
        task="classification", style="direct", split="test", setting_sha256="0",
        model="fake", revision="", dtype="float32", quantisation="none", max_pixels=784,
        hardware="cpu", data="digits", shots=4, classes=2, seed=0, versions={}, command="",
        created="",
        examples=tuple(TestExample(id=f"{n}", image=f"{n}.png", gold="cat") for n in range(N)),
        baselines=tuple(
            Baseline.model_validate({"name": name, "predictions": predictions(right)})
            for name, right in correct.items()
        ),
    )  # fmt: skip


def predictions(right: int) -> tuple[Prediction, ...]:
    return tuple(
        Prediction(id=f"{n}", answer="cat" if n < right else "dog", correct=float(n < right))
        for n in range(N)
    )


def tuned(right: int, ids: Sequence[int] = range(N)) -> list[Sample]:
    return [
        Sample(
            side="tuned", id=f"{n}", image=f"{n}.png", text="", gold="cat", correct=float(n < right)
        )
        for n in ids
    ]


def test_the_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    baselines = made(most_frequent=10, linear_probe_vision=80)
    path = tmp_path / "new" / "baselines.json"
    write_baselines(path, baselines)
    assert read_baselines(path) == baselines
    assert [file.name for file in path.parent.iterdir()] == ["baselines.json"]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema_version": 2}'])
def test_another_file_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "baselines.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"baselines\.json: no baselines of schema 1") as caught:
        read_baselines(path)
    assert "\n" not in str(caught.value)


def test_a_file_with_a_key_of_no_meaning_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "baselines.json"
    text = made(most_frequent=1).model_dump_json()
    path.write_text(text.replace('"task"', '"tusk": 1, "task"'))
    with pytest.raises(DataError, match="tusk"):
        read_baselines(path)


def test_a_row_has_accuracy_and_the_paired_difference() -> None:
    (row,) = compare(made(linear_probe_vision=60), tuned(80))
    assert row.accuracy is not None
    assert row.difference is not None
    assert (row.accuracy.value, row.accuracy.n) == (0.6, N)
    assert row.difference.value == pytest.approx(0.2)
    assert (row.difference.won, row.difference.lost) == (20, 0)
    assert row.difference.verdict == "better"


def test_rows_are_of_the_examples_of_the_evaluation() -> None:
    (row,) = compare(made(linear_probe_vision=60), tuned(80, range(0, N, 2)))
    assert row.accuracy is not None
    assert row.difference is not None
    assert (row.accuracy.value, row.accuracy.n, row.difference.pairs) == (0.6, 50, 50)


def test_without_an_evaluation_a_row_has_its_accuracy_alone() -> None:
    rows = compare(made(linear_probe_vision=60), ())
    assert rows[0].accuracy is not None
    assert rows[0].accuracy.value == 0.6
    assert rows[0].difference is None
    assert sentences(rows) == ()


def test_a_baseline_that_wins_is_named() -> None:
    said = sentences(compare(made(most_frequent=10, linear_probe_vision=95), tuned(70)))
    assert said == (
        "A baseline beats the fine-tuned model: linear probe, vision features "
        "(−25.0 points, 95 % interval −33.5 to −16.5).",
    )


def test_several_that_win_are_named_the_strongest_first() -> None:
    (said,) = sentences(compare(made(most_frequent=90, linear_probe_vision=95), tuned(70)))
    assert said.startswith("2 baselines beat the fine-tuned model: linear probe, vision features (")
    assert "; most frequent answer (−20.0 points" in said


def test_a_baseline_that_ties_is_named_with_what_could_have_been_seen() -> None:
    (said,) = sentences(compare(made(most_frequent=10, nearest_mean_hidden=72), tuned(70)))
    assert said.startswith(
        "The fine-tuned model cannot be told apart from: nearest class mean, hidden state (−2.0 "
    )
    assert said.endswith("minimum detectable effect 4.0).")
    assert "most frequent" not in said


def test_a_winner_and_a_tie_are_told_apart() -> None:
    rows = compare(made(linear_probe_vision=95, linear_probe_hidden=71), tuned(70))
    wins, ties = sentences(rows)
    assert "linear probe, vision features" in wins
    assert "hidden state" not in wins
    assert "linear probe, hidden state" in ties
    assert "vision features" not in ties


def test_where_no_baseline_reaches_the_model_the_strongest_is_named() -> None:
    said = sentences(compare(made(most_frequent=10, linear_probe_vision=40), tuned(70)))
    assert said == (
        "The fine-tuned model beats every baseline; the strongest: linear probe, vision features "
        "(+30.0 points, 95 % interval +21.0 to +39.0).",
    )


def test_a_missing_baseline_is_a_row_with_the_reason() -> None:
    lacking = Baseline(name="linear_probe_vision", missing="there is no encoder")
    both = made(most_frequent=10).model_copy(update={"baselines": (lacking,)})
    (row,) = compare(both, tuned(70))
    assert (row.accuracy, row.difference) == (None, None)
    assert row.missing == "there is no encoder"
    assert sentences((row,)) == ()


def test_baselines_fit_an_evaluation_of_the_same_examples_only() -> None:
    baselines, samples = made(most_frequent=10), tuned(70)
    assert fits(baselines, samples)
    assert fits(baselines, samples[:7])
    assert not fits(baselines, [])
    assert not fits(baselines, [samples[0].model_copy(update={"gold": "dog"})])
    assert not fits(baselines, [samples[0].model_copy(update={"id": "other"})])


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"method": {"steps": 7}}, True),
        ({"eval": {"batch_size": 3}}, True),
        ({"model": {"name": "tiny", "lora_rank": 4}}, True),
        ({"seed": 1}, False),
        ({"style": "direct"}, False),
        ({"model": {"name": "tiny", "max_pixels": 1000}}, False),
        ({"data": {"source": "digits", "shots": 2}}, False),
    ],
)
def test_a_setting_is_what_decides_the_answers(change: dict[str, object], same: bool) -> None:
    assert (setting_sha256(fakes.recipe(**change)) == setting_sha256(fakes.recipe())) is same
