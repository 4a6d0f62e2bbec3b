"""Wording that many modules share: likely names in errors, and text made safe to show."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from shutil import which

LONGEST = 1000  # characters of an error's line
LAST = 200  # of them that stay from the end of a longer one


def did_you_mean(wrong: str, choices: Iterable[str]) -> str:
    """The end of an error: the likeliest name, or all of them."""
    names = [str(name) for name in choices]
    close = get_close_matches(wrong, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names) or 'none'}"


def missing_column(role: str, column: str, columns: Iterable[str]) -> str:
    """The end of an error about a column that is not there."""
    hint = did_you_mean(column, columns)
    stop = "" if hint.endswith("?") else "."
    return f"no column {column!r}; {hint}{stop} Set data.columns.{role} in the recipe"


def first_line(error: BaseException, longest: int = 160) -> str:
    """The first line of an error's text that says something, cut to `longest` characters.

    The name of its type where it has no text, as many of the standard errors do.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip()[:longest]


def in_short(thing: object, longest: int = 200) -> str:
    """An error as its type and text, or the repr of a value: one line, cut, whatever it raises.

    >>> in_short(KeyError("cat")), in_short("cat")
    ("KeyError: 'cat'", "'cat'")
    """
    kind = type(thing).__name__
    try:
        text = f"{kind}: {thing}" if isinstance(thing, BaseException) else repr(thing)
    except Exception:  # of a class that is not ours
        text = f"{kind}, whose text cannot be had"
    line = " ".join(text[: 10 * longest].split())
    return f"{line[:longest]}…" if len(line) > longest else line


def runnable(*words: str) -> str:
    """`rftkit` with these arguments, as a line that runs in this folder as it is printed.

    The program goes by its name where the shell finds this very installation by it, and by its
    path elsewhere: nobody has to activate an environment.
    """
    return shlex.join([*_program(), *words])


def pip_install(*words: str) -> str:
    """The line that installs something beside this rftkit, whichever environment is active."""
    pip = which("pip")
    ours = pip is not None and Path(pip).parent == Path(sys.executable).parent
    program = ["pip"] if ours else [_within(Path(sys.executable)), "-m", "pip"]
    return shlex.join([*program, "install", *words])


def _program() -> list[str]:
    for script in (Path(sys.argv[0]), Path(sys.executable).with_name("rftkit")):
        if script.name == "rftkit" and script.is_file():
            program = which("rftkit")
            named = program is not None and Path(program).samefile(script)
            return ["rftkit"] if named else [_within(script)]
    return [_within(Path(sys.executable)), "-P", "-m", "rftkit"]


def _within(path: Path) -> str:
    """The path from the current folder if it lies there; with a slash, so that a shell runs it."""
    short = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return str(short) if len(short.parts) > 1 else f"./{short}"


def printable(text: str) -> str:
    """The text with control characters spelled out, so that none of them steers the terminal.

    Line ends and tabs stay.

    >>> printable("cat\\x1b[2J\\n")
    'cat\\\\x1b[2J\\n'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """The text as one line of at most LONGEST characters, in which nothing steers a terminal.

    Of a longer one the middle is left out: the beginning says where, the end how to fix it.

    >>> one_line("a.csv:3: 'x\\x1b[2J'\\nis no label")
    "a.csv:3: 'x\\\\x1b[2J' is no label"
    """
    line = printable("".join(" " if c in "\n\r\t" else c for c in text).strip())
    if len(line) <= LONGEST:
        return line
    cut = " […] "
    return f"{line[: LONGEST - LAST - len(cut)]}{cut}{line[-LAST:]}"
