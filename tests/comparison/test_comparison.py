"""What is compared, on which examples, and what is refused in one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import compared
import pytest
from pydantic import BaseModel

from rftkit.comparison.compare import CompareRequest, found, measured
from rftkit.comparison.schema import Comparison
from rftkit.errors import UserError
from rftkit.measures import statistics
from rftkit.metrics.files import finish
from rftkit.metrics.samples import Header, Sample

A = ("cat", "dog", "cat", "dog", "cat", "fox")  # of compared.GOLD: cat cat cat dog dog fox
B = ("cat", "cat", "fox", "dog", "dog", "horse")


def of(*folders: Path, **more: object) -> Comparison:
    return measured(found(CompareRequest(tuple(folders), **more)))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """What bootstraps come to is looked at elsewhere: tests/comparison/test_gaps.py."""
    monkeypatch.setattr(statistics, "RESAMPLES", 20)


@pytest.fixture
def both(tmp_path: Path) -> tuple[Path, Path]:
    return (
        compared.evaluated(tmp_path / "a", A).folder,
        compared.evaluated(tmp_path / "b", B, compared.recipe(seed=7)).folder,
    )


def refused(*folders: Path, **more: object) -> str:
    with pytest.raises(UserError) as caught:
        of(*folders, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_headline_is_that_of_the_evaluations(both: tuple[Path, Path]) -> None:
    comparison = of(*both)
    headline = comparison.metrics[0]
    for folder, value in zip(both, headline.values, strict=True):
        side = finish(folder / "eval/test").tuned
        assert side
        assert (value.value, value.low, value.high) == (
            side.accuracy.value, side.accuracy.low, side.accuracy.high
        )  # fmt: skip
    assert (headline.name, headline.title) == ("headline", "accuracy")
    assert (comparison.examples, comparison.images, comparison.metric) == (6, 6, "accuracy")
    assert [s.letter + s.name for s in comparison.subjects] == ["Aa", "Bb"]


def test_what_was_fixed_and_broken_is_listed_with_both_replies(both: tuple[Path, Path]) -> None:
    (changes,) = of(*both).changes
    assert [change.id for change in changes.fixed] == ["test/cat/1.png", "test/dog/4.png"]
    assert [(c.id, c.reference.text, c.subject.text) for c in changes.broken] == [
        ("test/cat/2.png", "cat", "fox"),
        ("test/fox/5.png", "fox", "horse"),
    ]
    assert changes.broken[1].subject.flags == ("off the list",)
    assert (changes.both_good, changes.both_poor) == (2, 0)


def test_the_most_telling_comes_first_and_kinds_take_turns(tmp_path: Path) -> None:
    def scored(texts: Sequence[str], surest: float) -> list[Sample]:
        return [
            compared.sample(place, text, scores={"cat": -surest * place, "dog": -1.0, "fox": -1.0})
            for place, text in enumerate(texts)
        ]

    wrong = ("dog", "fox", "dog", "cat", "fox", "fox")
    first = compared.evaluation(tmp_path / "a", scored(wrong, 1.0))
    second = compared.evaluation(tmp_path / "b", scored(compared.GOLD, 0.0))
    (changes,) = of(first, second).changes
    ids = [change.id for change in changes.fixed]
    assert ids == [
        "test/cat/2.png",
        "test/dog/3.png",
        "test/cat/1.png",
        "test/dog/4.png",
        "test/cat/0.png",
    ]


def test_more_than_two_are_set_against_the_first_and_adjusted(tmp_path: Path) -> None:
    folders = [compared.evaluation(tmp_path / n, compared.replies(t))
               for n, t in (("x", ["fox"] * 6), ("y", A), ("z", compared.GOLD))]  # fmt: skip
    comparison = of(*folders)
    assert comparison.adjusted == "holm"
    first, second = comparison.metrics[0].gaps
    assert first
    assert second
    assert (first.p, second.p) == (0.25, 0.0625)  # 3 of 3 and 5 of 5 pairs, exact
    assert (first.p_holm, second.p_holm) == (0.25, 0.125)
    assert len(comparison.sentences) == len(comparison.changes) == 2
    assert comparison.sentences[1].startswith("Accuracy of C against A: 16.7 % → 100.0 %, +83.3 ")
    assert "p 0.062 (McNemar, exact), by Holm 0.125" in comparison.sentences[1]


def test_classes_are_compared_largest_change_first(both: tuple[Path, Path]) -> None:
    comparison = of(*both)
    rows = {row.label: row for row in comparison.classes}
    assert [row.label for row in comparison.classes] == ["fox", "dog", "cat"]
    assert rows["fox"].gaps[0].value == -1
    assert (rows["cat"].n, rows["cat"].gaps[0].fixed, rows["cat"].gaps[0].broken) == (3, 1, 1)
    assert rows["dog"].values == (0.5, 1.0)


def test_settings_that_differ_are_named_and_no_others(both: tuple[Path, Path]) -> None:
    assert [(s.key, s.values) for s in of(*both).settings] == [("seed", ("0", "7"))]


def test_a_style_that_both_recipe_and_evaluation_name_stands_once(tmp_path: Path) -> None:
    first = compared.evaluated(tmp_path / "a", A).folder
    by = compared.recipe().model_copy(update={"style": "think"})
    second = compared.run(tmp_path / "b", by)
    head = compared.header(style="think")
    compared.evaluation(second.evaluations / "test", compared.replies(B), head)
    assert [row.key for row in of(first, second.folder).settings] == ["style"]


def test_an_evaluation_alone_has_settings_that_are_not_known(
    both: tuple[Path, Path], tmp_path: Path
) -> None:
    head = compared.header(style="think")
    alone = compared.evaluation(tmp_path / "alone", compared.replies(B), head)
    comparison = of(*both, alone)
    assert {s.key: s.values for s in comparison.settings} == {
        "seed": ("0", "7", None),
        "evaluation: style": ("direct", "direct", "think"),
    }
    assert [s.recipe for s in comparison.subjects] == [True, True, False]


def test_cost_is_what_was_recorded(both: tuple[Path, Path]) -> None:
    cost, _ = of(*both).costs
    assert cost.seconds_per_reply == pytest.approx(2 / 6)
    assert cost.tokens_per_second == pytest.approx(sum(range(4, 10)) / 2)
    assert (cost.peak_memory_bytes, cost.batch_sizes, cost.hardware) == (2**30, (3,), ("cpu",))
    recipe = compared.recipe()
    each = recipe.method.batch_size * recipe.method.group_size
    assert (cost.train_steps, cost.train_seconds, cost.train_tokens) == (2, 3.0, 20.0 * each)


def test_a_checkpoint_took_the_steps_before_it(both: tuple[Path, Path]) -> None:
    early = compared.evaluation(both[0] / "eval/test-step-000001", compared.replies(B))
    _, cost = of(both[0], early).costs
    assert (cost.train_steps, cost.train_seconds) == (1, 1.5)


def test_the_base_model_can_be_the_reference(tmp_path: Path) -> None:
    samples = [*compared.replies(A, "base"), *compared.replies(compared.GOLD)]
    folder = compared.evaluation(tmp_path / "pets", samples)
    comparison = of(folder, base=True)
    assert [s.name for s in comparison.subjects] == ["pets, base model", "pets"]
    own = finish(folder).difference
    gap = comparison.metrics[0].gaps[0]
    assert own
    assert gap
    assert (gap.value, gap.low, gap.high) == (own.value, own.low, own.high)
    assert (gap.p, gap.p_mid) == (own.mcnemar_exact, own.mcnemar_mid)
    assert comparison.costs[0].train_steps is None


def with_scores(texts: Sequence[str], likely: Sequence[str]) -> list[Sample]:
    return [
        compared.sample(place, text, scores={p: 0.0 if p == best else -3.0 for p in compared.PETS})
        for place, (text, best) in enumerate(zip(texts, likely, strict=True))
    ]


def test_both_decodings_are_compared_and_either_may_count(tmp_path: Path) -> None:
    head = compared.header(list_scores=True)
    first = compared.evaluation(tmp_path / "a", with_scores(A, compared.GOLD), head)
    second = compared.evaluation(tmp_path / "b", with_scores(B, A), head)
    free, listed = of(first, second), of(first, second, decode="choices")
    assert [v.value for v in free.metrics[0].values] == [4 / 6, 4 / 6]
    assert [v.value for v in listed.metrics[0].values] == [1.0, 4 / 6]
    assert free.metrics[1].title == "by the list"
    assert listed.metrics[1].title == "free reply"
    assert listed.metrics[1].values == free.metrics[0].values
    assert free.metrics[1].gaps == listed.metrics[0].gaps


def test_answers_decoded_differently_are_refused_until_one_way_is_named(tmp_path: Path) -> None:
    first = compared.evaluation(
        tmp_path / "a", with_scores(A, A), compared.header(list_scores=True)
    )
    head = compared.header(decode="choices", list_scores=True)
    second = compared.evaluation(tmp_path / "b", with_scores(B, B), head)
    assert "decoded differently (A by 'generate', B by 'choices'); add --decode" in refused(
        first, second
    )
    assert of(first, second, decode="generate").subjects[1].decode == "generate"


def test_a_list_without_scores_or_without_replies_is_refused(
    both: tuple[Path, Path], tmp_path: Path
) -> None:
    assert "no score for 'cat'; evaluate it again" in refused(*both, decode="choices")
    listed = compared.header(decode="choices")
    folder = compared.evaluation(tmp_path / "old", with_scores(A, A), listed)
    assert "holds no free replies" in refused(both[0], folder, decode="generate")


def test_only_what_both_answered_is_compared_and_the_number_said(
    both: tuple[Path, Path], tmp_path: Path
) -> None:
    part = compared.evaluation(tmp_path / "part", compared.replies(B[:4]))
    comparison = of(both[0], part)
    assert comparison.examples == 4
    assert comparison.notes[:2] == (
        "B: 4 of 6 answered; unfinished",
        "compared on the 4 images in common (answered: A 6, B 4)",
    )
    assert comparison.metrics[0].values[0].n == 4


def test_other_gold_answers_are_left_out_and_the_number_said(
    both: tuple[Path, Path], tmp_path: Path
) -> None:
    changed = compared.replies(B)
    changed[0] = changed[0].model_copy(update={"gold": "dog"})
    comparison = of(both[0], compared.evaluation(tmp_path / "c", changed))
    assert comparison.examples == 5
    assert "1 of 6 images left out: their gold answers differ" in comparison.notes


def test_other_aliases_are_those_of_the_reference(tmp_path: Path) -> None:
    head = compared.header(aliases={"kitty": "cat"})
    texts = ["kitty", *B[1:]]
    first = compared.evaluation(tmp_path / "a", compared.replies(texts), head)
    second = compared.evaluation(tmp_path / "b", compared.replies(texts))
    comparison = of(first, second)
    assert [v.value for v in comparison.metrics[0].values] == [4 / 6, 4 / 6]
    assert comparison.notes == ("B is scored with the aliases of A",)


def test_notes_say_where_the_questions_differed(both: tuple[Path, Path], tmp_path: Path) -> None:
    head = compared.header(
        split="val", provenance={"model": "tiny", "data": "folder others", "hardware": "gpu"}
    )
    samples = [s.model_copy(update={"choices": (s.gold, "dog")}) for s in compared.replies(B)]
    other = compared.evaluation(tmp_path / "c", samples, head)
    assert of(both[0], other).notes == (
        "A and B name their data differently (folder pets; folder others): images of one name are "
        "taken for the same",
        "A and B were tested on splits 'test' and 'val'",
        "A and B were offered other lists in 6 of 6 prompts: a shorter list is easier",
    )


def other_task() -> tuple[Header, list[Sample]]:
    head = compared.header(task="number", labels=())
    return head, [s.model_copy(update={"gold": "3"}) for s in compared.replies(["3"] * 6)]


def other_labels() -> tuple[Header, list[Sample]]:
    return compared.header(labels=("cat", "dog", "fox", "owl")), compared.replies(B)


def other_images() -> tuple[Header, list[Sample]]:
    moved = [s.model_copy(update={"id": f"new/{s.id}"}) for s in compared.replies(B)]
    return compared.header(), moved


def other_gold() -> tuple[Header, list[Sample]]:
    turn = {"cat": "dog", "dog": "fox", "fox": "cat"}
    return compared.header(), [
        s.model_copy(update={"gold": turn[s.gold]}) for s in compared.replies(B)
    ]


def base_only() -> tuple[Header, list[Sample]]:
    return compared.header(), compared.replies(B, "base")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (other_task, "A (a) and B (c): their tasks differ, 'classification' and 'number'"),
        (other_labels, "their labels differ, 3 and 4, only one has 'owl'"),
        (other_images, "no test image in common (A on 6 of folder pets, split 'test'; B on 6 of"),
        (other_gold, "none of the 6 examples in common has the same gold answer"),
        (base_only, "no replies of the fine-tuned model; run: "),
    ],
)
def test_what_is_not_comparable_is_said_in_one_line(
    both: tuple[Path, Path], tmp_path: Path, made: object, message: str
) -> None:
    head, samples = made()  # type: ignore[operator]
    assert message in refused(both[0], compared.evaluation(tmp_path / "c", samples, head))


def test_a_damaged_line_is_named(both: tuple[Path, Path]) -> None:
    file = both[1] / "eval/test/samples.jsonl"
    file.write_text(file.read_text().replace('"side":"tuned"', '"side":"both"', 1))
    assert f"{file}:2: bad line: side" in refused(*both)


def test_another_format_is_named(both: tuple[Path, Path]) -> None:
    file = both[1] / "eval/test/samples.jsonl"
    file.write_text(file.read_text().replace('{"schema": 1', '{"schema": 9', 1))
    assert f"{file}:1: not a header of schema 1" in refused(*both)


def test_the_same_evaluation_twice_is_refused(both: tuple[Path, Path]) -> None:
    assert "the same evaluation as" in refused(both[0], both[0] / "eval/test")


def test_one_alone_and_too_many_are_refused(both: tuple[Path, Path], tmp_path: Path) -> None:
    assert "alone, there is nothing to compare it with" in refused(both[0])
    many = [compared.evaluation(tmp_path / f"m{n}", compared.replies(A)) for n in range(7)]
    assert refused(*many) == "7 to compare; at most 6 fit on a page"


def test_a_split_that_the_evaluation_is_not_of_is_refused(both: tuple[Path, Path]) -> None:
    folder = both[1] / "eval/test"
    assert "tested on split 'test', not 'val'" in refused(folder, both[0], split="val")


def test_what_is_not_evaluated_names_the_command(both: tuple[Path, Path]) -> None:
    compared.remove(both[1] / "eval/test")
    compared.evaluation(both[1] / "eval/val", compared.replies(B))
    message = refused(*both)
    assert message.startswith(f"{both[1]}: no evaluation 'test' yet (there are: val); run: ")
    assert f"rftkit eval --ckpt {both[1]}, or add --evaluate" in message


def test_with_evaluate_what_is_missing_or_cut_off_is_evaluated_and_nothing_else(
    both: tuple[Path, Path],
) -> None:
    asked = []

    def evaluate(location: Path) -> None:
        asked.append(location)
        compared.evaluation(location / "eval/test", compared.replies(B))

    compared.remove(both[1] / "eval/test")
    assert len(found(CompareRequest(both), evaluate).ids) == 6
    assert asked == [both[1]]
    compared.remove(both[0] / "eval/test")
    compared.evaluation(both[0] / "eval/test", compared.replies(A[:2]))

    def finished(location: Path) -> None:
        compared.remove(location / "eval/test")
        evaluate(location)

    assert len(found(CompareRequest(both), finished).ids) == 6
    assert asked == [both[1], both[0]]


def test_an_evaluation_that_was_cut_off_is_left_as_it_is(both: tuple[Path, Path]) -> None:
    part = compared.evaluation(both[0] / "eval/test-direct", compared.replies(A[:3]))
    common = found(CompareRequest((both[1], part)), lambda location: pytest.fail(str(location)))
    assert len(common.ids) == 3


def test_runs_of_one_name_are_called_by_their_paths(tmp_path: Path) -> None:
    first = compared.evaluated(tmp_path / "x/pets", A).folder
    second = compared.evaluated(tmp_path / "y/pets", B).folder
    assert [s.name for s in of(first, second).subjects] == [str(first), str(second)]


def fields(model: type[BaseModel]) -> set[str]:
    """Names of the fields of a record and of the records in it."""
    names = {*model.model_fields}
    for field in model.model_fields.values():
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                names |= fields(inner)
    return names


def test_every_field_of_the_json_is_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs/compare.md").read_text("utf-8")
    told = {*re.findall(r"`(\w+)`", page.partition("## JSON")[2])}
    assert len(fields(Comparison)) > 50
    assert fields(Comparison) - told == set()
