"""An evaluation, from `--ckpt` to its files, with a policy that replays texts."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakes
import pytest
from PIL import Image
from rich.console import Console

from rftkit.core import Completion
from rftkit.errors import DataError, UserError
from rftkit.evaluation import generate as evaluate
from rftkit.evaluation import overlap
from rftkit.evaluation import run as evaluation
from rftkit.evaluation.run import EvalRequest, evaluate_checkpoint
from rftkit.metrics import Summary, to_json
from rftkit.metrics.files import Evaluation, rescore
from rftkit.metrics.samples import header_line, read_samples
from rftkit.models.policy import Decoding, Generation, Prompt
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import dump_recipe
from rftkit.runs import checkpoints
from rftkit.runs.adapter import recipe_of, write_card
from rftkit.runs.locks import locked
from rftkit.runs.run import RunFolder

CLASSES = ("cat", "dog")
HELD_OUT = 5  # images of each class
WRITE_PAGE = evaluation._report


def images(root: Path) -> Path:
    """A folder of images that all differ, split and sorted by class."""
    for shade, (split, count) in enumerate((("train", 2), ("test", HELD_OUT))):
        for label in CLASSES:
            for number in range(count):
                path = root / split / label / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                noise = Image.frombytes("L", (24, 24), os.urandom(24 * 24))
                noise.putpixel((0, 0), shade)
                noise.save(path)
    return root


def recipe_for(root: Path, **more: Any) -> Recipe:
    data = {"source": "folder", "path": str(root), "shots": 1, **more.pop("data", {})}
    batch = {"batch_size": 2, **more.pop("eval", {})}
    return fakes.recipe(data=data, eval=batch, **more)


def trained(folder: Path, recipe: Recipe) -> RunFolder:
    run = RunFolder(folder)
    fakes.FakePolicy(fakes.never).save(run.adapter)
    write_card(run.adapter, recipe, CLASSES)
    run.resolved.write_text(dump_recipe(recipe), "utf-8")
    run.set_status("trained", labels=CLASSES, versions={"rftkit": "0"})
    return run


def reply(label: str) -> Completion:
    return Completion(f"<think>so it looks</think><answer>{label}</answer>", 9)


def improved(name: str, tuned: bool) -> Completion:
    """The base takes everything for a cat; the fine-tuned model is right."""
    return reply(Path(name).parent.name if tuned else "cat")


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunFolder]:
    """A trained run on drawn images, whose model is a policy that replays texts; no page."""
    monkeypatch.setattr(evaluation, "_report", lambda *_: None)  # the slowest part by far

    def start(policy: fakes.FakePolicy, **more: Any) -> RunFolder:
        monkeypatch.setattr(evaluation, "open_for_inference", lambda *_: policy)
        root = tmp_path / "images"
        recipe = recipe_for(root if root.exists() else images(root), **more)
        return trained(tmp_path / "run", recipe)

    return start


@pytest.fixture
def with_page(begin: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluations write their page after all."""
    monkeypatch.setattr(evaluation, "_report", WRITE_PAGE)


def measured(run: RunFolder | Path, **request: Any) -> Evaluation:
    location = run.folder if isinstance(run, RunFolder) else run
    return evaluate_checkpoint(location, EvalRequest(**request), Console(file=io.StringIO()))


def facts(summary: Summary) -> dict[str, Any]:
    """The summary without what differs from one session to the next."""
    session: dict[str, Any] = {
        "base": {"speed"},
        "tuned": {"speed"},
        "provenance": {"started", "command"},
    }
    return summary.model_dump(exclude=session)


def test_no_size_of_batches_changes_a_figure(begin: Callable[..., RunFolder]) -> None:
    found = []
    for size in (1, 3, 4, 64):
        run = begin(fakes.FakePolicy(improved), eval={"batch_size": size})
        summary = measured(run).summary
        assert summary.tuned
        assert summary.tuned.accuracy.value == 1.0
        found.append({k: v for k, v in facts(summary).items() if k != "provenance"})
        shutil.rmtree(run.evaluations)
    assert found[1:] == found[:1] * 3


