import base64
import io
import json
import re
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from rftkit.metrics import Summary, summarise, to_json
from rftkit.metrics.files import confusion_csv
from rftkit.metrics.samples import (
    Header,
    Overlap,
    OverlapSkipped,
    Provenance,
    Sample,
    SamplesFile,
    Timing,
)
from rftkit.metrics.scoring import rescored
from rftkit.report.confusion import commonest, grid
from rftkit.report.page import ReportInput, no_image, render, write_report
from rftkit.report.plots import training
from rftkit.report.run_page import how_it_ran
from rftkit.report.samples_shown import groups, thumbnail
from rftkit.report.terminal import show_summary
from rftkit.report.training_curves import column, cost, reward_names, smoothed
from rftkit.runs.run import RunFolder

HACK = "<img src=x onerror=alert(1)>"
VOID = {"meta", "img", "br", "hr", "link", "input", "path", "use", "rect"}
GRPO: list[dict[str, object]] = [
    {
        "step": step,
        "loss": 0.1,
        "seconds": 2.0,
        "rewards": {"accuracy": step / 40, "format": 0.9},
        "length": 60 - step,
        "truncated": 0.1,
        "silent_groups": 0.5,
        "kl": 0.01 * step,
        "entropy": 1.0,
    }
    for step in range(1, 31)
]
SFT: list[dict[str, object]] = [{"step": s, "loss": 3 / s, "token_accuracy": 0.5} for s in (1, 2)]


def evaluated(labels: tuple[str, ...] = ("cat", "dog"), **more: object) -> SamplesFile:
    """Per label: base always says the first one, tuned is right but for the last one."""
    header = Header.model_validate(
        {"task": "classification", "style": "think", "labels": labels, "expected": len(labels)}
        | more
    )
    said = {label: label for label in labels[:-1]} | {labels[-1]: HACK}
    made = []
    for location, gold in enumerate(labels):
        for side, answer in (("base", labels[0]), ("tuned", said[gold])):
            text = f"<think>{HACK} fur</think><answer>{answer}</answer>"
            made.append(
                Sample.model_validate(
                    {
                        "side": side,
                        "id": f"{location}",
                        "image": f"{HACK}{location}.png",
                        "gold": gold,
                    }
                    | {"text": text, "tokens": 12}
                )
            )
    return rescored(SamplesFile(header, tuple(made)))


def page_of(file: SamplesFile, **more: object) -> str:
    fields = {"title": "a run", "summary": summarise(file), "samples": file.samples}
    return render(ReportInput(**{**fields, **more}))  # type: ignore[arg-type]


def printed(summary: Summary, width: int) -> str:
    out = io.StringIO()
    show_summary(summary, Console(file=out, width=width))
    return out.getvalue()


