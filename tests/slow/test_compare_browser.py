"""The page of `rftkit compare --html` in Chromium, on a phone and on a screen, light and dark."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compared
import pytest

from rftkit.comparison.compare import CompareRequest, found, measured
from rftkit.comparison.page import write_page
from rftkit.measures import statistics

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
LONG = "horse, for its mane and its tail are those of one. " * 12
REPLIES = {"quickstart_of_a_long_name_indeed": ("cat", "dog") * 3, "b": ("cat",) * 6, "c": (LONG,)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's own Chromium; never one that Playwright would fetch."""
    if not CHROMIUM:
        missing = "no Chromium here: apt install chromium"
        pytest.fail(missing) if os.environ.get("RFTKIT_BROWSER") else pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs on the pets; the last one writes much."""
    folder = tmp_path_factory.mktemp("compared")
    by = compared.recipe(compared.pictures(folder / "pets"))
    runs = [
        compared.evaluated(folder / name, texts * (6 // len(texts)), by).folder
        for name, texts in REPLIES.items()
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "RESAMPLES", 20)
        common = found(CompareRequest(tuple(runs)))
        write_page(folder / "compare.html", measured(common), common)
    return folder / "compare.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_the_page_fits_and_axe_finds_no_fault(
    browser: Any, page_file: Path, width: int, scheme: str
) -> None:
    import axe_playwright_python

    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tall = "Math.max(...[...document.querySelectorAll('.subjects tr')].map(r => r.offsetHeight))"
    assert page.evaluate(tall) < 250  # pixels: no column is a letter wide
    assert page.locator("article img[alt^='test/']").count() == page.locator("article img").count()
    page.evaluate((Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8"))
    faults = page.evaluate("axe.run()")["violations"]
    assert [(f["id"], f["nodes"][0]["html"][:160]) for f in faults] == []
    context.close()
