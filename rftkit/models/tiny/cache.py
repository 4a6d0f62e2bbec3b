"""The built-in models: they come with the package, or are built once in the user's cache.

`tiny` reads printed digits; `tiny-hangar` knows the drawn aircraft, but mixes up their tails;
`tiny-scenes` finds printed digits, several in an image; `tiny-quiz` counts and compares them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from rftkit.answers.replies import INSTRUCTIONS
from rftkit.cache import cache_folder
from rftkit.errors import ModelError
from rftkit.models.tiny.build import build_tiny
from rftkit.models.tiny.course import Plan
from rftkit.models.tiny.courses import COURSES

Say = Callable[[str], None]

VERSION = "1"  # raise it when what a build makes has changed
CARD = "rftkit.json"
SHIPPED = Path(__file__).parent / "weights"  # made by `python -m rftkit.models.tiny.ship`
TENTHS = 10  # lines that a build prints where there is no terminal
STALE = 3600.0  # seconds after which a half-built folder is one that a kill left behind


def tell(line: str) -> None:
    """Says a line on standard error, so that standard output holds results only."""
    print(line, file=sys.stderr)


def ensure_tiny(name: str, say: Say = tell, plan: Plan | None = None) -> Path:
    """The folder of a built-in model (a name in COURSES): the one in the package, if it is whole.

    Else, and for a plan that is not the course's own, it is built in the user's cache. `say` gets
    one line when one is built again, and why, or when another process builds it and this one waits.
    Raises ModelError if `name` is not one of them, or if the cache cannot be written.
    """
    if name not in COURSES:
        raise ModelError(f"model '{name}' is not built in; these are: {', '.join(COURSES)}")
    version = version_of(name, plan)
    if what_is_wrong(SHIPPED / name, version) is None:
        return SHIPPED / name
    folder, plan = cache_folder(say) / name, plan or COURSES[name].plan
    if what_is_wrong(folder, version) is None:
        return folder
    try:
        with _alone(folder, say):
            fault = what_is_wrong(folder, version)
            if fault and folder.exists():
                say(f"{folder}: {fault}; building it again")
            if fault:
                _build(folder, name, version, plan)
    except OSError as error:
        raise ModelError(f"{folder}: cannot be written ({error}); set RFTKIT_CACHE") from error
    return folder


@contextmanager
def _alone(folder: Path, say: Say) -> Iterator[None]:
    """Within it no other process builds this model. A kill lets go: the kernel keeps the lock."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        with suppress(OSError):  # some network folders know no locks: both build, and one is kept
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"{folder}: another rftkit builds it; waiting")
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def what_is_wrong(folder: Path, version: str) -> str | None:
    """Why a built model cannot be used, or None: its version and every file are as they were."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        recorded = dict(card["sha256"])
        built = card["version"]
        recorded["model.safetensors"]  # a card that lists nothing vouches for nothing
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return f"{CARD} is missing or damaged"
    if built != version:
        return f"was built by another version of rftkit ({built}, now {version})"
    for file, digest in recorded.items():
        if not (folder / file).is_file():
            return f"{file} is missing"
        if _digest(folder / file) != digest:
            return f"{file} has changed since it was built"
    return None


def _build(folder: Path, name: str, version: str, plan: Plan) -> None:
    """Builds beside `folder` and moves it into place, so that a kill leaves no half model."""
    _sweep(folder.parent, name)
    beside = folder.with_name(f".{name}.{uuid4().hex[:8]}")
    try:
        build_whole(beside, name, plan)
        write_card(beside, name, version)
        _move(beside, folder, version)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_card(folder: Path, name: str, version: str) -> None:
    """Record the version of a model and the hashes of its files beside them."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != CARD)
    digests = {path.name: _digest(path) for path in files}
    card = {"name": name, "version": version, "sha256": digests}
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _move(beside: Path, folder: Path, version: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        beside.rename(folder)
    except OSError:
        if what_is_wrong(folder, version) is not None:
            raise  # else another process was a moment faster, and built the same


def _sweep(cache: Path, name: str) -> None:
    """Removes what builds that were killed have left."""
    for left in cache.glob(f".{name}.*"):
        if time.time() - left.stat().st_mtime > STALE:
            shutil.rmtree(left, ignore_errors=True)


def build_whole(folder: Path, name: str, plan: Plan) -> None:
    """Build a model in a new folder, with a bar on standard error."""
    folder.mkdir()
    title = f"building the {name} model once (about {COURSES[name].seconds} s)…"
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    if not console.is_terminal:  # a bar would appear at its end only
        tell(title)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        shown = 0

        def progress(done: int, total: int) -> None:
            nonlocal shown
            bar.update(task, completed=done, total=total)
            if not console.is_terminal and done * TENTHS // total > shown:
                shown = done * TENTHS // total
                tell(f"building the {name} model: {shown * 100 // TENTHS} %")

        build_tiny(folder, COURSES[name], progress, plan)


def version_of(name: str, plan: Plan | None = None) -> str:
    """VERSION and a digest of what else decides the weights: plan, instructions, the course."""
    course = COURSES[name]
    plan = plan or course.plan
    shape = [course.side, course.spread, course.eyes_rest, course.reading_steps]
    decides = [asdict(plan), sorted(INSTRUCTIONS.items()), course.phrases, shape]
    return f"{VERSION}-{hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:8]}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
