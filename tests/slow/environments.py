"""Runs a driver in a process of its own and reads the line of JSON it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def driven(
    name: str, folder: Path, *arguments: str, site: str = "", seconds: float = 1500.0
) -> dict[str, Any]:
    """What the driver found, and as `printed` what else was on its standard output.

    Fails with the end of its output if it found nothing. It works in `folder`. site: a folder here
    whose sitecustomize.py the process and its children read.
    """
    ours = [str(HERE.parent.parent), str(HERE), *([str(HERE / site)] if site else [])]
    paths = os.pathsep.join([*ours, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(HERE / name), *arguments],
        capture_output=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1"},
        timeout=seconds,
        check=False,
    )
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    told = [line[1:] for line in lines if line.startswith("@{")]
    assert told, done.stderr.decode("utf-8", "replace")[-3000:]
    found: dict[str, Any] = json.loads(told[-1])
    return found | {"printed": [line for line in lines if line and not line.startswith("@{")]}
