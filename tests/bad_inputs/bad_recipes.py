"""Recipes that are no recipe, and keys and overrides that cannot be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bad_rows import Row, recipe

DRY = ("train", "r.toml", "--dry-run")
TRAIN = ("train", "r.toml", "--out", "run")


def text(name: str, content: str | bytes) -> Row:
    return Row(name, DRY, {"r.toml": content})


def key(changes: Mapping[str, object], words: tuple[str, ...] = DRY) -> Row:
    shown = ", ".join(f"{path} = {value!r}"[:60] for path, value in changes.items())
    return Row(shown, words, {"r.toml": recipe(changes)})


def override(change: str) -> Row:
    return Row(f"--set {change}"[:60], (*DRY, "--set", change), {"r.toml": recipe({})})


FILES = [
    Row("no file", ("train", "none.toml")),
    Row("no file, near a built-in one", ("train", "quickstrat")),
    Row("a folder", DRY, make=lambda folder: (folder / "r.toml").mkdir()),
    Row("a pipe", DRY, make=lambda folder: os.mkfifo(folder / "r.toml")),
    Row("a link to nowhere", DRY, make=lambda folder: (folder / "r.toml").symlink_to("gone")),
    text("empty", ""),
    text("blank", " \n\n"),
    text("no UTF-8", recipe({}).encode() + b"# caf\xe9"),
    text("UTF-16", recipe({}).encode("utf-16")),
    text("NUL", recipe({}) + "\0"),
    text("an image", b"\x89PNG\r\n\x1a\n" + bytes(64)),
    text("JSON", '{"model": {"name": "tiny"}}'),
    text("YAML", "model:\n  name: tiny\n"),
    text("an unclosed text", 'task = "classification'),
    text("a table twice", "[model]\n[model]\n"),
    text("a key twice", "seed = 1\nseed = 2\n"),
    text("a key without a value", "seed =\n"),
    text("a table that is a key", "model = 3\n"),
    text("a table of tables", "[[model]]\nname = 'tiny'\n"),
    text("deep arrays", "seed = " + "[" * 5000 + "]" * 5000),
    text("deep tables", "[" + ".".join("a" * 3000) + "]\n"),
    text("a long key", "a" * 5000 + " = 1\n"),
    text("a large file", "# " + "x" * 2_000_000 + "\n"),
    text("ESC in a key", '"\\u001b[2J" = 1\n'),
    text("bidi in a key", '"\u202eseed" = 1\n'),
]
KEYS = [
    key({"sed": 1}),
    key({"modle.name": "tiny"}),
    key({"method.step": 3}),
    key({"method.update.clipp": 0.2}),
    key({"task": "clasification"}),
    key({"task": 3}),
    key({"style": "thinking"}),
    key({"style": ["think"]}),
    key({"rules": "lenient"}),
    key({"seed": -1}),
    key({"seed": 2**31}),
    key({"seed": 1.5}),
    key({"seed": "1"}),
    key({"seed": True}),
    key({"seed": float("nan")}),
    key({"model.name": ""}),
    key({"model.name": 7}),
    Row("the hub out of reach", TRAIN, {"r.toml": recipe({"model.name": None})}, code=4),
    key({"model.backend": "tpu"}),
    key({"model.generation": "sglang"}),
    key({"model.load_in_4bit": "yes"}),
    key({"model.load_in_4bit": 1}),
    key({"model.max_pixels": 0}),
    key({"model.max_pixels": 10**12}),
    key({"model.max_pixels": 1e5}),
    key({"model.lora_rank": 0}),
    key({"model.lora_rank": 3_000_000}),
    key({"model.lora_rank": -8}),
    key({"model.lora_vision": "no"}),
    key({"data": None}, TRAIN),
    key({"data.source": "imagenet"}),
    key({"data.source": None}),
    key({"data.shots": -1}),
    key({"data.shots": "all"}),
    key({"data.shots": 10**9}),
    key({"data.splits": ["train"]}),
    key({"data.splits": ["train", "test", "val"]}),
    key({"data.splits": "train"}),
    key({"data.splits": ["train", ""]}),
    key({"data.splits": ["test", "test"]}),
    key({"data.columns": ["image"]}),
    key({"data.columns": {"picture": "x"}}),
    key({"data.columns": {"image": "x"}}),
    key({"data.choices": "some"}),
    key({"data.classes": "old"}),
    key({"data.question": "what {colour}?"}),
    key({"data.question": "a" * 100_000}),
    key({"data.question": "\x1b[31mred"}),
    key({"task": "detection"}),
    key({"method.kind": "ppo"}),
    key({"method.steps": 0}),
    key({"method.steps": -5}),
    key({"method.steps": 10**7}),
    key({"method.steps": 1.0}),
    key({"method.learning_rate": 0}),
    key({"method.learning_rate": -1e-5}),
    key({"method.learning_rate": float("inf")}),
    key({"method.learning_rate": float("nan")}),
    key({"method.learning_rate": 1e300}),
    key({"method.learning_rate": "1e-5"}),
    key({"method.batch_size": 0}),
    key({"method.batch_size": 5000}),
    key({"method.group_size": 1}),
    key({"method.group_size": 0}),
    key({"method.group_size": 1000}),
    key({"method.loss": "ppo"}),
    key({"method.kl": -0.1}),
    key({"method.kl": 100}),
    key({"method.temperature": 0}),
    key({"method.temperature": -1}),
    key({"method.temperature": 100}),
    key({"method.max_new_tokens": 0}),
    key({"method.max_new_tokens": 10**6}),
    key({"method.trainer": "verl"}),
    key({"method.answers": "all"}),
    key({"method.update.clip": [0.2]}),
    key({"method.update.clip": [0.2, 1.5]}),
    key({"method.update.clip": "0.2"}),
    key({"method.update.scale_rewards": "std"}),
    key({"method.update.mask_truncated": "true"}),
    key({"method.warmup.steps": -1}),
    key({"method.warmup.steps": 500}),
    key({"method.exact.beta": 0}),
    key({"method.exact.objective": "best"}),
    key({"method.exact.brier": -1}),
    key({"method.kind": "exact"}),
    key({"method.length": {"mode": "short"}}),
    key({"method.length": 5}),
    key({"rewards": {}}),
    key({"rewards": {"accuracy": 0.0}}),
    key({"rewards": {"acuracy": 1.0}}),
    key({"rewards": {"accuracy": -1.0}}),
    key({"rewards": {"accuracy": float("nan")}}),
    key({"rewards": {"accuracy": "much"}}),
    key({"rewards": {"none.py:f": 1.0}}, TRAIN),
    key({"rewards": {"r.toml:f": 1.0}}),
    key({"rewards": {"a.py:f": 1.0, "b.py:f": 1.0}}),
    key({"rewards": {"a.py:accuracy": 1.0}}),
    key({"eval.limit": -1}),
    key({"eval.limit": "all"}),
    key({"eval.batch_size": 0}),
    key({"eval.decode": "beam"}),
    key({"eval.during": -1}),
    key({"eval.patience": -1}),
    key({"eval.validation": "val"}, TRAIN),
    key({"options": {"credit": 1}}),
    key({"options": {"nothing": 1}}),
    key({"options": 3}),
]
OVERRIDES = [
    override(""),
    override("method.steps"),
    override("=3"),
    override("method.steps="),
    override("method.steps=many"),
    override("method..steps=3"),
    override("methods.steps=3"),
    override("method.steps.more=3"),
    override("method=3"),
    override("data.splits=[train"),
    override("rewards.accuracy=x"),
    override("seed=9999999999999"),
    override("a" * 5000 + "=1"),
    override("\x1b[2J=1"),
    override("model.name=\x00"),
]


def taken(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "run" / "thesis.txt").write_text("years of work")


def good(name: str, words: tuple[str, ...], **more: object) -> Row:
    return Row(name, words, {"r.toml": recipe({})}, **more)  # type: ignore[arg-type]


COMMANDS = [
    good("--out is a file", (*DRY[:2], "--out", "r.toml")),
    good("--out below a file", (*DRY[:2], "--out", "r.toml/run")),
    good("--out holds other files", TRAIN, make=taken),
    good("--out in /proc", (*DRY[:2], "--out", "/proc/run")),
    good("--out with a long name", (*DRY[:2], "--out", "x" * 300)),
    good("--out with NUL", (*DRY[:2], "--out", "a\0b"), code=2),
    good("--resume without a run", (*TRAIN, "--resume")),
    good("--save-every 0", (*TRAIN, "--save-every", "0"), code=2),
    good("--save-every x", (*TRAIN, "--save-every", "x"), code=2),
    good("--log of nobody", (*TRAIN, "--log", "mlflow"), code=2),
    good("--stop-on of nothing", (*TRAIN, "--stop-on", "error"), code=2),
    good("--reward-timeout -1", (*TRAIN, "--reward-timeout", "-1"), code=2),
    good("--base-from nowhere", (*TRAIN, "--base-from", "nowhere")),
    good("an option of nobody", (*TRAIN, "--epochs", "3"), code=2),
    good("two recipes", ("train", "r.toml", "r.toml"), code=2),
    Row("no recipe", ("train",), code=2),
    Row("a command of nobody", ("trian",), code=2),
    Row("check of nothing", ("check", "none.toml")),
    Row("plan of nothing", ("plan", "none.toml")),
    Row("study of nothing", ("study", "none.toml")),
    Row("baseline of nothing", ("baseline", "none.toml")),
    Row("init of no data", ("init", "nowhere")),
    Row("init of an empty folder", ("init", "empty"), make=lambda f: (f / "empty").mkdir()),
    Row("report of nothing", ("report", "nowhere")),
    Row("compare of one", ("compare", "nowhere")),
    Row("compare of nothing", ("compare", "nowhere", "elsewhere")),
    Row("export of nothing", ("export", "nowhere", "--to", "merged")),
    Row("export to nobody", ("export", "nowhere", "--to", "onnx"), code=2),
    Row("push of nothing", ("push", "nowhere", "me/repo", "--dry-run")),
    Row("serve of nothing", ("serve", "--ckpt", "nowhere")),
    Row("demo of nothing", ("demo", "--ckpt", "nowhere")),
    Row("predict of nothing", ("predict", "nothing.png", "--ckpt", "nowhere")),
    Row("rationales of nothing", ("rationales", "none.toml", "--out", "x.csv")),
    Row("score of no recipe", ("score", "--attack", "none.toml")),
    Row("runs of a file", ("runs", "r.toml"), {"r.toml": ""}),
]
ROWS = [*FILES, *KEYS, *OVERRIDES, *COMMANDS]
