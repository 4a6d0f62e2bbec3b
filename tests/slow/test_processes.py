"""Real processes and real signals: two at once, and one that is told to stop at any moment."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rftkit.metrics.samples import read_samples
from rftkit.runs.run import RunFolder, new_run, state

pytestmark = pytest.mark.slow

Started = subprocess.Popen[str]
ShortRun = Callable[..., RunFolder]
Rftkit = Callable[..., Started]
SLOWLY = ("method.steps=1", "eval.batch_size=1", "eval.limit=20")  # 40 replies, one by one
TRAIN = ["train", "short.toml", "--out", "run"]
TRAIN_SLOWLY = [*TRAIN, *(word for change in SLOWLY for word in ("--set", change))]
PATIENCE = 900  # seconds; a machine may be busy
SIGNALS = [signal.SIGINT, signal.SIGTERM]
STUBBORN = """
import pathlib, time
def stubborn(attempt):
    pathlib.Path("entered").touch()
    while True:
        try:
            time.sleep(0.05)
        except Exception:
            pass
"""
AT_IMPORT = STUBBORN + "stubborn(None)\n"


@pytest.fixture
def rftkit(short_run: ShortRun, tmp_path: Path) -> Iterator[Rftkit]:
    """Start `rftkit` with these words, beside `short.toml`. first: code that runs before it."""
    begun: list[Started] = []

    def start(*words: object, first: str = "") -> Started:
        # Ctrl-C is ignored where a shell began pytest in the background
        heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
        code = f"{heard}\n{first}\nfrom rftkit.cli.main import main\nmain()"
        begun.append(
            subprocess.Popen(
                [sys.executable, "-P", "-c", code, *map(str, words)],
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
                cwd=tmp_path,
            )
        )
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def ended(process: Started) -> tuple[int, str]:
    """Exit code and last line. What it says holds no traceback."""
    said = process.communicate(timeout=PATIENCE)[1]
    assert "Traceback" not in said
    return process.returncode, said.rstrip().rpartition("\n")[2]


def wait_until(process: Started, reached: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not reached():
        assert process.poll() is None, f"it ended before that: {process.communicate()[1]}"
        assert time.monotonic() < until, "it did not get that far"
        time.sleep(0.005)


def answered(run: RunFolder) -> int:
    """Replies in the samples of a run's evaluation, whole ones."""
    file = run.evaluations / "test" / "samples.jsonl"
    return len(read_samples(file).samples) if file.exists() else 0


def locks_in(folder: Path) -> list[Path]:
    return list(folder.rglob("lock"))


def give_reward(folder: Path, code: str) -> None:
    """Write a reward of one's own into the folder, and into its recipe."""
    (folder / "mine.py").write_text(code, "utf-8")
    with (folder / "short.toml").open("a", encoding="utf-8") as recipe:
        recipe.write('[rewards]\n"mine.py:stubborn" = 1.0\n')


@pytest.mark.parametrize("what", ["train", "eval"])
def test_an_evaluation_that_is_being_run_is_not_run_twice(
    rftkit: Rftkit, short_run: ShortRun, tmp_path: Path, what: str
) -> None:
    run = RunFolder(tmp_path / "run")
    if what == "eval":
        run = short_run(*SLOWLY)
        for path in (run.evaluations / "test").iterdir():
            path.unlink()
    words = TRAIN_SLOWLY if what == "train" else ["eval", "--ckpt", "run"]
    first = rftkit(*words)
    wait_until(first, lambda: answered(run) >= 1)
    first.send_signal(signal.SIGSTOP)
    code, line = ended(rftkit("eval", "--ckpt", "run"))
    assert code == 1
    assert line.startswith(f"rftkit: run/eval/test: in use by process {first.pid} on ")
    first.send_signal(signal.SIGCONT)
    assert first.wait(PATIENCE) == 0
    assert ended(rftkit("eval", "--ckpt", "run"))[0] == 0
    assert answered(run) == 40
    assert locks_in(tmp_path) == []


@pytest.mark.parametrize("moment", ["loading", "evaluating"])
def test_a_run_that_is_stopped_says_how_to_go_on(
    rftkit: Rftkit, tmp_path: Path, moment: str
) -> None:
    run = RunFolder(tmp_path / "run")
    process = rftkit(*TRAIN_SLOWLY)
    if moment == "loading":
        wait_until(process, run.status_file.exists)
    else:
        wait_until(process, lambda: answered(run) >= 1)
    process.send_signal(signal.SIGTERM)
    code, line = ended(process)
    assert code == 143
    assert line.startswith("rftkit: stopped; continue with: ")
    assert " train short.toml --out run " in line
    assert line.endswith(" --resume")
    assert locks_in(tmp_path) == []
    assert state(run) == ("trained" if moment == "evaluating" else "stopped")
    if moment == "evaluating":
        kept = answered(run)
        assert 1 <= kept < 40
        assert ended(rftkit(*TRAIN_SLOWLY, "--resume"))[0] == 0
        assert (state(run), answered(run)) == ("finished", 40)


