"""Measures one path in a process of its own, so that none leaves memory to the next.

    python -m rftkit.bench.measure FILE     FILE: an `Order` as JSON

The last line of standard output is what was measured, as JSON after an @.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rftkit.bench.noise import noise_examples
from rftkit.core import Example
from rftkit.errors import UserError
from rftkit.evaluation.peak_memory import RESIDENT, Peak, peak_memory, resident
from rftkit.files import read_lines
from rftkit.hardware import backends, memory_parts
from rftkit.hardware.memory_plan import need
from rftkit.hardware.prompt_size import PromptSize
from rftkit.models import open_for_training
from rftkit.models.out_of_memory import free_memory
from rftkit.models.policy import Decoding, Policy, prompt_of
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import parse_recipe
from rftkit.runs.run import RunFolder
from rftkit.tasks import get_task

WARM = 1  # first steps, not counted: kernels are chosen, layers compiled, fast paths checked
ROUNDS = 2  # of an evaluation's batches, of which the last is counted


@dataclass(frozen=True)
class Order:
    """What to measure. recipe: TOML. prompt: of the largest one. cap: GiB of the GPU, 0 for all."""

    recipe: str
    prompt: PromptSize
    steps: int
    cap: float = 0.0


@dataclass(frozen=True)
class Measured:
    """Medians over the counted steps; None for what there was nothing to measure of.

    step: seconds, of which rollout, logps (without gradient) and backward (the rest of it).
    peak: bytes while it trained those, of the GPU with CUDA's own, or of the process beside
    libraries.
    """

    setup: dict[str, str]
    step: float | None = None
    rollout: float | None = None
    logps: float | None = None
    backward: float | None = None
    tokens_per_second: float | None = None
    images_per_second: float | None = None
    peak: int | None = None
    planned: int | None = None
    checked: dict[str, str] | None = None
    error: str = ""

    @property
    def name(self) -> str:
        """What loads the model, computes the loss and writes completions."""
        return ", ".join(self.setup[key] for key in ("backend", "trainer", "generation"))


def main() -> None:
    """Measure, print."""
    order = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    order["prompt"] = PromptSize(**order["prompt"])
    print("\n@" + json.dumps(asdict(measured(Order(**order)))), flush=True)


def measured(order: Order) -> Measured:
    """Train the steps, then answer. Running out of memory is a result too."""
    short = (f"method.steps={WARM + order.steps}", "method.warmup={}")
    recipe = parse_recipe(order.recipe, "bench", short)
    _cap(order.cap)
    before = _resident()  # the libraries, before any weights
    machine = backends.here()
    setup = backends.planned(recipe, machine, order.prompt)
    found = Measured(setup=_plain(asdict(setup)), planned=round(_planned(order, recipe, setup)))
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        try:
            policy = open_for_training(recipe, order.prompt, _say)
            rows = recipe.method.batch_size * (WARM + order.steps)
            examples = noise_examples(recipe, order.prompt, max(8, rows), policy.count_tokens)
            with ExitStack() as counted:
                peak = None

                def begin() -> None:
                    """Loading and the checks of the first step are over, and no part of a step."""
                    nonlocal peak
                    counted.close()
                    free_memory()
                    peak = counted.enter_context(peak_memory())

                _train(recipe, policy, run, examples, partial(_dressed, clock, begin))
                most = _most(peak, before) if peak else None
        except UserError as error:
            return Measured(**{**vars(found), "error": str(error)[:200]})
        lines = read_lines(run.metrics)[WARM:]
        checked = {k: v for k, v in run.settings_in_force().items() if "checked " in k}
    figures = _figures(lines, clock, recipe)
    images = _images_per_second(recipe, policy, examples)
    return Measured(
        **{**vars(found), **figures, "images_per_second": images, "checked": checked,
           "peak": most}
    )  # fmt: skip


class Clock:
    """Seconds of every rollout, and of the log-probabilities that have no gradient, by step."""

    def __init__(self) -> None:
        self.rollouts: list[float] = []
        self.logps: list[float] = []

    def dressed(self, kind: Any) -> Any:
        """A class of trainers whose parts are timed."""
        import torch

        clock = self

        class Timed(kind):
            def _generate_single_turn(self, *given: Any, **more: Any) -> Any:
                start = _now()
                found = super()._generate_single_turn(*given, **more)
                clock.rollouts.append(_now() - start)
                return found

            def _generate_and_score_completions(self, *given: Any) -> Any:
                clock.logps.append(0.0)
                return super()._generate_and_score_completions(*given)

            def _get_per_token_logps_and_entropies(self, *given: Any, **more: Any) -> Any:
                if torch.is_grad_enabled():
                    return super()._get_per_token_logps_and_entropies(*given, **more)
                start = _now()
                found = super()._get_per_token_logps_and_entropies(*given, **more)
                clock.logps[-1] += _now() - start
                return found

        Timed.__name__ = kind.__name__
        return Timed


def _dressed(clock: Clock, begin: Callable[[], None], kind: Any) -> Any:
    """A class of trainers that calls `begin` before the first step that is counted."""
    grpo = hasattr(kind, "_generate_single_turn")

    class Counted(clock.dressed(kind) if grpo else kind):  # type: ignore[misc]
        def training_step(self, *given: Any, **more: Any) -> Any:
            if self.state.global_step == WARM and not self.begun:
                self.begun = True  # a step may have several micro-batches
                begin()
            return super().training_step(*given, **more)

        begun = False

    Counted.__name__ = kind.__name__
    return Counted


def _train(
    recipe: Recipe,
    policy: Policy,
    run: RunFolder,
    examples: list[Example],
    dress: Callable[[Any], Any],
) -> None:
    from rich.console import Console

    from rftkit.training.methods import TRAIN
    from rftkit.training.trainer import SessionSettings, TrainingJob

    run.set_status("running")
    never = SessionSettings(save_every=10**6)
    console = Console(stderr=True)
    job = TrainingJob(recipe, policy, run, console, session=never, dress=dress)
    TRAIN[recipe.method.kind](job, examples)


def _figures(lines: list[dict[str, Any]], clock: Clock, recipe: Recipe) -> dict[str, Any]:
    step = statistics.median(line["seconds"] for line in lines)
    found: dict[str, Any] = {"step": step}
    if recipe.method.kind == "grpo":
        # a path that was refused on the first batch has left times of its own: the last count
        rollout, logps = (
            statistics.median(seconds[-len(lines) :]) for seconds in (clock.rollouts, clock.logps)
        )
        rows = recipe.method.batch_size * recipe.method.group_size
        tokens = rows * statistics.mean(line["length"] for line in lines)
        found |= {
            "rollout": rollout,
            "logps": logps,
            "backward": step - rollout - logps,
            "tokens_per_second": tokens / rollout,
        }
    return found


def _images_per_second(recipe: Recipe, policy: Policy, examples: list[Example]) -> float:
    """Of an evaluation with the recipe's batch size."""
    task, size = get_task(recipe.task), recipe.eval.batch_size
    chosen = (examples * size)[:size]
    prompts = [prompt_of(task, example, recipe.style) for example in chosen]
    answer = partial(policy.generate, prompts, Decoding(recipe.method.max_new_tokens))
    seconds = [answer().seconds for _ in range(ROUNDS)]
    return size / seconds[-1]


def _planned(order: Order, recipe: Recipe, setup: Any) -> float:
    try:
        return need(recipe, None, setup, order.prompt).bytes
    except UserError:
        return 0.0


def _now() -> float:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _most(peak: Peak, before: int) -> int:
    """Of a GPU what the allocator held, and CUDA's own; of a process what it has grown by."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_reserved() + memory_parts.CUDA)
    return max(0, peak.read() - before)


def _resident() -> int:
    return resident() if RESIDENT.exists() else 0


def _cap(gib: float) -> None:
    """Let the process have so much of the GPU, and tell that to who asks how large it is."""
    import torch

    if not gib or not torch.cuda.is_available():
        return
    real = backends.here
    total = torch.cuda.get_device_properties(0).total_memory
    most = int(gib * 2**30 - memory_parts.CUDA)
    torch.cuda.set_per_process_memory_fraction(min(1.0, most / total))

    def left(device: Any = None) -> tuple[int, int]:
        # libraries size their batches by this
        return max(0, most - torch.cuda.memory_reserved()), int(gib * 2**30)

    torch.cuda.mem_get_info = left
    backends.here = lambda: backends.capped(real(), gib)


def _plain(values: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def _say(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
