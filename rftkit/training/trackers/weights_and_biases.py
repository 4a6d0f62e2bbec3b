"""`--log wandb`: Weights & Biases, online where one is logged in, else offline in the run folder.

Nothing here asks a question, or waits without end for a network or a server that is not there.
Images of rollouts and of held-out examples go along: whoever names this tracker wants to see them
there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, nullcontext
from os.path import realpath
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast

import wandb
from rich.console import Console
from wandb.errors import Error as WandbError

from rftkit.core import Example, LazyImage
from rftkit.data.online import reachable
from rftkit.errors import UserError
from rftkit.messages import first_line, in_short
from rftkit.metrics.files import SAMPLES
from rftkit.metrics.samples import Sample, read_samples
from rftkit.metrics.schema import Summary, sides_of
from rftkit.recipe.resolve import portable
from rftkit.recipe.schema import Recipe
from rftkit.runs.run import RunFolder
from rftkit.training.trackers.tracker import Outcome, Rollout

PROJECT = "rftkit"  # unless WANDB_PROJECT names another
FOLDER = "wandb"  # of W&B, in the run folder
OF_ALL_RUNS = "logs/debug-core.log"  # a link of W&B's to its log, which it never writes through
NOT_IN_IDS, LONGEST_ID = set(":;,#?/'\\"), 128
EDGE = 512  # pixels, at most, of an image in a table
HELD_OUT_SHOWN = 64  # images, those that the two models answer differently first
LIMITS = {"init_timeout": 30.0, "finish_timeout": 300.0}  # seconds that a slow server may cost
KEPT_IN_RUN = "WANDB_DATA_DIR"  # where images of tables wait: an offline run is to be whole
# telemetry goes to the server whatever the mode, and keeps a process that ends waiting for it
TELEMETRY = "WANDB_ERROR_REPORTING"


class Mode(NamedTuple):
    """How a run is logged, and why, for people; "" where there is nothing to say."""

    name: str
    why: str = ""


@contextmanager
def logged(run: RunFolder, recipe: Recipe, console: Console) -> Iterator[WeightsAndBiases]:
    """A run of theirs for a run of ours; one that is resumed goes on under its id.

    It ends with the block, as failed if that raises. Raises UserError if W&B opens no run, or
    would write elsewhere.
    """
    check_links(run.folder / FOLDER)
    known = _known_id(run)
    with _environment(run.folder):
        # not here, where a stranger's `wandb/settings` may name another server
        with TemporaryDirectory() as empty, chdir(empty), _in_one_line():
            wandb.setup(wandb.Settings(silent=True))
        opened = _opened(run, known, recipe, console)
        code = 1
        try:
            yield WeightsAndBiases(opened)
            code = 0
        finally:
            _end(opened, code, console)


class WeightsAndBiases:
    """Logs under our own names, over our own count of steps: a resumed run repeats some."""

    def __init__(self, run: wandb.Run) -> None:
        self.run = run
        run.define_metric("step", hidden=True)
        run.define_metric("*", step_metric="step")

    def step(self, record: Mapping[str, Any]) -> None:
        """The numbers of one step; a reward is `rewards/<name>`."""
        rewards = {f"rewards/{name}": value for name, value in record.get("rewards", {}).items()}
        rest = {name: value for name, value in record.items() if name != "rewards"}
        self.run.log(rest | rewards)

    def rollouts(self, step: int, shown: Sequence[Rollout]) -> None:
        """A table of some completions of a step, with their images."""
        names = list(dict.fromkeys(name for one in shown for name in one.rewards))
        columns = ["step", "id", "image", "prompt", "completion", "gold", *names]
        rows = [
            [step, one.id, _image(one.image), one.prompt, one.text, one.gold]
            + [one.rewards.get(name) for name in names]
            for one in shown
        ]
        self.run.log({"step": step, "rollouts": wandb.Table(columns=columns, data=rows)})

    def outcome(self, outcome: Outcome) -> None:
        """The summary, held-out images with what both models answer, and the report."""
        self.run.summary.update(flat(outcome.evaluation.summary))
        samples = read_samples(outcome.evaluation.folder / SAMPLES).samples
        self.run.log({"held_out": _held_out(samples, outcome.examples)})
        self.run.log({"report": wandb.Html(str(outcome.run.report), inject=False)})


def flat(summary: Summary) -> dict[str, float | str]:
    """The figures of an evaluation by names such as `tuned/accuracy`, intervals included."""
    found: dict[str, float | str] = {"headline": summary.headline}
    for name, side in sides_of(summary):
        if side is None:
            continue
        rates = {summary.metric: side.accuracy, "invalid": side.invalid}
        if side.decodings:
            rates |= {"free reply": side.decodings.free, "by the list": side.decodings.listed}
        if side.calibration and side.calibration.before:
            rates["ece"] = side.calibration.before.ece
        for title, rate in rates.items():
            found[f"{name}/{title}"] = rate.value
            found[f"{name}/{title}/low"], found[f"{name}/{title}/high"] = rate.low, rate.high
        for one in side.metrics:
            if one.value is not None:
                found["/".join(filter(None, (name, one.name, one.label)))] = one.value
    if summary.difference:
        kept = ("value", "low", "high", "verdict")
        found |= {f"difference/{key}": getattr(summary.difference, key) for key in kept}
    return found


def check_links(folder: Path) -> None:
    """Raises UserError if a link in W&B's folder leaves it: a stranger's run may bring some.

    Those of W&B itself, such as `latest-run`, stay inside, but for one.
    """
    root = folder.resolve()
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in [*folders, *files]):
            leaves = path.is_symlink() and not Path(realpath(path)).is_relative_to(root)
            if leaves and not path.match(OF_ALL_RUNS):
                raise UserError(f"{path}: is a link that leaves {folder}; delete it")


def _known_id(run: RunFolder) -> str | None:
    """The id under which a resumed run goes on; None of one that is not known to W&B yet."""
    known: str | None = run.status().get("wandb")
    if known is not None and not _is_id(known):
        raise UserError(
            f"{run.status_file}: wandb is {in_short(known, 40)}, no id that W&B takes; delete it"
        )
    return known


def _is_id(text: str) -> bool:
    whole = 0 < len(text) <= LONGEST_ID and text == text.strip() and text.isprintable()
    return whole and not NOT_IN_IDS & set(text)


def _opened(run: RunFolder, known: str | None, recipe: Recipe, console: Console) -> wandb.Run:
    mode = _mode()
    try:
        opened = _begun(run, recipe, known, mode.name)
    except WandbError as error:
        url = wandb.setup().settings.base_url
        mode = Mode("offline", f"{url} opens no run ({first_line(error)})")
        opened = _begun(run, recipe, known, mode.name)
    if opened.id != known:
        run.set_status(run.status()["state"], wandb=opened.id)
    _say(opened, mode, console)
    return opened


def _begun(run: RunFolder, recipe: Recipe, known: str | None, mode: str) -> wandb.Run:
    settings = wandb.Settings(
        console="off",
        silent=True,
        disable_git=True,
        disable_code=True,
        save_code=False,
        use_dot_wandb=False,
        x_save_requirements=False,
        finish_timeout_raises=True,
        **cast(Any, limits()),
    )
    with _in_one_line() if mode == "offline" else nullcontext():
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            dir=str(run.folder),
            name=run.folder.name,
            id=known,
            resume="allow",
            mode=cast(Any, mode),  # whatever WANDB_MODE says
            config=portable(recipe).model_dump(mode="json", exclude_none=True),
            settings=settings,
        )


@contextmanager
def _in_one_line() -> Iterator[None]:
    try:
        yield
    except WandbError as error:
        raise UserError(f"--log wandb: W&B opens no run: {first_line(error)}") from None


def limits() -> dict[str, float]:
    """What the user's environment leaves to us of the seconds that a server may cost."""
    return {
        name: seconds
        for name, seconds in LIMITS.items()
        if not os.environ.get(f"WANDB_{name.upper()}")
    }


