"""A run that is resumed with other settings of its evaluation says what it is evaluated by."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import fakes
import pytest
from PIL import Image
from rich.console import Console

from rftkit.data.examples import load_examples
from rftkit.errors import RecipeError, TrainingError, UserError
from rftkit.recipe.toml import parse_recipe
from rftkit.runs.adapter import read_card, recipe_of, write_card
from rftkit.runs.checkpoints import WEIGHTS
from rftkit.runs.run import RunFolder
from rftkit.runs.versions import versions
from rftkit.training.request import TrainRequest
from rftkit.training.resume import check_fingerprint, fingerprint, lines_notes, version_notes
from rftkit.training.run import train

RECIPE = """
model = { name = "tiny" }
data = { source = "digits", shots = 1 }
"""
Start = Callable[..., RunFolder]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Begins or resumes a run, which stops where a model would be loaded."""

    def stop(*_: object) -> None:
        raise TrainingError("no model here")

    for name in ("open_for_training", "open_for_inference"):
        monkeypatch.setattr(f"rftkit.training.run.{name}", stop)

    def begin(
        recipe: str,
        *overrides: str,
        resume: bool = False,
        folder: Path = tmp_path,
        said: io.StringIO | None = None,
    ) -> RunFolder:
        file, out = folder / "mine.toml", folder / "run"
        file.write_text(recipe)
        request = TrainRequest(recipe=file, out=out, overrides=overrides, resume=resume)
        with pytest.raises(TrainingError, match="no model here"):
            train(request, Console(file=said or io.StringIO(), width=400))
        return RunFolder(out)

    return begin


def test_a_resumed_run_keeps_the_evaluation_that_it_is_given(start: Start) -> None:
    run = start(RECIPE, "eval.limit=5")
    assert recipe_of(run).eval.limit == 5
    changed = RECIPE + "eval = { batch_size = 3 }\n"
    start(changed, "eval.limit=7", resume=True)
    assert (recipe_of(run).eval.limit, recipe_of(run).eval.batch_size) == (7, 3)
    assert run.given.read_text("utf-8") == changed
    assert not [path for path in run.folder.iterdir() if path.name.startswith(".")]


