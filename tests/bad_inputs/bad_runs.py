"""Runs, checkpoints, adapters and base models that are damaged, a stranger's, or something else."""

from __future__ import annotations

import atexit
import io
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from bad_data import picture
from bad_rows import Row, recipe
from rich.console import Console
from safetensors.torch import load_file, save_file

from rftkit.models.tiny.cache import ensure_tiny
from rftkit.training.request import TrainRequest
from rftkit.training.run import train

Change = Callable[[Path], object]
CHANGES = {"style": "direct", "method.steps": 2, "eval.limit": 4, "eval.batch_size": 4}
PREDICT = ("predict", "a.png", "--ckpt", "run")
EVAL = ("eval", "--ckpt", "run")
RESUME = ("train", "r.toml", "--out", "run", "--resume")
ADAPTER, CONFIG = "run/adapter", "run/adapter/adapter_config.json"
WEIGHTS = "run/adapter/adapter_model.safetensors"


@cache
def trained(finished: bool) -> Path:
    """A run of two steps, finished or stopped after its training, made once a process."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "r.toml").write_text(recipe(CHANGES))
    request = TrainRequest(recipe=folder / "r.toml", out=folder / "run", save_every=1)
    run = train(request, Console(file=io.StringIO()))
    if not finished:
        shutil.rmtree(run.adapter)
        shutil.rmtree(run.evaluations)
        run.set_status("stopped")
    return folder


def placed(change: Change, finished: bool) -> Change:
    def make(place: Path) -> None:
        shutil.copytree(trained(finished) / "run", place / "run")
        status = place / "run" / "run.json"
        held = json.loads(status.read_text()) | {"folder": str((place / "run").resolve())}
        status.write_text(json.dumps(held))
        change(place)

    return make


def row(
    name: str, words: tuple[str, ...], change: Change, finished: bool = True, **more: Any
) -> Row:
    files = {"r.toml": recipe(CHANGES), "a.png": picture()}
    return Row(name, words, files, placed(change, finished), **more)


def text(path: str, content: str | bytes) -> Change:
    written = content.encode() if isinstance(content, str) else content
    return lambda place: (place / path).write_bytes(written)


def gone(path: str) -> Change:
    def remove(place: Path) -> None:
        target = place / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    return remove


def fields(path: str, **changes: object) -> Change:
    """Change the keys of a JSON object; "-" takes one out."""

    def change(place: Path) -> None:
        held = json.loads((place / path).read_text()) | changes
        kept = {key: value for key, value in held.items() if value != "-"}
        (place / path).write_text(json.dumps(kept))

    return change


def unsealed(change: Change) -> Change:
    """The change, in an adapter whose card holds no hash: as a stranger would write it."""

    def both(place: Path) -> None:
        change(place)
        fields(f"{ADAPTER}/rftkit.json", sha256="-")(place)

    return both


def alone(change: Change) -> Change:
    """The change, and no checkpoint that could stand in for the adapter."""

    def both(place: Path) -> None:
        change(place)
        shutil.rmtree(place / "run" / "checkpoints")

    return both


def moved(path: str, to: str) -> Change:
    return lambda place: (place / path).rename(place / to)


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    def rewrite(place: Path) -> None:
        held = load_file(place / WEIGHTS)
        change(held)
        save_file(held, place / WEIGHTS)

    return unsealed(rewrite)


def cut(path: str, kept: int) -> Change:
    return lambda place: (place / path).write_bytes((place / path).read_bytes()[:kept])


def nothing(_: Path) -> None:
    """The run as it is."""


def card(name: str, change: Change) -> Row:
    return row(f"card: {name}", PREDICT, alone(change))


def adapter(name: str, change: Change) -> Row:
    return row(f"adapter: {name}", PREDICT, alone(change), loads=True)


def samples(name: str, content: str) -> Row:
    return row(f"samples.jsonl: {name}", EVAL, text("run/eval/test/samples.jsonl", content))


def config(**changes: object) -> Row:
    shown = ", ".join(f"{key} = {value!r}"[:40] for key, value in changes.items())
    return adapter(f"config {shown}", unsealed(fields(CONFIG, **changes)))


CARD = f"{ADAPTER}/rftkit.json"
PLACES = [
    row("--ckpt: a file", ("predict", "a.png", "--ckpt", "r.toml"), nothing),
    row("--ckpt: a hub id", ("predict", "a.png", "--ckpt", "Qwen/Qwen2.5-VL-3B-Instruct"), nothing),
    row("--ckpt: a folder of nothing", ("predict", "a.png", "--ckpt", "x"),
        lambda place: (place / "x").mkdir()),
    row("--ckpt: a base model", ("predict", "a.png", "--ckpt", "base"),
        lambda place: shutil.copytree(ensure_tiny("tiny"), place / "base")),
    row("--ckpt: a run that has not trained", PREDICT, gone("run/checkpoints"), finished=False),
    row("predict: no image", PREDICT, gone("a.png")),
    row("predict: text for an image", PREDICT, text("a.png", "hello")),
    row("predict: an empty image", PREDICT, text("a.png", "")),
    row("predict: a folder of nothing", ("predict", "x", "--ckpt", "run"),
        lambda place: (place / "x").mkdir()),
    row("predict: an option of another task", (*PREDICT, "--option", "x"), nothing),
    row("predict: --abstain-at-error without calibration", (*PREDICT, "--abstain-at-error", "0.1"),
        nothing),
    row("predict: --abstain-at-error 2", (*PREDICT, "--abstain-at-error", "2"), nothing, code=2),
    row("eval: a split of nobody", (*EVAL, "--split", "val"), nothing),
    row("eval: data of nobody", (*EVAL, "--data", "nowhere"), nothing),
    row("eval: --limit 0", (*EVAL, "--limit", "0"), nothing, code=2),
    row("report: of no run", ("report", "x"), nothing),
    row("export: over another folder", ("export", "run", "--to", "merged", "--out", "x"),
        lambda place: ((place / "x").mkdir(), (place / "x" / "thesis").touch())),
]  # fmt: skip
RUNS = [
    row("run.json: empty", PREDICT, text("run/run.json", "")),
    row("run.json: a list", PREDICT, text("run/run.json", "[]")),
    row("run.json: of a newer rftkit", PREDICT, fields("run/run.json", format=99)),
    row("run.json: a format of text", PREDICT, fields("run/run.json", format="1")),
    row("run.json: no state", PREDICT, fields("run/run.json", state="-")),
    row("run.json: deep", PREDICT, text("run/run.json", "[" * 100_000)),
    row("run.json: labels that are a number", PREDICT, fields("run/run.json", labels=3)),
    row("run.json: aliases that are a list", PREDICT, fields("run/run.json", aliases=[1])),
    row("run.json: NUL", PREDICT, text("run/run.json", "\0")),
    row("run.json: no UTF-8", PREDICT, text("run/run.json", b"\xff\xfe")),
    row("resolved.toml: gone", PREDICT, gone("run/resolved.toml")),
    row("resolved.toml: empty", EVAL, text("run/resolved.toml", "")),
    row("resolved.toml: not TOML", EVAL, text("run/resolved.toml", "[[[")),
    row("resolved.toml: another key", EVAL, text("run/resolved.toml", "colour = 3\n")),
    samples("a header of another kind", "{}\n"),
    samples("no JSON", "hello\n\n"),
    samples("deep", "[" * 100_000 + "\n\n"),
    samples("empty", ""),
    row("lock: a folder", EVAL, lambda place: (place / "run/eval/test/lock").mkdir(), loads=True),
    row("resume: another recipe", (*RESUME, "--set", "seed=9"), nothing, finished=False),
    row("resume: another style", (*RESUME, "--set", "style=think"), nothing, finished=False),
    row("resume: a fingerprint of text", RESUME, fields("run/run.json", fingerprint="x"),
        finished=False),
    row("resume: metrics without step", RESUME, text("run/metrics.jsonl", "{}\n"), finished=False),
    row("resume: metrics whose step is a text", RESUME,
        text("run/metrics.jsonl", '{"step": "two"}\n'), finished=False),
    row("resume: deep metrics", RESUME, text("run/metrics.jsonl", "[" * 100_000 + "\n\n"),
        finished=False),
    row("resume: no run", RESUME, gone("run"), finished=False),
    row("resume: a run of something else", RESUME, gone("run/run.json"), finished=False),
    row("resume: metrics of text", RESUME, text("run/metrics.jsonl", "hello\n\n"), finished=False),
]  # fmt: skip
CARDS = [
    card("gone", gone(CARD)),
    card("empty", text(CARD, "")),
    card("a list", text(CARD, "[]")),
    card("deep", text(CARD, "[" * 100_000)),
    card("labels that are a number", fields(CARD, labels=3)),
    card("no recipe", fields(CARD, recipe="-")),
    card("labels that are left out", fields(CARD, labels="-")),
    card("aliases that are a text", fields(CARD, aliases="x")),
    card("a hash that is a number", fields(CARD, sha256=7)),
    card("no UTF-8", text(CARD, b"\xff\xfe")),
    row(
        "card: a recipe that is none",
        ("predict", "a.png", "--ckpt", "adapter"),
        lambda place: (fields(CARD, recipe="[[")(place), moved(ADAPTER, "adapter")(place)),
    ),
    row(
        "card: none in an adapter alone",
        ("predict", "a.png", "--ckpt", "adapter"),
        lambda place: (gone(CARD)(place), moved(ADAPTER, "adapter")(place)),
    ),
]
README, PUSH = f"{ADAPTER}/README.md", ("push", "run", "me/x", "--dry-run")


def page(name: str, head: str | bytes) -> Row:
    """A model card with this between its two `---`."""
    whole = head if isinstance(head, bytes) else f"---\n{head}\n---\n# x\n".encode()
    return row(f"README.md: {name}", PUSH, text(README, whole))


PAGES = [
    page("a tag of Python", "license: !!python/object/apply:os.system [x]"),
    page("an alias of nothing", "x: *nope"),
    page("deep", "a: " + "[" * 20_000),
    page("not YAML", "a: [1\n]: }"),
    page("a list", "- 1"),
    page("no date", "a: 2020-13-45"),
    page("no truth", "a: !!bool x"),
    page("no time", "a: !!timestamp x"),
    page("no number", 'a: !!int ""'),
    page("a key of a number", "1: x"),
    page("a key of Python's", "self: x"),
    page("a switch of the library", "ignore_metadata_errors: true"),
    page("tags of a number", "tags: 5"),
    page("tags of tables", "tags: [{a: b}]"),
    page("results of a number", "model-index: 5"),
    page("results without a task", "model-index: [{name: 1, results: [{}]}]"),
    page("values without end", "x: &x [*x]"),
    page("a head of 200 kB", "x: " + "a" * 200_000),
    page("5 MB", b"a" * 5_000_001),
    page("no UTF-8", b"\xff\xfe"),
]
ADAPTERS = [
    adapter("weights gone", gone(WEIGHTS)),
    adapter("weights pickled", moved(WEIGHTS, f"{ADAPTER}/adapter_model.bin")),
    adapter("weights cut off", unsealed(cut(WEIGHTS, 5000))),
    adapter("weights empty", unsealed(text(WEIGHTS, ""))),
    adapter("weights of text", unsealed(text(WEIGHTS, "hello" * 100))),
    adapter("a changed byte", cut(WEIGHTS, -1)),
    adapter("no tensors", tensors(dict.clear)),
    adapter("a tensor missing", tensors(lambda t: t.pop(next(iter(t))))),
    adapter("half of them missing", tensors(lambda t: [t.pop(n) for n in [*t] if ".0." in n])),
    adapter("a foreign tensor", tensors(lambda t: t.update({"x": torch.ones(1)}))),
    adapter("NaN", tensors(lambda t: next(iter(t.values())).fill_(float("nan")))),
    adapter("config gone", gone(CONFIG)),
    adapter("config empty", unsealed(text(CONFIG, ""))),
    adapter("config a list", unsealed(text(CONFIG, "[]"))),
    adapter("config deep", unsealed(text(CONFIG, "[" * 100_000))),
    config(r=3_000_000),
    config(r="16"),
    config(lora_alpha=1e308),
    config(lora_alpha="much"),
    config(peft_type="PROMPT_TUNING"),
    config(peft_type="-"),
    config(use_dora=True),
    config(use_rslora=True),
    config(init_lora_weights="pissa"),
    config(modules_to_save=["lm_head"]),
    config(target_modules="(.*)*(.*)*x!"),
    config(target_modules="("),
    config(target_modules=["nothing"]),
    config(exclude_modules=".*"),
    config(megatron_config={"a": 1}, megatron_core="os"),
    config(rank_pattern={"q_proj": 9}),
    config(trainable_token_indices=[1]),
]  # fmt: skip
ROWS = [*PLACES, *RUNS, *CARDS, *PAGES, *ADAPTERS]
