"""All paths of a recipe on this machine, one process each, within the time that there is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rftkit.bench.measure import Measured, Order
from rftkit.bench.paths import name_of, possible, with_setup
from rftkit.bench.random_weights import random_model
from rftkit.errors import ModelError, UserError
from rftkit.hardware import backends
from rftkit.hardware.gpus import Card
from rftkit.hardware.phases import Setup
from rftkit.hardware.probe import first_gpu
from rftkit.hardware.prompt_size import expected_prompt
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import dump_recipe

# What is freed goes back to the system at once: a process's peak is else what malloc has kept of
# all that came before. It says nothing to a GPU's allocator.
RETURNED = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
LEAST = 20.0  # seconds below which no further path is begun


@dataclass(frozen=True)
class BenchRequest:
    """What to measure. only: of the paths whose name holds this. cap: GB of the GPU, 0 for all.

    seconds: for all paths together. tiny: the model's architecture in small.
    """

    recipe: Recipe
    random_weights: bool = False
    tiny: bool = False
    steps: int = 2
    seconds: float = 300.0
    only: str = ""
    cap: float = 0.0


def bench(request: BenchRequest, say: Callable[[str], None]) -> Iterator[Measured]:
    """What each path costs, as soon as it is measured.

    The prompt is as large as the plan of the recipe counts with. Raises UserError for a model that
    is not there, and for what cannot run here or is not to be measured.
    """
    recipe, prompt = request.recipe, expected_prompt(request.recipe)
    # asked of the driver: torch would take memory of the GPU for as long as this runs
    card = first_gpu()
    if request.cap and card is None:
        raise UserError(f"--cap {request.cap:g}: there is no GPU here; leave it out")
    machine = backends.capped(backends.here_with(card or Card("no GPU", 0.0)), request.cap)
    setups = possible(recipe, machine)
    wanted = [setup for setup in setups if request.only in name_of(setup)]
    if not wanted:
        names = "; ".join(map(name_of, setups))
        raise UserError(f"--only {request.only!r}: no path has that in its name; there are {names}")
    if request.random_weights:
        folder = random_model(recipe.model, say, tiny=request.tiny)
        model = recipe.model.model_copy(update={"name": str(folder)})
        recipe = recipe.model_copy(update={"model": model})
    else:
        _check_model(recipe)
    end = time.monotonic() + request.seconds
    for setup in wanted:
        left = end - time.monotonic()
        if left < LEAST:
            yield _nothing(setup, "no time left; --seconds gives more")
            continue
        say(f"measuring {name_of(setup)}")
        text = dump_recipe(with_setup(recipe, setup))
        yield _by_a_process(Order(text, prompt, request.steps, request.cap), setup, left)


def _check_model(recipe: Recipe) -> None:
    """Raises ModelError, with what to do, where the model's configuration cannot be read."""
    from rftkit.models import loading

    source = loading.resolve(recipe.model.name)
    try:
        loading.check_architecture(source)
    except OSError as error:
        line = str(loading.not_loaded(source, error))
        raise ModelError(f"{line}; or measure with --random-weights") from None


def _by_a_process(order: Order, setup: Setup, seconds: float) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "order.json"
        path.write_text(json.dumps(asdict(order)), "utf-8")
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "rftkit.bench.measure", str(path)],
                capture_output=True,
                env={**os.environ, **RETURNED},
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return _nothing(setup, f"not done in {seconds:.0f} s; --seconds gives more")
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    told = [line[1:] for line in lines if line.startswith("@{")]
    if told:
        return Measured(**json.loads(told[-1]))
    errors = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no word"]
    return _nothing(setup, f"ended with {done.returncode}: {errors[-1][:160]}")


def _nothing(setup: Setup, error: str) -> Measured:
    return Measured(setup={k: str(v) for k, v in asdict(setup).items()}, error=error)
