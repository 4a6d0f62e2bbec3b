"""Whether a run that something happened to ended as the one that nothing happened to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from forked import Ended, run

from rftkit.files import read_lines
from rftkit.runs import checkpoints
from rftkit.runs.run import RunFolder

Method = Literal["grpo", "sft", "exact"]
RUN = Path("out") / "run"
RECIPE = """
seed = 3
style = "{style}"
[model]
name = "tiny"
[data]
source = "digits"
shots = 4
[method]
kind = "{method}"
steps = {steps}
learning_rate = 1e-3
batch_size = 2
{more}
[eval]
limit = 4
batch_size = 1
"""
MORE = {"grpo": "group_size = 4\nkl = 0.0\nmax_new_tokens = 16", "exact": "kl = 0.0", "sft": ""}
# a session's own: when, how fast, by which command
OWN = {
    *("seconds", "validation_seconds", "speed", "started", "command", "created", "updated"),
    *("first_token_seconds", "token_seconds", "scoring_seconds", "folder", "versions"),
    "adapter_files",  # hashes of files that hold sets in any order; their text is compared
}


@dataclass(frozen=True)
class Wanted:
    """A run that nothing happened to. facts: what must be equal. seconds: of the processor."""

    method: Method
    steps: int
    save_every: int
    facts: Mapping[str, Any]
    seconds: float

    @property
    def words(self) -> list[str]:
        """What trains it, in a folder that `prepare` has made."""
        return words(self.save_every)


def words(save_every: int) -> list[str]:
    return ["train", "recipe.toml", "--out", str(RUN), "--save-every", str(save_every)]


def prepare(folder: Path, method: Method, steps: int) -> Path:
    """An empty folder with a recipe."""
    folder.mkdir(parents=True)
    style = "think" if method == "sft" else "direct"
    text = RECIPE.format(method=method, style=style, steps=steps, more=MORE[method])
    (folder / "recipe.toml").write_text(text, "utf-8")
    return folder


def uninterrupted(folder: Path, method: Method, steps: int = 4, save_every: int = 1) -> Wanted:
    """Train one from beginning to end in a new folder."""
    prepare(folder, method, steps)
    ended = run(words(save_every), folder)
    assert ended.code == 0, ended.said
    return Wanted(method, steps, save_every, facts(folder / RUN), ended.seconds)


def go_on(folder: Path, wanted: Wanted) -> Ended:
    """Continue as a user would: --resume, and where no run has begun yet, the command again."""
    ended = run([*wanted.words, "--resume"], folder)
    if ended.code == 1 and "no run here to resume" in ended.line:
        ended = run(wanted.words, folder)
    return ended


def complaints(folder: Path, wanted: Wanted) -> list[str]:
    """What of the run in a folder is other than of the one that nothing happened to."""
    runs = [path.name for path in (folder / RUN).parent.iterdir()]
    if runs != [RUN.name]:
        return [f"the folder of runs holds {sorted(runs)}"]
    try:
        now = facts(folder / RUN)
    except Exception as error:  # a test says so whatever it is
        return [f"cannot be read: {type(error).__name__}: {error}"]
    names = sorted(wanted.facts.keys() | now.keys())
    return [
        f"{name}: {_short(now.get(name))} instead of {_short(wanted.facts.get(name))}"
        for name in names
        if now.get(name) != wanted.facts.get(name)
    ]


def after(ended: Ended, folder: Path, wanted: Wanted) -> list[str]:
    """What is not as wanted once a run was continued."""
    if "Traceback" in ended.said or ended.code:
        return [f"exit code {ended.code}: {ended.line}"]
    return complaints(folder, wanted)


def facts(folder: Path) -> dict[str, Any]:
    """All that two runs of one recipe share."""
    return dict(_facts(RunFolder(folder)))


def last_step(run: RunFolder) -> int:
    """The last step in the metrics; 0 without any."""
    return max((line["step"] for line in read_lines(run.metrics)), default=0)


def newest_whole(run: RunFolder) -> int:
    """The step of the newest checkpoint that is whole; 0 without any."""
    found = (p for p in checkpoints.in_order(run.checkpoints) if checkpoints.damage(p) is None)
    return next((checkpoints.step_of(path) for path in found), 0)


def _facts(run: RunFolder) -> Iterator[tuple[str, Any]]:
    yield "run.json", _without(run.status())
    held = run.settings_in_force()  # `checked …` are measured by a session that takes a step
    yield "effective.json", {n: v for n, v in held.items() if not n.startswith("checked")}
    for path in (run.given, run.resolved, run.example):
        yield path.name, path.read_bytes()
    yield "metrics.jsonl", [_without(line) for line in read_lines(run.metrics)]
    if run.rollouts.exists():
        yield "rollouts.jsonl", read_lines(run.rollouts)
    for name, tensor in sorted(_tensors(run.adapter / checkpoints.WEIGHTS)):
        yield f"adapter {name}", tensor
    for path in sorted(run.adapter.iterdir()):
        yield f"adapter/{path.name}", path.name == checkpoints.WEIGHTS or _content(path)
    for path in checkpoints.in_order(run.checkpoints):
        yield path.name, (checkpoints.damage(path), sorted(p.name for p in path.iterdir()))
    yield from _evaluation(run.evaluations / "test")
    yield "hidden", sorted(str(p) for p in run.folder.rglob(".*"))
    yield "locks", [str(p) for p in run.folder.rglob("lock")]
    yield "report.html", run.report.stat().st_size > 10_000
    alarms = read_lines(run.alarms) if run.alarms.exists() else []
    yield "alarms", [line for line in alarms if line["name"] != "disk"]  # the machine's own
    yield "files", sorted(p.name for p in run.folder.iterdir() if p != run.alarms)


def _content(path: Path) -> object:
    """Its bytes; of PEFT's configuration what it says, for it holds sets in any order."""
    if path.name != "adapter_config.json":
        return path.read_bytes()
    held = json.loads(path.read_text("utf-8"))
    return {n: sorted(v) if isinstance(v, list) else v for n, v in held.items()}


def _evaluation(folder: Path) -> Iterator[tuple[str, Any]]:
    lines = read_lines(folder / "samples.jsonl")
    samples = [line for line in lines if "side" in line]
    yield "samples", len(samples)
    for line in samples:
        yield f"sample {line['side']} {line['id']}", _without(line)
    yield "header", _without(lines[0])
    yield "summary.json", _without(json.loads((folder / "summary.json").read_text("utf-8")))
    yield "confusion.csv", (folder / "confusion.csv").read_text("utf-8")
    yield "files of the evaluation", sorted(path.name for path in folder.iterdir())


def _tensors(path: Path) -> Iterator[tuple[str, Any]]:
    from safetensors.numpy import load_file

    for name, tensor in load_file(path).items():
        yield name, (tensor.shape, str(tensor.dtype), tensor.tobytes())


def _without(value: Any) -> Any:
    """Without what is a session's own."""
    if isinstance(value, dict):
        return {key: _without(held) for key, held in value.items() if key not in OWN}
    return [_without(held) for held in value] if isinstance(value, list) else value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 400 else f"{text[:200]} […] {text[-180:]}"
