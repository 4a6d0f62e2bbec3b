"""Files of a run that are gone or changed as it is resumed: mended, or said in one line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import fakes
import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from rftkit.errors import ModelError, TrainingError
from rftkit.runs.adapter import CONFIG, README
from rftkit.runs.checkpoints import WEIGHTS
from rftkit.runs.run import RunFolder
from rftkit.training.callbacks import Keeper
from rftkit.training.mending import restore_settings, rollouts_notes
from rftkit.training.request import TrainRequest
from rftkit.training.run import Steps, train

RECIPE = """
model = { name = "tiny" }
data = { source = "digits", shots = 1 }
"""
ANEW = "it is made again from the last checkpoint"
Session = Callable[[], str]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@pytest.fixture
def session(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Begins the run, then resumes it: one that trains nothing and stops as it is to evaluate.

    Returns what it said.
    """
    policy = fakes.FakePolicy(fakes.never, processor=SimpleNamespace(chat_template=None))

    def stop(*_: object) -> None:
        raise TrainingError("stops here")

    for name in ("open_for_training", "open_for_inference"):
        monkeypatch.setattr(f"rftkit.training.run.{name}", lambda *_: policy)
    monkeypatch.setattr("rftkit.training.run.run_evaluation", stop)
    monkeypatch.setattr("rftkit.training.trainer.newest_checkpoint", lambda *_: tmp_path)
    monkeypatch.setattr(Steps, "_fit", lambda *_: None)
    recipe = tmp_path / "mine.toml"
    recipe.write_text(RECIPE)

    def once() -> str:
        said = io.StringIO()
        request = TrainRequest(recipe=recipe, out=run.folder, resume=run.folder.exists())
        with pytest.raises(TrainingError, match="stops here"):
            train(request, Console(file=said, width=400))
        return said.getvalue()

    return once


def test_nothing_is_said_of_an_adapter_that_is_as_it_was(run: RunFolder, session: Session) -> None:
    session()
    assert run.status()["state"] == "trained"
    before = {path.name: path.read_bytes() for path in run.adapter.iterdir()}
    said = session()
    assert "README" not in said
    assert ANEW not in said
    assert {path.name: path.read_bytes() for path in run.adapter.iterdir()} == before


@pytest.mark.parametrize("state", ["trained", "finished"])
@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_model_card_that_is_gone_is_written_again(
    run: RunFolder, session: Session, harm: Callable[[Path], object], state: str
) -> None:
    session()
    readme = run.adapter / README
    before = readme.read_bytes()
    assert b"trained with rftkit" in before
    run.set_status("trained" if state == "trained" else "finished")
    harm(readme)
    assert f"note: {readme}: was gone; it is written again\n" in session()
    assert readme.read_bytes() == before
    assert "README" not in session()


def test_a_model_card_that_has_changed_is_kept_and_named(run: RunFolder, session: Session) -> None:
    session()
    readme = run.adapter / README
    readme.write_text("my own words")
    note = f"note: {readme}: is not as the run wrote it; delete it, and --resume writes it anew\n"
    assert note in session()
    assert readme.read_text() == "my own words"
    run.set_status("finished")
    assert "README" not in session(), "the card of a finished run is its owner's"
    assert readme.read_text() == "my own words"


def test_of_a_run_without_hashes_no_change_is_known(run: RunFolder, session: Session) -> None:
    session()
    status = run.status()
    del status["adapter_files"]
    run.status_file.write_text(json.dumps(status))
    for name in (README, CONFIG):
        (run.adapter / name).write_text("[]")
    said = session()
    assert "README" not in said
    assert ANEW not in said


