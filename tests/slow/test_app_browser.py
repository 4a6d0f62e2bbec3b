"""The compare app in Chromium: what a person sees, presses and hears of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
import app_fakes
from PIL import Image

from rftkit.app.limits import PRIVATE
from rftkit.app.opening import Served, open_recorded
from rftkit.app.serve import launch

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
REPLIES = {"base": app_fakes.REPLY.format("6"), "tuned": app_fakes.REPLY.format("5")}
LONG = {side: text.replace("one", "one " * 400) for side, text in REPLIES.items()}
CHANCES = {"base": {"5": 0.2, "6": 0.8}, "tuned": {"5": 0.9, "6": 0.1}}
WIDTHS = (320, 390, 768, 1280)
BELOW = "box => box.scrollHeight - box.clientHeight - box.scrollTop"  # pixels of its text
PATIENCE = 120_000  # milliseconds that a test waits for what must come, on however busy a machine
PLACE_OF = {"Results": "headline", "History": "history"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's own Chromium; never one that Playwright would fetch."""
    if not CHROMIUM:
        missing = "no Chromium here: apt install chromium"
        pytest.fail(missing) if os.environ.get("RFTKIT_BROWSER") else pytest.skip(missing)
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return open_recorded(app_fakes.samples_file(tmp_path_factory.mktemp("app"), evil=True))


