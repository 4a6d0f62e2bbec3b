"""A user's custom reward: loaded from its file, paid like any other, and refused in one line."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from rftkit.core import Attempt, Completion
from rftkit.errors import Interrupted, RecipeError, TrainingError
from rftkit.recipe.resolve import with_absolute_paths
from rftkit.recipe.toml import parse_recipe
from rftkit.rewards import guard
from rftkit.rewards.custom import load_reward
from rftkit.rewards.guard import Patience
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

def huge(attempt):
    return 10**400

def large(attempt):
    return 1e39

def endless(attempt):
    return float("-inf") * -1

def undefined(attempt):
    return float("nan")

class Silent(Exception):
    def __str__(self):
        raise RuntimeError("no text")
    __repr__ = __str__

def unprintable(attempt):
    raise Silent

def unshown(attempt):
    return Silent()

import numbers
class Odd(int):
    def __float__(self):
        return 1 / 0

def own_number(attempt):
    return Odd(3)

def long(attempt):
    raise ValueError("x" * 100_000)

def vanishing(attempt):
    import os
    os._exit(0)

def closing(attempt):
    import sys
    sys.stdout.close()
    sys.stderr.close()
    return 1

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
    (MINE, "breif", "it has brief, broken, closing, endless, huge, large, leaving, "),
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
    ("huge", "returned no number that can be used (OverflowError: int too large to"),
    ("large", "returned 1e+39 on "),
    ("endless", "returned inf; a reward must be a finite number"),
    ("undefined", "returned nan; a reward must be a finite number"),
    ("unprintable", "raised Silent, whose text cannot be had on "),
    ("unshown", "returned Silent, whose text cannot be had; a reward must be a number"),
    ("own_number", "returned no number that can be used (ZeroDivisionError: division by zero)"),
    ("long", "raised ValueError: xxxx"),
    ("vanishing", "raised SystemExit: 0 on "),
    ("leaving", "raised SystemExit: 0 on "),
])  # fmt: skip
def test_a_reward_that_fails_while_training_says_so(
    tmp_path: Path, function: str, says: str
) -> None:
    name = f"{written(tmp_path)}:{function}"
    with pytest.raises(TrainingError) as caught:
        load_reward(name)(attempt())
    line = str(caught.value)
    assert line.startswith(f"rewards.{name}: {says}")
    assert len(line) < 500
    assert "\n" not in line


def test_a_file_that_ends_the_process_is_refused(tmp_path: Path) -> None:
    name = f"{written(tmp_path, 'import os; os._exit(0)')}:brief"
    with pytest.raises(RecipeError, match=r"cannot be run \(SystemExit: 0\); fix it$"):
        load_reward(name)


def test_the_streams_of_the_run_stay_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load_reward(f"{written(tmp_path)}:closing")(attempt()) == 1
    print("heard")
    assert capsys.readouterr().out == "heard\n"


SLEEPS = "import time\ndef brief(_):\n    "
SWALLOWS = "while True:\n        try: time.sleep(5)\n        except Exception: pass"


@pytest.mark.parametrize("body", ["time.sleep(50)", "while True: pass", SWALLOWS])
def test_a_reward_that_hangs_is_named_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    monkeypatch.setattr(guard, "SAID_AFTER", 0.01)
    monkeypatch.setattr(guard, "REPEATED", 0.01)
    said, name = list[str](), f"{written(tmp_path, SLEEPS + body)}:brief"
    reward = load_reward(name, Patience(said.append, 0.1))
    with pytest.raises(TrainingError) as caught:
        reward(attempt())
    where = attempt().example.id
    assert said == [
        f"rewards.{name}: {where}: has run for 0 s; --reward-timeout ends it after 0.1 s"
    ]
    assert str(caught.value) == (
        f"rewards.{name}: did not return within --reward-timeout 0.1 s on {where}; fix it"
    )
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


def test_a_reward_that_swallows_everything_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ended(KeyboardInterrupt):
        pass

    def ended(code: int) -> NoReturn:
        codes.append(code)
        Swallower.swallow = False
        raise Ended

    codes, said = list[int](), list[str]()
    monkeypatch.setattr(guard, "REPEATED", 0.01)
    monkeypatch.setattr(guard, "os_exit", ended)
    monkeypatch.setitem(sys.modules, "swallower", Swallower)
    text = """
import time, swallower
def brief(_):
    while True:
        try: time.sleep(5)
        except BaseException:
            if not swallower.swallow: raise
"""
    reward = load_reward(f"{written(tmp_path, text)}:brief", Patience(said.append, 0.05))
    with pytest.raises(Ended):
        reward(attempt())
    assert codes == [3]
    assert said[-1].endswith("does not end; continue with --resume")


class Swallower:
    swallow = True


def test_what_takes_long_is_said_once_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "SAID_AFTER", 0.01)
    monkeypatch.setattr(guard, "REPEATED", 0.01)
    said = list[str]()
    body = "until = time.monotonic() + 0.1\n    while time.monotonic() < until: pass\n    return 1"
    reward = load_reward(f"{written(tmp_path, SLEEPS + body)}:brief", Patience(said.append))
    assert reward(attempt()) == 1
    assert [line.rpartition("; ")[2] for line in said] == [
        "Ctrl-C stops, --reward-timeout sets a limit"
    ]


def test_processes_that_a_reward_forks_end_as_ever(tmp_path: Path) -> None:
    text = """
import os
def brief(_):
    child = os.fork()
    if not child:
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""
    assert load_reward(f"{written(tmp_path, text)}:brief")(attempt()) == 7


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


@pytest.mark.parametrize("raised", ["GeneratorExit", "type('Own', (BaseException,), {})"])
def test_whatever_a_reward_raises_is_one_line(tmp_path: Path, raised: str) -> None:
    reward = load_reward(f"{written(tmp_path, f'def brief(_): raise {raised}')}:brief")
    with pytest.raises(TrainingError, match=r"brief: raised (GeneratorExit|Own).*; fix it"):
        reward(attempt())


def test_a_file_answers_for_no_name_that_it_does_not_hold(tmp_path: Path) -> None:
    file = written(tmp_path, "def __getattr__(name): raise RuntimeError(name)")
    with pytest.raises(RecipeError, match=r"no function 'brief' in .*; it has __getattr__"):
        load_reward(f"{file}:brief")


def test_what_a_reward_does_to_its_attempt_stays_there(tmp_path: Path) -> None:
    reward = load_reward(f"{written(tmp_path, 'def brief(a): a.__dict__.clear(); return 1')}:brief")
    assert (reward(given := attempt()), given) == (1, attempt())
