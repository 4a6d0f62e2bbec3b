"""Commands in a notebook: their output as it comes, and an error if they fail."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import which

from rftkit.errors import RecipeError, UserError
from rftkit.messages import printable
from rftkit.runs.locks import forget_other_machines
from rftkit.runs.run import RunFolder, state, unfinished_run

COLUMNS = "100"  # how wide the output of a command is


def run(command: str, *words: object) -> None:
    """Run a command and show what it says, line by line. Raises UserError if it fails.

    words: further words of the command, spaces and all. `rftkit` is the one beside this Python. A
    notebook's stop button reaches the command too, which then finishes its step and saves.
    """
    whole = [*shlex.split(command), *map(str, words)]
    print(f"$ {shlex.join(whole)}", flush=True)
    with subprocess.Popen(
        _python(whole),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=_environment(),
    ) as child:
        code = _relay(child)
    if code:
        raise UserError(f"`{command} …` ended with exit code {code}; its last line says why")


def train(recipe: str | Path, folder: str | Path, *words: str) -> None:
    """Train into `folder`, or continue the run that was cut off there. words: further options.

    A run that is finished is left as it is. The lock of another machine goes: a notebook may keep
    its runs on a drive that outlives the machine.
    """
    whole = (recipe, "--out", folder, *words)
    try:
        unfinished = unfinished_run(Path(folder))
    except RecipeError:  # there is none
        _forget_other_machines(RunFolder(Path(folder)))
        run("rftkit train", *whole)
        return
    _forget_other_machines(unfinished)
    if state(unfinished) == "finished":
        print(f"{unfinished.folder} is finished: there is nothing to continue")
    else:
        run("rftkit train", *whole, "--resume")


def newest(folder: str | Path) -> Path:
    """The newest run in a folder or its numbered siblings: a cell that is run twice makes two."""
    return unfinished_run(Path(folder)).folder


def require_gpu(name: str) -> None:
    """Raises UserError, saying where Colab has it, if this machine has no NVIDIA GPU."""
    if which("nvidia-smi") is None:
        raise UserError(f"no GPU here: Runtime → Change runtime type → {name} GPU, then start anew")


def json_lines(words: Sequence[str]) -> list[dict[str, object]]:
    """The JSON objects that a command prints. Raises UserError with its last line if it fails."""
    done = subprocess.run(
        _python(words), capture_output=True, encoding="utf-8", env=_environment(), check=False
    )
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise UserError(last or f"`{shlex.join(words)}` ended with exit code {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def _python(words: Sequence[str]) -> list[str]:
    first, *rest = words
    own = [sys.executable, "-P", "-m", "rftkit"]  # -P: not from the current folder
    return [*own, *rest] if first == "rftkit" else [first, *rest]


def _environment() -> dict[str, str]:
    """This process's, for output that is plain lines: a kernel asks for colours and live bars."""
    kept = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "CLICOLOR_FORCE")}
    return kept | {"NO_COLOR": "1", "COLUMNS": COLUMNS, "PYTHONUNBUFFERED": "1"}


def _relay(child: subprocess.Popen[str]) -> int:
    """Print what a command says until it ends; its exit code.

    The signal of the stop button goes to the whole process group, most often. Where the command
    did not get it, a second press sends it.
    """
    assert child.stdout is not None
    pressed = 0
    while True:
        try:
            for line in child.stdout:
                print(printable(line), end="", flush=True)
            return child.wait()
        except KeyboardInterrupt:
            pressed += 1
            if pressed > 1:
                child.send_signal(signal.SIGINT)


def _forget_other_machines(run: RunFolder) -> None:
    for folder in (run.folder, *run.evaluations.glob("*")):
        forget_other_machines(folder)
