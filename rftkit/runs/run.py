"""The run folder: it owns every file name, and never overwrites a run."""

from __future__ import annotations

import glob
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from rftkit.errors import RecipeError, UserError
from rftkit.files import make_folder, now, plain, write_atomically
from rftkit.messages import first_line, in_short
from rftkit.recipe.schema import Recipe
from rftkit.runs.locks import LOCK, holder

State = Literal["running", "stopped", "failed", "trained", "finished"]
FORMAT = 1  # of run.json; a newer one is refused
WRITABLE = ".writable"  # a file that comes and goes, to see whether a folder can be written
BASELINES = "baselines.json"  # may be there before a run begins, and serves it
BEGUN = {LOCK, "recipe.toml", "resolved.toml"}  # what is there before run.json makes it a run

EXPORTS = "export"
OWN_FOLDERS = (
    "adapter", "best", "checkpoints", "eval", EXPORTS, "tensorboard", "wandb", ".wandb",
)  # fmt: skip


@dataclass(frozen=True)
class RunFolder:
    """One run on disk. Its files are properties, so that no other module spells a name."""

    folder: Path

    @property
    def given(self) -> Path:
        """The recipe as the user wrote it."""
        return self.folder / "recipe.toml"

    @property
    def resolved(self) -> Path:
        """The recipe with every default and override: what really ran."""
        return self.folder / "resolved.toml"

    @property
    def metrics(self) -> Path:
        """One JSON object per step."""
        return self.folder / "metrics.jsonl"

    @property
    def rollouts(self) -> Path:
        """Some of the completions of training; `samples.jsonl` in a run that called them so."""
        new, old = self.folder / "rollouts.jsonl", self.folder / "samples.jsonl"
        return old if old.exists() and not new.exists() else new

    @property
    def alarms(self) -> Path:
        """One JSON object per alarm that went off while it trained."""
        return self.folder / "alarms.jsonl"

    @property
    def checkpoints(self) -> Path:
        """`step-N` folders, each complete or absent."""
        return self.folder / "checkpoints"

    @property
    def best(self) -> Path:
        """The adapter of the step that was best on held-out data, while a run trains."""
        return self.folder / "best"

    @property
    def adapter(self) -> Path:
        """The trained adapter, plain PEFT."""
        return self.folder / "adapter"

    @property
    def effective(self) -> Path:
        """The settings the trainer really had, beside what the recipe asked."""
        return self.folder / "effective.json"

    def settings_in_force(self) -> dict[str, str]:
        """What `effective.json` says; nothing before training has begun."""
        if not self.effective.exists():
            return {}
        try:
            found = dict[str, str](json.loads(plain(self.effective).read_text("utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            reason = first_line(error)
            raise UserError(f"{self.effective}: damaged ({reason}); delete it") from None
        return {str(name): str(value) for name, value in found.items()}

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.folder / "report.html"

    @property
    def evaluations(self) -> Path:
        """One folder per evaluation."""
        return self.folder / "eval"

    def main_evaluation(self, recipe: Recipe) -> Path:
        """The folder of the evaluation that training ends with: on the recipe's own test split."""
        return self.evaluations / recipe.data.test_split

    @property
    def baselines(self) -> Path:
        """What simple methods answer on the test split: `rftkit baseline`."""
        return self.folder / BASELINES

    @property
    def example(self) -> Path:
        """A held-out image, PNG: what `predict` can be tried with."""
        return self.folder / "example.png"

    @property
    def status_file(self) -> Path:
        """State, fingerprint and versions."""
        return self.folder / "run.json"

    def status(self) -> dict[str, Any]:
        """What `run.json` says. Raises UserError if it is damaged or of a newer rftkit."""
        try:
            status = json.loads(plain(self.status_file).read_text("utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            reason = first_line(error)
            raise UserError(f"{self.status_file}: damaged ({reason}); start a new run") from None
        if not isinstance(status, dict) or type(status.get("format")) is not int:
            raise UserError(f"{self.status_file}: damaged (no format); start a new run")
        if status["format"] > FORMAT:
            raise UserError(
                f"{self.folder}: written by a newer rftkit ({status.get('rftkit')}); upgrade rftkit"
            )
        if status.get("state") not in get_args(State):
            raise UserError(f"{self.status_file}: damaged (no state); start a new run")
        if link := next((path for path in self._own_folders() if path.is_symlink()), None):
            raise UserError(f"{link}: is a link; a run writes into its folders, so move it there")
        if wrong := _misshapen(status):
            raise UserError(f"{self.status_file}: damaged ({wrong}); start a new run")
        return status

    def _own_folders(self) -> Iterator[Path]:
        """What is written into, and deleted, by its place."""
        yield from (self.folder / name for name in OWN_FOLDERS)
        for parent in (self.evaluations, self.folder / EXPORTS):
            if parent.is_dir() and not parent.is_symlink():
                yield from parent.iterdir()

    def forget_beginning(self) -> None:
        """Remove what was written before run.json, so that a run can begin here after all."""
        if not self.status_file.exists():
            self.given.unlink(missing_ok=True)
            self.resolved.unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove the folder of a run that has written nothing but how it began; others stay."""
        ours = (self.given, self.resolved, self.status_file)
        if {path.name for path in self.folder.iterdir()} - {BASELINES} <= {p.name for p in ours}:
            for path in ours:
                path.unlink(missing_ok=True)
            with suppress(OSError):  # of baselines that were there before
                self.folder.rmdir()

    def set_status(self, state: State, **more: object) -> None:
        """Write the state, and whatever else is to be remembered, in one atomic step."""
        status = self.status() if self.status_file.exists() else {"created": now()}
        place = str(self.folder.resolve())
        status.pop("error", None)  # of an earlier session
        status |= {"format": FORMAT, "state": state, "updated": now(), "folder": place, **more}
        write_atomically(self.status_file, json.dumps(status, indent=2) + "\n")


def _misshapen(status: Mapping[str, Any]) -> str:
    """What in `run.json` is not of its kind, in words; "" if nothing is. Any key may be missing."""
    texts = ("folder", "created", "updated", "rftkit", "error", "wandb")
    right: dict[str, Callable[[Any], bool]] = {
        name: lambda value: isinstance(value, str) for name in texts
    }
    named = ("versions", "aliases", "fingerprint", "adapter_files")
    right |= dict.fromkeys(named, _names_texts)
    right |= {
        "labels": lambda value: _listed(value, str),
        "training_images": lambda value: _listed(value, int) and len(value) == 2,
        "validation": lambda value: isinstance(value, dict) and _number(value.get("base")),
        "length_target": _number,
    }
    names = (name for name, fits in right.items() if name in status and not fits(status[name]))
    return next((f"{name} is {in_short(status[name], 40)}" for name in names), "")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _listed(value: object, kind: type) -> bool:
    return isinstance(value, list) and all(type(one) is kind for one in value)


def _names_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run."""
    return (folder / "run.json").is_file()


def runs_under(folder: Path) -> list[RunFolder]:
    """The runs in a folder, itself included, newest first."""
    if is_run(folder):
        return [RunFolder(folder)]
    folders = [p.parent for p in folder.glob("*/run.json")] + [
        p.parent for p in folder.glob("*/*/run.json")
    ]
    return [
        RunFolder(f) for f in sorted(folders, key=lambda f: (f / "run.json").stat().st_mtime_ns)
    ][::-1]


def new_run(folder: Path) -> RunFolder:
    """A run in `folder`, or in a numbered sibling if something is there already."""
    return RunFolder(_made(free_place(folder)))


def free_place(folder: Path) -> Path:
    """Where a run in `folder` would go; nothing is made. Raises RecipeError where none can."""
    for above in folder.parents:
        if above.is_file():
            raise RecipeError(f"--out {folder}: {above} is a file; name another folder")
    for number in range(1, 10_000):
        location = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        if location.is_file():
            raise RecipeError(f"--out {location}: is a file; name a folder")
        if _free(location):
            return location
        if number == 1 and not is_run(location):
            raise RecipeError(f"--out {location}: holds other files; name a new or empty folder")
    raise RecipeError(f"--out {folder}: 9999 siblings exist already; name another folder")


def unfinished_run(folder: Path) -> RunFolder:
    """The newest run in `folder` or its numbered siblings, to be continued.

    One that failed before its first step is passed over where there is another.
    """
    siblings = [folder, *folder.parent.glob(f"{glob.escape(folder.name)}-*")]
    runs = [RunFolder(f) for f in siblings if is_run(f) and _numbered(f, folder)]
    if not runs:
        raise RecipeError(f"{folder}: no run here to resume; leave out --resume to start one")
    newest = sorted(runs, key=lambda run: run.status_file.stat().st_mtime_ns, reverse=True)
    begun = (run for run in newest if run.metrics.exists() or run.status()["state"] != "failed")
    return next(begun, newest[0])


def state(run: RunFolder) -> str:
    """The run's state; one that says it is running, but whose process is gone, has stopped."""
    recorded = str(run.status()["state"])
    return "stopped" if recorded == "running" and not holder(run.folder) else recorded


def _numbered(location: Path, folder: Path) -> bool:
    rest = location.name.removeprefix(folder.name)
    return rest == "" or rest.removeprefix("-").isdigit()


def _free(location: Path) -> bool:
    """Whether a run may begin here: nothing is there, or one that was cut off as it began."""
    names = {path.name for path in location.iterdir()} if location.is_dir() else set[str]()
    names -= {WRITABLE, BASELINES}
    seen = {name for name in names if not name.startswith(".")}
    return not names or (LOCK in names and seen <= BEGUN)


def _made(folder: Path) -> Path:
    try:
        make_folder(folder)
        (folder / WRITABLE).unlink(missing_ok=True)
        (folder / WRITABLE).touch(exist_ok=False)  # follows no link
        (folder / WRITABLE).unlink()
    except OSError as error:
        raise RecipeError(f"--out {folder}: cannot write there ({error.strerror})") from None
    return folder
