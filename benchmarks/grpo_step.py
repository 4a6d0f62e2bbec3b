"""Time and memory of a GRPO step: stock TRL and rftkit's shared prefixes, side by side.

    python benchmarks/grpo_step.py                    # every case: hours
    python benchmarks/grpo_step.py --quick            # one case of each kind
    python benchmarks/grpo_step.py --cases direct-300-8 think-300-8 --steps 5 --out out/step.json

All arms (stock TRL, shared prefixes, and those with a merged copy that writes) hold the same random
Qwen2.5-VL, adapter, data, seeds and settings, and take their steps in turn, so that whatever else
the machine does falls on all of them; on a CPU the seconds are those that this process got, on CUDA
those of the clock. Peak memory is measured in a process of its own for each arm: what a step adds
to the model, its adapter and the optimizer. A case is named style-prompt tokens-group size.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from grpo_arms import NEW_TOKENS, Case, rows_of, trainer_of
from transformers import set_seed
from transformers.utils import logging

PROMPTS, GROUPS = (100, 300, 1000), (4, 8, 16)
QUICK = ("direct-300-8", "think-300-8")
ARMS = ("stock", "shared", "merged")
PARTS = ("generation", "log-probs", "loss and backward", "rest")  # rest: text, images, rewards
# what is freed goes back at once, else the first step's peak hides the second's
RETURNED = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
HEAD = (
    "| case | stock, s | shared, s | merged, s | stock / shared | stock / merged | generation | "
    "log-probs | loss, backward | rest | tokens | peak memory of a step, MB | of stock |"
)


@dataclass(frozen=True)
class Step:
    """Seconds of a step and of its parts, tokens that entered the language model, and the norm of
    the gradient."""

    seconds: float
    parts: dict[str, float]
    tokens: int
    gradient: float


def main() -> None:
    """Parse, measure, print."""
    given = _arguments()
    logging.set_verbosity_error()
    torch.set_num_threads(given.threads)
    if given.memory_of:
        case = Case(**json.loads(given.cases[0]))
        print(json.dumps({"bytes": peak_of(runner(case, given.memory_of))}))
        return
    print(HEAD + "\n" + "|---" * 13 + "|", flush=True)
    found = json.loads(given.out.read_text("utf-8")) if given.out and given.out.exists() else []
    for name in given.cases or (QUICK if given.quick else _every_case()):
        case = _case(name, given)
        known = [one for one in found if one["case"] == asdict(case)]
        if not known:
            steps = measure(case, given.steps)
            peaks = None if given.no_memory else {arm: _in_a_process(case, arm) for arm in ARMS}
            found.append({"case": asdict(case), "steps": _plain(steps), "peak_bytes": peaks})
        print(line(known[0] if known else found[-1]), flush=True)
        if given.out:
            given.out.parent.mkdir(parents=True, exist_ok=True)
            given.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if given.plot:
        plot(found, given.plot)


def _case(name: str, given: argparse.Namespace) -> Case:
    style, prompt, group = name.split("-")
    return Case(
        *(style, int(prompt), int(group), given.prompts, given.image, given.kl),
        *(given.width, given.layers),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cases", nargs="+", default=[], help="for example direct-300-8")
    parser.add_argument("--quick", action="store_true", help=f"only {' and '.join(QUICK)}")
    parser.add_argument("--steps", type=int, default=5, help="measured, after one that is not")
    parser.add_argument("--prompts", type=int, default=2, help="different prompts in a step")
    parser.add_argument("--image", type=int, default=64, help="image tokens, a square number")
    parser.add_argument("--kl", type=float, default=0.0, help="above 0 the reference is scored too")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--out", type=Path, help="JSON of every step; what is there is kept")
    parser.add_argument("--plot", type=Path, help="ratio against prompt length and group size")
    parser.add_argument("--memory-of", choices=ARMS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _every_case() -> list[str]:
    return [f"{style}-{p}-{g}" for style in NEW_TOKENS for p in PROMPTS for g in GROUPS]


def measure(case: Case, steps: int) -> dict[str, list[Step]]:
    """Steps of both arms, taken in turn; the arm that goes first alternates. The first is dropped.

    Raises SystemExit if their first gradients differ: then they do not compute the same.
    """
    runners = {arm: runner(case, arm) for arm in ARMS}
    found: dict[str, list[Step]] = {arm: [] for arm in ARMS}
    for number in range(steps + 1):
        for arm in ARMS if number % 2 else ARMS[::-1]:
            found[arm].append(runners[arm](number))
    first = {arm: found[arm][0].gradient for arm in ARMS}
    if not 0.999 < first["stock"] / first["shared"] < 1.001:
        sys.exit(f"{case.name}: the gradients of the first step differ: {first}")
    return {arm: taken[1:] for arm, taken in found.items()}


def runner(case: Case, arm: str) -> Callable[[int], Step]:
    """A function that takes one training step with the seed it is given."""
    trainer = trainer_of(case, arm)
    device = trainer.accelerator.device
    parts, tokens = Counter[str](), Counter[str]()
    _time(trainer, "_generate_single_turn", "generation", parts)
    _time(trainer, "_get_per_token_logps_and_entropies", "log-probs", parts)
    _time(trainer, "_generate_and_score_completions", "prepared", parts)
    trainer.model.get_base_model().model.language_model.register_forward_pre_hook(
        lambda _, __, given: tokens.update(all=given["inputs_embeds"].shape[:2].numel()),
        with_kwargs=True,
    )
    weights = [weight for weight in trainer.model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-4)
    batches = [rows_of(case, trainer.train_dataset, number) for number in range(8)]
    trainer.current_gradient_accumulation_steps = 1

    def step(number: int) -> Step:
        set_seed(number)
        parts.clear()
        tokens.clear()
        started = now(device)
        trainer.training_step(trainer.model, batches[number % len(batches)], None)
        norm = torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds = now(device) - started
        scored_ahead = parts["ahead"]
        split = {"generation": parts["generation"], "log-probs": parts["log-probs"]}
        split["rest"] = parts["prepared"] - parts["generation"] - scored_ahead
        split["loss and backward"] = seconds - sum(split.values())
        return Step(seconds, split, tokens["all"], float(norm))

    return step


def _time(trainer: Any, method: str, part: str, parts: Counter[str]) -> None:
    """Adds what the method takes to `part`; log-probabilities of the preparation are `ahead`."""
    own, device = getattr(trainer, method), trainer.accelerator.device

    def timed(*args: Any, **kwargs: Any) -> Any:
        started = now(device)
        result = own(*args, **kwargs)
        taken = now(device) - started
        parts[part] += taken  # type: ignore[assignment]
        if part == "log-probs" and not torch.is_grad_enabled():
            parts["ahead"] += taken  # type: ignore[assignment]
        return result

    setattr(trainer, method, timed)


def now(device: torch.device) -> float:
    """Seconds. On a CPU those of this process, so that other work there does not count."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time() / torch.get_num_threads()