class Balance(HTMLParser):
    """Fails on a tag that is closed but not open, or left open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


PAGES = {
    "both": lambda: page_of(evaluated(), metrics=GRPO, recipe_toml="a = 1"),
    "many classes": lambda: page_of(evaluated(tuple(f"c{i}" for i in range(40)))),
    "interrupted": lambda: render(ReportInput("a run", metrics=GRPO[:3], recipe_toml="a = 1")),
    "sft": lambda: page_of(evaluated(), metrics=SFT),
    "nothing": lambda: render(ReportInput("a run")),
    "nothing answered": lambda: page_of(SamplesFile(evaluated().header, ())),
    "base only": lambda: page_of(
        SamplesFile(evaluated().header, tuple(s for s in evaluated().samples if s.side == "base"))
    ),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fetches_nothing_and_is_whole(name: str) -> None:
    page = PAGES[name]()
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert not re.search(r"https?:|//[a-z]|url\(\s*[\"']?[^#\"'\s)]|@import|<script|<link", page)
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_model_text_and_file_names_are_inert() -> None:
    file = evaluated(overlap=Overlap(exact=1, pairs=((HACK, HACK),)), provenance={"prompt": HACK})
    page = page_of(file, title=HACK, recipe_toml=f"# {HACK}", versions={HACK: HACK})
    assert HACK not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") > 8
    assert "<img" not in page


def test_the_verdict_and_its_setting_lead_the_page() -> None:
    page = page_of(evaluated())
    sentence = r'<p class="verdict unknown">The test set is too small to tell: it shows differences'
    assert re.search(sentence + r" of [\d.]+ points or more. Accuracy [\d.]+ → [\d.]+ %, ", page)
    assert "2 images of split &#39;test&#39;, strict scoring, list of 2 labels" in page
    assert "chance 50.0 %" in page


def test_a_page_without_evaluation_says_so() -> None:
    assert "Not evaluated yet." in PAGES["interrupted"]()
    assert "Not evaluated yet." in PAGES["nothing answered"]()


def test_charts_wear_the_colours_of_the_page() -> None:
    charts = training(GRPO)
    titles = ["Length and accuracy", "Rewards, one by one", "Lost signal", "Drift"]
    assert [chart.title for chart in charts] == titles
    first = charts[0].svg
    assert "var(--tuned)" in first
    assert "currentColor" in first
    assert not re.search(r"#[0-9a-f]{6}\b", first)
    assert "accuracy reward from 0.025 to 0.75" in first
    assert training(GRPO) == charts


def test_charts_are_drawn_from_what_was_logged() -> None:
    assert [chart.title for chart in training(SFT)] == ["Loss and token accuracy"]
    assert training([]) == []
    assert training([{"step": 1, "rewards": {"accuracy": float("nan")}}]) == []


def test_a_name_in_a_chart_steers_no_terminal_and_is_no_formula() -> None:
    evil = r"a$\frac$" + "\x1b]0;own\x07\n"
    lines = [{"step": n, "rewards": {"accuracy": 0.5, evil: 0.1 * n}} for n in (1, 2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib would print the name in one
        charts = {chart.title: chart.svg for chart in training(lines)}
    (svg,) = charts.values()
    assert svg.count(r"a$\frac$\x1b]0;own\x07") == 2
    assert "\x1b" not in svg


def test_charts_shade_the_warm_up_and_show_the_loss_of_imitation_alone() -> None:
    lines = [
        *({"step": n, "phase": "warmup", "loss": 2.0, "token_accuracy": 0.5} for n in (1, 2)),
        *(
            {"step": n, "phase": "reinforcement", "loss": 0.1, "rewards": {"accuracy": 0.5}}
            for n in (3, 4)
        ),
    ]
    charts = {chart.title: chart.svg for chart in training(lines)}
    assert all(">warm-up<" in svg for svg in charts.values())
    assert "loss from 2 to 2" in charts["Loss and token accuracy"]
    assert ">warm-up<" not in training(GRPO)[0].svg


def test_a_column_keeps_the_last_line_of_a_step() -> None:
    lines: list[dict[str, object]]
    lines = [{"step": 2, "rewards": {"a": 0.1}}, {"step": 1}, {"step": 2, "rewards": {"a": 0.4}}]
    assert column(lines, "rewards.a") == ([2.0], [0.4])
    assert reward_names(lines) == ["a"]
    assert column([{"step": 1, "loss": "high"}, {"loss": 1.0}], "loss") == ([], [])
    assert smoothed([1, 2, 6], 2) == [1, 1.5, 4]
    assert cost(GRPO)[:2] == [("steps", "30"), ("minutes", "1.0")]


def test_examples_are_sorted_by_what_training_did_to_them() -> None:
    found = groups(
        (file := evaluated(("cat", "dog", "fox"), prompt="Which?")).samples, file.header, no_image
    )
    kinds = {group.title: [shown.gold for shown in group.examples] for group in found}
    assert kinds == {"Fixed by training": ["dog"], "Wrong before and after": ["fox"]}
    assert found[0].examples[0].prompt == "Which?"
    alone = [s for s in evaluated().samples if s.side == "base"]
    kinds = {g.title: [s.gold for s in g.examples] for g in groups(alone, file.header, no_image)}
    assert kinds == {"Wrong": ["dog"], "Right": ["cat"]}


def test_examples_come_from_many_classes() -> None:
    made = [
        Sample(side="base", id=f"{i:02}", image="p", text="", gold="cat" if i < 20 else "dog")
        for i in range(22)
    ]
    (group,) = groups(made, evaluated().header, no_image)
    assert group.total == 22
    assert [shown.gold for shown in group.examples].count("dog") == 2


@pytest.mark.parametrize(
    ("mode", "size", "start", "small"),
    [("L", (8, 8), "data:image/png", True), ("RGBA", (900, 300), "data:image/jpeg", False)],
)
def test_thumbnails_sit_in_the_page(
    mode: str, size: tuple[int, int], start: str, small: bool
) -> None:
    image = Image.new(mode, size)
    found = thumbnail(image)
    assert found.uri.startswith(start)
    assert (found.small, image.size) == (small, size)
    raw = base64.b64decode(found.uri.partition(",")[2])
    assert max(Image.open(io.BytesIO(raw)).size) == min(max(size), 640)
    page = page_of(evaluated(), open_images=lambda _: [image])
    assert found.uri in page


def test_the_matrix_counts_and_gives_way_to_a_list() -> None:
    side = summarise(evaluated(("cat", "dog", "fox"))).tuned
    assert side
    found = grid(side)
    assert found
    assert found.answers == ("cat", "dog", "fox", "(invalid)")
    assert [[count for _, count, _ in row.cells] for row in found.rows] == [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 0, 1],
    ]
    many = summarise(evaluated(tuple(f"c{i:02}" for i in range(40))))
    assert many.base
    assert grid(many.base) is None
    assert len(commonest(many.base)) == 20
    assert commonest(many.base)[0] == ("c01", "c00", 1)


def test_the_csv_runs_no_formula() -> None:
    text = confusion_csv(summarise(evaluated(("=1+1", "-x", "a,b", "@c"))))
    assert text.splitlines()[:4] == [
        "side,gold,answer,count",
        "base,'-x,'=1+1,1",
        "base,'=1+1,'=1+1,1",
        "base,'@c,'=1+1,1",
    ]
    assert 'tuned,"a,b","a,b",1' in text
    assert "tuned,'@c,,1" in text


@pytest.mark.parametrize("width", [40, 100])
def test_the_table_is_plain_without_a_terminal(width: int) -> None:
    text = printed(summarise(evaluated()), width)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= width
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    assert ["accuracy", "50.0 %", "50.0 %"] in lines
    assert "no significant difference" in " ".join(text.split())


def test_the_table_of_one_side_has_no_verdict() -> None:
    base = tuple(s for s in evaluated().samples if s.side == "base")
    text = printed(summarise(SamplesFile(evaluated().header, base)), 80)
    assert "tuned" not in text
    assert "list of 2 labels, chance 50.0 %" in text


def test_a_page_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, ReportInput("été \ud800"))  # half a surrogate pair, as a model may write
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]


def test_a_page_says_why_prefixes_were_not_shared(tmp_path: Path) -> None:
    why = "off: some layers attend to a sliding window only"
    row = f'<th scope="row">shared prefix</th><td>{why}</td>'
    assert row in page_of(evaluated(), how={"shared_prefix": why})
    assert row in render(ReportInput("stopped", how={"shared_prefix": why}))
    assert "shared prefix" not in page_of(evaluated())
    run = RunFolder(tmp_path)
    assert how_it_ran(run) == how_it_ran(None) == {}
    checked = {"shared_prefix": why, "checked vLLM": "log-probabilities differ by 1e-03 nats"}
    run.effective.write_text(json.dumps({"trainer": "GRPOTrainer", "beta": "0.04", **checked}))
    assert how_it_ran(run) == {"trainer": "GRPOTrainer", **checked}


def test_a_page_made_from_a_stored_summary_is_the_same() -> None:
    file = evaluated(provenance=Provenance(model="tiny", seed=0))
    stored = Summary.model_validate_json(to_json(summarise(file)))
    charts = re.compile(r"<svg.*?</svg>", re.DOTALL)
    again = charts.sub("", page_of(file, summary=stored))
    assert again == charts.sub("", page_of(file))


@pytest.mark.parametrize(("of", "said"), [
    (("gpu", "gpu"), "Peak memory of the GPU while a model answered."),
    (("process", "process"), "Peak memory of the process while a model answered."),
    (("", ""), "Peak memory of the whole command until then, loading and training included."),
    (("", "gpu"), "Peak memory of the whole command until then, loading and training included "
                  "(base); of the GPU while a model answered (fine-tuned)."),
])  # fmt: skip
def test_the_page_says_what_the_peak_of_memory_is_of(of: tuple[str, str], said: str) -> None:
    file = evaluated()
    timings = tuple(
        Timing.model_validate({
            "side": side, "seconds": 1, "samples": 2, "tokens": 24,
            "peak_memory_bytes": 2**30, "peak_memory_of": scope,
        })
        for side, scope in zip(("base", "tuned"), of, strict=True)
    )  # fmt: skip
    assert said in " ".join(page_of(replace(file, timings=timings)).split())


@pytest.mark.parametrize(("skipped", "line"), [
    (OverlapSkipped(reason="too many", detail="9 images, above 8"),
     "Train/test overlap was not checked: 9 images, above 8."),
    (None, "Train/test overlap was not checked."),
])  # fmt: skip
def test_the_page_says_why_no_leak_was_looked_for(
    skipped: OverlapSkipped | None, line: str
) -> None:
    page = page_of(evaluated(overlap_skipped=skipped))
    assert f"<p>{line}</p>" in page


def listed(free: str) -> SamplesFile:
    """Forty images of ash; the fine-tuned model writes `free`, and its list says ash."""
    header = Header(
        task="classification", style="direct", labels=("ash", "oak"), expected=40, list_scores=True
    )
    made = [
        Sample(side=side, id=f"{n}", image=f"{n}.png", text=free if side == "tuned" else "oak",
               gold="ash", scores={"ash": -1.0, "oak": -2.0})
        for n in range(40) for side in ("base", "tuned")
    ]  # fmt: skip
    return rescored(SamplesFile(header, tuple(made)))


def test_free_replies_stand_beside_the_list_and_a_gap_is_explained() -> None:
    page = page_of(file := listed("ashtray"))
    assert "Free reply and list" in page
    assert "Fine-tuned: the model knows more than it writes: 100.0 % by the list, 0.0 %" in page
    assert "its probability lies off the names" in page
    text = printed(summarise(file), 100)
    assert re.search(r"by the list +100.0 % +100.0 %", text)
    assert "fine-tuned: the model knows more than it writes" in text
    alike = page_of(listed("ash"))
    assert "both ways of answering are right alike" in alike
    assert "its probability lies off the names" not in alike


def test_a_page_without_a_list_has_no_such_section() -> None:
    assert "Free reply and list" not in page_of(evaluated())


def test_a_strangers_figures_do_not_steer_the_terminal() -> None:
    from rftkit.report.terminal import safe_text

    assert safe_text("digits\x1b]0;x\x07 and\nmore").plain == "digits\\x1b]0;x\\x07 and\nmore"
