"""One measured run: a few steps of SFT or GRPO, with memory capped as on a smaller card.

    python benchmarks/gpu/step.py MODEL --stack trl|unsloth|rftkit --task direct|think|sft

`trl` is stock TRL with peft and bitsandbytes, `unsloth` Unsloth's trainer, `rftkit` TRL with each
prompt computed once; all three through rftkit, so that recipe, data and settings are the same.
Prints a line of JSON: seconds a step, tokens a second, peak memory, and what `rftkit plan` says.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GIB = 2**30
NEW_TOKENS = {"direct": 16, "think": 256, "sft": 64}
TEXT_TOKENS = 256  # of a prompt, beside its image
SIZES = {14: (448, 896), 16: (512, 1024)}  # patch -> pixels of an image of 512 tokens
CUDA_OWN = 0.6  # GiB that the context takes outside of torch's allocator


def main() -> None:
    """Parse, measure, print."""
    given = _arguments()
    os.environ.update(HF_HUB_OFFLINE="1", UNSLOTH_DISABLE_STATISTICS="1", VLLM_NO_USAGE_STATS="1")
    if given.stack == "unsloth":
        _import_unsloth(given.fake)
    _cap(given.cap)
    started = time.perf_counter()
    print("BENCH " + json.dumps(measure(given) | {"wall": round(time.perf_counter() - started, 1)}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", type=Path, help="a folder made by models.py")
    parser.add_argument("--stack", choices=("trl", "unsloth", "rftkit"), required=True)
    parser.add_argument("--task", choices=tuple(NEW_TOKENS), required=True)
    parser.add_argument("--generation", choices=("transformers", "vllm"), default="transformers")
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--prompts", type=int, default=1, help="a step")
    parser.add_argument("--cap", type=float, default=0.0, help="GB of the card to be; 0: all")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--warm", type=int, default=2, help="first steps that are not counted")
    parser.add_argument("--new", type=int, default=0, help="new tokens, if not the task's")
    parser.add_argument("--fake", action="store_true", help="on a CPU, behind a fake GPU")
    return parser.parse_args()


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Train the steps. An out-of-memory error is a result too."""
    import torch
    from rich.console import Console

    from rftkit.errors import TrainingError
    from rftkit.files import read_lines
    from rftkit.runs.run import RunFolder
    from rftkit.training import grpo, sft
    from rftkit.training.trainer import CheckpointSettings, TrainingJob

    recipe = _recipe(given)
    policy = _open(given, recipe)
    loaded = _allocated(torch)
    examples = _examples(given, policy)
    found: dict[str, Any] = {
        "model": given.model.name, "stack": given.stack, "task": given.task, "cap": given.cap,
        "generation": given.generation, "group": given.group, "prompts": given.prompts,
        "new": recipe.method.max_new_tokens, "loaded_gib": loaded, "error": None,
        "planned_gib": _planned(given, recipe), "device": _device(torch), "versions": _versions(),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder) / "run")
        run.folder.mkdir()
        job = TrainingJob(
            recipe,
            policy,
            run,
            Console(quiet=True),
            checkpointing=CheckpointSettings(given.steps + 1),
        )
        clock = _Clock(torch)
        try:
            if given.task == "sft":
                sft.train(job, examples)
            else:
                with clock.watching():
                    grpo.train(job, examples)
        except TrainingError as error:
            found["error"] = str(error)[:200]
        lines = read_lines(run.metrics) if run.metrics.exists() else []
    return found | _figures(given, torch, lines, clock.seconds)


def _recipe(given: argparse.Namespace) -> Any:
    from rftkit.recipe.toml import parse_recipe

    kind = "sft" if given.task == "sft" else "grpo"
    width, height = _size(given)
    values = {
        "model.name": str(given.model.resolve()),
        "model.backend": "unsloth" if given.stack == "unsloth" else "transformers",
        "model.generation": given.generation,
        "model.max_pixels": width * height,
        "data.source": "digits",
        "style": "direct",
        "method.kind": kind,
        "method.steps": given.steps,
        "method.batch_size": given.prompts,
        "method.group_size": given.group,
        "method.trainer": "auto" if given.stack == "rftkit" else "trl",
        "method.learning_rate": 5e-6,
        "method.kl": 0.0,
        "method.loss": "dr_grpo",
        "method.update.scale_rewards": "none",
        "method.max_new_tokens": given.new or NEW_TOKENS[given.task],
    }
    return parse_recipe("", "bench", [f"{key}={value}" for key, value in values.items()])