@pytest.fixture(scope="module")
def replay(recorded: Served) -> Iterator[str]:
    """The address of an app that replays a file."""
    page = launch(recorded)
    yield page.local_url
    page.close()


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an app that replays answers with boxes."""
    page = launch(open_recorded(app_fakes.boxes_file(tmp_path_factory.mktemp("app") / "boxes")))
    yield page.local_url
    page.close()


@pytest.fixture(scope="module")
def stub(recorded: Served) -> Iterator[str]:
    """The address of an app whose model answers at once."""
    model = app_fakes.HeldBackend(REPLIES, chances=CHANCES)
    page = launch(replace(recorded, backend=model, replay=False))
    yield page.local_url
    page.close()


class Held(NamedTuple):
    """The address of an app, and its model, which writes a word for each one released."""

    url: str
    model: app_fakes.HeldBackend
    words: threading.Semaphore


@pytest.fixture
def held(recorded: Served) -> Iterator[Held]:
    """An app whose model writes a long reply, at first one word of it."""
    words = threading.Semaphore(0)
    model = app_fakes.HeldBackend(LONG, words, chances=CHANCES)
    page = launch(replace(recorded, backend=model, replay=False))
    yield Held(page.local_url, model, words)
    words.release(len(LONG["base"]) + len(LONG["tuned"]))
    page.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Any]:
    """A function that opens a page, and checks at the end that no script failed."""
    contexts, wrong = [], list[str]()

    def open_page(url: str, width: int = 1280, scheme: str = "light") -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(url)
        page.wait_for_selector("#rft-run")
        page.wait_for_selector("#rft-left .answer", state="visible")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def says(page: Any, location: str, text: str) -> None:
    """Waits until a place of the page holds a text."""
    page.wait_for_function(
        "([place, text]) => document.querySelector(place)?.innerText.includes(text)",
        arg=[location, text],
    )


def is_over(page: Any) -> None:
    """Waits until no run is under way, and the page shows all of the last one."""
    page.wait_for_selector("body:not([data-running])")


def run(page: Any, verdict: str, press: str = "#rft-run", keys: str = "") -> None:
    """Runs by a press, or by keys, and waits for the end of it, and for the verdict."""
    is_over(page)
    page.keyboard.press(keys) if keys else page.locator(press).first.click()
    is_over(page)
    says(page, "#rft-banner", verdict)


def upload(page: Any, path: Path) -> None:
    """Puts a file in place of the image, and waits until that is empty before it does."""
    page.get_by_role("tab", name="Compare").click()
    if page.get_by_label("Remove Image").count():
        page.get_by_label("Remove Image").first.click()
        says(page, "#rft-status", "There is no image yet")
    page.locator("#rft-image input[type=file]").first.set_input_files(path)


def uploaded(page: Any, path: Path) -> Any:
    """Uploads an image; returns the field of its truth, which an upload empties."""
    from playwright.sync_api import expect

    upload(page, path)
    says(page, "#rft-status", "Image read")
    truth = page.locator("#rft-truth textarea, #rft-truth input").first
    expect(truth).to_have_value("")
    return truth


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (56, 56), "white").save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_the_first_screen_is_a_worked_example(visit: Any, replay: str) -> None:
    page = visit(replay)
    assert "Fixed by training" in page.inner_text("#rft-banner")
    assert "wrong" in page.inner_text("#rft-left")
    assert "right" in page.inner_text("#rft-right")
    assert "recorded answers: samples.jsonl" in page.inner_text("#rft-head")
    assert page.locator(".rft-example").count() == 4
    for side in ("left", "right"):
        reasoning = page.locator(f"#rft-{side} details[open] .rft-reasoning")
        assert reasoning.inner_text() == "one closed loop"


def test_an_upload_is_asked_of_both_and_they_stream(visit: Any, held: Held, photo: Path) -> None:
    page = visit(held.url)
    uploaded(page, photo)
    page.click("#rft-run")
    says(page, "#rft-left .state", "thinking")
    assert page.inner_text("#rft-right .state") == "waiting"
    held.words.release(5)
    says(page, "#rft-left .rft-reasoning", "one one one one one one")
    held.words.release(5)
    says(page, "#rft-left .rft-reasoning", " ".join(["one"] * 11))
    page.click("#rft-stop")
    says(page, "#rft-left .state", "stopped")


def test_stop_keeps_the_text_and_ends_the_model(visit: Any, held: Held) -> None:
    page = visit(held.url)
    page.click("#rft-run")
    held.words.release(1)
    says(page, "#rft-left .rft-reasoning", "one one")  # more than the first token
    page.keyboard.press("Escape")
    is_over(page)
    for side in ("left", "right"):
        says(page, f"#rft-{side} .state", "stopped")
    says(page, "#rft-left .rft-reasoning", "one one")
    assert held.model.written == [("base", 1), ("base", 2)]


def test_the_verdict_follows_the_truth(visit: Any, stub: str, photo: Path) -> None:
    page = visit(stub)
    truth = uploaded(page, photo)
    for text, verdict in (("5", "Fixed by training"), ("6", "Broken by training"),
                          ("0", "Both wrong"), ("", "Different answers")):  # fmt: skip
        truth.fill(text)
        run(page, verdict)
    before = page.inner_text("#rft-right")
    truth.fill("eleven")
    page.click("#rft-known button >> nth=0")  # closed, where the sentence would not be seen
    page.click("#rft-run")
    is_over(page)
    says(page, "#rft-truth-note", "is not on the list")
    page.wait_for_selector("#rft-truth-note", state="visible")
    assert page.inner_text("body").count("is not on the list") == 1
    assert page.inner_text("#rft-right") == before  # what was there stays
    assert "Different answers" in page.inner_text("#rft-banner")


def test_an_image_that_was_removed_is_not_asked_about(visit: Any, stub: str) -> None:
    page = visit(stub)
    page.get_by_label("Remove Image").click()
    says(page, "#rft-status", "There is no image yet")
    page.click("#rft-run")
    is_over(page)
    says(page, "#rft-banner", "There is no image yet")
    assert page.locator("#rft-left .rft-pane").count() == 0


def test_an_image_that_is_too_large_is_refused_in_our_words(
    visit: Any, stub: str, tmp_path: Path
) -> None:
    page = visit(stub)
    (tmp_path / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 9_000_000)
    upload(page, tmp_path / "large.png")
    says(page, "#rft-banner", "9.0 MB, above the limit of 8 MB; make it smaller")


def test_reasoning_streams_in_view_and_stays_open(visit: Any, held: Held) -> None:
    from playwright.sync_api import expect

    page = visit(held.url)
    page.click("#rft-run")
    held.words.release(20)
    says(page, "#rft-left summary", "Reasoning · 21 tokens · 2.1 s")
    left, right = (page.locator(f"#rft-{side} .rft-reasoning") for side in ("left", "right"))
    expect(left).to_have_text(" ".join(["one"] * 21))
    held.words.release(300)
    says(page, "#rft-left summary", "321 tokens")
    assert left.evaluate(BELOW) == pytest.approx(0, abs=2)  # in view as it is written
    assert left.evaluate("box => box.scrollHeight > 1.5 * box.clientHeight")
    left.hover()
    page.mouse.wheel(0, -10_000)
    page.wait_for_function("document.querySelector('#rft-left .rft-reasoning').scrollTop == 0")
    held.words.release(50)
    says(page, "#rft-left summary", "371 tokens")
    assert left.evaluate("box => box.scrollTop") == 0  # where its reader is
    held.words.release(10_000)
    says(page, "#rft-right .state", "done")
    says(page, "#rft-left", "Model probability")
    for box in (left, right):
        expect(box).to_be_visible()
        expect(box).to_have_text(re.compile("one one .* closed loop$"))
    assert left.evaluate("box => box.scrollTop") == 0


def pressed_once(location: Any) -> None:
    """A click where it is now: Playwright's own may come twice if text is written meanwhile."""
    location.scroll_into_view_if_needed()
    box = location.bounding_box()
    location.page.mouse.click(box["x"] + 8, box["y"] + box["height"] / 2)