@pytest.mark.usefixtures("with_page")
def test_base_and_tuned_are_measured_side_by_side(begin: Callable[..., RunFolder]) -> None:
    run = begin(policy := fakes.FakePolicy(improved))
    found = measured(run)
    summary = found.summary
    assert summary.base
    assert summary.tuned
    assert summary.difference
    assert (summary.base.accuracy.value, summary.tuned.accuracy.value) == (0.5, 1.0)
    assert (summary.difference.value, summary.difference.won) == (0.5, 5)
    assert (summary.expected, summary.complete, summary.labels) == (10, True, 2)
    assert [tuned for _, tuned in policy.asked] == [False] * 10 + [True] * 10
    assert {path.name for path in found.folder.iterdir()} == {
        "samples.jsonl",
        "summary.json",
        "confusion.csv",
        "report.html",
    }
    assert (found.folder / "summary.json").read_text("utf-8") == to_json(summary)
    assert run.report.read_text("utf-8") == (found.folder / "report.html").read_text("utf-8")
    assert list(csv.reader((found.folder / "confusion.csv").open(encoding="utf-8")))
    assert summary.overlap
    assert summary.overlap.exact == 0


@pytest.mark.usefixtures("with_page")
def test_a_runs_page_stays_whole_while_an_evaluation_replaces_it(
    begin: Callable[..., RunFolder],
) -> None:
    run = begin(fakes.FakePolicy(improved))
    run.report.write_text("the old page", "utf-8")
    with run.report.open("rb") as file:
        measured(run)
        assert file.read() == b"the old page"
    assert run.report.read_bytes() != b"the old page"


def another(run: RunFolder, **changes: Any) -> RunFolder:
    """Another run on the same images, with weights of its own."""
    folder = run.folder.with_name(f"run-{len(list(run.folder.parent.iterdir()))}")
    recipe = Recipe.model_validate({**recipe_of(run).model_dump(mode="json"), **changes})
    made = trained(folder, recipe)
    (made.adapter / checkpoints.WEIGHTS).write_bytes(b"other weights")
    write_card(made.adapter, recipe, CLASSES)
    return made


def test_the_replies_of_the_same_base_are_used_again(begin: Callable[..., RunFolder]) -> None:
    run = begin(policy := fakes.FakePolicy(improved))
    first = measured(run)
    policy.asked.clear()
    second = measured(another(run, seed=7), base_from=run.folder)
    assert [tuned for _, tuned in policy.asked] == [True] * 10
    assert second.summary.base == first.summary.base
    assert second.summary.complete
    assert second.summary.provenance.seed == 7
    assert facts(rescore(second.folder / "samples.jsonl").summary) == facts(second.summary)


def test_reused_replies_are_kept_when_an_evaluation_is_cut_off(
    begin: Callable[..., RunFolder],
) -> None:
    run = begin(policy := fakes.FakePolicy(improved))
    measured(run)
    policy.asked.clear()
    policy.limit = 4
    with pytest.raises(KeyboardInterrupt):
        measured(twin := another(run), base_from=run.folder)
    policy.limit = 100
    assert measured(twin, base_from=run.folder).summary.complete
    assert [tuned for _, tuned in policy.asked] == [True] * 10


