"""Writes docs/cli.md from the commands themselves: python docs/make_cli_reference.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import typer

from rftkit.cli.main import app

PAGE = Path(__file__).parent / "cli.md"
HEAD = """\
# Command line

Written by `python docs/make_cli_reference.py` from the commands; `--help` after a command says the
same. `rftkit --install-completion` lets the Tab key complete commands, recipes, keys after `--set`
and runs. [Exit codes](runs.md#exit-codes).
"""
KINDS: dict[Any, str] = {Path: "PATH", int: "N", float: "X"}
GROUPS = {
    "Start": ("init", "check", "plan", "doctor", "recipes"),
    "Train and measure": (
        *("train", "eval", "compare", "baseline", "study", "bench"),
        *("rationales", "score"),
    ),
    "Look and use": ("predict", "demo", "runs", "report"),
    "Take it elsewhere": ("export", "serve", "push"),
}


def page() -> str:
    """The text of the page."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    known = [name for names in GROUPS.values() for name in names]
    assert sorted(known) == sorted(commands), set(known) ^ set(commands)
    parts = [HEAD]
    for title, names in GROUPS.items():
        parts.append(f"## {title}\n")
        parts += [_command(name, commands[name]) for name in names]
    return "\n".join(parts)


def _command(name: str, command: Any) -> str:
    text, _, examples = (command.help or "").partition("\b")
    arguments = [part for part in command.params if part.param_type_name == "argument"]
    options = [part for part in command.params if part.param_type_name == "option"]
    words = " ".join(_argument(part) for part in arguments)
    title = " ".join(filter(None, ("rftkit", name, words)))
    lines = [f"### {title}\n", " ".join(text.split()), ""]
    if examples.strip():
        shown = "\n".join(line.strip() for line in examples.strip().splitlines())
        lines += ["```bash", shown, "```", ""]
    rows = [
        *(f"| `{_argument(part)}` | {_help(part)} | |" for part in arguments),
        *(f"| {_names(part)} | {_help(part)} | {_default(part)} |" for part in options),
    ]
    if rows:
        lines += ["| | | default |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _argument(part: Any) -> str:
    name = str(part.name).upper()
    shown = f"{name}…" if part.nargs == -1 else name
    return shown if part.required else f"[{shown}]"


def _names(part: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*part.opts, *part.secondary_opts))
    return names if part.is_flag else f"{names} {_kind(part)}"


def _kind(part: Any) -> str:
    if part.metavar:
        return part.metavar
    kind = part.type_descriptor.annotation
    choices = [value for value in get_args(kind) if isinstance(value, str)]
    return " \\| ".join(choices) or KINDS.get(kind, "TEXT")


def _help(part: Any) -> str:
    return (part.help or "").replace("|", "\\|").replace("<", "&lt;")


def _default(part: Any) -> str:
    value = part.default
    shown = isinstance(value, str | Path | int | float) and not isinstance(value, bool)
    return f"`{value}`" if shown else ""


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