def test_reasoning_stays_as_the_reader_left_it(visit: Any, held: Held) -> None:
    from playwright.sync_api import expect

    page, of_base = visit(held.url), LONG["base"].count(" ")
    page.click("#rft-run")
    held.words.release(5)
    fold = page.locator("#rft-left summary", has_text="Reasoning")
    opened = page.locator("#rft-left details[open]:has(.rft-reasoning)")
    expect(fold).to_contain_text("6 tokens")
    pressed_once(fold)  # folded while it is written
    held.words.release(5)
    expect(fold).to_contain_text("11 tokens")
    expect(opened).to_have_count(0)
    held.words.release(of_base - 10)
    says(page, "#rft-right .state", "thinking")
    says(page, "#rft-left .state", "done")
    expect(opened).to_have_count(0)
    pressed_once(fold)
    expect(opened).to_have_count(1)
    pressed_once(fold)
    held.words.release(10_000)
    says(page, "#rft-right .state", "done")
    says(page, "#rft-left", "Model probability")
    expect(opened).to_have_count(0)
    fold.press("Enter")
    expect(opened).to_have_count(1)
    fold.press("Enter")
    expect(opened).to_have_count(0)
    run(page, "Fixed by training")
    expect(opened).to_have_count(1)  # another comparison is shown whole


def test_what_is_run_is_listed_voted_on_opened_again_and_exported(visit: Any, replay: str) -> None:
    page = visit(replay)
    run(page, "Broken by training", "li:nth-child(2) > .rft-example")
    page.keyboard.press("1")
    says(page, "#rft-vote-note", "Noted: base.")
    run(page, "Fixed by training", "li:nth-child(1) > .rft-example")
    page.get_by_role("tab", name="History").click()
    says(page, "#rft-history", "vote: base")
    assert page.locator("#rft-history img").count() == 2
    with page.expect_download() as download:
        page.click("#rft-export")
    lines = Path(download.value.path()).read_text("utf-8").splitlines()
    assert [json.loads(line)["verdict"] for line in lines] == ["broke", "fixed"]
    page.locator("#rft-history .rft-open").last.click()
    says(page, "#rft-banner", "Broken by training")


