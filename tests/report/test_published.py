"""The papers' figures: each is printed so by its paper, and stands beside the runs it is like."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from rftkit.recipe.schema import Recipe
from rftkit.report.published import (
    data_set_of,
    differences,
    figures,
    free_lunch,
    matching,
    protocol_note,
)
from rftkit.report.published.figures import Figure
from rftkit.report.published.protocol import NOTES

SOURCE = Path(__file__).parents[3] / "shared/spec/published"
METHODS = {"zero-shot": "base", "no-think": "direct", "think-after-answer": "answer-first"}


class Table(NamedTuple):
    """What a source file does not say in its columns."""

    paper: str
    setting: str
    data_set: str = ""
    model: str = "Qwen2-VL-2B"
    shots: str = ""  # of what was trained


TABLES = {
    "cls_rl_few_shot": Table("CLS-RL", "few-shot", shots="4"),
    "cls_rl_base_to_new": Table("CLS-RL", "base-to-new", shots="4"),
    "cls_rl_open_set": Table("CLS-RL", "open-set"),
    "cls_rl_cvbench": Table("CLS-RL", "cv-bench", "CV-Bench", "{}"),
    "visual_rft_classification": Table("Visual-RFT", "few-shot"),
    "visual_rft_coco8": Table("Visual-RFT", "coco-8", "COCO", "Qwen2-VL-{}"),
    "visual_rft_lisa": Table("Visual-RFT", "lisa", "LISA", "Qwen2-VL-{}"),
    "visual_rft_lvis6": Table("Visual-RFT", "lvis-6", "LVIS", "Qwen2-VL-{}"),
    "visual_rft_monster_girls": Table("Visual-RFT", "few-shot", "Monster Girls", "Qwen2-VL"),
    "visual_rft_open_vocabulary_coco": Table(
        "Visual-RFT", "open-vocabulary", "COCO", "Qwen2-VL-{}"
    ),
    "visual_rft_open_vocabulary_lvis13": Table(
        "Visual-RFT", "open-vocabulary", "LVIS", "Qwen2-VL-{}"
    ),
}
# metric and part, by column; any other column is a category
COLUMNS = {
    "accuracy": ("accuracy", ""),
    "accuracy_lenient": ("accuracy", ""),
    "base": ("accuracy", "base"),
    "new": ("accuracy", "new"),
    "harmonic_mean": ("accuracy", "harmonic mean"),
    "overall": ("accuracy", ""),
    **{kind: ("accuracy", kind) for kind in ("count", "relation", "depth", "distance")},
    "minutes_on_8_a100": ("minutes on 8 A100", ""),
    "map": ("mAP", ""),
    "map_new15": ("mAP", "new"),
    "map_base65": ("mAP", "base"),
    "map_all80": ("mAP", "all"),
    "miou_test": ("mIoU", "test"),
    "miou_val": ("mIoU", "val"),
    "giou_test": ("gIoU", "test"),
}

needs_source = pytest.mark.skipif(not SOURCE.is_dir(), reason="the shared figures are not here")


def read(name: str) -> list[dict[str, str]]:
    with (SOURCE / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def printed() -> Iterator[tuple[object, ...]]:
    """Every figure of the source files, the matrix apart."""
    for name, about in TABLES.items():
        for row in read(name):
            method = METHODS.get(given := row.pop("method"), given)
            data_set = row.pop("dataset", about.data_set)
            model = about.model.format(row.pop("model", ""))
            shots = row.pop("shots", "0" if method == "base" else about.shots)
            for column, value in row.items():
                metric, part = COLUMNS.get(column, ("AP", column))
                if value:
                    location = (about.paper, about.setting, data_set, model, method, shots)
                    yield (*location, metric, part, float(value))


@needs_source
def test_the_figures_are_those_of_the_papers_and_no_others() -> None:
    ours = (
        (f.paper, f.setting, f.data_set, f.model, f.method, shots, f.metric, f.part, f.value)
        for f in figures()
        for shots in ["" if f.shots is None else str(f.shots)]
    )
    assert Counter(ours) == Counter(printed())


@needs_source
def test_no_file_of_the_source_is_left_out() -> None:
    assert {path.stem for path in SOURCE.glob("*.csv")} == {*TABLES, "cls_rl_free_lunch"}


@needs_source
def test_the_matrix_is_that_of_the_paper_and_no_more() -> None:
    ours = ((t.method, t.trained_on, t.tested_on, t.value) for t in free_lunch())
    theirs = (
        (METHODS.get(method, method), trained_on, tested_on, float(value))
        for method, trained_on, tested_on, value in map(dict.values, read("cls_rl_free_lunch"))
    )
    assert Counter(ours) == Counter(theirs)


def test_there_are_as_many_figures_as_were_typed() -> None:
    assert Counter(figure.setting for figure in figures()) == {
        "few-shot": 44 + 44 + 5,
        "base-to-new": 132,
        "open-set": 15,
        "cv-bench": 58,
        "coco-8": 126,
        "lvis-6": 42,
        "lisa": 18,
        "open-vocabulary": 24,
    }
    assert len(free_lunch()) == 2 * 11 * 11


def test_harmonic_means_are_those_of_their_halves() -> None:
    whole = {}
    for f in figures():
        if f.setting == "base-to-new":
            whole[f.data_set, f.method, f.part] = f.value
    assert len(whole) == 3 * 44
    for data_set, method, _ in list(whole):
        base, new = whole[data_set, method, "base"], whole[data_set, method, "new"]
        printed_mean = whole[data_set, method, "harmonic mean"]
        assert printed_mean == pytest.approx(2 * base * new / (base + new), abs=0.02)


def test_the_whole_of_cv_bench_is_the_mean_over_its_questions() -> None:
    questions = {"count": 788, "relation": 650, "depth": 600, "distance": 600}
    found = [f for f in figures() if (f.setting, f.metric) == ("cv-bench", "accuracy")]
    unlike = []
    for whole in (f for f in found if not f.part):
        parts = {
            f.part: f.value
            for f in found
            if f.part and (f.model, f.method) == (whole.model, whole.method)
        }
        mean = sum(parts[part] * n for part, n in questions.items()) / 2638
        if whole.value != pytest.approx(mean, abs=0.02):
            unlike.append((whole.model, whole.method, whole.value, whole.note))
    assert unlike == [("Qwen2-VL-7B", "think", 80.36, "its parts average to 80.25")]


def test_the_diagonal_of_the_matrix_is_the_gain_of_few_shot_training() -> None:
    closed = {
        (f.data_set, f.method): f.value
        for f in figures()
        if (f.paper, f.setting) == ("CLS-RL", "few-shot")
    }
    for t in free_lunch():
        if t.trained_on == t.tested_on:
            gain = closed[t.trained_on, t.method] - closed[t.trained_on, "base"]
            assert t.value == pytest.approx(gain, abs=0.02), t


def test_every_figure_has_a_note_on_its_protocol() -> None:
    assert all(len(protocol_note(figure)) > 20 for figure in figures())
    used = {(f.paper, f.setting) for f in figures()}
    assert used == NOTES.keys()
    assert {f.arxiv for f in figures() if f.paper == "CLS-RL"} == {"2503.16188"}
    assert {f.arxiv for f in figures() if f.paper == "Visual-RFT"} == {"2503.01785"}


def test_lists_have_the_length_that_the_rule_gives() -> None:
    sizes = {
        (f.data_set, f.list, f.part): f.list_size
        for f in figures()
        if f.paper == "CLS-RL" and f.method == "think" and f.task == "classification"
    }
    assert sizes["ImageNet", "40 %", ""] == 100
    assert sizes["StanfordCars", "40 %", ""] == 78
    assert sizes["OxfordPets", "40 %", ""] == 37
    assert sizes["OxfordPets", "80 %", "base"] == 19
    assert sizes["UCF101", "80 %", "new"] == 40
    assert sizes["UCF101", "80 %", "harmonic mean"] is None
    assert sizes["Food101", "none", ""] == 0


@pytest.mark.parametrize(
    ("text", "data_set"),
    [
        ("HuggingFaceM4/FGVC-Aircraft", "FGVCAircraft"),
        ("Donghyun99/FGVC-Aircraft@a1b2c3", "FGVCAircraft"),
        ("/data/fgvc-aircraft-2013b/data", "FGVCAircraft"),
        ("data/split_zhou_StanfordCars.json", "StanfordCars"),
        ("split_zhou_DescribableTextures.json.gz", "DTD"),
        ("tanganke/stanford_cars", "StanfordCars"),
        ("oxford_pets", "OxfordPets"),
        ("OxfordIIITPet", "OxfordPets"),
        ("dpdl-benchmark/caltech101", "Caltech101"),
        ("dpdl-benchmark/oxford_flowers102", "Flowers102"),
        ("ethz/food101", "Food101"),
        ("my food-101 4shot", "Food101"),
        ("UCF-101", "UCF101"),
        ("data/SUN397/{split}", "SUN397"),
        ("EuroSAT_RGB", "EuroSAT"),
        ("C:\\data\\imagenet-1k\\train", "ImageNet"),
        ("ILSVRC2012_img_val", "ImageNet"),
        ("dtd/images", "DTD"),
        ("coco/annotations/instances_val2017.json", "COCO"),
        ("coco/annotations/lvis_v0.5_val.json", "LVIS"),
        ("nyu-visionx/CV-Bench", "CV-Bench"),
        ("array/SAT@0f1e2d", "SAT"),
        ("imagenet_4shot", "ImageNet"),
        ("lisa/train", "LISA"),
        ("monster_girls", "Monster Girls"),
        ("/home/me@work/oxford_pets/images", "OxfordPets"),
        ("seafood", None),
        ("seafood101", None),
        ("food", None),
        ("postcards", None),
        ("cars", None),
        ("pets", None),
        ("digits", None),
        ("cocoa", None),
        ("coco128", None),
        ("refcoco", None),
        ("RefCOCO", None),
        ("tiny-imagenet", None),
        ("imagenet-a", None),
        ("imagenet100", None),
        ("caltech1010", None),
        ("satellite", None),
        ("images/lisa_birthday", None),
        ("", None),
    ],
)
def test_a_data_set_is_known_by_its_name_and_by_no_part_of_a_word(
    text: str, data_set: str | None
) -> None:
    assert data_set_of(text) == data_set


def recipe(task: str, data: dict[str, object], **more: object) -> Recipe:
    source = {"detection": "coco", "grounding": "lisa"}.get(task, "hub")
    return Recipe.model_validate({"task": task, "data": {"source": source, **data}, **more})


def places(found: tuple[Figure, ...]) -> set[tuple[str, str, str]]:
    return {(figure.paper, figure.setting, figure.data_set) for figure in found}


AIRCRAFT = {"path": "Donghyun99/FGVC-Aircraft", "shots": 4}
CLASSIFY, DETECT = "classification", "detection"
RARE = ["die", "horse_buggy", "kitchen_table", "omelet", "papaya", "stepladder"]


@pytest.mark.parametrize(
    ("task", "data", "options", "expected"),
    [
        (CLASSIFY, AIRCRAFT, {}, {("CLS-RL", "few-shot", "FGVCAircraft")}),
        (
            CLASSIFY,
            {**AIRCRAFT, "choices": "none"},
            {},
            {("Visual-RFT", "few-shot", "FGVCAircraft")},
        ),
        (
            CLASSIFY,
            {"path": "oxford_pets", "choices": "none"},
            {},
            {("Visual-RFT", "few-shot", "OxfordPets"), ("CLS-RL", "open-set", "OxfordPets")},
        ),
        (
            CLASSIFY,
            {**AIRCRAFT, "classes": "base"},
            {},
            {("CLS-RL", "base-to-new", "FGVCAircraft")},
        ),
        (CLASSIFY, {**AIRCRAFT, "classes": "new"}, {}, set()),
        (CLASSIFY, {"path": "pets"}, {}, set()),
        (CLASSIFY, {"source": "digits"}, {}, set()),
        (
            CLASSIFY,
            {"source": "coop", "path": "split.json", "images": "data/eurosat"},
            {},
            {("CLS-RL", "few-shot", "EuroSAT")},
        ),
        (DETECT, {"path": "x.json"}, {"categories": "coco-8"}, {("Visual-RFT", "coco-8", "COCO")}),
        (
            DETECT,
            {"path": "coco/instances_train2017.json"},
            {"categories": ["cat", "bus", "dog", "bed", "train", "toilet"]},
            set(),
        ),
        (
            DETECT,
            {"path": "lvis_v1_train.json", "images": "coco/train2017"},
            {"categories": RARE},
            {("Visual-RFT", "lvis-6", "LVIS")},
        ),
        (DETECT, {"path": "mine.json"}, {"categories": RARE}, set()),
        (
            DETECT,
            {"path": "coco"},
            {"categories": "coco-65"},
            {("Visual-RFT", "open-vocabulary", "COCO")},
        ),
        (
            DETECT,
            {"path": "coco", "classes": "base"},
            {"new": "coco-15"},
            {("Visual-RFT", "open-vocabulary", "COCO")},
        ),
        (DETECT, {"path": "coco"}, {}, set()),
        (DETECT, {"path": "monster_girls"}, {}, {("Visual-RFT", "few-shot", "Monster Girls")}),
        ("grounding", {"path": "reason/train"}, {}, {("Visual-RFT", "lisa", "LISA")}),
        ("grounding", {"source": "refs", "path": "refcoco"}, {}, set()),
        ("choice", {"path": "array/SAT"}, {}, {("CLS-RL", "cv-bench", "CV-Bench")}),
        ("choice", {"path": "nyu-visionx/CV-Bench"}, {}, {("CLS-RL", "cv-bench", "CV-Bench")}),
        ("number", {"path": "nyu-visionx/CV-Bench"}, {}, set()),
    ],
)  # fmt: skip
def test_a_recipe_is_set_beside_its_own_data_set_and_setting(
    task: str,
    data: dict[str, object],
    options: dict[str, object],
    expected: set[tuple[str, str, str]],
) -> None:
    assert places(matching(recipe(task, data, options=options))) == expected


def test_base_comes_first_then_the_nearest_shots() -> None:
    data = {"path": "oxford_flowers", "choices": "none", "shots": 4}
    found = matching(recipe(CLASSIFY, data))
    assert [figure.method for figure in found[:2]] == ["base", "base"]
    assert [figure.shots for figure in found[2:]] == [4, 4, 2, 2, 1, 1, 8, 8, 16, 16, None, None]
    every_image = matching(recipe(CLASSIFY, {**data, "shots": 0}))
    assert [figure.shots for figure in every_image[2:4]] == [16, 16]


def test_every_method_is_shown_whatever_the_recipe_trains() -> None:
    found = matching(recipe(CLASSIFY, AIRCRAFT, method={"kind": "sft"}))
    assert {figure.method: figure.value for figure in found} == {
        "base": 42.75,
        "sft": 60.15,
        "think": 74.41,
        "direct": 74.41,
    }


def one(setting: str, method: str, **wanted: object) -> Figure:
    return next(
        figure
        for figure in figures()
        if (figure.setting, figure.method) == (setting, method)
        and all(getattr(figure, key) == value for key, value in wanted.items())
    )


def test_differences_are_named_in_plain_words() -> None:
    figure = one("few-shot", "think", data_set="FGVCAircraft", paper="CLS-RL")
    ours = recipe(CLASSIFY, {**AIRCRAFT, "shots": 1})
    assert differences(figure, ours, "strict", 100) == (
        "model Qwen2-VL-2B, here Qwen/Qwen2.5-VL-3B-Instruct",
        "all parameters fine-tuned, here LoRA",
        "here 4-bit weights",
        "4 shots, here 1 shot",
        "lenient scoring, here strict",
        "40 labels offered, here 100",
    )


def test_what_is_the_same_is_not_named() -> None:
    same = {"name": "Qwen/Qwen2-VL-2B-Instruct", "load_in_4bit": False}
    ours = recipe(CLASSIFY, {**AIRCRAFT, "choices": "paper"}, model=same)
    think = one("few-shot", "think", data_set="FGVCAircraft", paper="CLS-RL")
    assert differences(think, ours, "paper", 40) == ("all parameters fine-tuned, here LoRA",)
    base = one("few-shot", "base", data_set="FGVCAircraft", paper="CLS-RL")
    assert differences(base, ours, "paper", 40) == ()


def test_an_open_question_differs_from_one_with_a_list() -> None:
    ours = recipe(CLASSIFY, {**AIRCRAFT, "choices": "none"})
    opened = one("few-shot", "base", data_set="FGVCAircraft", list="none")
    assert "no labels offered, here 100" in differences(opened, ours, "strict", 100)
    closed = one("few-shot", "base", data_set="FGVCAircraft", list="40 %")
    assert "40 labels offered, here none" in differences(closed, ours, "strict", 0)
    assert not [text for text in differences(opened, ours, "strict", 0) if "offered" in text]


def test_boxes_have_neither_lists_nor_lenient_scoring() -> None:
    ours = recipe(DETECT, {"path": "coco"}, options={"categories": "coco-8"})
    found = differences(one("coco-8", "think", shots=16), ours, "strict", None)
    assert found[-1] == "16 shots, here all images"
