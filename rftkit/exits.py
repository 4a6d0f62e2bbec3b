"""How a command ends: what the user can mend becomes one line and an exit code."""

from __future__ import annotations

import errno
import io
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from typer.core import TyperGroup

from rftkit.errors import Interrupted, UserError
from rftkit.printable import printable

MENDED = {  # what an operating system refuses and a user can mend
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room on the disk",
    errno.EROFS: "name a folder that can be written",
    errno.EACCES: "check its rights",
    errno.EPERM: "check its rights",
    errno.ENOTDIR: "a part of the path is a file",
    errno.ENAMETOOLONG: "shorten the name",
    errno.EMFILE: "raise `ulimit -n`",
}


class Verbs(TyperGroup):
    """Typer's commands, but Ctrl-C is ours: some of its versions exit 1, others say nothing."""

    def invoke(self, ctx: Any) -> Any:
        """What the command returns. Raises Interrupted on Ctrl-C."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted(signal.SIGINT) from None


def run(command: Callable[[], object]) -> NoReturn:
    """Run a command and exit: 0, or the code of what stopped it, said in one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a pipe that knows no "≥" gets a "?"
    try:
        command()
    except (UserError, Interrupted) as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("stopped", 128 + signal.SIGINT)
    except OSError as error:
        if error.errno not in MENDED:
            raise
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror}; {MENDED[error.errno]}", 1)
    raise SystemExit(0)


def _fail(message: str, code: int) -> NoReturn:
    print(f"rftkit: {printable(' '.join(message.split()))}", file=sys.stderr)
    raise SystemExit(code)