def test_another_encoding_than_utf_8_is_one_line(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(RECIPE)
    request = TrainRequest(recipe=tmp_path / "mine.toml", out=tmp_path / "other")
    monkeypatch.setattr("locale.getencoding", lambda: "ISO-8859-1")
    if not sys.flags.utf8_mode:
        with pytest.raises(RecipeError, match=r"^this Python reads files as ISO.*PYTHONUTF8=1$"):
            train(request, Console(file=io.StringIO()))
        assert not request.out.exists()
    monkeypatch.setattr("locale.getencoding", lambda: "UTF8")
    with pytest.raises(TrainingError, match="no model here"):
        train(request, Console(file=io.StringIO()))


def test_the_recipe_beside_a_trained_adapter_follows(start: Start) -> None:
    run = start(RECIPE, "eval.limit=5")
    fakes.FakePolicy(fakes.never).save(run.adapter)
    write_card(run.adapter, recipe_of(run), ("one", "two"), {"uno": "one"})
    run.set_status("trained")
    start(RECIPE, "eval.limit=7", resume=True)
    card = read_card(run.adapter)
    assert parse_recipe(card.recipe, "the card").eval.limit == 7
    assert (card.labels, card.aliases) == (("one", "two"), {"uno": "one"})


def test_a_damaged_adapter_is_made_again_where_a_checkpoint_is(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, said = start(RECIPE), io.StringIO()
    fakes.FakePolicy(fakes.never).save(run.adapter)
    write_card(run.adapter, recipe_of(run), ("one", "two"))
    run.set_status("trained")
    (run.adapter / WEIGHTS).write_bytes(b"cut")
    harm = f"{run.adapter}: {WEIGHTS} has changed since it was saved"
    request = TrainRequest(recipe=tmp_path / "mine.toml", out=run.folder, resume=True)
    with pytest.raises(UserError, match=re.escape(harm)):
        train(request, Console(file=io.StringIO()))
    monkeypatch.setattr("rftkit.training.trainer.newest_checkpoint", lambda *_: tmp_path)
    start(RECIPE, resume=True, said=said)
    assert f"{harm}; it is made again from the last checkpoint" in said.getvalue()
    assert read_card(run.adapter).labels == ("one", "two"), "its card is left as it is"


def test_a_run_that_is_not_resumed_for_another_recipe_keeps_its_own(
    start: Start, tmp_path: Path
) -> None:
    run = start(RECIPE, "eval.limit=5")
    before = run.resolved.read_bytes()
    request = TrainRequest(
        recipe=tmp_path / "mine.toml",
        out=run.folder,
        overrides=("seed=9", "eval.limit=7"),
        resume=True,
    )
    with pytest.raises(RecipeError, match="seed is 9, was 0"):
        train(request, Console(file=io.StringIO()))
    assert run.resolved.read_bytes() == before


def moved(start: Start, tmp_path: Path) -> RunFolder:
    """A run that begins on a folder of images, then moves with it to another place."""
    old, new = tmp_path / "old", tmp_path / "new"
    for label in ("cat", "dog"):
        for number in range(4):
            (old / "pets" / label).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (number, 0, 0)).save(old / f"pets/{label}/{number}.png")
    (old / "mine.py").write_text("def brief(attempt):\n    return 1.0\n")
    start(OWN, folder=old)
    old.rename(new)
    return RunFolder(new / "run")


OWN = """
model = { name = "tiny" }
data = { source = "folder", path = "pets" }
rewards = { accuracy = 1.0, "mine.py:brief" = 0.5 }
"""


def test_a_run_that_moved_with_its_data_finds_them(start: Start, tmp_path: Path) -> None:
    run = moved(start, tmp_path)
    recipe = recipe_of(run)
    assert recipe.data.path == str(tmp_path / "new" / "pets")
    assert [*recipe.rewards] == ["accuracy", f"{tmp_path}/new/mine.py:brief"]


def test_a_run_is_resumed_where_its_data_are_now(start: Start, tmp_path: Path) -> None:
    run = moved(start, tmp_path)
    start(OWN, resume=True, folder=tmp_path / "new")
    assert parse_recipe(run.resolved.read_text("utf-8"), "it").data.path == f"{tmp_path}/new/pets"


def test_other_data_at_the_same_place_are_told(start: Start, tmp_path: Path) -> None:
    run = moved(start, tmp_path)
    policy = fakes.FakePolicy(fakes.never)
    recipe = recipe_of(run)
    examples = load_examples(recipe, "train").examples
    before = fingerprint(recipe, examples, policy)
    check_fingerprint(run, before, run.folder)
    check_fingerprint(run, before, run.folder)
    (tmp_path / "new" / "mine.py").write_text("def brief(attempt):\n    return 0.0\n")
    with pytest.raises(RecipeError, match=r"cannot resume: mine\.py changed since the run began"):
        check_fingerprint(run, fingerprint(recipe, examples, policy), run.folder)
    Image.new("RGB", (32, 32), "blue").save(tmp_path / "new" / "pets" / "cat" / "1.png")
    with pytest.raises(RecipeError, match=r"cannot resume: data and mine\.py changed"):
        check_fingerprint(run, fingerprint(recipe, examples, policy), run.folder)


@pytest.mark.parametrize(("before", "notes"), [
    ({**versions(), "torch": "1.0", "trl": "0.1", "gone": "3"},
     [f"torch 1.0 -> {versions()['torch']}, trl 0.1 -> {versions()['trl']}"]),
    (versions(), []),
    ({"rftkit": versions()["rftkit"]}, []),
])  # fmt: skip
def test_other_libraries_than_at_the_beginning_are_listed(
    tmp_path: Path, before: object, notes: list[str]
) -> None:
    run = RunFolder(tmp_path)
    run.set_status("running", versions=before)
    began = "other versions than when the run began, results may differ: "
    assert version_notes(run) == [began + note for note in notes]


def test_they_are_said_when_a_run_is_resumed(start: Start) -> None:
    run = start(RECIPE)
    run.set_status("stopped", versions={**versions(), "peft": "0.0.1"})
    said = io.StringIO()
    start(RECIPE, resume=True, said=said)
    assert "note: other versions than when the run began, results may differ: peft 0.0.1 -> " in (
        said.getvalue()
    )


@pytest.mark.parametrize(
    ("steps", "which"),
    [
        ([1, 2, 3, 4], ""),
        ([1, 2, 3], ""),  # the checkpoint is of step 3
        ([], "step 1 and 2 more"),
        ([1, 3, 4], "step 2"),
        ([1, 1, 2, 3], "step 1"),
        ([1, [2], 3], "step 2"),
    ],
)
def test_a_hole_in_the_steps_is_told(tmp_path: Path, steps: list[object], which: str) -> None:
    run = RunFolder(tmp_path)
    run.metrics.write_text("".join(f'{{"step": {step}}}\n' for step in steps))
    told = f"{run.metrics}: does not hold {which} once, of 3 that were trained"
    assert [note.partition(";")[0] for note in lines_notes(run, 3)] == ([told] if which else [])
