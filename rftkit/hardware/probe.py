"""What this machine is, asked of other programs, so that nothing heavy or broken loads here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rftkit.hardware.gpus import Card

SECONDS = 7.0  # an import that takes longer is given up
SLOWLY = f"not loaded within {SECONDS:g} s"  # which says nothing: Unsloth takes 9 s at its best
IMPORTED = ("torch", "triton", "bitsandbytes", "torchvision", "transformers", "trl")
SLOW = ("unsloth", "vllm")  # each in a process of its own, and only where it is installed
QUERY = "name,driver_version,memory.total,memory.free,compute_cap"

# run by another Python: a line of JSON for each module, so that a crash loses only what follows
PROBE = """
import importlib, json, sys
def say(**known): print("@" + json.dumps(known), flush=True)
for name in sys.argv[1:]:
    try:
        module = importlib.import_module(name)
    except BaseException as error:
        lines = str(error).strip().splitlines() or [""]
        say(module=name, error=(type(error).__name__ + ": " + lines[0])[:200])
        continue
    say(module=name, error="")
    if name == "torch":
        cuda = module.cuda
        say(cuda=cuda.is_available(), built=module.version.cuda or "",
            bf16=cuda.is_available() and cuda.is_bf16_supported(False))
"""


@dataclass(frozen=True)
class Gpu:
    """A GPU as its driver describes it; memory in MiB. capability: 0 if the driver is too old."""

    name: str
    driver: str
    total: float
    free: float
    capability: float = 0.0


@dataclass(frozen=True)
class Imports:
    """Which modules load, and what torch says. errors: module -> why it does not, or ""."""

    errors: dict[str, str] = field(default_factory=dict)
    cuda: bool = False
    built: str = ""  # the CUDA version that torch was built for
    bf16: bool = False


def gpus() -> list[Gpu]:
    """The NVIDIA GPUs of this machine; none where there is no driver, or it does not answer."""
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return []
    lines = done.stdout.decode("utf-8", "replace").splitlines() if done.returncode == 0 else []
    return [gpu for line in lines if (gpu := _gpu(line))]


def first_gpu() -> Card | None:
    """The first GPU as a card to plan for; None without one."""
    listed = gpus()
    return Card(listed[0].name, listed[0].total / 1024, listed[0].capability) if listed else None


def unseen_gpu() -> str | None:
    """The name of a GPU that the driver shows and torch does not reach; None if there is none.

    CUDA_VISIBLE_DEVICES set to nothing, or to -1, hides it on purpose.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or not (listed := gpus()):
        return None
    import torch  # takes seconds: where the driver shows a GPU only

    return None if torch.cuda.is_available() else listed[0].name


def imports(modules: Sequence[str]) -> Imports:
    """Whether each module can be imported, tried by other Pythons at the same time.

    What has not answered after `SECONDS` has `SLOWLY` as its reason.
    """
    lots = [[m for m in modules if m not in SLOW], *([m] for m in modules if m in SLOW)]
    running = [_start(lot) for lot in lots if lot]
    lines = [line for process, lot in running for line in _read(process, lot)]
    errors = {line["module"]: str(line["error"]) for line in lines if "module" in line}
    build = next((line for line in lines if "cuda" in line), {})
    return Imports(
        errors, bool(build.get("cuda")), str(build.get("built", "")), bool(build.get("bf16"))
    )


def _gpu(line: str) -> Gpu | None:
    parts = [part.strip() for part in line.split(",")]
    try:
        name, driver, total, free, *more = parts
        return Gpu(name, driver, float(total), float(free), _number(more[0] if more else ""))
    except ValueError:
        return None  # "[N/A]" and the like


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _start(lot: Sequence[str]) -> tuple[subprocess.Popen[bytes], Sequence[str]]:
    quiet = {"HF_HUB_OFFLINE": "1", "UNSLOTH_DISABLE_STATISTICS": "1", "VLLM_NO_USAGE_STATS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", PROBE, *lot],  # -P: not from the current folder
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **quiet},
    )
    return process, lot


def _read(process: subprocess.Popen[bytes], lot: Sequence[str]) -> list[dict[str, Any]]:
    """What a probe has said, and for each module that it said nothing of, why."""
    why = "ended without a word"
    try:
        out, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
        why = SLOWLY
    lines = out.decode("utf-8", "replace").splitlines()
    records = [record for line in lines if (record := _said(line))]
    modules = {line.get("module") for line in records}
    return [*records, *({"module": name, "error": why} for name in lot if name not in modules)]


def _said(line: str) -> dict[str, Any] | None:
    """What a line of the probe holds; modules print lines of their own as they load."""
    if not line.startswith("@"):
        return None
    try:
        record = json.loads(line[1:])
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
