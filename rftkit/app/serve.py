"""From the command line to an open page."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rftkit.app.history import SESSIONS
from rftkit.app.limits import (
    MAX_UPLOAD,
    PRIVATE,
    PUBLIC,
    UPLOAD_SECONDS,
    Limits,
    check_sharing,
)
from rftkit.errors import UserError
from rftkit.messages import pip_install
from rftkit.report.chart_defaults import load
from rftkit.web.hosts import LOOPBACK

if TYPE_CHECKING:
    from rich.console import Console

    from rftkit.app.opening import Served

HERE = Path(__file__).parent


@dataclass(frozen=True)
class ServeOptions:
    """What the command line asked for. port 0: the first free one from 7860 on."""

    ckpt: Path | None = None
    recorded: Path | None = None
    host: str = LOOPBACK[0]
    port: int = 0
    auth: str = ""
    public: bool = False
    share: bool = False
    engine: Literal["transformers", "vllm"] = "transformers"


def demo(options: ServeOptions, console: Console) -> None:
    """Open the app and serve it until Ctrl-C. Raises UserError for what cannot be opened."""
    if options.ckpt and options.recorded:
        raise UserError("--ckpt and --recorded: give one of them")
    check_sharing(options.host, options.share, options.auth, options.public)
    if find_spec("gradio") is None:
        line = pip_install("-c", "constraints.txt", "-e", ".[app]")
        raise UserError(f"the app needs gradio: {line}")
    limits = PUBLIC if options.public else PRIVATE
    served = _served(options, limits, console)
    console.print(f"open: {served.line}", highlight=False, markup=False)
    page = launch(served, limits, options)
    console.print(f"compare at {page.local_url} (Ctrl-C ends it)", highlight=False, markup=False)
    if page.share_url:
        console.print(f"shared at {page.share_url}", highlight=False, markup=False)
    page.block_thread()


def launch(served: Served, limits: Limits = PRIVATE, options: ServeOptions | None = None) -> Any:
    """The page, served from a thread of its own; `close()` ends it."""
    options = options or ServeOptions()
    prepare()
    load()
    import gradio as gr
    import matplotlib.pyplot  # noqa: F401  else Gradio loads it at the first press, for seconds

    from rftkit.app.page import build
    from rftkit.app.session import Desk
    from rftkit.patches.gradio import serving_with
    from rftkit.web.connections import bounded

    page = build(Desk(served, limits))
    page.queue(max_size=limits.queue, default_concurrency_limit=4, api_open=False)
    user, _, password = options.auth.partition(":")
    try:
        with serving_with(**bounded(UPLOAD_SECONDS)):
            page.launch(
                server_name=options.host,
                server_port=options.port or None,
                share=options.share,
                auth=(user, password) if options.auth else None,
                max_file_size=MAX_UPLOAD,
                state_session_capacity=SESSIONS,  # a call by API is one: ten thousand take 1 GB
                prevent_thread_lock=True,
                quiet=True,
                footer_links=[],
                theme=_theme(gr),
                head=_head(),
                app_kwargs={"middleware": _middleware(limits, options)},
            )
    except OSError:
        location = f"--host {options.host}, --port {options.port or 'from 7860 on'}"
        raise UserError(f"{location}: in use, or not of this machine; choose another") from None
    return page


def _middleware(limits: Limits, options: ServeOptions) -> list[Any]:
    """What a request passes before Gradio sees it."""
    from starlette.middleware import Middleware

    from rftkit.app.entrance import Entrance, not_ours
    from rftkit.web.hosts import LocalOnly

    entrance = Middleware(Entrance, limits=limits)
    if options.host in LOOPBACK and not options.share:
        return [Middleware(LocalOnly, refused=not_ours), entrance]
    return [entrance]


def _theme(gr: Any) -> Any:
    """Fonts of the visitor's own machine, and contrasts of 4.5 : 1 and more."""
    theme = gr.themes.Base(
        primary_hue="blue",
        neutral_hue="gray",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "monospace"],
    )
    return theme.set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        input_placeholder_color="*neutral_600",
        input_placeholder_color_dark="*neutral_300",
    )


def _head() -> str:
    """Our style and script. Gradio would prefix the selectors of its `css`, and lose some."""
    style = (HERE / "style.css").read_text("utf-8")
    return f"<style>{style}</style><script>{(HERE / 'keys.js').read_text('utf-8')}</script>"


def prepare() -> None:
    """Before Gradio is imported: no usage pings, and uploads in a folder that goes at the end."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("MPLBACKEND", "agg")
    if "GRADIO_TEMP_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="rftkit-app-")
        os.environ["GRADIO_TEMP_DIR"] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _served(options: ServeOptions, limits: Limits, console: Console) -> Served:
    from rftkit.app.opening import open_model, open_recorded

    if options.recorded:
        return open_recorded(options.recorded)
    return open_model(options.ckpt, limits.seconds, console, options.engine)
