"""Take docs/app.png: the first screen of `rftkit demo`, in Debian's Chromium.

    python docs/make_app_screenshot.py [--ckpt DIR | --recorded FILE] [--width PX] [--dark]

Needs the developer's tools and `apt install chromium`. Without a run it opens the built-in
comparison, as the app itself does.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from rich.console import Console

from rftkit.app.limits import PRIVATE
from rftkit.app.opening import open_model, open_recorded
from rftkit.app.serve import launch

SETTLED = 1500  # milliseconds until fonts and images are there


def main() -> None:
    """Serve, wait, take the image."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--ckpt", type=Path)
    parser.add_argument("--recorded", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--tab", default="Compare")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("app.png"))
    given = parser.parse_args()
    if given.recorded:
        served = open_recorded(given.recorded)
    else:
        served = open_model(given.ckpt, PRIVATE.seconds, Console(stderr=True))
    app = launch(served)
    _shoot(app.local_url, given)
    app.close()


def _shoot(url: str, given: argparse.Namespace) -> None:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise SystemExit("no Chromium here: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": given.width, "height": 800},
            color_scheme="dark" if given.dark else "light",
        )
        page.goto(url)
        page.wait_for_selector("#rft-left .answer", state="visible")
        page.get_by_role("tab", name=given.tab).click()
        page.wait_for_timeout(SETTLED)
        page.screenshot(path=given.out, full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