def _in_a_process(case: Case, arm: str) -> int:
    command = [sys.executable, __file__, "--memory-of", arm, "--cases", json.dumps(asdict(case))]
    command += ["--threads", str(torch.get_num_threads())]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **RETURNED})
    if done.returncode:
        sys.exit(f"{case.name}, {arm}: {done.stderr[-2000:]}")
    return int(json.loads(done.stdout.splitlines()[-1])["bytes"])


def peak_of(step: Callable[[int], Any]) -> int:
    """Bytes a second step adds at its peak to what the first has left."""
    step(0)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step(1)
        return torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is held now
    before = _resident("VmRSS")
    step(1)
    return _resident("VmHWM") - before


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def line(found: dict[str, Any]) -> str:
    """A case as a line of the table: medians, stock → shared → merged."""

    def medians(of: Callable[[dict[str, Any]], float], digits: int = 2) -> str:
        middle = [statistics.median(map(of, found["steps"][arm])) for arm in ARMS]
        return " → ".join(f"{value:.{digits}f}" for value in middle)

    peaks = found["peak_bytes"]
    cells = [Case(**found["case"]).name, *medians(itemgetter("seconds")).split(" → ")]
    for arm in ARMS[1:]:
        ratios = ratios_of(found["steps"], arm)
        middle, ends = statistics.median(ratios), f"{min(ratios):.1f} to {max(ratios):.1f}"
        cells.append(f"**{middle:.1f}** ({ends})")
    cells += [medians(lambda step, part=part: step["parts"][part]) for part in PARTS]  # type: ignore[misc]
    cells.append(medians(itemgetter("tokens"), 0))
    if peaks:
        cells.append(" → ".join(f"{peaks[arm] / 1e6:.0f}" for arm in ARMS))
        cells.append(", ".join(f"{100 * peaks[arm] / peaks['stock']:.0f} %" for arm in ARMS[1:]))
    return "| " + " | ".join(cells) + " |"


def ratios_of(steps: dict[str, list[dict[str, Any]]], arm: str = "shared") -> list[float]:
    """Stock over another arm, of the steps that were taken next to each other."""
    pairs = zip(steps["stock"], steps[arm], strict=True)
    return [stock["seconds"] / ours["seconds"] for stock, ours in pairs]


def _plain(steps: dict[str, list[Step]]) -> dict[str, list[dict[str, Any]]]:
    return {arm: [asdict(step) for step in taken] for arm, taken in steps.items()}


def plot(found: Sequence[dict[str, Any]], path: Path) -> None:
    """Ratio against prompt length, a line per group size, a panel per style."""
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for panel, style in zip(panels, NEW_TOKENS, strict=True):
        for group in GROUPS:
            points = sorted(
                (one["case"]["prompt"], statistics.median(ratios_of(one["steps"])))
                for one in found
                if (one["case"]["style"], one["case"]["group"]) == (style, group)
            )
            if points:
                panel.plot(*zip(*points, strict=True), marker="o", label=f"group of {group}")
        panel.axhline(1, color="grey", linewidth=0.8)
        panel.set(xscale="log", xlabel="prompt, tokens", ylabel="stock / shared, step time")
        panel.set_title(f"{style}: {NEW_TOKENS[style]} new tokens")
    panels[0].legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
