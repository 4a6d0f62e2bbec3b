"""A trained run goes to a hub of our own and comes back: it predicts; a stopped push goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import hub_stub
import pytest
from hub_stub import Hub
from huggingface_hub import snapshot_download
from waiting import HANG_SECONDS

from rftkit.api import predict
from rftkit.runs.run import RunFolder

pytestmark = pytest.mark.slow
REPO = "anna/digits-lora"


def test_a_pushed_adapter_comes_back_and_predicts_and_a_stopped_push_goes_on(
    short_run: Callable[..., RunFolder], tmp_path: Path
) -> None:
    run = short_run("method.steps=1", "eval.limit=10")
    command = [sys.executable, "-m", "rftkit", "push", str(run.folder), REPO]
    with hub_stub.running(Hub(held="PUT /lfs")) as hub:
        env = {**os.environ, **hub_stub.environment(hub, "hf_anna", tmp_path / "hf")}
        stopped = subprocess.Popen(
            command,
            env=env,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C is ignored where a shell began pytest in the background
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        assert hub.arrived.wait(HANG_SECONDS)
        stopped.send_signal(signal.SIGINT)
        _, err = stopped.communicate(timeout=HANG_SECONDS)
        assert stopped.returncode == 128 + signal.SIGINT
        assert f"push {run.folder} {REPO}" in err.splitlines()[-1]
        assert hub.files(REPO) == {}
        hub.held = ""
        hub.go_on.set()
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        assert done.stdout.startswith(f"pushed: {hub.url}/{REPO} (private, commit ")
        with hub_stub.used_by_this_process(hub, "hf_anna", tmp_path / "hf"):
            down = Path(snapshot_download(REPO, local_dir=tmp_path / "down"))
    weights = "adapter_model.safetensors"
    assert (down / weights).read_bytes() == (run.adapter / weights).read_bytes()
    files = [path for path in down.iterdir() if path.is_file()]
    assert not [path for path in files if str(tmp_path).encode() in path.read_bytes()]
    example = shutil.copy(run.example, tmp_path / "digit.png")
    (ours,), (theirs,) = (predict(folder, example) for folder in (run.folder, down))
    assert ours.answer in set("0123456789")
    assert (theirs.answer, theirs.by_list) == (ours.answer, ours.by_list)
    assert theirs.attempt.completion == ours.attempt.completion
