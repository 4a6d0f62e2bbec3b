"""SECURITY.md says which commands run a recipe's reward file; here each of them is run."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio
import pytest
import typer

from rftkit.cli import main as cli
from rftkit.rewards import custom
from rftkit.serve import server
from rftkit.serve.service import Service
from rftkit.study import run_study
from rftkit.study.launch import Ended

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "SECURITY.md"
ROW = re.compile(r"^\| (`[a-z].*`) \| (yes|never)\b.*\|$", re.MULTILINE)
RECIPE = """
[model]
name = "tiny"
[data]
source = "digits"
shots = 4
[method]
steps = 1
batch_size = 2
group_size = 2
max_new_tokens = 8
[eval]
limit = 4
[rewards]
accuracy = 1.0
"mine.py:paid" = 1.0
"""
REWARD = """
import pathlib
RAN = pathlib.Path(__file__).with_name("ran")
RAN.touch()
def paid(attempt):
    RAN.touch()
    return 1
"""
STUDY = 'recipes = ["r.toml"]\nstyles = ["direct"]\nseeds = [0]\n[set]\n"eval.limit" = 4\n'
SCORED = '{"completion": "<answer>rose</answer>", "gold": "rose", "choices": ["tulip", "rose"]}\n'
WORDS = {
    "train": "train r.toml --out trained --quiet",
    "train --dry-run": "train r.toml --out dry --dry-run",
    "study": "study s.toml --out studied",
    "bench": "bench r.toml --steps 1 --only trl",
    "check": "check r.toml",
    "check --schema-only": "check r.toml --schema-only",
    "score --attack": "score --attack r.toml",
    "score": "score",
    "eval": "eval --ckpt run --limit 2",
    "predict": "predict run/example.png --ckpt run",
    "serve": "serve --ckpt run --port 0",
    "demo": "demo --ckpt run",
    "report": "report run",
    "runs": "runs .",
    "plan": "plan r.toml --gpu 16GB",
    "export": "export run --out exported --images 2",
    "push": "push run anna/digits --dry-run",
    "compare": "compare run --base",
    "baseline": "baseline r.toml",
    "rationales": "rationales r.toml --samples 1",
    "init": "init images",
    "recipes": "recipes",
    "doctor": "doctor --json",
}


def claimed() -> dict[str, bool]:
    """Command -> whether the page says that it runs the reward file."""
    rows = ROW.findall(PAGE.read_text("utf-8"))
    return {name: says == "yes" for names, says in rows for name in re.findall(r"`(.+?)`", names)}


def called(words: Sequence[str]) -> int:
    """The exit code of a command in this process."""
    custom._functions.clear()  # each command is a process of its own: it would load the file anew
    before, sys.argv = sys.argv, ["rftkit", *words]
    try:
        with pytest.raises(SystemExit) as caught:
            cli.main()
    finally:
        sys.argv = before
    return int(caught.value.code or 0)


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, its reward file, and a run that was trained by it."""
    made = tmp_path_factory.mktemp("stranger")
    for name, text in {"r.toml": RECIPE, "mine.py": REWARD, "s.toml": STUDY}.items():
        (made / name).write_text(text, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        assert called(["train", "r.toml", "--out", "run", "--quiet"]) == 0
    assert (made / "ran").exists()
    for label in "ab":
        (made / "images" / label).mkdir(parents=True)
        for number in range(5):
            image = (made / "run" / "example.png").read_bytes()
            (made / "images" / label / f"{number}.png").write_bytes(image)
    return made


def asked_once(service: Service, *_: object) -> None:
    """In place of a server that would never end: its warm-up has asked the model already."""
    service.close()


def in_this_process(words: Sequence[str], *_: object) -> Ended:
    """In place of a process for each run of a study."""
    return Ended(called([*words[words.index("train") :]]), "")


@pytest.mark.parametrize("command", claimed())
def test_the_page_says_what_runs_a_reward_file(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(server, "run", asked_once)
    monkeypatch.setattr(gradio.Blocks, "block_thread", lambda page: page.close())
    monkeypatch.setattr(run_study, "__defaults__", (in_this_process,))
    stdin = tmp_path / "in"
    stdin.write_text(SCORED, "utf-8")
    (folder / "ran").unlink(missing_ok=True)
    with stdin.open() as lines:
        monkeypatch.setattr(sys, "stdin", lines)
        code = called(WORDS[command].split())
    assert code == 0
    assert (folder / "ran").exists() == claimed()[command]


def test_the_page_names_every_command() -> None:
    group: Any = typer.main.get_command(cli.app)
    assert {*WORDS} == {*claimed()}
    assert {*group.commands} == {name.split()[0] for name in claimed()}
