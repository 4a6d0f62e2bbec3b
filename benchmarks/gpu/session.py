"""A whole measured session on a GPU, in under ten minutes, and its table.

    python benchmarks/gpu/session.py core --out out/gpu      # 3B: GRPO direct and think
    python benchmarks/gpu/session.py sft --out out/gpu       # 3B: imitation
    python benchmarks/gpu/session.py large --out out/gpu     # 7B and Qwen3-VL-4B, smaller cards
    python benchmarks/gpu/session.py vllm --out out/gpu      # the same rollouts by vLLM
    python benchmarks/gpu/session.py learn --out out/gpu     # the quickstart in 4 bit, whole CLI
    python benchmarks/gpu/session.py core --fake --out out/gpu   # on a CPU, tiny: does it run?

Every run is a process of its own, so that none leaves memory to the next; a run that does not end
in the time that is left is skipped, and the table says so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LEAST = 40.0  # seconds below which no further run is begun
COLUMNS = {
    "model": "model", "stack": "stack", "task": "task", "generation": "rollout by", "cap": "card",
    "step_s": "s/step", "rollout_s": "rollout s", "tokens_per_s": "tokens/s", "peak_gib": "peak",
    "planned_gib": "planned", "error": "error",
}  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """One run: model, stack, task, the card to be in GB, and its share of the time."""

    model: str
    stack: str
    task: str
    cap: int
    seconds: int
    generation: str = "transformers"
    group: int = 8
    steps: int = 6

    @property
    def name(self) -> str:
        """Of its log."""
        return f"{self.model}-{self.stack}-{self.task}-{self.generation}-{self.cap}"

    @property
    def words(self) -> list[str]:
        """For step.py."""
        return [
            *("--stack", self.stack, "--task", self.task, "--cap", str(self.cap)),
            *("--generation", self.generation, "--group", str(self.group)),
            *("--steps", str(self.steps)),
        ]


B3, B7, Q4 = "qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen3-vl-4b"
SESSIONS: dict[str, tuple[Bench, ...]] = {
    "core": (
        Bench(B3, "rftkit", "direct", 8, 60),
        Bench(B3, "trl", "direct", 24, 60),
        Bench(B3, "unsloth", "direct", 24, 110),
        Bench(B3, "rftkit", "think", 12, 90),
        Bench(B3, "trl", "think", 24, 90, steps=5),
        Bench(B3, "unsloth", "think", 24, 110, steps=5),
    ),
    "sft": (
        Bench(B3, "trl", "sft", 16, 120),
        Bench(B3, "unsloth", "sft", 16, 200),
    ),
    "large": (
        Bench(B7, "rftkit", "direct", 16, 120),
        Bench(B7, "trl", "direct", 24, 110, steps=5),
        Bench(B7, "unsloth", "direct", 24, 140, steps=5),
        Bench(Q4, "rftkit", "direct", 12, 80),
        Bench(Q4, "trl", "direct", 24, 80, steps=5),
    ),
    "vllm": (
        Bench(B3, "unsloth", "direct", 24, 230, "vllm"),
        Bench(B3, "unsloth", "think", 24, 230, "vllm"),
        Bench(B3, "unsloth", "think", 16, 200, "vllm"),
    ),
}


def main() -> None:
    """Parse, run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("plan", choices=(*SESSIONS, "learn"))
    parser.add_argument("--out", type=Path, required=True, help="results and logs")
    parser.add_argument("--models", type=Path, help="where models are made; default OUT/models")
    parser.add_argument("--seconds", type=float, default=560.0)
    parser.add_argument("--only", default="", help="only runs whose name holds this")
    parser.add_argument("--fake", action="store_true", help="tiny, on a CPU")
    given = parser.parse_args()
    if lacking := missing(given.plan, given.only):
        sys.exit(f"{given.plan}: not installed: {', '.join(lacking)}; see docs/cuda.md")
    given.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + given.seconds
    if given.plan == "learn":
        sys.exit(learn(given))
    found = []
    for bench in SESSIONS[given.plan]:
        if given.only in bench.name:
            found.append(run(bench, bench.name, given, end))
            with (given.out / f"{given.plan}.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(found[-1]) + "\n")
    print(table(found))


def missing(plan: str, only: str) -> list[str]:
    """Packages that the session needs and this Python has not."""
    needed = {"trl", "peft", "bitsandbytes", "datasets"}
    for bench in SESSIONS.get(plan, ()):
        if only in bench.name:
            needed |= {name for name in ("unsloth", "vllm") if name in bench.words}
    return sorted(name for name in needed if find_spec(name) is None)


def run(bench: Bench, name: str, given: argparse.Namespace, end: float) -> dict[str, Any]:
    """What step.py measured, or why there is nothing."""
    empty = {"model": bench.model, "stack": bench.stack, "task": bench.task, "cap": bench.cap,
             "generation": bench.generation}  # fmt: skip
    left = end - time.monotonic()
    if left < LEAST:
        return empty | {"error": "no time left"}
    try:
        folder = model(bench.model, given, left)
    except subprocess.SubprocessError as error:
        return empty | {"error": f"the model could not be made: {error}"[:160]}
    more = ["--fake", "--new", "8"] if given.fake else []
    command = [sys.executable, str(HERE / "step.py"), str(folder), *bench.words, *more]
    log = given.out / f"{name}.log"
    with log.open("w") as file:
        try:
            limit = min(left, bench.seconds * (10 if given.fake else 1.5))
            subprocess.run(command, stdout=file, stderr=file, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            return empty | {"error": f"not done in {limit:.0f} s"}
    lines = log.read_text("utf-8", "replace").splitlines()
    told = [line for line in lines if line.startswith("BENCH ")]
    if not told:
        last = next((line for line in reversed(lines) if "Error" in line), "ended without a result")
        return empty | {"error": last[:160]}
    found: dict[str, Any] = json.loads(told[-1].removeprefix("BENCH "))
    print(f"{name}: {found['step_s']} s/step, {found['peak_gib']} GiB", flush=True)
    return found


def model(name: str, given: argparse.Namespace, seconds: float) -> Path:
    """The model's folder, made once by a process of its own, which may take so many seconds."""
    folder: Path = (given.models or given.out / "models") / (f"{name}-tiny" if given.fake else name)
    if not (folder / "preprocessor_config.json").exists():
        words = [str(HERE / "models.py"), str(folder), name, *(["--tiny"] if given.fake else [])]
        subprocess.run([sys.executable, *words], check=True, timeout=seconds)
    return folder


def learn(given: argparse.Namespace) -> int | str:
    """The quickstart on a 4-bit base through the whole command line, as on a CPU but for that."""
    more = ["--set", "method.steps=4", "--set", "eval.limit=20"] if given.fake else []
    words = ["-m", "rftkit", "train", "quickstart", "--out", str(given.out / "quickstart")]
    sets = ["--set", "model.load_in_4bit=true", *more]
    command = [sys.executable, *words, *sets]
    try:
        return subprocess.run(command, check=False, timeout=given.seconds).returncode
    except subprocess.TimeoutExpired:
        return f"learn: not done in {given.seconds:.0f} s; rftkit train … --resume continues"


def table(found: list[dict[str, Any]]) -> str:
    """The runs as a table for docs/measured.md."""
    lines = ["| " + " | ".join(COLUMNS.values()) + " |", "|---" * len(COLUMNS) + "|"]
    for one in found:
        cells = ["" if one.get(key) is None else str(one[key]) for key in COLUMNS]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