def _size(given: argparse.Namespace) -> tuple[int, int]:
    config = json.loads((given.model / "config.json").read_text("utf-8"))
    width, height = SIZES[config["vision_config"]["patch_size"]]
    return (width // 8, height // 8) if given.fake else (width, height)


def _open(given: argparse.Namespace, recipe: Any) -> Any:
    if given.stack != "unsloth" or not given.fake:
        from rftkit.models import open_for_training

        return open_for_training(recipe)
    from rftkit.models.unsloth import Training, open_unsloth

    return open_unsloth(recipe.model, None, Training(recipe.seed, checkpointed=False))


@dataclass(frozen=True)
class _Noise:
    """An image that is nowhere on the disk."""

    seed: int
    size: tuple[int, int]

    @property
    def name(self) -> str:
        return f"noise {self.seed}"

    def open(self) -> Any:
        import numpy as np
        from PIL import Image

        made = np.random.default_rng(self.seed)
        return Image.fromarray(made.integers(0, 255, (*self.size[::-1], 3), dtype=np.uint8))


def _examples(given: argparse.Namespace, policy: Any) -> list[Any]:
    """Enough that no image is seen twice; every digit of a question is a token."""
    from rftkit.core import Example

    size, digits = _size(given), 16 if given.fake else TEXT_TOKENS
    count = max(8, given.steps * given.prompts)
    long = " ".join(["What digit?", "7" * digits])
    return [
        Example(f"{n}", _Noise(n, size), long, "3", labels=tuple("0123456789"), category="3")
        for n in range(count)
    ]


class _Clock:
    """Seconds of each rollout, measured around TRL's own method."""

    def __init__(self, torch: Any) -> None:
        self.torch, self.seconds = torch, list[float]()

    def watching(self) -> Any:
        from contextlib import contextmanager

        from trl import GRPOTrainer

        @contextmanager
        def watched() -> Any:
            own = GRPOTrainer._generate_single_turn

            def timed(trainer: Any, *args: Any, **kwargs: Any) -> Any:
                self._wait()
                start = time.perf_counter()
                result = own(trainer, *args, **kwargs)
                self._wait()
                self.seconds.append(time.perf_counter() - start)
                return result

            GRPOTrainer._generate_single_turn = timed
            try:
                yield
            finally:
                GRPOTrainer._generate_single_turn = own

        return watched()

    def _wait(self) -> None:
        if self.torch.cuda.is_available():
            self.torch.cuda.synchronize()


def _figures(
    given: argparse.Namespace, torch: Any, lines: list[dict[str, Any]], rollouts: list[float]
) -> dict[str, Any]:
    counted = [line["seconds"] for line in lines][given.warm :]
    rollouts = rollouts[given.warm :]
    lengths = [line["length"] for line in lines if "length" in line]
    cuda = torch.cuda.is_available()
    tokens = statistics.mean(lengths) * given.group * given.prompts if lengths else 0.0
    return {
        "step_s": round(statistics.median(counted), 3) if counted else None,
        "steps_s": [line["seconds"] for line in lines],
        "rollout_s": round(statistics.median(rollouts), 3) if rollouts else None,
        "tokens_per_s": round(tokens / statistics.median(rollouts), 1) if rollouts else None,
        "peak_gib": round(torch.cuda.max_memory_reserved() / GIB, 2) if cuda else None,
        "allocated_gib": round(torch.cuda.max_memory_allocated() / GIB, 2) if cuda else None,
        "losses": [line["loss"] for line in lines],
    }


def _planned(given: argparse.Namespace, recipe: Any) -> float:
    """What the plan says of training alone, without CUDA's own, which torch does not see either."""
    from rftkit.hardware import memory_parts
    from rftkit.hardware.memory_plan import Setup, need

    vllm = given.generation == "vllm"
    setup = Setup(
        "unsloth" if given.stack == "unsloth" else "transformers",
        "vllm" if vllm else "transformers",
        shared=given.stack == "rftkit" and given.task != "sft",
    )
    found = need(recipe, None, setup)
    always = sum(part.bytes for part in found.parts if not part.phase) - memory_parts.CUDA
    phases = [p.bytes for p in found.parts if p.phase in ("rollout", "training")]
    return round((always + max(phases)) / GIB, 2)


def _cap(gigabytes: float) -> None:
    """Let the process have so much of the card, and tell that to who asks how much is free."""
    import torch

    if not gigabytes or not torch.cuda.is_available():
        return
    total = torch.cuda.get_device_properties(0).total_memory
    most = int((gigabytes - CUDA_OWN) * GIB)
    torch.cuda.set_per_process_memory_fraction(most / total)

    def capped(device: Any = None) -> tuple[int, int]:
        # libraries size their batches by this
        return max(0, most - torch.cuda.memory_reserved()), int(gigabytes * GIB)

    torch.cuda.mem_get_info = capped


def _import_unsloth(fake: bool) -> None:
    """Before TRL, transformers and peft, which it patches."""
    if not fake:
        importlib.import_module("unsloth")
        return
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "slow"))
    from unsloth_driver import patch

    patch()


def _allocated(torch: Any) -> float | None:
    return round(torch.cuda.memory_allocated() / GIB, 2) if torch.cuda.is_available() else None


def _device(torch: Any) -> str:
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"


def _versions() -> dict[str, str]:
    from rftkit.runs.versions import versions

    return versions()


if __name__ == "__main__":
    main()
