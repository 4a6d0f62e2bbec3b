"""From the command line to a server, and to its end: what waits is answered, or told."""

from __future__ import annotations

import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rftkit.errors import UserError
from rftkit.messages import pip_install
from rftkit.serve.options import ServeOptions, check_options

if TYPE_CHECKING:
    from rich.console import Console

    from rftkit.serve.engine import Engine
    from rftkit.serve.predictions import Questions
    from rftkit.serve.service import Served, Service

NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def serve(options: ServeOptions, console: Console) -> None:
    """Serve a model until Ctrl-C or SIGTERM. Raises UserError for what cannot be served."""
    check_options(options)
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        line = pip_install("-c", "constraints.txt", "-e", ".[serve]")
        raise UserError(f"rftkit serve needs {missing[0].replace('_', '-')}: {line}")
    listening = listen(options.host, options.port)
    try:
        served = opened(options, console)
        from rftkit.serve.server import run
        from rftkit.serve.service import Service

        service = Service(served)
        run(service, listening, console, greeting(service, listening))
    finally:
        listening.close()


def listen(host: str, port: int) -> socket.socket:
    """A socket at that address. Raises UserError if it is taken, or is none of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError:
        found.close()
        line = f"--host {host}, --port {port}: in use, or not of this machine; choose another"
        raise UserError(line) from None
    return found


def opened(options: ServeOptions, console: Console) -> Served:
    """The model that is served, loaded and asked once, so that the first client does not wait."""
    from rftkit.inference.reader import Answering, Reader, surety_of
    from rftkit.models import base_note, open_for_inference
    from rftkit.runs.adapter import find
    from rftkit.serve.engine import ModelEngine
    from rftkit.serve.predictions import questions_of
    from rftkit.serve.service import Served

    ckpt = find(options.ckpt)
    if ckpt.note:
        console.print(ckpt.note, highlight=False, markup=False)
    answering = Answering(options.free, options.abstain_at_error)
    surety = surety_of(ckpt, answering, console)
    policy = open_for_inference(ckpt.recipe.model, ckpt.adapter, options.engine)
    if differs := base_note(ckpt):
        console.print(differs, highlight=False, markup=False, soft_wrap=True)
    engine = ModelEngine(Reader(policy, ckpt.recipe, surety, free=options.free))
    specials = getattr(policy.processor, "tokenizer", None)
    questions = questions_of(ckpt, specials.all_special_tokens if specials else ())
    home = ckpt.run.folder if ckpt.run else ckpt.adapter
    name = options.name or home.resolve().name
    _warm_up(engine, questions)
    return Served(name, questions, engine, options.limits, options.api_key)


def greeting(service: Service, listening: socket.socket) -> list[str]:
    """What is printed once it listens: the address, the model, a request to try."""
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    url = f"http://{shown}:{port}"
    key = ' -H "Authorization: Bearer $RFTKIT_API_KEY"' if service.served.key else ""
    recipe = service.served.questions.recipe
    return [
        f"model {service.served.name}: {recipe.model.name}, {recipe.task}, style {recipe.style}",
        f"serving at {url}, OpenAPI page {url}/docs (Ctrl-C ends it)",
        f"try: curl{key} -F image=@photo.jpg {url}/v1/predict",
    ]


def _warm_up(engine: Engine, questions: Questions) -> None:
    """One answer about a white image: a list's fast path proves itself here, and errors show."""
    from PIL import Image

    from rftkit.inference.question import needs_question
    from rftkit.inference.uploads import Upload
    from rftkit.serve.images import Picture
    from rftkit.tasks.question import Question

    if needs_question(questions.recipe, questions.labels):
        return
    white = Picture("white", Upload(b"", "white"), Image.new("RGB", (64, 64), "white"))
    (ask,) = questions.asks([white], Question())
    engine.ask(ask.examples)
