"""The tiny model for all slow tests, and short runs on it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from rftkit.models.tiny.cache import ensure_tiny
from rftkit.runs.run import RunFolder
from rftkit.training.request import Logger, TrainRequest
from rftkit.training.run import train

RECIPE = """
seed = 3
[model]
name = "tiny"
load_in_4bit = false
lora_vision = true
[data]
source = "digits"
shots = 8
[method]
steps = 4
learning_rate = 1e-3
batch_size = 4
group_size = 4
kl = 0.0
max_new_tokens = 32
[eval]
limit = 20
batch_size = 20
"""

Run = Callable[..., tuple[RunFolder, str]]


@pytest.fixture(scope="session")
def tiny() -> Path:
    """The built-in model, as it comes with the package."""
    return ensure_tiny("tiny")


@pytest.fixture
def short_run(tiny: Path, tmp_path: Path) -> Callable[..., RunFolder]:
    """A function that trains a few steps; overrides as on the command line."""
    recipe = tmp_path / "short.toml"
    recipe.write_text(RECIPE, "utf-8")

    def run(
        *overrides: str,
        out: str = "run",
        resume: bool = False,
        save_every: int = 2,
        log: Logger = "none",
    ) -> RunFolder:
        request = TrainRequest(
            recipe=recipe,
            out=tmp_path / out,
            overrides=overrides,
            resume=resume,
            save_every=save_every,
            log=log,
        )
        return train(request, Console(file=io.StringIO()))

    return run


@pytest.fixture
def training_of(tiny: Path, tmp_path: Path) -> Callable[[str], Run]:
    """Of a recipe's text, a function that trains and returns the run and what was printed."""

    def of(text: str) -> Run:
        recipe = tmp_path / "recipe.toml"
        recipe.write_text(text, "utf-8")

        def trained(
            *overrides: str, out: str = "run", resume: bool = False
        ) -> tuple[RunFolder, str]:
            console = Console(file=io.StringIO(), width=400)
            request = TrainRequest(
                recipe=recipe, out=tmp_path / out, overrides=overrides, resume=resume, save_every=2
            )
            folder = train(request, console)
            return folder, console.file.getvalue()  # type: ignore[attr-defined]

        return trained

    return of
