"""What a word of `rftkit compare` may name, and what it says where there is nothing."""

from __future__ import annotations

from pathlib import Path

import compared
import pytest

from rftkit.comparison.locate import eval_command, locate
from rftkit.errors import UserError

TEXTS = ["cat"] * 6


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return compared.evaluated(tmp_path / "out/pets", TEXTS).folder


def test_a_run_is_its_evaluation_on_the_test_split(run: Path) -> None:
    found = locate(run, None)
    assert (found.evaluation, found.name, found.step) == (run / "eval/test", "pets", None)
    assert found.recipe
    assert found.recipe.style == "direct"
    assert locate(run, "val").evaluation == run / "eval/val"


@pytest.mark.parametrize("inside", ["eval/test", "eval/test/samples.jsonl", "adapter"])
def test_the_parts_of_a_run_are_the_run(run: Path, inside: str) -> None:
    found = locate(run / inside, None)
    assert (found.evaluation.resolve(), found.name) == (run / "eval/test", "pets")
    assert found.run
    assert found.run.folder == run


def test_another_evaluation_of_a_run_has_a_name_of_its_own(run: Path) -> None:
    other = compared.evaluation(run / "eval/test-step-000050", compared.replies(TEXTS))
    found = locate(other, None)
    assert (found.name, found.step) == ("pets/test-step-000050", 50)


def test_a_checkpoint_is_its_own_evaluation(run: Path) -> None:
    checkpoint = run / "checkpoints/step-000050"
    checkpoint.mkdir(parents=True)
    (checkpoint / "adapter_config.json").write_text("{}")
    found = locate(checkpoint, None)
    assert found.evaluation == run / "eval/test-step-000050"
    assert (found.name, found.step) == ("pets/step-000050", 50)


def test_an_adapter_that_stands_alone_has_its_evaluations_inside(run: Path, tmp_path: Path) -> None:
    alone = (run / "adapter").rename(tmp_path / "mine")
    assert locate(alone, None).evaluation == alone / "eval/test"
    inside = compared.evaluation(alone / "eval/test", compared.replies(TEXTS))
    found = locate(inside, None)
    assert found.name == "mine/test"
    assert found.recipe
    assert found.recipe.model.name == "tiny"


def test_a_folder_of_runs_is_its_newest_and_says_so(run: Path) -> None:
    found = locate(run.parent, None)
    assert (found.evaluation, found.given) == (run / "eval/test", run)
    assert found.note == f"{run.parent}: its newest run, {run}"


def test_an_evaluation_alone_has_no_recipe(tmp_path: Path) -> None:
    folder = compared.evaluation(tmp_path / "theirs", compared.replies(TEXTS))
    found = locate(folder, None)
    assert (found.name, found.recipe, found.run) == ("theirs", None, None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "not found; name a run, an adapter or an evaluation's folder"),
        ("empty", "neither a run, an adapter nor an evaluation, and no run inside"),
        ("old", "summary.json without samples.jsonl; a comparison needs the replies"),
        ("notes.txt", "no evaluation's samples.jsonl"),
    ],
)
def test_what_is_nothing_of_this_is_named(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "old").mkdir()
    (tmp_path / "old/summary.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError) as caught:
        locate(tmp_path / name, None)
    assert str(caught.value).startswith(f"{tmp_path / name}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("named", "trained"),
    [
        ("", ""),
        ("adapter", "adapter"),
        ("eval/test", ""),
        ("eval/test-step-000050", "checkpoints/step-000050"),
    ],
)
def test_the_command_that_evaluates_names_what_was_trained(
    run: Path, named: str, trained: str
) -> None:
    compared.evaluation(run / "eval/test-step-000050", compared.replies(TEXTS))
    found = locate(run / named, None)
    assert eval_command(found, "val") == f"rftkit eval --ckpt {run / trained} --split val"
    assert found.is_evaluation == named.startswith("eval")
