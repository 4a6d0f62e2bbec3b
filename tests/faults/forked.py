"""Commands of rftkit in forked processes: the libraries are imported once, in this one."""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn, TextIO

SAID = "said.txt"  # what a command prints, in the folder where it works
HANGS = 600.0  # seconds after which a command counts as stuck
# packages that a run imports as it goes; what is imported here is not imported again by each child
HEAVY = {
    *("rftkit", "torch", "transformers", "trl", "peft", "datasets", "accelerate", "safetensors"),
    *(
        "matplotlib",
        "numpy",
        "scipy",
        "sklearn",
        "PIL",
        "jinja2",
        "rich",
        "imagehash",
        "tokenizers",
    ),
    *("bitsandbytes", "tokenizers", "pandas", "pydantic", "huggingface_hub", "faster_coco_eval"),
}


class Ended(NamedTuple):
    """How a command ended: exit code, or minus the signal; all that it printed."""

    code: int
    said: str
    seconds: float  # of processor time

    @property
    def line(self) -> str:
        """The last line."""
        return self.said.rstrip().rpartition("\n")[2]


class Child:
    """A command that runs in a process of its own, in `folder`."""

    def __init__(self, pid: int, folder: Path, log: Path) -> None:
        self.pid, self.folder, self.log = pid, folder, log
        self.handle = os.pidfd_open(pid)
        self.ended: Ended | None = None

    def over(self, seconds: float = 0.0) -> bool:
        """Whether it has ended, after waiting so long at most."""
        return self.ended is not None or bool(select.select([self.handle], [], [], seconds)[0])

    def worked(self) -> float:
        """Seconds of processor time so far, which do not depend on what else the machine does."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def over_after(self, seconds: float) -> bool:
        """Whether it has ended before it has worked so long."""
        while self.worked() < seconds:
            if self.over(0.005):
                return True
        return False

    def send(self, number: int) -> None:
        """A signal, unless it has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, number)

    def wait(self, seconds: float = HANGS) -> Ended:
        """Its end. One that is stuck is killed, and says so in its last line."""
        if self.ended is None:
            late = not self.over(seconds)
            if late:
                self.send(signal.SIGKILL)
            _, status, used = os.wait4(self.pid, 0)
            os.close(self.handle)
            said = self.log.read_text("utf-8", "replace") + ("\nit hangs\n" if late else "")
            code = os.waitstatus_to_exitcode(status)
            self.ended = Ended(code, said, used.ru_utime + used.ru_stime)
        return self.ended

    def wait_until(self, happened: Callable[[], bool]) -> bool:
        """Whether it happened before the command ended."""
        while not happened():
            if self.over(0.002):
                return happened()
        return True


def start(
    words: Sequence[str], folder: Path, setup: Callable[[], None] | None = None, log: str = SAID
) -> Child:
    """`rftkit` with these words, begun in `folder`. setup: called in the new process first."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _be_rftkit(words, folder, setup, folder / log)
    return Child(pid, folder, folder / log)


def run(words: Sequence[str], folder: Path, setup: Callable[[], None] | None = None) -> Ended:
    """`rftkit` with these words, to its end."""
    return start(words, folder, setup).wait()


def preload(words: Sequence[str], folder: Path) -> None:
    """Import all that a command imports, as one run of it shows, and start no thread."""
    assert "numpy" not in sys.modules, "its threads have begun"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # a fork takes no threads along
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    import torch

    torch.set_num_threads(1)
    importlib.import_module("rftkit.cli.main")
    importlib.import_module("rftkit.training.run")
    seen, beside = folder / "modules.txt", os.getpid()

    def tell() -> None:
        import atexit

        assert os.getpid() != beside
        atexit.register(lambda: seen.write_text("\n".join([*sys.modules]), "utf-8"))

    ended = run(words, folder, tell)
    assert ended.code == 0, ended.said
    for name in seen.read_text("utf-8").split():
        if name.partition(".")[0] in HEAVY and name not in sys.modules:
            with suppress(Exception):  # what cannot be imported by its name alone, a child imports
                importlib.import_module(name)
    gc.freeze()  # a child need not look at what was imported


def _be_rftkit(
    words: Sequence[str], folder: Path, setup: Callable[[], None] | None, log: Path
) -> NoReturn:
    """Become the command line in this forked process, and end with its exit code."""
    import atexit

    code = 99
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for stream, source in ((0, nothing), (1, handle), (2, handle)):
            os.dup2(source, stream)
        atexit._clear()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.environ["COLUMNS"] = "1000"  # no line that is looked for is broken
        _draw_less()
        if setup:
            setup()
        code = _exit_code(words)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with suppress(BaseException):
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _draw_less() -> None:
    """Charts without their lines, and fewer draws for intervals: half of a short run's time."""
    import matplotlib.figure

    from rftkit.measures import statistics

    def drawn(self: object, file: TextIO, **_: object) -> None:
        file.write('<svg viewBox="0 0 1 1"></svg>')

    matplotlib.figure.Figure.savefig = drawn
    statistics.RESAMPLES = 20


def _exit_code(words: Sequence[str]) -> int:
    from rftkit.cli.main import main

    sys.argv = ["rftkit", *map(str, words)]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