@pytest.mark.parametrize("changes", [
    {"style": "direct"}, {"rules": "paper"}, {"method": {"max_new_tokens": 9}},
    {"eval": {"batch_size": 3}}, {"eval": {"batch_size": 2, "limit": 4}},
    {"data": {"question": "Which?"}}, {"data": {"classes": "base"}}, {"model": {"max_pixels": 999}},
])  # fmt: skip
def test_replies_to_something_else_are_not_used(
    begin: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    run = begin(policy := fakes.FakePolicy(improved))
    monkeypatch.setattr(
        policy, "facts", lambda: replace(fakes.FakePolicy.facts(policy), max_pixels=pixels)
    )
    pixels = 784
    measured(run)
    policy.asked.clear()
    known = recipe_of(run).model_dump(mode="json")
    pixels = changes.get("model", {}).get("max_pixels", pixels)
    whole = {
        key: {**known[key], **value} if isinstance(value, dict) else value
        for key, value in changes.items()
    }
    measured(another(run, **whole), base_from=run.folder)
    assert False in {tuned for _, tuned in policy.asked}


def test_without_the_base_the_tuned_model_alone_is_asked(begin: Callable[..., RunFolder]) -> None:
    run = begin(policy := fakes.FakePolicy(improved))
    summary = measured(run, base=False).summary
    assert (summary.base, len(policy.asked)) == (None, 10)
    assert summary.tuned
    assert summary.tuned.accuracy.value == 1.0
    both = measured(run).summary  # the same evaluation, continued with the other side
    assert both.base
    assert len(policy.asked) == 20


def test_an_evaluation_that_is_there_is_not_answered_again(begin: Callable[..., RunFolder]) -> None:
    run = begin(policy := fakes.FakePolicy(improved))
    first = measured(run)
    again = measured(run)
    assert (again.folder, len(policy.asked)) == (first.folder, 20)
    assert to_json(again.summary) == to_json(first.summary)


def test_an_evaluation_cut_off_anywhere_goes_on_to_the_same_summary(
    begin: Callable[..., RunFolder],
) -> None:
    run = begin(fakes.FakePolicy(improved))
    whole = measured(run)
    lines = (whole.folder / "samples.jsonl").read_bytes()
    header = lines.index(b"\n") + 1
    for cut in (header, header + 30, len(lines) // 3, len(lines) // 2, len(lines) - 5):
        shutil.rmtree(whole.folder)
        whole.folder.mkdir()
        (whole.folder / "samples.jsonl").write_bytes(lines[:cut])
        again = measured(run)
        assert again.folder == whole.folder
        assert facts(again.summary) == facts(whole.summary), cut


@pytest.mark.parametrize("limit", [0, 1, 2, 7, 10, 13, 20])
def test_a_killed_evaluation_keeps_its_answers_and_its_times(
    begin: Callable[..., RunFolder], limit: int
) -> None:
    run = begin(policy := fakes.FakePolicy(improved, limit=limit))
    if limit < 20:
        with pytest.raises(KeyboardInterrupt):
            measured(run)
    else:
        measured(run)
    kept = limit // 2 * 2  # whole batches
    file = read_samples(run.evaluations / "test" / "samples.jsonl")
    assert len(file.samples) == kept
    timed = {side: sum(t.samples for t in file.timings if t.side == side) for side in ("base",)}
    assert timed["base"] == (0 if not kept else 2 if kept == 2 else min(kept, 10) - 2)
    policy.limit = 10_000
    summary = measured(run).summary
    assert summary.complete
    assert len(policy.asked) == 20


class Waiting(fakes.FakePolicy):
    """Answers its first batch once it is let go."""

    def __init__(self) -> None:
        super().__init__(improved)
        self.entered, self.go = threading.Event(), threading.Event()

    def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> Generation:
        self.entered.set()
        assert self.go.wait(60)
        return super().generate(prompts, decoding)


def test_one_evaluation_is_run_by_one_process(begin: Callable[..., RunFolder]) -> None:
    run = begin(slow := Waiting())
    with ThreadPoolExecutor() as pool:
        first = pool.submit(measured, run)
        assert slow.entered.wait(60)
        begin(other := fakes.FakePolicy(improved))
        with pytest.raises(UserError, match=rf"eval/test: in use by process {os.getpid()} on .+;"):
            measured(run)
        assert measured(run, limit=4).folder.name == "test-first-4"  # another one may continue
        slow.go.set()
        whole = first.result(60)
    assert whole.summary.complete
    assert not (whole.folder / "lock").exists()
    asked = len(other.asked)
    again = measured(run)
    assert (again.folder, len(other.asked), len(slow.asked)) == (whole.folder, asked, 20)
    assert facts(again.summary) == facts(whole.summary)


def test_an_evaluation_that_another_process_began_meanwhile_is_not_mixed_up(
    begin: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(fakes.FakePolicy(improved))
    theirs = measured(run, style="direct").folder

    @contextmanager
    def late(folder: Path) -> Iterator[None]:
        """Between the look at the folder and its lock, another evaluation begins there."""
        if folder.name == "test":
            theirs.rename(folder)
        with locked(folder):
            yield

    monkeypatch.setattr(evaluation, "locked", late)
    assert measured(run).folder.name == "test-2"
    assert read_samples(run.evaluations / "test" / "samples.jsonl").header.style == "direct"


def test_times_are_written_as_the_evaluation_goes_on(
    begin: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "TIMED_TOGETHER", 2)
    run = begin(fakes.FakePolicy(improved))
    found = measured(run)
    timings = read_samples(found.folder / "samples.jsonl").timings
    shapes = [(t.side, t.samples, t.tokens, t.seconds, t.warmup_excluded) for t in timings]
    one_side = [("base", 2, 18, 0.5, True), ("base", 4, 36, 1.0, True), ("base", 2, 18, 0.5, True)]
    assert shapes[:3] == one_side  # five batches, the first of which warms up
    assert [shape[1:] for shape in shapes[3:]] == [shape[1:] for shape in one_side]
    assert found.summary.base
    assert found.summary.base.speed
    assert found.summary.base.speed.samples_per_second == 4.0
    assert found.summary.base.speed.first_token_seconds == pytest.approx(0.1)


def test_a_kill_as_an_evaluation_begins_leaves_nothing_in_the_way(
    begin: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(fakes.FakePolicy(improved))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            measured(run)
    assert not (run.evaluations / "test" / "samples.jsonl").exists()
    assert measured(run).summary.complete


def test_other_settings_never_overwrite_an_evaluation(begin: Callable[..., RunFolder]) -> None:
    run = begin(fakes.FakePolicy(improved))
    first = measured(run)
    before = (first.folder / "samples.jsonl").read_bytes()
    wishes: list[dict[str, Any]] = [
        {"limit": 4},
        {"style": "direct"},
        {"split": "train"},
        {"data": Path(run.folder.parent / "images")},
    ]
    folders = [measured(run, **request).folder.name for request in wishes]
    assert folders == ["test-first-4", "test-direct", "train", "test-images"]
    assert (first.folder / "samples.jsonl").read_bytes() == before
    changed = dump_recipe(recipe_for(run.folder.parent / "images", method={"max_new_tokens": 9}))
    run.resolved.write_text(changed)
    assert measured(run).folder.name == "test-2"
    assert measured(run).folder.name == "test-2"


def test_other_data_is_told_apart_by_name_and_by_content(
    begin: Callable[..., RunFolder], tmp_path: Path
) -> None:
    run = begin(fakes.FakePolicy(improved))
    one, two = images(tmp_path / "one" / "pets"), images(tmp_path / "two" / "pets")
    (two / "test" / "cat" / "0.png").unlink()
    assert measured(run, data=one).folder.name == "test-pets"
    assert measured(run, data=two).folder.name == "test-pets-2"


def test_an_adapter_is_measured_where_its_training_images_are_not(
    begin: Callable[..., RunFolder], tmp_path: Path
) -> None:
    run = begin(fakes.FakePolicy(improved))
    shutil.copytree(run.adapter, tmp_path / "sent")
    other = images(tmp_path / "other")
    shutil.rmtree(tmp_path / "images")
    summary = measured(tmp_path / "sent", data=other).summary
    assert summary.tuned
    assert (summary.tuned.accuracy.value, summary.overlap) == (1.0, None)
    assert summary.overlap_skipped
    assert summary.overlap_skipped.reason == "unreadable"
    assert str(tmp_path / "images") in summary.notes[0]
    assert summary.notes[0].startswith("train/test overlap was not checked:")


def test_a_damaged_training_image_is_no_reason_not_to_evaluate(
    begin: Callable[..., RunFolder],
) -> None:
    run = begin(fakes.FakePolicy(improved))
    folder = Path(recipe_of(run).data.path) / "train"
    for path in folder.rglob("*.png"):
        path.write_bytes(b"torn")
    skipped = measured(run).summary.overlap_skipped
    assert skipped
    assert skipped.reason == "unreadable"
    assert "not an image" in skipped.detail


def test_of_many_images_it_is_said_that_no_leak_was_looked_for(
    begin: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(fakes.FakePolicy(improved))
    monkeypatch.setattr(overlap, "COMPARED_UP_TO", 2 * HELD_OUT + 1)  # and two to train on
    summary = measured(run).summary
    assert (summary.overlap, summary.overlap_skipped and summary.overlap_skipped.reason) == (
        None,
        "too many",
    )
    assert "12 images, above the 11 that an evaluation compares; rftkit check" in summary.notes[0]


def test_an_evaluation_goes_on_where_its_training_images_have_gone(
    begin: Callable[..., RunFolder],
) -> None:
    run = begin(fakes.FakePolicy(improved, limit=5))
    with pytest.raises(KeyboardInterrupt):
        measured(run)
    for path in (Path(recipe_of(run).data.path) / "train").rglob("*.png"):
        path.write_bytes(b"torn")
    again = begin(fakes.FakePolicy(improved))
    found = measured(again)
    assert (found.folder.name, found.summary.complete) == ("test", True)
    assert found.summary.overlap  # as its beginning found


def test_data_that_is_not_there_is_refused(begin: Callable[..., RunFolder]) -> None:
    run = begin(fakes.FakePolicy(fakes.never))
    with pytest.raises(DataError, match=r"--data nowhere: not found; name a folder, \.csv or"):
        measured(run, data=Path("nowhere"))


def test_images_that_nobody_divided_are_all_tested_on(
    begin: Callable[..., RunFolder], tmp_path: Path
) -> None:
    run = begin(fakes.FakePolicy(improved))
    images(tmp_path / "more")
    summary = measured(run, data=tmp_path / "more" / "test").summary
    assert summary.expected == 10


def test_a_folder_that_is_divided_is_not_tested_on_whole_for_the_words_in_its_name(
    begin: Callable[..., RunFolder], tmp_path: Path
) -> None:
    run = begin(fakes.FakePolicy(improved))
    folder = images(tmp_path / "no split is given: mine")
    (folder / "test" / "cat" / "notes.txt").write_text("a note names the folder")
    assert measured(run, data=folder).summary.expected == 10


def test_a_training_image_that_is_tested_on_is_a_leak(begin: Callable[..., RunFolder]) -> None:
    run = begin(fakes.FakePolicy(improved))
    summary = measured(run, split="train").summary
    assert summary.overlap
    assert (summary.overlap.exact, summary.overlap.pairs[0][0]) == (2, summary.overlap.pairs[0][1])


def test_the_list_may_be_the_headline_and_is_never_invalid(
    begin: Callable[..., RunFolder],
) -> None:
    def likeliest(name: str, tuned: bool) -> Completion:
        return Completion(Path(name).parent.name if tuned else "cat")

    run = begin(fakes.FakePolicy(likeliest), eval={"decode": "choices"})
    found = measured(run)
    summary = found.summary
    assert summary.base
    assert summary.tuned
    assert (summary.decode, summary.base.accuracy.value, summary.tuned.accuracy.value) == (
        "choices",
        0.5,
        1.0,
    )
    assert summary.tuned.invalid.value == 0
    assert summary.tuned.calibration
    assert summary.tuned.calibration.mean_gold > 0.8
    sample = read_samples(found.folder / "samples.jsonl").samples[0]
    assert dict(sample.scores or {}) == {"cat": -0.1, "dog": -3.0}
    assert summary.tuned.decodings
    assert (summary.tuned.decodings.free.value, summary.tuned.decodings.listed.value) == (0.0, 1.0)


def test_free_replies_and_the_list_are_measured_side_by_side(
    begin: Callable[..., RunFolder],
) -> None:
    """The fine-tuned model writes names off the list, but finds the right one likely."""

    def drifted(name: str, tuned: bool) -> Completion:
        label = Path(name).parent.name
        return reply(f"{label}fish" if tuned and name.endswith("0.png") else label)

    class Drifted(fakes.FakePolicy):
        def score(self, prompts: Any, answers: Any, *, ended: bool = True) -> list[list[float]]:
            return [
                [-0.1 if f">{Path(prompt.image.name).parent.name}<" in text else -2.0
                 for text in row]
                for prompt, row in zip(prompts, answers, strict=True)
            ]  # fmt: skip

    found = measured(begin(Drifted(drifted)))
    tuned = found.summary.tuned
    assert tuned
    assert tuned.decodings
    both = tuned.decodings
    assert (both.free.value, both.listed.value, tuned.accuracy.value) == (0.8, 1.0, 0.8)
    assert (both.only_listed, both.unlisted, both.only_free) == (2, 2, 0)
    assert both.off_list == pytest.approx(max(0.0, 1 - math.exp(-0.1) - math.exp(-2.0)))
    sample = read_samples(found.folder / "samples.jsonl").samples[0]
    assert sample.scores
    assert sample.scores.keys() == {*CLASSES}


def test_a_list_is_scored_after_the_reasoning_that_was_written(
    begin: Callable[..., RunFolder],
) -> None:
    policy = fakes.FakePolicy(lambda *_: Completion("<think>fur</think><answer>cat</answer>"))
    measured(begin(policy))
    assert {*policy.scored} == {f"<think>fur</think><answer>{label}</answer>" for label in CLASSES}


def test_an_empty_thought_is_put_before_what_was_written(begin: Callable[..., RunFolder]) -> None:
    run = begin(policy := fakes.FakePolicy(lambda *_: Completion("<answer>cat</answer>", 3)))
    found = measured(run, style="empty-think")
    assert {prompt.prefill for prompt in policy.prompts} == {"<think>\n\n</think>\n"}
    sample = read_samples(found.folder / "samples.jsonl").samples[0]
    assert sample.text == "<think>\n\n</think>\n<answer>cat</answer>"
    assert (sample.tokens, sample.rewards["format"], sample.correct) == (3, 1.0, 1.0)


def test_choices_after_an_empty_thought_are_scored_after_just_one(
    begin: Callable[..., RunFolder],
) -> None:
    answer = fakes.FakePolicy(lambda *_: Completion("<answer>dog</answer>"))
    found = measured(begin(answer, eval={"decode": "choices"}), style="empty-think")
    thought = "<think>\n\n</think>\n"
    assert {*answer.scored} == {f"{thought}<answer>{label}</answer>" for label in CLASSES}
    texts = {sample.text for sample in read_samples(found.folder / "samples.jsonl").samples}
    assert texts == {f"{thought}<answer>dog</answer>"}


def test_replies_that_were_cut_off_are_counted(begin: Callable[..., RunFolder]) -> None:
    def cut(name: str, tuned: bool) -> Completion:
        whole = reply(Path(name).parent.name)
        return whole if tuned else Completion("<think>it looks and looks", 256, finished=False)

    summary = measured(begin(fakes.FakePolicy(cut))).summary
    assert summary.base
    assert summary.tuned
    assert (summary.base.health["truncated"], summary.tuned.health["truncated"]) == (10, 0)
    assert (summary.base.accuracy.value, summary.base.invalid.value) == (0.0, 1.0)


def test_a_longer_style_gets_the_tokens_it_needs(begin: Callable[..., RunFolder]) -> None:
    run = begin(fakes.FakePolicy(improved), style="direct")
    assert "at most 32 new" in measured(run).summary.provenance.decoding
    assert "at most 256 new" in measured(run, style="think").summary.provenance.decoding


def test_rescoring_gives_the_summary_to_the_byte(
    begin: Callable[..., RunFolder], tmp_path: Path
) -> None:
    found = measured(begin(fakes.FakePolicy(improved)))
    copied = tmp_path / "elsewhere" / "samples.jsonl"
    copied.parent.mkdir()
    shutil.copyfile(found.folder / "samples.jsonl", copied)
    rescored = rescore(copied)
    assert (rescored.folder / "summary.json").read_bytes() == (
        found.folder / "summary.json"
    ).read_bytes()
    with pytest.raises(DataError, match=r"--rescore .*: no such file; name an evaluation's"):
        rescore(tmp_path / "none.jsonl")


def test_an_answer_that_was_changed_by_hand_is_derived_anew(
    begin: Callable[..., RunFolder],
) -> None:
    found = measured(begin(fakes.FakePolicy(improved)))
    path = found.folder / "samples.jsonl"
    kept = read_samples(path)
    forged = [json.loads(s.model_dump_json()) | {"correct": 1.0} for s in kept.samples]
    lines = [header_line(kept.header), *(json.dumps(record) + "\n" for record in forged)]
    path.write_text("".join(lines), "utf-8")
    summary = rescore(path).summary
    assert summary.base
    assert summary.base.accuracy.value == 0.5


def test_a_limit_holds_for_images_that_nobody_divided(
    begin: Callable[..., RunFolder], tmp_path: Path
) -> None:
    run = begin(fakes.FakePolicy(improved))
    shutil.move(images(tmp_path / "more") / "test", tmp_path / "loose")
    assert measured(run, data=tmp_path / "loose", limit=4).summary.expected == 4


def test_another_split_of_other_data_is_found_by_its_name(
    begin: Callable[..., RunFolder], tmp_path: Path
) -> None:
    run = begin(fakes.FakePolicy(improved))
    other = images(tmp_path / "other")
    (other / "test").rename(other / "val")
    assert measured(run, data=other, split="val").summary.expected == 2 * HELD_OUT


class FakeGpu:
    """Counts the bytes that are held, and the most since the last reset, as torch.cuda does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held = self.most = 0
        cuda = pytest.importorskip("torch").cuda
        monkeypatch.setattr(cuda, "is_available", lambda: True)
        monkeypatch.setattr(cuda, "max_memory_allocated", lambda *_: self.most)
        monkeypatch.setattr(cuda, "reset_peak_memory_stats", self.reset)

    def reset(self, *_: object) -> None:
        self.most = self.held

    def use(self, size: int) -> None:
        """Take so many bytes for a moment."""
        self.most = max(self.most, self.held + size)


def test_each_model_has_its_own_peak_of_gpu_memory(
    begin: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = FakeGpu(monkeypatch)

    def answer(name: str, tuned: bool) -> Completion:
        gpu.use(300 if tuned else 500)
        return improved(name, tuned)

    run = begin(fakes.FakePolicy(answer))
    gpu.held = 1000
    gpu.use(9000)  # what training took
    summary = measured(run).summary
    assert summary.base
    assert summary.base.speed
    assert summary.tuned
    assert summary.tuned.speed
    peaks = summary.base.speed.peak_memory_bytes, summary.tuned.speed.peak_memory_bytes
    assert peaks == (1500, 1300)
    assert summary.base.speed.peak_memory_of == "gpu"