def test_a_row_of_the_results_opens_in_the_comparison(visit: Any, replay: str) -> None:
    page = visit(replay)
    page.get_by_role("tab", name="Results").click()
    says(page, "#rft-headline", "95 % interval")
    says(page, "#rft-headline", "McNemar")
    page.get_by_label("broke").check()
    says(page, "#rft-rows", "broke")  # "2 of 6" are fixed, too
    page.locator("#rft-rows .rft-open").first.click()
    says(page, "#rft-banner", "Broken by training")

    page.wait_for_function("document.activeElement.id == 'rft-banner'")  # not lost with the tab


def test_a_vote_is_for_what_is_on_show(visit: Any, replay: str) -> None:
    page = visit(replay)
    run(page, "Broken by training", "li:nth-child(2) > .rft-example")
    run(page, "Fixed by training", "li:nth-child(1) > .rft-example")
    page.get_by_role("tab", name="Results").click()
    says(page, "#rft-headline", "95 % interval")
    page.locator("#rft-rows .rft-open").last.click()
    says(page, "#rft-left .answer", "could not read")
    page.click("#rft-vote-4")
    says(page, "#rft-vote-note", "Nothing to vote on yet")
    page.get_by_role("tab", name="History").click()
    page.locator("#rft-history .rft-open").last.click()
    says(page, "#rft-banner", "Broken by training")
    says(page, "#rft-vote-note", "Keys: ")
    page.click("#rft-vote-1")
    says(page, "#rft-vote-note", "Noted: base.")
    assert "Broken by training" in page.inner_text("#rft-banner")
    run(page, "Fixed by training", "li:nth-child(1) > .rft-example")
    assert "Keys: " in page.inner_text("#rft-vote-note")  # the note was about the one before
    page.get_by_role("tab", name="History").click()
    says(page, "#rft-history li:last-child", "vote: base")
    assert page.inner_text("#rft-history").count("vote:") == 2  # of the tally and of the one row


def test_boxes_of_both_show_until_the_slider_says_else(visit: Any, boxes: str) -> None:
    page = visit(boxes, 320)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    seen = "name => getComputedStyle(document.querySelector('.rft-boxes .' + name)).opacity"
    for value, base, tuned in (("50", "1", "1"), ("0", "1", "0"), ("100", "0", "1")):
        page.locator(".rft-boxes input").fill(value)
        assert [page.evaluate(seen, name) for name in ("base", "tuned")] == [base, tuned]
    assert page.get_by_alt_text("Found by the fine-tuned model: 1: 0, 2: 0.").count() == 1
    assert page.locator("#rft-boxes tbody tr").count() == 2
    page.locator(".rft-boxes input").focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(seen, "base") == "0.02"


def test_blind_names_come_back_with_the_vote(visit: Any, stub: str) -> None:
    page = visit(stub)
    page.get_by_label("Blind: hide which model is which").check()
    page.click("#rft-run")
    is_over(page)
    assert page.inner_text("#rft-status") == "Both have ended: vote to see which is which."
    assert page.inner_text("#rft-left h3") == "Left"
    answer = page.inner_text("#rft-left .answer")
    page.get_by_role("tab", name="History").click()
    says(page, "#rft-history", "vote to see the answers")
    assert "→" not in page.inner_text("#rft-history")
    page.locator("#rft-history .rft-open").first.click()
    page.wait_for_selector("#rft-left h3", state="visible")
    assert page.inner_text("#rft-left .answer") == answer
    assert page.inner_text("#rft-banner") == ""
    page.click("#rft-vote-3")
    says(page, "#rft-left h3", "Base model")
    left = "Base" if answer == "6" else "Fine-tuned"
    says(page, "#rft-vote-note", f"On the left was: {left} model.")


