"""What `rftkit serve` refuses before a model is loaded, and what it prints once it listens."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import pytest
from rich.console import Console
from serve_fakes import running
from typer.testing import CliRunner

from rftkit.cli.main import app
from rftkit.errors import UserError
from rftkit.serve import run
from rftkit.serve.options import Limits, ServeOptions, check_options


@pytest.mark.parametrize(
    ("host", "key", "public", "allowed"),
    [
        ("127.0.0.1", "", False, True), ("localhost", "", False, True), ("::1", "", False, True),
        ("0.0.0.0", "", False, False), ("192.168.1.4", "", False, False),
        ("0.0.0.0", "secret", False, True), ("0.0.0.0", "", True, True),
    ],
)  # fmt: skip
def test_others_reach_it_with_a_key_or_an_explicit_public(
    host: str, key: str, public: bool, allowed: bool
) -> None:
    options = ServeOptions(Path("out"), host=host, api_key=key, public=public)
    if allowed:
        check_options(options)
    else:
        with pytest.raises(UserError, match=f"--host {host}: others could use your machine; set"):
            check_options(options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (ServeOptions(Path("out"), api_key=" x"), "write it in ASCII, without spaces around it"),
        (ServeOptions(Path("out"), api_key="ä"), "write it in ASCII"),
        (ServeOptions(Path("out"), limits=Limits(queue=4, images=5)), "--max-images 5: more than"),
    ],
)
def test_options_that_cannot_work(options: ServeOptions, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_options(options)


def test_what_is_missing_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "NEEDED", ("fastapi", "no_such_package"))
    with pytest.raises(UserError) as error:
        run.serve(ServeOptions(Path("out")), Console(file=io.StringIO()))
    assert str(error.value).startswith("rftkit serve needs no-such-package: ")
    assert str(error.value).endswith("install -c constraints.txt -e '.[serve]'")


def test_a_port_in_use_is_said_before_a_model_is_loaded() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        options = ServeOptions(Path("nowhere"), port=port)
        with pytest.raises(UserError, match=f"--port {port}: in use, or not of this machine"):
            run.serve(options, Console(file=io.StringIO()))


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[ServeOptions]()
    monkeypatch.setattr(run, "serve", lambda options, console: seen.append(options))
    words = ["serve", "--ckpt", "x", "--max-batch", "4", "--max-mb", "1.5", "--timeout", "9"]
    made = CliRunner().invoke(app, words, env={"RFTKIT_API_KEY": "secret"})
    assert made.exit_code == 0, made.output
    (options,) = seen
    assert options.api_key == "secret"
    assert "secret" not in repr(options)
    assert (options.limits.batch, options.limits.bytes, options.limits.seconds) == (
        4, 1_500_000, 9.0,
    )  # fmt: skip


def test_the_greeting_has_a_request_to_try() -> None:
    with running(key="s3cret") as served, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        lines = run.greeting(served.service, listening)
    assert lines[0] == "model digits: tiny, classification, style direct"
    assert lines[1].startswith(f"serving at http://127.0.0.1:{port}, OpenAPI page http://127")
    assert lines[2] == (
        'try: curl -H "Authorization: Bearer $RFTKIT_API_KEY" -F image=@photo.jpg '
        f"http://127.0.0.1:{port}/v1/predict"
    )
