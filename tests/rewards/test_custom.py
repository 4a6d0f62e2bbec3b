"""A user's custom reward: loaded from its file, paid like any other, and refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rftkit.core import Attempt, Completion
from rftkit.errors import Interrupted, RecipeError, TrainingError
from rftkit.recipe.resolve import with_absolute_paths
from rftkit.recipe.toml import parse_recipe
from rftkit.rewards.custom import load_reward
from rftkit.tasks import classification

MINE = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Weights:
    short: float = 0.5

def brief(attempt):
    return Weights().short if len(attempt.completion.text) < 60 else 0

def broken(attempt):
    return attempt.example.meta["nothing"]

def wordy(attempt):
    return "much"

def leaving(attempt):
    raise SystemExit(0)

LIMIT = 3
"""


def attempt(text: str = "<think>a</think><answer>rose</answer>") -> Attempt:
    task = classification.TASK
    return task.attempt(task.sample, "think", Completion(text))


def written(folder: Path, text: str = MINE, name: str = "mine.py") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, "utf-8")
    return folder / name


def test_a_function_of_a_file_is_a_reward(tmp_path: Path) -> None:
    reward = load_reward(f"{written(tmp_path)}:brief")
    assert (reward(attempt()), reward(attempt("x" * 60))) == (0.5, 0.0)


def test_a_path_counts_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "rewards")
    monkeypatch.chdir(tmp_path)
    assert load_reward("rewards/mine.py:brief")(attempt()) == 0.5


def test_two_files_of_one_name_do_not_mix(tmp_path: Path) -> None:
    for folder, value in (("a", 0.25), ("b", 0.75)):
        written(tmp_path / folder, f"def same(attempt): return {value}")
    found = [load_reward(f"{tmp_path}/{folder}/mine.py:same")(attempt()) for folder in "ab"]
    assert found == [0.25, 0.75]


@pytest.mark.parametrize(("text", "function", "says"), [
    (MINE, "breif", "no function 'breif' in "),
    (MINE, "breif", "it has brief, broken, leaving, wordy"),
    (MINE, "LIMIT", "no function 'LIMIT' in "),
    ("x = 1", "brief", "it has none"),
    ("import nothing_of_this_name", "brief", "cannot be run (ModuleNotFoundError: No module named"),
    ("def brief(:", "brief", "cannot be run (SyntaxError: invalid syntax"),
    ("1 / 0", "brief", "cannot be run (ZeroDivisionError: division by zero); fix it"),
    ("raise SystemExit(3)", "brief", "cannot be run (SystemExit: 3); fix it"),
])  # fmt: skip
def test_what_holds_no_reward_is_refused(
    tmp_path: Path, text: str, function: str, says: str
) -> None:
    name = f"{written(tmp_path, text)}:{function}"
    with pytest.raises(RecipeError) as caught:
        load_reward(name)
    line = str(caught.value)
    assert line.startswith(f"rewards.{name}: ")
    assert says in line
    assert "\n" not in line


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"mine\.py:brief: no file .*; give its path"):
        load_reward(f"{tmp_path}/mine.py:brief")


@pytest.mark.parametrize(("function", "says"), [
    ("broken", "raised KeyError: 'nothing' on "),
    ("wordy", "returned 'much'; a reward must be a number"),
    ("leaving", "raised SystemExit: 0 on "),
])  # fmt: skip
def test_a_reward_that_fails_while_training_says_so(
    tmp_path: Path, function: str, says: str
) -> None:
    name = f"{written(tmp_path)}:{function}"
    with pytest.raises(TrainingError) as caught:
        load_reward(name)(attempt())
    assert str(caught.value).startswith(f"rewards.{name}: {says}")


@pytest.mark.parametrize("stop", ["raise Stop", "try: raise Stop\n    except Exception: return 0"])
def test_a_reward_cannot_swallow_a_stop(tmp_path: Path, stop: str) -> None:
    text = (
        f"from rftkit.errors import Interrupted\nStop = Interrupted(15)\ndef brief(_):\n    {stop}"
    )
    with pytest.raises(Interrupted):
        load_reward(f"{written(tmp_path, text)}:brief")(attempt())


def test_the_run_keeps_the_place_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = '[data]\nsource = "digits"\n[rewards]\naccuracy = 1.0\n"mine.py:brief" = 0.5\n'
    recipe = parse_recipe(text, "mine.toml")
    assert [*recipe.rewards] == ["accuracy", "mine.py:brief"]
    assert with_absolute_paths(recipe).rewards == {
        "accuracy": 1.0,
        f"{tmp_path}/mine.py:brief": 0.5,
    }