def test_everything_can_be_done_with_the_keyboard(visit: Any, stub: str) -> None:
    page = visit(stub)
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "() => { const e = document.activeElement; const o = e.closest('[id^=rft]');"
                " const s = getComputedStyle(e); "
                " return (e.id || o?.id || '') + (s.outlineStyle == 'none' ? ' unseen' : ''); }"
            )
        )
    wanted = {"rft-examples", "rft-run", "rft-stop", "rft-vote-1", "rft-vote-4", "rft-left"}
    assert wanted <= reached, sorted(reached)
    page.locator("#rft-run").focus()
    run(page, "Fixed by training", keys="Control+Enter")
    page.evaluate(VOTES_COUNTED)
    page.keyboard.press("3")
    says(page, "#rft-vote-note", "Noted: tie.")
    page.locator("#rft-truth textarea, #rft-truth input").first.focus()
    page.keyboard.type("4")
    assert page.evaluate("window.votes") == 1  # a digit that is typed is no vote


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("app", ["replay", "boxes"])
def test_no_sideways_scroll_and_large_targets(
    visit: Any, request: pytest.FixtureRequest, app: str, width: int
) -> None:
    page = visit(request.getfixturevalue(app), width)
    stays_within(page, width)
    panes, votes = (page.locator(location) for location in ("#rft-panes", "#rft-votes"))
    assert votes.bounding_box()["width"] <= panes.bounding_box()["width"]
    assert votes.locator("button").first.bounding_box()["x"] == pytest.approx(
        page.locator("#rft-left .rft-pane").bounding_box()["x"], abs=1
    )
    if width <= 640:
        left, right = (page.locator(f"#rft-{side}").bounding_box() for side in ("left", "right"))
        assert left["y"] + left["height"] <= right["y"] + 1  # stacked
        for name in ("run", "stop", "vote-1", "vote-4"):
            assert page.locator(f"#rft-{name}").bounding_box()["height"] >= 44
        assert page.locator("#rft-left summary").first.bounding_box()["height"] >= 44


@pytest.mark.parametrize("app", ["replay", "boxes"])
def test_the_layout_of_a_desktop_bears_twice_the_size(
    visit: Any, request: pytest.FixtureRequest, app: str
) -> None:
    page = visit(request.getfixturevalue(app), 1280)
    page.evaluate("document.documentElement.style.zoom = 2")
    page.wait_for_selector(".overflow-dropdown button", state="attached")  # what does not fit
    stays_within(page, 1280)
    pane = "pane => pane.scrollWidth <= pane.clientWidth"
    assert page.locator(".rft-pane").evaluate_all(f"panes => panes.every({pane})")


def stays_within(page: Any, width: int) -> None:
    """Checks that no tab has to be scrolled sideways; ends on the first."""
    for tab in ("History", "Results", "Compare"):
        shown = "#rft-run" if tab == "Compare" else f"#rft-{PLACE_OF[tab]}"
        until = time.monotonic() + PATIENCE / 1000
        while not opens(page, tab, shown):
            assert time.monotonic() < until, tab
        assert page.evaluate("document.documentElement.scrollWidth") <= width, tab


def opens(page: Any, tab: str, shown: str) -> bool:
    """Clicks a tab, or its line in the menu of those that do not fit, where it may go meanwhile."""
    from playwright.sync_api import TimeoutError as Late

    place = page.get_by_role("tab", name=tab)
    with suppress(Late):
        if not place.is_visible():  # at twice the size
            page.get_by_label("More tabs").click(timeout=2000)
            place = page.locator(".overflow-dropdown button", has_text=tab)
        place.click(timeout=2000)
        page.wait_for_selector(shown, timeout=2000)
    return bool(page.locator(shown).is_visible())