def _mode() -> Mode:
    """Online where that is asked for or possible; asking for a login would stop a run."""
    asked = os.environ.get("WANDB_MODE", "online")
    if asked != "online":
        return Mode(asked, "WANDB_MODE says so" if asked == "offline" else "")
    try:
        known = wandb.login(prompt=False, verify=False)
    except WandbError as error:
        return Mode("offline", f"the login is no good ({first_line(error)})")
    if not known:
        return Mode("offline", "nobody is logged in: `wandb login`")
    url = wandb.setup().settings.base_url
    return Mode("online") if reachable(url) else Mode("offline", f"{url} cannot be reached")


def _end(opened: wandb.Run, code: int, console: Console) -> None:
    try:
        opened.finish(exit_code=code)
    except TimeoutError:
        line = "W&B: not all of the run has arrived in time; `wandb sync {}` uploads it"
        console.print(line.format(_folder(opened)), highlight=False, markup=False, soft_wrap=True)


def _folder(opened: wandb.Run) -> Path:
    return Path(opened.dir).parent


def _say(opened: wandb.Run, mode: Mode, console: Console) -> None:
    line = f"W&B: {opened.url}"
    if mode.name == "offline":
        line = f"W&B: offline, {mode.why}; `wandb sync {_folder(opened)}` uploads the run later"
    if mode.name in ("online", "offline"):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """What their environment says of a run, but for what the user says there."""
    ours = {KEPT_IN_RUN: str(folder.resolve() / FOLDER / "data"), TELEMETRY: "false"}
    added = {name: value for name, value in ours.items() if not os.environ.get(name)}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _held_out(samples: Sequence[Sample], examples: Sequence[Example]) -> wandb.Table:
    """A row for each held-out image: what both models answer, and whether that is right."""
    by_id: dict[str, dict[str, Sample]] = {}
    for sample in samples:
        by_id.setdefault(sample.id, {})[sample.side] = sample
    images = {example.id: example.image for example in examples}
    known = [(name, sides) for name, sides in by_id.items() if name in images]
    known.sort(key=lambda one: len({sample.correct for sample in one[1].values()}) < 2)
    columns = ["id", "image", "gold", "base", "base correct", "fine-tuned", "fine-tuned correct"]
    rows = []
    for name, sides in known[:HELD_OUT_SHOWN]:
        row = [name, _image(images[name]), next(iter(sides.values())).gold]
        for side in ("base", "tuned"):
            made = sides.get(side)
            row += [made.answer, made.correct] if made else [None, None]
        rows.append(row)
    return wandb.Table(columns=columns, data=rows)


def _image(image: LazyImage) -> wandb.Image:
    shown = image.open()
    shown.thumbnail((EDGE, EDGE))
    return wandb.Image(shown)