@pytest.mark.parametrize("number", SIGNALS)
def test_an_evaluation_that_is_stopped_says_how_to_go_on(
    rftkit: Rftkit, short_run: ShortRun, tmp_path: Path, number: int
) -> None:
    run = short_run(*SLOWLY)
    for path in (run.evaluations / "test").iterdir():
        path.unlink()
    process = rftkit("eval", "--ckpt", "run")
    wait_until(process, lambda: answered(run) >= 1)
    process.send_signal(number)
    code, line = ended(process)
    assert code == 128 + number
    assert line.startswith("rftkit: stopped; continue with: ")
    assert line.endswith(" eval --ckpt run")
    assert locks_in(tmp_path) == []
    assert ended(rftkit("eval", "--ckpt", "run"))[0] == 0
    assert answered(run) == 40


@pytest.mark.parametrize("number", SIGNALS)
def test_a_stop_before_the_run_has_a_folder_is_one_line(
    rftkit: Rftkit, tmp_path: Path, number: int
) -> None:
    give_reward(tmp_path, AT_IMPORT)
    process = rftkit(*TRAIN)
    wait_until(process, (tmp_path / "entered").exists)
    process.send_signal(number)
    assert ended(process) == (128 + number, "rftkit: stopped")
    assert not (tmp_path / "run").exists()


def test_a_reward_that_swallows_errors_can_be_stopped(rftkit: Rftkit, tmp_path: Path) -> None:
    give_reward(tmp_path, STUBBORN)
    process = rftkit(*TRAIN)
    wait_until(process, (tmp_path / "entered").exists)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "once more stops at once" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    code, line = ended(process)
    assert code == 130
    assert line.startswith("rftkit: stopped; continue with: ")
    assert state(RunFolder(tmp_path / "run")) == "stopped"


def test_a_reward_that_swallows_every_stop_is_ended_by_force(
    rftkit: Rftkit, tmp_path: Path
) -> None:
    give_reward(tmp_path, STUBBORN.replace("except Exception", "except BaseException"))
    process = rftkit(*TRAIN)
    wait_until(process, (tmp_path / "entered").exists)
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    while "once more stops at once" not in process.stderr.readline():
        assert process.poll() is None
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)  # two that come at once are one
    assert ended(process) == (130, "ended by force; continue with --resume")


def test_a_reward_that_hangs_is_ended_in_time(rftkit: Rftkit, tmp_path: Path) -> None:
    give_reward(tmp_path, STUBBORN)
    code, line = ended(rftkit(*TRAIN, "--reward-timeout", 1))
    assert code == 3
    assert line.startswith("rftkit: rewards.")
    assert " did not return within --reward-timeout 1 s on " in line
    assert state(RunFolder(tmp_path / "run")) == "failed"


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("file", ["recipe.toml", "resolved.toml"])
def test_a_stop_as_a_run_begins_leaves_a_folder_where_it_can_begin(
    rftkit: Rftkit, tmp_path: Path, file: str, number: int
) -> None:
    stop = f"""
import os, rftkit.files as files
write = files.write_atomically
def writing(path, text):
    write(path, text)
    if path.name == {file!r}:
        os.kill(os.getpid(), {int(number)})
files.write_atomically = writing
"""
    assert ended(rftkit(*TRAIN, first=stop)) == (128 + number, "rftkit: stopped")
    assert new_run(tmp_path / "run").folder == tmp_path / "run"
    assert list((tmp_path / "run").iterdir()) == []


def test_a_run_whose_terminal_closes_saves_and_can_go_on(
    short_run: ShortRun, tmp_path: Path
) -> None:
    """As when a laptop's lid falls on an ssh session: SIGHUP, and nothing more can be printed."""
    process, terminal = pty.fork()
    if not process:
        os.chdir(tmp_path)
        words = ["-m", "rftkit", *TRAIN, "--set", "method.steps=500", "--save-every", "400"]
        os.execv(sys.executable, [sys.executable, "-P", *words])
    run, until = RunFolder(tmp_path / "run"), time.monotonic() + PATIENCE
    while not run.metrics.exists():
        assert time.monotonic() < until
        if select.select([terminal], [], [], 0.05)[0]:
            os.read(terminal, 65536)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 128 + signal.SIGHUP
    assert state(run) == "stopped"
    assert len([*run.checkpoints.iterdir()]) == 1
    assert locks_in(tmp_path) == []
