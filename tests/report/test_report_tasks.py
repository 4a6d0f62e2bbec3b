"""Reports of the tasks that do not answer with a label, from samples written by hand."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean
from typing import Any

import fakes
import pytest
from PIL import Image
from rich.console import Console

from rftkit.answers import boxes
from rftkit.answers.boxes import Box
from rftkit.cli.show.check import lines
from rftkit.cli.show.runs import show_result
from rftkit.core import Example
from rftkit.data.examples import Examples
from rftkit.measures.values import Measure
from rftkit.metrics import Summary, broken_gates, summarise, to_json
from rftkit.metrics.files import SUMMARY
from rftkit.metrics.samples import Header, Provenance, Sample, SamplesFile
from rftkit.metrics.scoring import rescored
from rftkit.preflight.check import Checked
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import dump_recipe
from rftkit.report import overlay
from rftkit.report.page import ReportInput, no_image, render
from rftkit.report.plots import training
from rftkit.report.published.table import Beside, beside, remarks, show_beside
from rftkit.report.samples_shown import groups
from rftkit.report.terminal import show_summary
from rftkit.runs import adapter as ckpt
from rftkit.runs.run import RunFolder
from rftkit.tasks.categories import LISTS

HACK = "<img src=x onerror=alert(1)>"
VOID = {"meta", "img", "rect", "use"}
LEFT, RIGHT = Box(0.1, 0.2, 0.3, 0.6), Box(0.5, 0.2, 0.9, 0.6)
SIZED = {"grid": "1000x1000", "size": "400x200"}


def entries(*found: tuple[Box, float], label: str = "") -> str:
    """A reply that lists boxes with confidences."""
    named = f', "Label": "{label}"' if label else ""
    listed = ", ".join(
        f'{{"Position": {boxes.in_grid(box, boxes.THOUSANDTHS)}, "Confidence": {c}{named}}}'
        for box, c in found
    )
    return f"<think>so</think><answer>[{listed}]</answer>"


@dataclass(frozen=True)
class Case:
    """One question: what either side replied, and the fields of its samples."""

    base: str
    tuned: str
    gold: str
    more: dict[str, Any]


def file_of(task: str, cases: list[Case], **more: Any) -> SamplesFile:
    header = Header.model_validate(
        {"task": task, "style": "think", "expected": len(cases), "prompt": "Which?"} | more
    )
    made = [
        Sample.model_validate(
            {"side": side, "id": f"{n}", "image": f"{n}.png", "text": text, "gold": case.gold}
            | {"tokens": 5}
            | case.more
        )
        for n, case in enumerate(cases)
        for side, text in (("base", case.base), ("tuned", case.tuned))
    ]
    return rescored(SamplesFile(header, tuple(made)))


def said(text: str) -> str:
    return f"<think>so</think><answer>{text}</answer>"


def detected() -> SamplesFile:
    """A queen that training finds, and a king that it loses; then an image without a king."""
    queen = {"category": "queen", "meta": SIZED}
    king = {"category": "king", "meta": SIZED}
    gold = boxes.dump_boxes([LEFT, RIGHT])
    return file_of(
        "detection",
        [
            Case(entries((RIGHT, 0.3)), entries((LEFT, 0.9), (RIGHT, 0.8)), gold, queen),
            Case(entries((LEFT, 0.5)), entries((RIGHT, 0.25)), boxes.dump_boxes([LEFT]), king),
            Case(said("nothing"), said("[]"), "[]", king),
        ],
    )


def grounded() -> SamplesFile:
    gold, meta = (
        boxes.dump_boxes([LEFT]),
        {"meta": SIZED, "prompt": f"Where is {HACK}?\nWrite one box."},
    )
    return file_of(
        "grounding",
        [
            Case(said("(0,0),(50,50)"), said("(100,200),(300,600)"), gold, meta),
            Case(said("here"), said("(110,200),(300,600)"), gold, meta),
        ],
    )


def chosen(source: bool = True) -> SamplesFile:
    kinds = (("count", "ADE20K"), ("relation", "COCO"), ("depth", "Omni3D"), ("depth", "Omni3D"))
    return file_of(
        "choice",
        [
            Case(said("A"), said("B" if n else "up"), "right", {
                "choices": ["left", "right"], "category": kind,
                "prompt": f"Where is {HACK}?\nLook well.\nA. left\nB. right\nAnswer.",
                "meta": {"source": location} if source else {},
            }) for n, (kind, location) in enumerate(kinds)
        ],
    )  # fmt: skip


def counted() -> SamplesFile:
    cases = [Case(said("3"), said(answer), "5", {"prompt": "How many?"}) for answer in "5567"]
    return file_of("number", cases)


FILES = {"detection": detected, "grounding": grounded, "choice": chosen, "number": counted}


def printed(summary: Summary, width: int = 80) -> list[list[str]]:
    """The cells of every line."""
    out = io.StringIO()
    show_summary(summary, Console(file=out, width=width))
    assert max(map(len, out.getvalue().splitlines())) <= width
    return [re.split(r"\s{2,}", line.strip()) for line in out.getvalue().splitlines()]


def page_of(file: SamplesFile, **more: Any) -> str:
    return render(ReportInput("a run", summarise(file), file.samples, **more))


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


@pytest.mark.parametrize("task", FILES)
def test_a_page_of_every_task_is_whole_and_shows_no_classes(task: str) -> None:
    page = page_of(FILES[task](), open_images=lambda _: [Image.new("RGB", (40, 20))])
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert "<h2>Classes</h2>" not in page
    assert "macro accuracy" not in page
    assert HACK not in page
    assert not re.search(r"https?:|url\(\s*[\"']?[^#\"'\s)]|<script|<link", page)


@pytest.mark.parametrize("task", ["detection", "grounding"])
def test_what_scores_by_degree_is_never_called_accuracy(task: str) -> None:
    summary = summarise(FILES[task]())
    heads = [cells[0] for cells in printed(summary)]
    assert heads[1] == "IoU"
    assert "accuracy" not in heads
    page = page_of(FILES[task]())
    assert "<h2>IoU</h2>" in page
    assert "% right" not in page
    assert "right, of all" not in page
    assert not re.search(r"accuracy(?! at 0\.5)", page, re.IGNORECASE)
    file = FILES[task]()
    alone = SamplesFile(file.header, tuple(s for s in file.samples if s.side == "base"))
    assert "IoU of the base model: " in page_of(alone)


def test_a_gate_names_the_metric() -> None:
    file = detected()
    swapped = [s.model_copy(update={"side": {"base": "tuned", "tuned": "base"}[s.side]})
               for s in file.samples]  # fmt: skip
    summary = summarise(SamplesFile(file.header, tuple(swapped)))
    (broken,) = broken_gates(summary, fail_if_worse=0.01)
    assert broken.startswith("IoU fell by ")


def test_boxes_are_measured_by_map_first_and_by_category() -> None:
    rows = printed(summarise(detected()))
    heads = [cells[0] for cells in rows]
    figures = ["mAP", "95 % interval", "AP50", "AP75", "F1@0.5", "precision@0.5"]
    assert heads[3:9] == figures
    assert ["count error", "0.33", "0.00"] in rows
    assert ["mAP by COCO rules, stated confidences"] in rows
    kinds = heads.index("AP by category")
    assert rows[kinds : kinds + 3] == [
        ["AP by category", "base", "fine-tuned", "n"],
        ["king", "100.0 %", "0.0 %", "2"],
        ["queen", "50.5 %", "100.0 %", "1"],
    ]
    page = page_of(detected())
    assert "mAP: base 75.2 %, fine-tuned 50.0 %." in page
    assert "mAP by COCO rules, stated confidences" in page
    assert "<th>category</th>" in page


def test_a_stored_summary_has_its_figures_in_the_same_order() -> None:
    summary = summarise(detected())
    assert printed(Summary.model_validate_json(to_json(summary))) == printed(summary)


def test_questions_are_measured_by_kind_and_source() -> None:
    rows = printed(summarise(chosen()), 60)
    assert ["CV-Bench official", "0.0 %", "75.0 %"] in rows
    assert ["accuracy on Omni3D", "0.0 %", "100.0 %"] in rows
    assert ["depth", "0.0 %", "100.0 %", "2"] in rows
    assert "2 options, chance 50.0 %" in " ".join(" ".join(cells) for cells in rows)
    assert "<th>kind of question</th>" in page_of(chosen())


def test_errors_of_counts_are_no_percentages() -> None:
    rows = printed(summarise(counted()), 60)
    assert ["mean absolute error", "2.00", "0.75"] in rows
    assert ["bias", "−2.00", "0.75"] in rows
    assert ["within one", "0.0 %", "75.0 %"] in rows
    assert [cells for cells in rows if cells[0].startswith("accuracy by")] == []


def test_coarser_classes_have_a_table() -> None:
    levels = {"maker": {"737": "Boeing", "747": "Boeing", "A320": "Airbus"}}
    labels = ("737", "747", "A320")
    cases = [Case(said("747"), said("A320"), label, {}) for label in labels]
    file = file_of("classification", cases, labels=labels, levels=levels)
    assert ["maker", "66.7 %", "33.3 %"] in printed(summarise(file))
    page = page_of(file)
    assert "graded by coarser class" in page
    assert '<tr><th scope="row">maker</th><td class="num">66.7 %' in page


def test_degrees_sort_examples_by_how_far_they_moved() -> None:
    found = groups((file := detected()).samples, file.header, no_image)
    golds = {group.title: [shown.gold for shown in group.examples] for group in found}
    assert golds == {
        "Better after training": ["queen: 2 boxes", "king: none there"],
        "Worse after training": ["king: 1 box"],
    }
    marks = [(reply.mark, reply.answer) for reply in found[0].examples[0].replies]
    assert marks == [
        ("right", "IoU 50.0 %: 1 found, 1 right"),
        ("right", "IoU 100.0 %: 2 found, 2 right"),
    ]
    assert found[0].examples[1].replies[0].answer == "IoU 0.0 %: no list of boxes"


def test_gold_hits_and_misses_are_drawn_apart() -> None:
    file = detected()
    king = next(s for s in file.samples if (s.id, s.side) == ("1", "tuned"))
    drawn = overlay.drawing(king, file.header)
    assert [(mark.kind, mark.box, mark.text) for mark in drawn.marks] == [
        ("gold", LEFT, ""),
        ("miss", RIGHT, "0.25"),
    ]
    svg = overlay.pane(drawn, (400, 200), "")
    assert 'viewBox="0 0 320 160"' in svg
    assert (
        '<g class="gold"><rect class="case" x="32.0" y="32.0" width="64.0" height="64.0"/>' in svg
    )
    assert ">✗ 0.25</text>" in svg


def test_a_wild_box_is_cut_at_the_edge_and_a_long_list_at_forty() -> None:
    wild = [(Box(-9e9, 0.1, 9e9, 0.9), 1.0)] * 41
    case = Case(said("[]"), entries(*wild), boxes.dump_boxes([LEFT]), {"meta": SIZED})
    file = file_of("detection", [case])
    drawn = overlay.drawing(file.samples[-1], file.header)
    assert drawn.words == "41 found, 0 right, 40 of them drawn"
    assert len(drawn.marks) == 1 + 40
    edges = re.findall(r'x="([-\d.]+)" y="16.0" width="([\d.]+)"', overlay.pane(drawn, (4, 2), ""))
    assert {(float(x), float(width)) for x, width in edges} == {(-6.4, 332.8)}


def test_labels_in_a_drawing_are_inert_and_crowds_are_marked() -> None:
    more = {
        "choices": ["king", "queen"],
        "meta": {**SIZED, "crowd": boxes.dump_boxes([RIGHT], ["king"])},
    }
    gold = boxes.dump_boxes([LEFT], ["queen"])
    text = entries((LEFT, 0.5), label=HACK) + ""
    file = file_of("detection", [Case(entries((LEFT, 0.5), label="Queen"), text, gold, more)])
    right, wrong = (overlay.drawing(sample, file.header) for sample in file.samples)
    assert [(mark.kind, mark.text) for mark in right.marks] == [
        ("crowd", "crowd"), ("gold", "queen"), ("hit", "queen 0.5"),
    ]  # fmt: skip
    assert wrong.marks[-1].kind == "miss"
    assert "<img" not in overlay.pane(wrong, (4, 3), "")


def test_a_image_stands_once_in_the_page_under_both_panes() -> None:
    page = page_of(detected(), open_images=lambda _: [Image.new("RGB", (900, 450))])
    assert page.count("data:image/jpeg") == 3
    named = re.findall(r'<image id="(\w+)"', page)
    assert sorted(named) == sorted(re.findall(r'<use href="#(p\w{12})"', page))
    assert len({*named}) == 3
    assert "✗ and dotted: its IoU with gold is below 0.5." in page


def test_boxes_are_drawn_without_the_image_too() -> None:
    page = page_of(grounded())
    assert page.count('<svg class="pane" viewBox="0 0 320 160"') == 4
    assert "a box with IoU 1.00" in page
    assert "Where is &lt;img src=x onerror=alert(1)&gt;?</p>" in page


def test_a_choice_is_shown_with_its_question_letters_and_images() -> None:
    two = [Image.new("RGB", (40, 20)), Image.new("RGB", (20, 40))]
    found = groups((file := chosen()).samples, file.header, lambda _: two)
    shown = found[0].examples[0]
    assert shown.question == f"Where is {HACK}?\nLook well."
    assert [(option.letter, option.gold) for option in shown.options] == [("A", False), ("B", True)]
    assert shown.gold == "B. right"
    assert [reply.answer for reply in shown.replies] == ["✗ A. left", "✓ B. right"]
    assert [small.size for small in shown.thumbnails] == [(40, 20), (20, 40)]
    stray = found[1].examples[0].replies[1]
    assert (stray.mark, stray.answer) == ("wrong", "✗ up")


def test_curves_go_by_the_rewards_of_the_recipe() -> None:
    names = ("format", "iou", "confidence", "f1", "map_length", "length", "no_repetition")
    logged: list[dict[str, object]] = [
        {"step": s, "length": 9.0, "rewards": dict.fromkeys(names, 0.5)} for s in (1, 2)
    ]
    first, second = training(logged)
    assert first.title == "Length and iou"
    assert "iou reward from 0.5 to 0.5" in first.svg
    assert "var(--sixth)" in second.svg
    assert second.caption.endswith("Not drawn: no_repetition.")


def published(task: str, path: str, **more: Any) -> Recipe:
    data = {"source": "hub", "path": path, "shots": 4, **more.pop("data", {})}
    return fakes.recipe(task=task, data=data, **more)


def told(found: Beside, width: int = 100) -> str:
    out = io.StringIO()
    show_beside(found, Console(file=out, width=width))
    return out.getvalue()


def aircraft() -> tuple[Recipe, SamplesFile]:
    recipe = published("classification", "HuggingFaceM4/FGVC-Aircraft")
    cases = [Case(said("737"), said(label), label, {}) for label in ("737", "747")]
    source = Provenance(data="hub HuggingFaceM4/FGVC-Aircraft")
    return recipe, file_of("classification", cases, labels=("737", "747"), provenance=source)


def test_published_rows_stand_below_ones_own() -> None:
    recipe, file = aircraft()
    found = beside(recipe, summarise(file))
    assert found
    assert found.columns == ("accuracy",)
    own = [(row.source, row.method, row.model, row.shots, row.cells) for row in found.own]
    assert own == [
        ("yours,", "base", "tiny", "", ("50.0",)),
        ("yours,", "think", "tiny", "4", ("100.0",)),
    ]
    assert [(row.method, row.shots, row.cells) for row in found.rows] == [
        ("base", "", ("42.8",)), ("sft", "4", ("60.1",)),
        ("think", "4", ("74.4",)), ("direct", "4", ("74.4",)),
    ]  # fmt: skip
    assert "lenient scoring, here strict" in found.common
    assert "40 labels offered, here 2" in found.common
    assert found.rows[0].differs == ()
    assert found.rows[1].differs == ("all parameters fine-tuned, here LoRA",)
    said_of = remarks(found)
    assert "sft, think, direct: all parameters fine-tuned, here LoRA" in said_of
    assert any(line.startswith("CLS-RL: From a new random list") for line in said_of)
    assert not any("harmonic" in line for line in said_of)
    assert re.search(r"CLS-RL think +Qwen2-VL-2B +4 +74\.4", told(found))
    page = page_of(file, beside=found)
    assert "<h2>Published results</h2>" in page
    assert "One run for each setting" in page


def test_the_nearest_shots_are_shown() -> None:
    recipe, file = aircraft()
    open_answer = recipe.model_copy(
        update={"data": recipe.data.model_copy(update={"choices": "none", "shots": 6})}
    )
    found = beside(open_answer, summarise(file))
    assert found
    assert [(row.method, row.shots) for row in found.rows] == [
        ("base", ""), ("sft", "4"), ("think", "4"),
    ]  # fmt: skip


def test_parts_stand_side_by_side() -> None:
    recipe = published("choice", "nyu-visionx/CV-Bench")
    found = beside(recipe, summarise(chosen()))
    assert found
    assert found.columns == ("accuracy", "count", "relation", "depth", "distance")
    assert found.own[1].cells == ("75.0", "0.0", "100.0", "100.0", "–")
    assert len(found.rows) <= 12
    other = beside(recipe, summarise(chosen(source=False)))
    assert other
    assert other.own[1].cells == ("–",) * 5  # other questions than CV-Bench's


def test_boxes_stand_beside_the_mean_over_categories() -> None:
    recipe = published(
        "detection",
        "x",
        data={"source": "coco", "path": "coco/instances_{split}2017.json"},
        options={"categories": "coco-8"},
    )
    found = beside(recipe, summarise(detected()))
    assert found
    assert found.columns == ("mAP",)
    assert found.own[1].cells == ("50.0",)
    assert {row.shots for row in found.rows if row.method == "think"} == {"4"}
    metrics = (Measure(name="map", value=0.4, rules="lvis"),)
    summary = summarise(detected())
    assert summary.tuned
    side = summary.tuned.model_copy(update={"metrics": metrics})
    other = beside(recipe, summary.model_copy(update={"tuned": side}))
    assert other
    assert "COCO's rules, here LVIS's" in other.common
    assert "COCO's rules, here LVIS's" not in found.common


def test_halves_of_the_categories_have_a_mean_each() -> None:
    recipe = published(
        "detection",
        "coco/instances_{split}2017.json",
        data={"source": "coco", "classes": "base"},
        options={"new": "coco-15"},
    )
    aps = {"cat": 0.2, "dog": 0.6, "car": 0.1, "bus": None}
    metrics = [Measure(name="ap", label=name, value=ap) for name, ap in aps.items()]
    summary = summarise(detected())
    assert summary.tuned
    side = summary.tuned.model_copy(update={"metrics": (Measure(name="map", value=0.3), *metrics)})
    found = beside(recipe, summary.model_copy(update={"tuned": side}))
    assert found
    assert found.columns == ("all", "base", "new")
    new = {*LISTS["coco-15"]}
    means = [
        fmean([ap for name, ap in aps.items() if ap is not None and (name in new) == half])
        for half in (False, True)
    ]
    assert found.own[1].values == pytest.approx((30.0, 100 * means[0], 100 * means[1]))


def test_nothing_is_shown_for_data_that_no_paper_used() -> None:
    recipe, file = aircraft()
    mine = published("classification", "me/pets")
    assert beside(mine, summarise(SamplesFile(file.header.model_copy(
        update={"provenance": Provenance(data="hub me/pets")}), file.samples))) is None  # fmt: skip
    elsewhere = file.header.model_copy(update={"provenance": Provenance(data="folder other")})
    assert beside(recipe, summarise(SamplesFile(elsewhere, file.samples))) is None
    assert "Published results" not in page_of(file)


def test_the_result_of_a_run_ends_with_them(tmp_path: Path) -> None:
    recipe, file = aircraft()
    run = RunFolder(tmp_path / "run")
    fakes.FakePolicy(fakes.never).save(run.adapter)
    ckpt.write_card(run.adapter, recipe, ("737", "747"))
    run.resolved.write_text(dump_recipe(recipe), "utf-8")
    run.set_status("trained", labels=("737", "747"), versions={})
    (run.evaluations / "test").mkdir(parents=True)
    (run.evaluations / "test" / SUMMARY).write_text(to_json(summarise(file)), "utf-8")
    out = io.StringIO()
    show_result(run, Console(file=out, width=100))
    assert out.getvalue().index("Published results: FGVCAircraft") > out.getvalue().index("tokens")


def checked(
    task: str,
    first: list[Example],
    second: list[Example],
    metrics: tuple[Measure, ...] = (),
) -> list[str]:
    """What `rftkit check` prints of training and held-out examples, by line."""
    labels = tuple(sorted({name for e in (*first, *second) for name in e.choices or [e.category]}))
    training, held_out = Examples(tuple(first), labels), Examples(tuple(second), labels)
    source = {"source": "scenes", "path": task}
    return lines(
        Checked(
            recipe=fakes.recipe(task=task, data=source),
            training=training, held_out=held_out, prompt="Where?", ideal="x", rewards={},
            sizes=((8, 8),), opened=1, notes=(), copies=(),
            metrics=metrics,
        )
    )  # fmt: skip


def example(image: str, category: str, gold: str, asked: tuple[str, ...] = ()) -> Example:
    return Example(
        f"{image}: {category}", fakes.BlankImage(image), "", gold, asked, category=category
    )


def test_check_counts_images_prompts_and_boxes() -> None:
    two, none = boxes.dump_boxes([LEFT, RIGHT]), "[]"
    ours = [example("a", "king", two), example("a", "queen", none), example("b", "queen", two)]
    theirs = [example("c", "king", none), example("c", "queen", boxes.dump_boxes([LEFT]))]
    metrics = (Measure(name="map", value=0.987), Measure(name="f1_at_50", value=1.0))
    found = checked("detection", ours, theirs, metrics=metrics)
    assert "gold answers in place of replies: mAP 98.7 %" in found
    start = found.index("2 training + 1 held-out images of 2 categories, 3 + 2 prompts:")
    assert found[start + 1 : start + 3] == [
        "  king: 2 + 0 boxes in 1 + 1 prompts",
        "  queen: 2 + 1 boxes in 2 + 1 prompts",
    ]
    assert found[-1] == "every gold answer earns full marks but for rounding in style 'think'"


def test_check_counts_boxes_by_label_where_all_are_asked_for_at_once() -> None:
    ours = [example("a", "", boxes.dump_boxes([LEFT, RIGHT], ["queen", "king"]), ("king", "queen"))]
    theirs = [example("c", "", boxes.dump_boxes([LEFT], ["king"]), ("king", "queen"))]
    found = checked("detection", ours, theirs)
    assert "1 training + 1 held-out images of 2 categories:" in found
    assert "  king: 1 + 1 boxes" in found


def test_check_of_questions_without_kinds_counts_them_alone() -> None:
    ours = [example("a", "", "3"), example("b", "", "4")]
    assert "2 training + 1 held-out images" in checked("number", ours, [example("c", "", "1")])
    kinds = [example("a", "count", "3"), example("a", "depth", "4")]
    found = checked("number", kinds, kinds[:1])
    start = found.index("1 training + 1 held-out images of 2 kinds of question, 2 + 1 questions:")
    assert found[start + 1] == "  count: 1 + 1 questions"
