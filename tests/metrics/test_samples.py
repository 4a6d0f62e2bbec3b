from pathlib import Path

import pytest

from rftkit.errors import DataError
from rftkit.metrics.samples import (
    Header,
    Sample,
    SamplesFile,
    Timing,
    header_line,
    read_samples,
    repair,
    sample_line,
    timing_line,
)
from rftkit.metrics.scoring import derive, rescored

PETS = ("cat", "dog", "red fox")
HEADER = Header(task="classification", style="think", labels=PETS, expected=2, prompt="Which?")
TIMING = Timing(side="base", seconds=2.0, samples=2, tokens=40, batch_size=2)


def sample(text: str, gold: str = "cat", id_: str = "a.png", **more: object) -> Sample:
    fields = {"side": "base", "id": id_, "image": id_, "text": text, "gold": gold}
    return Sample.model_validate({**fields, **more})


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(lines), encoding="utf-8")
    return path


def scored(text: str, **more: object) -> Sample:
    header = more.pop("header", HEADER)
    assert isinstance(header, Header)
    return derive(sample(text, **more), header)  # type: ignore[arg-type]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    first = scored("<think>é\u2028ears</think><answer>cat</answer>", tokens=9, seconds=0.25)
    second = scored("dog", id_="b.png", side="tuned", choices=["dog", "cat"], finished=False)
    lines = (header_line(HEADER), sample_line(first), timing_line(TIMING), sample_line(second))
    found = read_samples(write(tmp_path / "samples.jsonl", *lines))
    assert found == SamplesFile(HEADER, (first, second), (TIMING,))
    assert found.done("base") == {"a.png"}
    assert found.done("tuned") == {"b.png"}


def test_labels_and_prompt_are_not_repeated_on_every_line() -> None:
    assert '"choices"' not in sample_line(sample("x"))
    assert '"prompt"' not in sample_line(sample("x"))


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_a_torn_last_line_is_dropped_and_said(tmp_path: Path, kept: int) -> None:
    last = sample_line(sample("<answer>é</answer>", id_="b.png")).rstrip("\n")
    path = tmp_path / "samples.jsonl"
    whole = header_line(HEADER) + sample_line(sample("x"))
    path.write_bytes(whole.encode() + last.encode()[:kept])
    found = read_samples(path)
    assert [s.id for s in found.samples] == ["a.png"]
    assert found.notes == ("samples.jsonl:3: the last line was cut off and is ignored",)
    repair(path)
    assert path.read_bytes() == whole.encode()
    assert read_samples(path).notes == ()


def test_a_last_line_without_its_end_is_kept_and_ended(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", header_line(HEADER), sample_line(sample("x")).rstrip("\n"))
    assert len(read_samples(path).samples) == 1
    repair(path)
    assert path.read_text().endswith("}\n")
    repair(path)
    assert path.read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "1: no header"),
        ([header_line(HEADER.model_copy(update={"task": "x\x1b"}))], r"1: task 'x\\x1b' is none"),
        (['{"schema": 2, "header": {}}\n'], "1: not a header of schema 1"),
        ([header_line(HEADER), "{\n", sample_line(sample("x"))], "2: bad line"),
        ([header_line(HEADER), '{"side": "base"}\n'], "2: bad line: id: Field required"),
        ([header_line(HEADER), sample_line(sample("x")), "\n"], "3: bad line"),
        ([header_line(HEADER), sample_line(sample("x"))[:-2] + ', "colour": 1}\n'], "2: .*colour"),
        ([header_line(HEADER), sample_line(sample("x")), sample_line(sample("y"))], "3: .*twice"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, lines: list[str], message: str) -> None:
    path = write(tmp_path / "samples.jsonl", *lines)
    with pytest.raises(DataError, match=r"samples\.jsonl:" + message):
        read_samples(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: No such file"):
        read_samples(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("text", "answer", "correct", "flags"),
    [
        ("<think>ears</think><answer>Cat.</answer>", "cat", 1, ()),
        ("<think>ears</think><answer>dog</answer>", "dog", 0, ()),
        ("<think>ears</think><answer>red_fox</answer>", "red fox", 0, ()),
        ("<think>ears</think><answer>horse</answer>", "horse", 0, ("off the list",)),
        ("<think>ears</think><answer>cat or dog</answer>", "cat or dog", 0, ("several answers",)),
        ("<answer>cat</answer><answer>dog</answer>", None, 0, ("several answers",)),
        ("It is a cat.", None, 0, ("no answer",)),
        ("<think>so <answer>cat</answer>", None, 0, ("unparseable",)),
        ("<answer>cat</answer>" + " and so on it goes" * 9, "cat", 1, ("repetition",)),
    ],
)
def test_derived_fields(
    text: str, answer: str | None, correct: float, flags: tuple[str, ...]
) -> None:
    found = scored(text)
    assert (found.answer, found.correct, found.flags) == (answer, correct, flags)
    wrong = {"off the list", "several answers", "no answer", "unparseable"}
    assert found.invalid == bool(wrong & set(flags))


def test_a_reply_cut_off_is_counted_even_after_its_answer() -> None:
    assert scored("<think>ears and", finished=False).flags == ("truncated",)
    late = scored("<answer>cat</answer> becau", finished=False)
    assert (late.answer, late.flags, late.invalid) == ("cat", ("truncated",), False)


def test_strict_and_paper_rewards_are_both_kept() -> None:
    found = scored("the <answer>cat</answer>")
    assert found.rewards == {"accuracy": 1, "format": 0}
    assert found.paper == {"accuracy": 1, "format": 0, "evaluation": 1}


def test_an_open_answer_is_matched_against_every_label() -> None:
    assert scored("<answer>dog</answer>", gold="dog", choices=[]).correct == 1
    assert scored("<answer>hound</answer>", gold="dog", choices=[]).flags == ("off the list",)


def test_the_likeliest_label_is_the_answer() -> None:
    header = HEADER.model_copy(update={"decode": "choices"})
    scores = {"cat": -2.0, "dog": -0.5, "red fox": -0.5}
    found = scored("", scores=scores, gold="dog", header=header)
    assert (found.answer, found.correct, found.flags) == ("dog", 1, ())
    with pytest.raises(DataError, match=r"a\.png: no score for 'red fox'"):
        scored("", scores={"cat": -1.0, "dog": -1.0}, header=header)


def test_rescoring_does_not_trust_what_is_there() -> None:
    cheat = sample("<answer>dog</answer>", correct=1.0, answer="cat", flags=["truncated"])
    file = SamplesFile(HEADER, (sample("x", id_="b.png"), cheat))
    first, second = rescored(file).samples
    assert (first.id, first.answer, first.correct, first.flags) == ("a.png", "dog", 0, ())
    assert second.id == "b.png"