def test_text_of_a_model_stays_text(visit: Any, replay: str) -> None:
    page = visit(replay)
    page.get_by_role("tab", name="Results").click()
    page.get_by_label("broke").check()
    says(page, "#rft-rows", "of 2 shown, of 6 in all")
    page.get_by_label("all").check()
    says(page, "#rft-rows", "6 of 6 shown")
    page.locator("#rft-rows .rft-open").last.click()
    says(page, "#rft-right .answer", "<img src=x onerror=")
    says(page, "#rft-right .answer", "${document.title='owned'} {{value}}")
    assert page.locator("#rft-right img").count() == 0
    assert page.title() != "owned"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("app", "tab"),
    [("replay", "Compare"), ("replay", "Results"), ("replay", "History"), ("boxes", "Compare"),
     ("boxes", "Results")],
)  # fmt: skip
def test_axe_finds_no_serious_fault(
    visit: Any, request: pytest.FixtureRequest, app: str, tab: str, scheme: str
) -> None:
    import axe_playwright_python

    page = visit(request.getfixturevalue(app), scheme=scheme)
    page.get_by_role("tab", name=tab).click()
    page.evaluate(SETTLED)
    page.evaluate((Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8"))
    found = page.evaluate("axe.run()")["violations"]
    grave = [
        (fault["id"], [node["html"][:160] for node in fault["nodes"]][:4])
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]
    assert grave == []


def test_the_state_is_told_in_a_polite_live_region(visit: Any, replay: str) -> None:
    page = visit(replay)
    status = page.locator("#rft-status")
    assert status.get_attribute("aria-live") == "polite"
    assert status.get_attribute("role") == "status"
    page.evaluate(HEARD)
    run(page, "Fixed by training")
    heard = page.evaluate("window.heard")
    assert any("Base model: thinking" in line for line in heard)
    assert [line for line in heard if "queue" in line or "processing" in line] == []


def test_a_page_of_another_site_reaches_the_app_by_a_link_only(browser: Any, stub: str) -> None:
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(stub.replace("127.0.0.1", "evil.localhost"))  # of this machine, and another site
    assert "evil.localhost" in page.inner_text("body")  # the app's refusal; scripts run there too
    call = f"{stub}gradio_api/call/score"
    for method in ("GET", "POST"):
        with page.expect_response(call) as told:
            page.evaluate(f"() => {{ fetch('{call}', {{method: '{method}', mode: 'no-cors'}}) }}")
        assert told.value.status == 403
    page.evaluate(f"() => {{ document.body.innerHTML = '<a href={stub}>there</a>' }}")
    page.get_by_text("there").click()
    page.wait_for_selector("#rft-left .answer", state="visible")
    run(page, "")
    page.close()


def test_a_password_is_asked_for(browser: Any, recorded: Served) -> None:
    from rftkit.app.serve import ServeOptions

    app = launch(recorded, PRIVATE, ServeOptions(auth="me:secret"))
    page = browser.new_page()
    page.goto(app.local_url)
    page.wait_for_selector("input[type=password]")
    assert page.locator("#rft-run").count() == 0
    page.close()
    app.close()


def test_the_tiny_model_streams_from_the_click_on(visit: Any, tiny: Path, short_run: Any) -> None:
    import io

    from rich.console import Console

    from rftkit.app.opening import open_model

    served = open_model(short_run().folder, 60.0, Console(file=io.StringIO()))
    app = launch(served)
    page = visit(app.local_url)
    seconds = page.evaluate(FIRST_TEXT)
    says(page, "#rft-right .state", "done")
    print(f"first text {seconds:.2f} s after the click")
    assert seconds < float(os.environ.get("RFTKIT_FIRST_TEXT_SECONDS", "inf"))
    app.close()


HEARD = """() => {
  const status = document.getElementById('rft-status');
  window.heard = [];
  new MutationObserver(() => window.heard.push(status.innerText)).observe(
    status, {childList: true, subtree: true, characterData: true});
}"""

VOTES_COUNTED = """() => {
  window.votes = 0;
  document.getElementById('rft-votes').addEventListener('click', () => { window.votes += 1; });
}"""

SETTLED = """async () => {
  await document.fonts.ready;
  const ends = moving => moving.effect.getComputedTiming().endTime < Infinity;
  const moving = document.getAnimations().filter(ends);
  await Promise.all(moving.map(each => each.finished.catch(() => {})));
}"""

FIRST_TEXT = """async () => {
  const left = document.getElementById('rft-left'), start = performance.now();
  const said = new Promise(done => new MutationObserver(() => {
    const state = left.querySelector('.state')?.innerText || '';
    if (/thinking|answering/.test(state)) done((performance.now() - start) / 1000);
  }).observe(left, {childList: true, subtree: true, characterData: true}));
  document.querySelector('#rft-run').click();
  return await said;
}"""


def test_a_right_answer_that_is_given_later_judges_what_was_written(
    visit: Any, stub: str, photo: Path
) -> None:
    page = visit(stub)
    truth = uploaded(page, photo)
    run(page, "Different answers")
    for text, verdict in (("5", "Fixed by training"), ("6", "Broken by training")):
        truth.fill(text)
        truth.blur()
        says(page, "#rft-banner", verdict)  # nothing was run again
    truth.fill("eleven")
    truth.blur()
    says(page, "#rft-truth-note", "is not on the list")
    assert "Broken by training" in page.inner_text("#rft-banner")


def test_blind_says_neither_title_nor_truth_before_the_vote(visit: Any, stub: str) -> None:
    page = visit(stub)
    assert page.locator(".rft-example span").first.is_visible()
    page.get_by_label("Blind: hide which model is which").check()
    page.wait_for_selector(".rft-example span", state="hidden")
    page.wait_for_selector("#rft-known", state="hidden")
    run(page, "", ".rft-example")
    assert "training" not in page.inner_text("#rft-compare")


def test_a_folder_is_asked_of_both_and_filtered(visit: Any, stub: str, tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (40, 40), "white").save(folder / name)
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("not an image", "utf-8")
    page = visit(stub)
    page.get_by_role("tab", name="Folder").click()
    page.locator("#rft-folder input[type=file]").set_input_files(folder)
    listed = r"/\bb\s*\.png\s+\d/"  # with its size: no more on its way
    page.wait_for_function(f"{listed}.test(document.querySelector('#rft-folder').innerText)")
    page.click("#rft-ask-all")
    says(page, "#rft-grid", "a.png")
    says(page, "#rft-grid", "b.png")
    says(page, "#rft-grid", "broken.png")
    page.wait_for_function("document.querySelectorAll('#rft-grid li.different').length === 2")
    assert "notes.txt" not in page.inner_text("#rft-grid")
    page.get_by_label("no answer").check()
    page.wait_for_function("document.querySelectorAll('#rft-grid li').length === 1")
    says(page, "#rft-grid", "broken.png")


def test_the_comparison_is_copied_as_an_image(visit: Any, stub: str, tmp_path: Path) -> None:
    page = visit(stub)
    run(page, "Fixed by training", "li:nth-child(1) > .rft-example")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    with page.expect_download() as download:
        page.click("#rft-copy")
    download.value.save_as(tmp_path / "copied.png")
    with Image.open(tmp_path / "copied.png") as image:
        assert (image.format, image.width > 600) == ("PNG", True)
    says(page, "#rft-copy-note", "Saved as comparison.png")


def test_a_true_box_is_drawn_on_the_image(visit: Any, boxes: str) -> None:
    page = visit(boxes)
    truth = page.locator("#rft-truth textarea, #rft-truth input").first
    truth.fill("")
    page.click("#rft-draw")
    frame = page.locator("#rft-image img").bounding_box()
    shown = min(frame["width"], frame["height"] - 28)  # a square image, below its label
    left = frame["x"] + (frame["width"] - shown) / 2
    top = frame["y"] + 28 + (frame["height"] - 28 - shown) / 2
    page.mouse.move(left + shown * 0.25, top + shown * 0.25)
    page.mouse.down()
    page.mouse.move(left + shown * 0.75, top + shown * 0.5)
    page.mouse.up()
    (box,) = json.loads(truth.input_value())
    wanted = [0.25 * 112, 0.25 * 112, 0.75 * 112, 0.5 * 112]
    assert box == pytest.approx(wanted, abs=3)


def test_the_page_says_how_to_call_it(visit: Any, replay: str) -> None:
    page = visit(replay)
    page.get_by_role("tab", name="API").click()
    says(page, "#rft-api", f'Client("{replay.rstrip("/")}')
