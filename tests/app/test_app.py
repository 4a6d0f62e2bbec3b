"""The compare app without a browser: limits, HTML, history, results, the desk, the command line."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path

import app_fakes
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from rftkit import __version__
from rftkit.app import limits, opening
from rftkit.app.drawn import boxes as boxes_drawn
from rftkit.app.drawn.panes import pane_html, verdict_html
from rftkit.app.drawn.results import find, headline_html, rows_html
from rftkit.app.history import MOST, SESSIONS, Order, Past, added, export, history_html
from rftkit.app.limits import Limits, Meter, check_sharing, read_upload
from rftkit.app.opening import Served, open_recorded
from rftkit.app.session import NO_IMAGE, REPLAY, Desk, OnShow, RunRequest, refused, view, voted
from rftkit.app.worked import form_of, recorded_comparisons
from rftkit.cli.main import app
from rftkit.core import Reply
from rftkit.data.images import FileImage
from rftkit.errors import DataError, UserError
from rftkit.inference.compare import compare
from rftkit.inference.form import Form, ask
from rftkit.inference.panes import ENDED, Comparison, State
from rftkit.inference.truth import TruthError
from rftkit.metrics.samples import Header, Provenance, header_line, read_samples, sample_line
from rftkit.recipe.schema import SOURCES_OF
from rftkit.runs.locks import locked
from rftkit.runs.run import RunFolder

EVIL = app_fakes.EVIL
SWAPPED: Order = ("tuned", "base")


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return open_recorded(app_fakes.samples_file(tmp_path), pace=0)


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((width, height), 50).save(out, "PNG")
    return out.getvalue()


def image_file(folder: Path, size: tuple[int, int] = (40, 30), name: str = "x.png") -> Path:
    Image.new("RGB", size, "white").save(folder / name)
    return folder / name


def test_uploads_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decoded(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(Image.Image, "load", decoded)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoded)
    bomb = image_bomb(tmp_path / "bomb.png", 6000, 5000)
    with pytest.raises(DataError, match="6000 × 5000 pixels, above the limit of 25 megapixels"):
        read_upload(bomb)
    huge = tmp_path / "huge.png"
    huge.write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 8_000_001)
    with pytest.raises(DataError, match=r"8\.0 MB, above the limit of 8 MB"):
        read_upload(huge)


def image_bomb(path: Path, width: int, height: int) -> Path:
    """A PNG whose header says so many pixels and whose data is nothing."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a PNG, JPEG or WebP"),
        (b"GIF89a" + b"\0" * 40, "not a PNG, JPEG or WebP"),
        (b"hello", "not a PNG, JPEG or WebP"),
        (b"RIFF\0\0\0\0WAVEfmt ", "not a PNG, JPEG or WebP"),
        (b"\x89PNG\r\n\x1a\n cut", "can be read; save it as PNG, JPEG or WebP$"),
        (png(1, 1), "1 × 1 pixels, too small to show anything; choose a larger image$"),
        (png(40, 30)[:80], "cut off or broken .*; choose another image$"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_upload(tmp_path / "x").open()


def test_an_upload_that_is_gone_and_one_that_is_turned(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no longer here"):
        read_upload(tmp_path / "gone.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "x.jpg", exif=exif)
    assert read_upload(tmp_path / "x.jpg").open().size == (30, 40)


@pytest.mark.parametrize(
    ("host", "share", "auth", "public", "allowed"),
    [
        ("127.0.0.1", False, "", False, True), ("0.0.0.0", False, "", False, False),
        ("127.0.0.1", True, "", False, False), ("0.0.0.0", False, "a:b", False, True),
        ("0.0.0.0", True, "", True, True), ("127.0.0.1", False, "only-a-user", False, False),
    ],
)  # fmt: skip
def test_others_get_in_with_a_password_or_an_explicit_public(
    host: str, share: bool, auth: str, public: bool, allowed: bool
) -> None:
    if allowed:
        return check_sharing(host, share, auth, public)
    with pytest.raises(UserError, match="--auth"):
        check_sharing(host, share, auth, public)
    return None


def test_runs_of_an_address_are_counted_by_the_minute() -> None:
    meter = Meter(2)
    meter.count("a"), meter.count("a"), meter.count("b")
    with pytest.raises(UserError, match="2 runs a minute"):
        meter.count("a")
    meter.times["a"].clear()
    meter.count("a")


def evil_comparison(tmp_path: Path) -> Comparison:
    (evaluated,) = open_recorded(app_fakes.samples_file(tmp_path, evil=True), pace=0).evaluated
    return recorded_comparisons(evaluated)[5]


def test_model_text_is_never_markup(tmp_path: Path) -> None:
    both = evil_comparison(tmp_path)
    assert both.tuned.answer == EVIL
    (evaluated,) = open_recorded(app_fakes.samples_file(tmp_path, evil=True)).evaluated
    past = added((), form_of(both), both)
    pages = [*view(both), rows_html(evaluated, "all"), headline_html(evaluated), history_html(past),
             refused(UserError(EVIL)).banner]  # fmt: skip
    assert [page for page in pages if "<img src=x" in page or "<answer>" in page] == []
    assert sum("&lt;img src=x" in page for page in pages) >= 4


def test_a_long_text_is_short_wherever_it_is_only_named(served: Served) -> None:
    both = recorded_comparisons(served.evaluated[0])[0]
    text = "<|im_end|>\x1b[0m no" * 1000
    both = replace(both, tuned=replace(both.tuned, answer=text))
    past = added((), form_of(both), both)
    short = [
        view(both).status,
        view(both).banner,
        history_html(past).replace(past[0].thumbnail, ""),
    ]
    assert [len(html) for html in short if len(html) > 1000] == []
    assert f'<p class="answer long">{escape(text)}' in view(both).right


def test_a_pane_shows_answer_reasoning_rewards_and_the_raw_text(served: Served) -> None:
    fixed, *_ = recorded_comparisons(served.evaluated[0])
    html = pane_html(fixed.tuned, "Fine-tuned model")
    gold = fixed.asked.example.gold
    assert f'<p class="answer">{gold}<span class="mark right">✓ right</span></p>' in html
    assert "<details open><summary>Reasoning" in html
    assert "<dt>accuracy</dt><dd>1.00</dd>" in html
    assert f"<pre>&lt;think&gt;one closed loop&lt;/think&gt;\n&lt;answer&gt;{gold}" in html
    assert "Fixed by training" in verdict_html(fixed)
    unread = recorded_comparisons(served.evaluated[0])[4]
    html = pane_html(unread.base, "Base model")
    assert "could not read an answer</p><pre>no idea</pre>" in html
    assert "No reasoning." in html
    assert "thought" not in html  # no "0 tok" beside it


@pytest.mark.parametrize("state", ["thinking", "answering", "done", "stopped", "failed"])
def test_reasoning_is_shown_while_it_is_written_and_after(served: Served, state: State) -> None:
    pane = recorded_comparisons(served.evaluated[0])[0].tuned
    pane = replace(pane, state=state, reasoning_tokens=3, think_seconds=1.25)
    html = pane_html(pane, "Fine-tuned model")
    assert (
        '<details open><summary>Reasoning<span class="quiet"> · 3 tokens · 1.2 s</span></summary>'
        '<div class="rft-reasoning" tabindex="0" role="region" '
        'aria-label="Reasoning, Fine-tuned model">'
        "one closed loop</div></details>"
    ) in html
    silent = replace(pane, reply=Reply("5"))
    said = "No reasoning." in pane_html(silent, "Fine-tuned model")
    assert said == (state in ENDED)  # until then some may follow


def test_both_models_are_shown_with_their_reasoning(served: Served) -> None:
    look = view(recorded_comparisons(served.evaluated[0])[0])
    assert [html.count("<details open><summary>Reasoning") for html in look] == [0, 0, 1, 1, 0, 0]


def test_probabilities_are_named_for_what_they_are(served: Served) -> None:
    pane = recorded_comparisons(served.evaluated[0])[0].tuned
    html = pane_html(replace(pane, probabilities={"5": 0.75, "6": 0.25}), "Fine-tuned model")
    assert "Model probability, not calibrated" in html
    assert html.index("75%") < html.index("25%")
    words = "calibrated on 25 held-out images"
    html = pane_html(replace(pane, probabilities={"5": 1.0}, calibration=words), "Fine-tuned model")
    assert f"Model probability, {words}" in html
    assert "not calibrated" not in html


@pytest.mark.parametrize(
    ("free", "said"),
    [
        ("5", "By list: the likeliest of 2. The free reply says the same."),
        ("6<b>", "By list: the likeliest of 2. The free reply says: 6&lt;b&gt;."),
        (None, "By list: the likeliest of 2. The free reply could not be read."),
    ],
)
def test_an_answer_by_list_says_so(served: Served, free: str | None, said: str) -> None:
    pane = recorded_comparisons(served.evaluated[0])[0].tuned
    assert "By list" not in pane_html(pane, "Fine-tuned model")
    chances = {"5": 0.75, "6": 0.25}
    listed = replace(pane, answer="5", by_list=True, free_answer=free, probabilities=chances)
    assert said in pane_html(listed, "Fine-tuned model")


def test_recorded_scores_are_the_answer_and_the_results_say_so(tmp_path: Path) -> None:
    file = read_samples(app_fakes.samples_file(tmp_path))
    scores = dict.fromkeys(app_fakes.LABELS, -5.0) | {"0": -0.1}
    path = tmp_path / "samples.jsonl"
    header = file.header.model_copy(update={"temperatures": {"base": 2.0, "tuned": 2.0}})
    lines = [sample_line(s.model_copy(update={"scores": scores})) for s in file.samples]
    path.write_text(header_line(header) + "".join(lines), "utf-8")
    served = open_recorded(path, pace=0)
    both = recorded_comparisons(served.evaluated[0])[0]
    assert (both.tuned.answer, both.tuned.by_list, both.verdict) == ("0", True, "both wrong")
    assert both.tuned.calibration == "calibrated on held-out images"
    assert both.tuned.probabilities["0"] == pytest.approx(1 / (1 + 9 * math.exp(-4.9 / 2)))
    *_, replayed = compare(served.backend, both.asked, threading.Event())
    assert (replayed.tuned.answer, replayed.tuned.probabilities) == ("0", both.tuned.probabilities)
    assert "of the free replies; the rows below are of the answers by list" in headline_html(
        served.evaluated[0]
    )


def test_results_have_interval_test_confusions_and_lengths(served: Served) -> None:
    html = headline_html(served.evaluated[0])
    assert "<dd>50.0%</dd>" in html
    assert "<dd>66.7%</dd>" in html
    assert "2 fixed, 1 broke, of 6; McNemar exact p = 1.0000" in html
    assert "Base: most frequent confusions" in html
    assert "Fine-tuned: length against score" in html
    rows = rows_html(served.evaluated[0], "broke")
    assert 'data-open="digits:test:1"' in rows
    assert rows.count("data-open") == 1
    assert "None of the images" in rows_html(
        replace(served.evaluated[0], file=replace(served.evaluated[0].file, samples=())), "all"
    )
    found = find(served.evaluated, served.evaluated[0].name, "digits:test:1")
    assert found is not None
    assert found.verdict == "broke"


def test_history_keeps_lists_and_exports(served: Served) -> None:
    both = recorded_comparisons(served.evaluated[0])[0]
    past = added((), form_of(both), both)
    past = voted(added(past, form_of(both), both, SWAPPED), "left", OnShow(SWAPPED, 2))
    assert [entry.vote for entry in past] == ["", "tuned"]
    assert voted(past, "tie", OnShow()) == past  # a row of the results has no number
    assert [entry.vote for entry in voted(past, "tie", OnShow(number=1))] == ["tie", "tuned"]
    html = history_html(past)
    assert html.index('data-open="2"') < html.index('data-open="1"')
    assert "vote: fine-tuned" in html
    assert 'src="data:image/png;base64,' in html
    lines = [json.loads(line) for line in export(past).splitlines()]
    assert [line["vote"] for line in lines] == [None, "tuned"]
    assert lines[0]["tuned"]["text"] == both.tuned.piece.completion.text
    for _ in range(MOST):
        past = added(past, form_of(both), both)
    assert (len(past), past[-1].number) == (MOST, MOST + 2)


def test_history_does_not_give_away_a_blind_run(served: Served) -> None:
    both = recorded_comparisons(served.evaluated[0])[0]
    past = added((), form_of(both), both, SWAPPED)
    html = history_html(past)
    assert "vote to see the answers" in html
    assert [word for word in ("fixed", "→", "tuned") if word in html] == []
    assert past[0].hidden == SWAPPED  # it is opened again as it was
    past = voted(past, "left", OnShow(past[0].order, 1))
    assert past[0].hidden is None
    assert [word for word in ("fixed", "→", "vote: fine-tuned") if word in history_html(past)] == [
        "fixed", "→", "vote: fine-tuned",
    ]  # fmt: skip
    assert added((), form_of(both), both)[0].hidden is None


def test_sessions_forget(served: Served) -> None:
    past = Past()
    for number in range(SESSIONS + 1):
        past.keep(str(number), ())
    assert (len(past._entries), "0" in past._entries) == (SESSIONS, False)
    past.forget("1")
    assert "1" not in past._entries


def request(form: Form, path: object = "", **more: object) -> RunRequest:
    return RunRequest(
        form, str(path), str(more.get("chosen", "")), "s", "a", bool(more.get("blind"))
    )


def test_a_replay_answers_for_its_own_images_only(served: Served, tmp_path: Path) -> None:
    desk, form = Desk(served), served.setup.form("classification")
    assert [title for title, _ in desk.worked] == [
        "Fixed by training", "Broken by training", "Both right", "Both wrong",
    ]  # fmt: skip
    *_, (both, look, _) = desk.run(request(form, chosen="digits:test:0"))
    assert both.verdict == "fixed"
    assert "Fixed by training" in look.banner
    for path, said in (("", NO_IMAGE), (image_file(tmp_path), REPLAY)):
        with pytest.raises(UserError) as error:
            next(desk.run(request(form, path)))
        assert str(error.value) == said


def held(served: Served, **more: object) -> Served:
    texts = {"base": app_fakes.REPLY.format("6"), "tuned": app_fakes.REPLY.format("5")}
    backend = app_fakes.HeldBackend(texts, **more)  # type: ignore[arg-type]
    return replace(served, backend=backend, replay=False)


def test_stop_ends_the_sessions_own_run(served: Served, tmp_path: Path) -> None:
    desk = Desk(held(served, gate=threading.Semaphore(0)))
    form = replace(served.setup.form("classification"), truth="5")
    for both, _, _ in desk.run(request(form, image_file(tmp_path))):
        if both.base.state == "thinking":
            assert desk.stop("another") == "Nothing is running."
            assert desk.stop("s") == "Stopping …"
    assert both.base.state == "stopped"
    assert desk.stops == {}


def test_a_second_press_ends_the_first_run(served: Served, tmp_path: Path) -> None:
    desk = Desk(held(served))
    form, path = served.setup.form("classification"), image_file(tmp_path)
    first = desk.run(request(form, path))
    next(first)
    *_, (second, _, _) = desk.run(request(form, path))
    *_, (both, _, _) = first
    assert second.verdict == "different answer"
    assert both.base.state == "stopped"


def test_new_tokens_have_a_limit(served: Served, tmp_path: Path) -> None:
    desk = Desk(held(served), Limits(tokens=64))
    form = served.setup.form("classification")
    form = replace(form, settings=replace(form.settings, max_new_tokens=100_000))
    assert desk.asked(request(form, image_file(tmp_path))).settings.max_new_tokens == 64


def test_blind_hides_names_and_verdict_until_the_vote(served: Served, tmp_path: Path) -> None:
    desk = Desk(held(served))
    form = replace(served.setup.form("classification"), truth="5")
    shown = [*desk.run(request(form, image_file(tmp_path), blind=True))]
    for _, look, _ in shown:
        assert "Base" not in look.left + look.right + look.status + look.banner
        assert "wrong" not in look.left + look.right
    both, look, order = shown[-1]
    answers = {"base": both.base.answer, "tuned": both.tuned.answer}
    assert f'<p class="answer">{answers[order[0]]}' in look.left
    assert "Left" in look.left


def test_a_bad_truth_is_said_beside_its_field(served: Served, tmp_path: Path) -> None:
    form = replace(served.setup.form("classification"), truth="eleven")
    with pytest.raises(UserError) as error:
        next(Desk(held(served)).run(request(form, image_file(tmp_path))))
    look = refused(error.value)
    assert "is not on the list" in look.truth_note
    assert "".join(look[:-1]) == ""  # said once
    with pytest.raises(TruthError, match="longer than 4000 characters"):
        ask(replace(form, truth="5" * 5000), served.setup, FileImage(image_file(tmp_path), "x"))
    look = refused(TruthError("a box leaves the image"))
    assert "".join(look) == look.truth_note  # by its kind, whatever its words
    look = refused(UserError("the answer you gave: says another part of the page"))
    assert "".join(look) == look.banner
    look = refused(UserError(NO_IMAGE))
    assert "".join(look) == look.banner
    assert 'role="alert"' in look.banner


def test_boxes_are_drawn_in_their_own_colour_and_style() -> None:
    image = Image.new("RGB", (100, 80), "#888888")
    boxes_drawn.draw(image, [(20, 20, 60, 50)], boxes_drawn.LOOKS["tuned"])
    assert image.getpixel((40, 50)) == (0x2A, 0x62, 0xC9)
    dashed = Image.new("RGB", (100, 80), "#888888")
    boxes_drawn.draw(dashed, [(20, 20, 60, 50)], boxes_drawn.LOOKS["base"])
    colours = {dashed.getpixel((x, 50)) for x in range(22, 58)}
    assert {(0x6B, 0x72, 0x80), (255, 255, 255)} <= colours


def test_the_truth_shows_on_a_box_that_is_the_same() -> None:
    image = Image.new("RGB", (100, 80), "#888888")
    for side in ("tuned", "truth"):
        boxes_drawn.draw(image, [(20, 20, 60, 50)], boxes_drawn.LOOKS[side])
    colours = {image.getpixel((x, 50)) for x in range(22, 58)}
    assert {(0x1B, 0x7A, 0x45), (0x2A, 0x62, 0xC9)} <= colours


@pytest.mark.parametrize(
    ("task", "source"), [(task, source) for task, known in SOURCES_OF.items() for source in known]
)
def test_a_samples_file_that_left_its_run_can_be_replayed(task: str, source: str) -> None:
    header = Header(task=task, style="direct", expected=1,
                    provenance=Provenance(model="tiny", data=f"{source} somewhere"))  # fmt: skip
    recipe = opening._recipe_of(Path("/nowhere/samples.jsonl"), header)
    assert (recipe.task, recipe.data.source) == (task, source)


def test_boxes_have_a_table_alternatives_and_a_slider(served: Served, tmp_path: Path) -> None:
    image = FileImage(image_file(tmp_path, (200, 50)), "x.png")
    form = Form("detection", app_fakes.settings(), labels="dog", truth="[[20, 10, 100, 30]]")
    asked = ask(form, served.setup, image)
    reply = '<think>a</think><answer>[{"Position": [10, 20, 50, 60], "Confidence": 0.75}]</answer>'
    pane = Desk(held(served)).served.backend
    assert isinstance(pane, app_fakes.HeldBackend)
    pane.texts = {"base": "none", "tuned": reply}
    *_, both = compare(pane, asked, threading.Event(), every=0)
    html = boxes_drawn.boxes_html(both)
    assert 'alt="Found by the fine-tuned model: 1: dog."' in html
    assert 'alt="Found by the base model: no boxes that can be read."' in html
    assert (
        "<td>fine-tuned</td><td>1</td><td>dog</td><td>20, 10, 100, 30</td><td>0.75</td><td>1.00"
        in html
    )
    assert '<input type="range"' in html
    assert html.index('class="tuned"') < html.index('class="truth"')  # the truth lies on top


def test_results_say_when_a_box_is_right(tmp_path: Path, served: Served) -> None:
    (boxed,) = open_recorded(app_fakes.boxes_file(tmp_path / "boxes")).evaluated
    assert "Boxes are right from a score of 0.5 on" in headline_html(boxed)
    assert "score of 0.5" not in headline_html(served.evaluated[0])


def test_the_newest_run_is_opened_and_without_one_the_built_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    called: list[object] = []

    def built_in(console: Console) -> Iterator[None]:
        called.append(console)
        raise UserError("trained")

    monkeypatch.setattr(opening, "built_in", built_in)
    with pytest.raises(UserError, match="trained"):
        opening.open_model(None, 1.0, Console(file=io.StringIO()))
    assert len(called) == 1
    with pytest.raises(UserError, match="no such folder"):
        opening.open_model(Path("nowhere"), 1.0, Console(file=io.StringIO()))
    assert len(called) == 1


def test_visitors_are_told_a_run_s_name_and_not_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fakes

    from rftkit import models
    from rftkit.app import page
    from rftkit.runs import adapter
    from rftkit.runs.adapter import Checkpoint

    run = RunFolder(tmp_path / "pets")
    made = fakes.recipe()
    recipe = made.model_copy(
        update={"model": made.model.model_copy(update={"name": str(tmp_path / "a-base")})}
    )
    checkpoint = Checkpoint(run.adapter, recipe, run.evaluations, run, "", "")
    monkeypatch.setattr(adapter, "find", lambda location: checkpoint)
    monkeypatch.setattr(adapter, "labels_of", lambda checkpoint: app_fakes.LABELS)
    monkeypatch.setattr(adapter, "aliases_of", lambda checkpoint: {})
    monkeypatch.setattr(models, "open_for_inference", lambda *given: None)
    monkeypatch.setattr(models, "base_note", lambda checkpoint: "")
    served = opening.open_model(run.folder, 1.0, Console(file=io.StringIO()))
    desk = Desk(served)
    assert desk.health()["serves"] == "pets"
    assert "Open: pets, a-base, classification, style think<" in page._head(desk)
    alone = replace(checkpoint, run=None)
    monkeypatch.setattr(adapter, "find", lambda location: alone)
    served = opening.open_model(run.adapter, 1.0, Console(file=io.StringIO()))
    assert Desk(served).health()["serves"] == "adapter"


def test_the_built_in_run_of_another_process_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RFTKIT_CACHE", str(tmp_path))
    run = RunFolder(tmp_path / f"demo-{__version__}" / opening.FIRST)
    run.folder.mkdir(parents=True)
    run.set_status("running")
    with locked(run.folder), pytest.raises(UserError, match="another rftkit is training it"):
        opening.built_in(Console(file=io.StringIO()))
    assert run.status_file.exists()


def test_a_replay_needs_no_torch(tmp_path: Path) -> None:
    path = app_fakes.samples_file(tmp_path)
    code = (
        "import sys; from pathlib import Path; from rftkit.app.opening import open_recorded\n"
        "from rftkit.app.session import Desk, RunRequest\n"
        f"served = open_recorded(Path({str(path)!r}), 0); desk = Desk(served)\n"
        "form = served.setup.form('classification')\n"
        "*_, (both, _, _) = desk.run(RunRequest(form, '', 'digits:test:0', 's'))\n"
        "print(both.verdict, 'torch' in sys.modules, 'gradio' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["fixed", "False", "False"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0: others could use your machine"),
        (["--recorded", "gone.jsonl"], "--recorded gone.jsonl: no such file"),
        (["--recorded", "a", "--ckpt", "b"], "--ckpt and --recorded: give one of them"),
        (["--auth", "me"], "--auth: write it as USER:PASSWORD"),
    ],
)
def test_the_command_says_what_it_cannot_open(args: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["demo", *args])
    assert isinstance(done.exception, UserError)
    assert str(done.exception).startswith(said)


def test_the_limits_of_a_public_app_are_tighter() -> None:
    private, public = limits.PRIVATE, limits.PUBLIC
    assert public.queue < private.queue
    assert public.tokens < private.tokens
    assert public.seconds < private.seconds
    assert public.per_minute > 0


def test_results_say_why_images_are_missing(tmp_path: Path) -> None:
    (evaluated,) = open_recorded(app_fakes.samples_file(tmp_path), pace=0).evaluated
    moved = replace(evaluated, no_images="the data cannot be read (pets/: not found)")
    assert "Images are not shown" not in headline_html(replace(evaluated, no_images=""))
    assert "Images are not shown: the data cannot be read (pets/: not found)." in headline_html(
        moved
    )
