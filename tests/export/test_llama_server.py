"""How llama.cpp's server is asked: a server in its place that knows three answers."""

from __future__ import annotations

import base64
import io
import json
import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from fakes import BlankImage
from PIL import Image

from rftkit.errors import ModelError
from rftkit.export.llama_cpp.convert import GgufFiles
from rftkit.export.llama_cpp.server import Limits, LlamaCpp, Reading, serving
from rftkit.models.policy import Prompt

# what follows what was written: token -> chance; tokens are letters
NEXT = {
    "": {"a": 0.9, "b": 0.0999, "c": 1e-7},
    "a": {"x": 0.5, "y": 0.5},
    "b": {"x": 1.0},
    "r": {"e": 0.5},
}
RARE_FIRST = {"a": 0.9, "b": 0.0999, "c": 1e-4, "r": 5e-5}  # where "Rare?" is asked
RARE = "r"  # not among the likeliest, so that all have to be asked for
asked: list[dict[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    """`/props` and `/completion` as llama-server has them."""

    def do_GET(self) -> None:
        assert self.path == "/props"
        self._say({"media_marker": "<__random__>"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked.append(body)
        text = body["prompt"]["prompt_string"]
        if "refuse" in text:
            self.send_error(400, "no", "Failed to tokenize prompt")
            return
        written = text.partition("|")[2]
        chances = RARE_FIRST if "Rare?" in text and not written else NEXT[written]
        top = [
            {"id": ord(t), "logprob": math.log(p)}
            for t, p in chances.items()
            if t != RARE or body["n_probs"] > 200
        ]
        first = max(chances, key=lambda token: chances[token])
        self._say({
            "content": first + "é", "tokens": [ord(first), 7, ord("e")], "tokens_evaluated": 12,
            "stop_type": "eos", "completion_probabilities": [
                {"id": ord(first), "top_logprobs": top},  # 7 is a part of a character: left out
                {"id": ord("e"), "top_logprobs": [{"id": ord("e"), "logprob": -0.5}]}],
        })  # fmt: skip

    def _say(self, value: object) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, *_: Any) -> None:
        pass


def ids(text: str, ended: bool) -> list[int]:
    assert not ended
    return [ord(letter) for letter in text]


READING = Reading(
    lambda prompt: f"<image>{prompt.text}|", "<image>", ids,
    lambda tokens: "".join(map(chr, tokens)),
)  # fmt: skip


@pytest.fixture
def llama() -> Iterator[LlamaCpp]:
    asked.clear()
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with subprocess.Popen(["true"], text=True) as process:
        yield LlamaCpp(f"http://127.0.0.1:{server.server_port}", process, READING)
    server.shutdown()


def test_a_prompt_goes_with_its_image_at_the_servers_own_marker(llama: LlamaCpp) -> None:
    prompt = Prompt(BlankImage("x", 200), "Which?", others=(BlankImage("y", 10),))
    (answer,) = llama.answers([prompt], 16)
    sent = asked[0]
    assert sent["prompt"]["prompt_string"] == "<__random__>Which?|"
    shades = [
        Image.open(io.BytesIO(base64.b64decode(png))).getpixel((0, 0))
        for png in sent["prompt"]["multimodal_data"]
    ]
    assert shades == [(200, 200, 200), (10, 10, 10)]
    assert (sent["n_predict"], sent["temperature"], sent["cache_prompt"]) == (16, 0, False)
    assert (answer.text, answer.ids, answer.finished) == ("aé", [ord("a"), 7, ord("e")], True)
    assert [len(step) for step in answer.steps] == [3, 0, 1]
    assert answer.steps[2] == {ord("e"): -0.5}
    assert llama.prompt_tokens(prompt) == 12


def test_lists_are_scored_down_the_tree_of_their_tokens(llama: LlamaCpp) -> None:
    answers = ["ax", "ay", "bx", "a", "cx"]
    (scores,) = llama.score([Prompt(BlankImage("x"), "Which?")], [answers], ended=False)
    expected = [0.45, 0.45, 0.0999, 0.9, 1e-7]
    assert [math.exp(score) for score in scores] == pytest.approx(expected)
    written = [body["prompt"]["prompt_string"].partition("|")[2] for body in asked]
    assert written == ["", "a", "b"]  # what is under c is not followed
    assert {body["n_probs"] for body in asked} == {200}


def test_a_token_that_is_not_among_the_likeliest_is_asked_for(llama: LlamaCpp) -> None:
    (scores,) = llama.score([Prompt(BlankImage("x"), "Rare?")], [["re", "ax", "zx"]], ended=False)
    assert [math.exp(score) for score in scores] == pytest.approx([2.5e-5, 0.45, 0], abs=1e-9)
    assert [body["n_probs"] for body in asked] == [200, 200, 1_000_000, 200]


def test_a_prompt_that_is_refused_is_one_line(llama: LlamaCpp) -> None:
    with pytest.raises(ModelError, match=r"llama\.cpp refuses a prompt"):
        llama.answers([Prompt(BlankImage("x"), "refuse")], 4)


def test_a_server_that_died_is_one_line() -> None:
    with (
        subprocess.Popen([sys.executable, "-c", "import os; os.abort()"], text=True) as process,
        pytest.raises(ModelError, match=r"llama\.cpp ended \(exit code -6\)"),
    ):
        LlamaCpp("http://127.0.0.1:9", process, READING)


def test_files_that_are_no_gguf_are_one_line(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    made = GgufFiles(tmp_path / "text.gguf", tmp_path / "mmproj.gguf")
    for path in made:
        path.write_bytes(b"not a model")
    with (
        pytest.raises(ModelError, match=r"llama\.cpp does not load the files \(exit code"),
        serving(made, READING, Limits(128, (-1, -1))),
    ):
        raise AssertionError
