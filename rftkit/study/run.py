"""A study from top to bottom: its file, its runs, its page."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from rftkit import files
from rftkit.errors import Interrupted, RecipeError, UserError, stopped
from rftkit.messages import first_line, runnable
from rftkit.recipe.toml import read_text
from rftkit.runs.locks import locked
from rftkit.runs.run import is_run
from rftkit.study import runner
from rftkit.study.grid import cells, load_study
from rftkit.study.launch import Launch, launch
from rftkit.study.runner import StudyJob
from rftkit.study.schema import StudySummary

PAGE, SUMMARY = "study.html", "study.json"
EVERY = 60  # seconds; a page takes a second or a few


def run_study(
    path: Path, out: Path, console: Console, command: str, launch: Launch = launch
) -> Path:
    """Run what is not done yet, then write the page; returns its path, `study.json` is beside it.

    The page is also written now and then, and at a stop, to show how far the study is. A run that
    fails is on it and in `broken`; the others continue. Raises UserError before anything starts if
    the study cannot work, and Interrupted, with the command that continues, if a signal came.
    """
    again = command or shlex.join(["rftkit", "study", str(path), "--out", str(out)])
    job = _job(path, out, again)
    _make(out)
    page, failed = _Page(job), dict[str, str]()
    with locked(out):
        try:
            runner.run_cells(job, console, launch, failed, page.now_and_then)
            if job.crossed:
                runner.run_crossings(job, console, launch, failed)
        except (Interrupted, KeyboardInterrupt) as stop:
            page.write(failed)
            raise stopped(stop, _typed(again)) from None
        page.write(failed)
    return out / PAGE


def plan_study(path: Path, out: Path) -> list[tuple[str, runner.Progress]]:
    """Every run of a study and how far it is; nothing is touched."""
    return [(cell.name, runner.progress(cell, out)) for cell in _job(path, out, "").grid]


def read_study(page: Path) -> StudySummary:
    """The results on a page, from the file beside it. Raises UserError if that is damaged."""
    path = page.with_name(SUMMARY)
    try:
        return StudySummary.model_validate_json(path.read_text("utf-8"))
    except ValueError as error:
        raise UserError(
            f"{path}: cannot be read ({_reason(error)}); delete it, and `rftkit study` writes it "
            "anew"
        ) from None


def _reason(error: ValueError) -> str:
    """What is wrong first, and where."""
    if not isinstance(error, ValidationError):
        return first_line(error)
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]


def broken(summary: StudySummary) -> str:
    """Which runs failed, in the one line of a UserError; empty if none did."""
    if not summary.failures:
        return ""
    first = summary.failures[0]
    count = f"{len(summary.failures)} of the runs and tests failed"
    return f"{count}, first {first.cell}: {first.error}; to try again: {_typed(summary.command)}"


def _typed(command: str) -> str:
    """A command of the record as it can be typed here."""
    return runnable(*shlex.split(command)[1:])


def _job(path: Path, out: Path, command: str) -> StudyJob:
    study = load_study(path)
    grid, crossed = cells(study, path), study.tested_on == "all"
    if crossed and not runner.crossings(grid):
        raise RecipeError(
            f"{path}: tested_on: no two recipes share task and model, so none can be tested on "
            'another\'s images; write tested_on = "own"'
        )
    return StudyJob(path, grid, crossed, out, command)


def _make(out: Path) -> None:
    if is_run(out):
        raise RecipeError(f"--out {out}: holds a run; name another folder for the study")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be made ({error.strerror})") from None


class _Page:
    """The page and its JSON, written anew at most every EVERY seconds while runs continue."""

    def __init__(self, job: StudyJob) -> None:
        self.job = job
        self.written = time.monotonic()

    def now_and_then(self, failed: Mapping[str, str]) -> None:
        if time.monotonic() - self.written > EVERY:
            self.write(failed)

    def write(self, failed: Mapping[str, str]) -> None:
        from rftkit.study.collect import collect
        from rftkit.study.page import render

        job = self.job
        summary = collect(job, failed)
        files.write_atomically(job.out / SUMMARY, summary.model_dump_json(indent=2) + "\n")
        files.write_atomically(job.out / PAGE, render(summary, read_text(job.path)))
        self.written = time.monotonic()
