"""`rftkit serve` with a trained model: as `rftkit predict`, alone and in a crowd, to its end."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest
from rich.console import Console
from serve_fakes import WEB
from typer.testing import CliRunner

from rftkit.cli.main import app
from rftkit.data.sources.builtin import digits_rows
from rftkit.training.request import TrainRequest
from rftkit.training.run import train

RECIPE = """
seed = 3
style = "direct"
[model]
name = "tiny"
[data]
source = "digits"
shots = 4
[method]
steps = 2
learning_rate = 1e-3
batch_size = 4
group_size = 4
max_new_tokens = 8
[eval]
limit = 10
batch_size = 10
"""
KEY = "s3cret"
HEAD = {"Authorization": f"Bearer {KEY}"}


class Process(NamedTuple):
    """A running `rftkit serve`."""

    process: subprocess.Popen[str]
    url: str
    run: Path
    images: list[Path]


@pytest.fixture(scope="module")
def served(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    root = tmp_path_factory.mktemp("serve")
    recipe = root / "digits.toml"
    recipe.write_text(RECIPE, "utf-8")
    train(TrainRequest(recipe=recipe, out=root / "digits"), Console(file=io.StringIO()))
    images = []
    for number, row in zip(range(12), digits_rows("test"), strict=False):
        images.append(root / f"{number}.png")
        row.image.open().save(images[-1])
    process = subprocess.Popen(
        [sys.executable, "-m", "rftkit", "serve", "--ckpt", str(root / "digits"), "--port", "0"],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "RFTKIT_API_KEY": KEY},
    )  # fmt: skip
    assert process.stderr is not None
    lines = list[str]()
    for line in process.stderr:
        lines.append(line)
        if line.startswith("try: "):
            break
    found = re.search(r"serving at (http://\S+),", "".join(lines))
    assert found, "".join(lines)
    yield Process(process, found[1], root / "digits", images)
    process.kill()
    process.wait()


def predicted(served: Process, *paths: Path) -> list[dict[str, Any]]:
    files = [("image", (str(path), path.read_bytes())) for path in paths]
    told = WEB.post(f"{served.url}/v1/predict", files=files, headers=HEAD)
    assert told.status_code == 200, told.text
    found: list[dict[str, Any]] = told.json()["predictions"]
    return found


@pytest.mark.slow
def test_a_prediction_is_that_of_rftkit_predict(served: Process) -> None:
    path = served.images[0]
    words = ["predict", str(path), "--ckpt", str(served.run), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert predicted(served, path) == [json.loads(done.stdout)]


@pytest.mark.slow
def test_in_a_crowd_each_image_gets_the_answer_that_it_gets_alone(served: Process) -> None:
    alone = [predicted(served, path)[0] for path in served.images]
    with ThreadPoolExecutor(12) as pool:
        together = [*pool.map(lambda path: predicted(served, path)[0], served.images)]
    for one, other in zip(alone, together, strict=True):
        chances = [found.pop("probabilities") for found in (one, other)]
        assert chances[0] == pytest.approx(chances[1], abs=2e-5)
        assert one.pop("confidence") == pytest.approx(other.pop("confidence"), abs=2e-5)
        assert one == other
    text = WEB.get(f"{served.url}/metrics", headers=HEAD).text
    assert 'rftkit_requests_total{path="/v1/predict",status="200"} ' in text


@pytest.mark.slow
def test_an_image_alone_in_a_chat_gets_the_reply_of_a_prediction(served: Process) -> None:
    url = "data:image/png;base64," + base64.b64encode(served.images[0].read_bytes()).decode()
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key=KEY, max_retries=0)
    content = [{"type": "image_url", "image_url": {"url": url}}]
    made = client.chat.completions.create(
        model="digits", messages=[{"role": "user", "content": content}]
    )  # type: ignore[call-overload]
    (found,) = predicted(served, served.images[0])
    assert made.choices[0].message.content == found["text"]
    assert made.usage.completion_tokens == found["tokens"]
    assert made.usage.prompt_tokens > 20


@pytest.mark.slow
def test_sigterm_ends_it_without_an_error(served: Process) -> None:
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(120) == 0
    assert served.process.stderr is not None
    assert served.process.stderr.read() == "stopped\n"