def test_a_configuration_that_has_changed_is_made_again(
    run: RunFolder, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session()
    config = run.adapter / CONFIG
    config.write_text('{"megatron_core": "megatron/core"}')
    harm = f"{run.adapter}: {CONFIG} has changed since it was saved"
    newest = "rftkit.training.trainer.newest_checkpoint"
    monkeypatch.setattr(newest, lambda *_: None)
    with pytest.raises(ModelError, match=f"^{harm}; take it from a copy"):
        session()
    monkeypatch.setattr(newest, lambda *_: run.folder)
    assert f"{harm}; {ANEW}" in session()
    assert config.read_text() == "{}"
    assert ANEW not in session()


def test_the_configuration_of_a_finished_run_may_name_its_base_elsewhere(
    run: RunFolder, session: Session
) -> None:
    session()
    run.set_status("finished")
    config = run.adapter / CONFIG
    config.write_text('{"base_model_name_or_path": "/models/tiny"}')
    assert ANEW not in session()
    assert config.read_text() == '{"base_model_name_or_path": "/models/tiny"}'


def test_an_adapter_that_is_made_again_keeps_the_words_of_its_card(
    run: RunFolder, session: Session
) -> None:
    session()
    run.set_status("finished")
    (run.adapter / README).write_text("my own words")
    (run.adapter / WEIGHTS).write_bytes(b"cut")
    said = session()
    assert ANEW in said
    assert f"{README}: is not as the run wrote it" in said
    assert (run.adapter / README).read_text() == "my own words"
    assert (run.adapter / WEIGHTS).read_bytes() == b"weights"


def test_rollouts_that_are_gone_are_said_as_a_run_is_resumed(
    run: RunFolder, session: Session
) -> None:
    session()
    (run.checkpoints / "step-000002").mkdir(parents=True)
    run.rollouts.write_text('{"step": 1}\n')
    assert "rollouts.jsonl" not in session()
    run.rollouts.unlink()
    lost = "is gone, or empty; what it held of the steps up to 2 is lost"
    assert f"note: {run.rollouts}: {lost}\n" in session()


@pytest.mark.parametrize(
    ("method", "step", "lost"),
    [
        ({"kind": "grpo", "steps": 9}, 1, True),
        ({"kind": "exact", "steps": 9}, 4, True),
        ({"kind": "grpo", "steps": 9, "warmup": {"steps": 3}}, 3, False),
        ({"kind": "grpo", "steps": 9, "warmup": {"steps": 3}}, 4, True),
        ({"kind": "sft", "steps": 9}, 9, False),
    ],
)
def test_runs_that_sample_have_rollouts_from_their_first_step_on(
    tmp_path: Path, method: dict[str, object], step: int, lost: bool
) -> None:
    run = RunFolder(tmp_path)
    recipe = fakes.recipe(method=method, style="direct")
    assert bool(rollouts_notes(run, recipe, step)) == lost
    run.rollouts.touch()
    assert bool(rollouts_notes(run, recipe, step)) == lost
    run.rollouts.write_text("{}\n")
    assert rollouts_notes(run, recipe, step) == []


def save(keeper: Keeper, step: int) -> Path:
    """A checkpoint of what a trainer has saved."""
    staging = keeper.run.checkpoints / ".staging"
    folder = staging / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    save_file({"weight": torch.ones(2)}, folder / WEIGHTS)
    state = SimpleNamespace(global_step=step)
    keeper.on_save(SimpleNamespace(output_dir=str(staging)), state, None)
    return keeper.run.checkpoints / f"step-{step:06d}"


def test_settings_that_are_gone_come_back_from_the_newest_whole_checkpoint(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    keeper = Keeper(run)
    assert restore_settings(run) == [], "nothing has begun"
    for step in (1, 2):
        run.effective.write_text(json.dumps({"beta": str(step)}))
        newest = save(keeper, step)
    assert restore_settings(run) == []
    run.effective.unlink()
    said = f"{run.effective}: was gone; it is again as step-000002 holds it"
    assert restore_settings(run) == [said]
    assert run.settings_in_force() == {"beta": "2"}
    (newest / run.effective.name).write_text('{"beta": "3"}')
    run.effective.unlink()
    restore_settings(run)
    assert run.settings_in_force() == {"beta": "1"}, "nothing is taken of a damaged checkpoint"


def test_settings_that_no_checkpoint_holds_are_named(run: RunFolder, session: Session) -> None:
    session()
    run.checkpoints.mkdir()
    save(Keeper(run), 1)
    gone = "is gone; the report lacks what it said of how the run trained"
    assert f"note: {run.effective}: {gone}\n" in session()
    assert not run.effective.exists()
    run.effective.write_text("{}")
    assert gone not in session()
