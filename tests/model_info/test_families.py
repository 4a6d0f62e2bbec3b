"""Model families: which grid a model counts in, and the size at which it sees an image."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
    Qwen2VLImageProcessorPil,
    smart_resize,
)

from rftkit.answers import box_text
from rftkit.answers.boxes import THOUSANDTHS, Box, Grid
from rftkit.errors import DataError, ModelError
from rftkit.model_info.families import (
    FAMILIES,
    TINY_FAMILY,
    UNKNOWN,
    Family,
    family_of,
    grid_of,
    resized,
    shrunk,
    too_small,
    trip_iou,
)
from rftkit.models.processing.budget import limit_pixels
from rftkit.recipe.sections import TINY, Model

SHIPPED = Path(__file__).parents[3] / "shared/data/qwen2_tokenizer"
BY_NAME = {family.name: family for family in FAMILIES}
QWEN2, QWEN25, QWEN3 = (BY_NAME[name] for name in ("Qwen2-VL", "Qwen2.5-VL", "Qwen3-VL"))


def model(name: str, max_pixels: int = 401408) -> Model:
    return Model(name=name, max_pixels=max_pixels)


def grid_for(model: Model, size: tuple[int, int] | None) -> Grid:
    """The units of a recipe's model on an image of this size."""
    return grid_of(family_of(model), model.max_pixels, size)


def model_folder(folder: Path, model_type: str, **files: object) -> Model:
    """A model folder of this type. files: name of a .json file -> what it holds."""
    for name, value in {"config": {"model_type": model_type}, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    return model(str(folder))


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Qwen/Qwen2-VL-2B-Instruct", "Qwen2-VL"),
        ("Qwen/Qwen2-VL-7B-Instruct-AWQ@main", "Qwen2-VL"),
        ("someone/qwen2vl-flowers", "Qwen2-VL"),
        ("Qwen/Qwen2.5-VL-3B-Instruct", "Qwen2.5-VL"),
        ("Qwen/Qwen2.5-VL-3B-Instruct@66285546d2b821cf421d4f5eb2576359d3770cd3", "Qwen2.5-VL"),
        ("unsloth/Qwen2.5-VL-3B-Instruct-bnb-4bit", "Qwen2.5-VL"),
        ("unsloth/qwen2.5-vl-7b-instruct-unsloth-bnb-4bit", "Qwen2.5-VL"),
        ("someone/Qwen2_5-VL-tuned", "Qwen2.5-VL"),
        ("Qwen/Qwen3-VL-2B-Instruct", "Qwen3-VL"),
        ("unsloth/Qwen3-VL-30B-A3B-Instruct", "Qwen3-VL"),
        ("HuggingFaceTB/SmolVLM2-2.2B-Instruct", "Idefics3"),
        ("HuggingFaceM4/Idefics3-8B-Llama3", "Idefics3"),
        ("Qwen/Qwen2.5-7B-Instruct", "unknown"),  # reads no images
        ("qwen2.5-vl-fans/llava", "unknown"),  # the owner's name says nothing
        ("llava-hf/llava-1.5-7b-hf@qwen2-vl", "unknown"),  # nor does a branch
        ("someone/tiny", "unknown"),
        *((name, "tiny") for name in TINY),
    ],
)
def test_a_hub_id_tells_the_family(name: str, family: str) -> None:
    found = family_of(model(name))
    assert (found.name, found.known) == (family, family != "unknown")


@pytest.mark.parametrize(
    ("model_type", "family"),
    [
        ("qwen2_vl", "Qwen2-VL"),
        ("qwen2_5_vl", "Qwen2.5-VL"),
        ("qwen3_vl", "Qwen3-VL"),
        ("qwen3_vl_moe", "Qwen3-VL"),
        ("smolvlm", "Idefics3"),
        ("llava", "unknown"),
    ],
)
def test_a_folder_goes_by_its_config_and_not_by_its_name(
    tmp_path: Path, model_type: str, family: str
) -> None:
    folder = tmp_path / "Qwen3-VL-copy"
    folder.mkdir()
    assert family_of(model_folder(folder, model_type)).name == family


def test_a_built_in_model_in_a_folder_keeps_its_grid(tmp_path: Path) -> None:
    found = family_of(model_folder(tmp_path, "qwen2_5_vl", rftkit={"version": "1"}))
    assert (found.name, found.units) == ("tiny", TINY_FAMILY.units)


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_damaged_config_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"config\.json: .*; copy the model again"):
        family_of(model(str(tmp_path)))


def test_the_grid_is_the_convention_of_the_family() -> None:
    size = (640, 480)
    assert grid_for(model("Qwen/Qwen2-VL-2B-Instruct"), None) == THOUSANDTHS
    assert grid_for(model("Qwen/Qwen3-VL-2B-Instruct"), size) == THOUSANDTHS
    assert grid_for(model("llava-hf/llava-1.5-7b-hf"), None) == THOUSANDTHS
    assert grid_for(model("tiny"), size) == Grid(100, 100)
    assert grid_for(model("Qwen/Qwen2.5-VL-3B-Instruct"), size) == Grid(644, 476)
    assert grid_for(model("Qwen/Qwen2.5-VL-3B-Instruct", 100_352), size) == Grid(364, 252)


def test_pixels_of_an_unknown_image_are_refused() -> None:
    with pytest.raises(DataError, match=r"Qwen2\.5-VL counts the pixels .* give the image"):
        grid_for(model("Qwen/Qwen2.5-VL-3B-Instruct"), None)


def test_a_sliver_of_a_image_is_refused_as_the_processor_refuses_it() -> None:
    assert resized((200, 1), QWEN25, 401408) == (812, 28)
    with pytest.raises(DataError, match="201 x 1 pixels: one side is more than 200 times"):
        resized((201, 1), QWEN25, 401408)
    with pytest.raises(ValueError, match="200"):
        smart_resize(1, 201)


def test_the_family_s_own_limit_holds_below_the_budget() -> None:
    assert resized((6000, 6000), QWEN2, 16_777_216) == (3584, 3584)
    assert resized((6000, 6000), QWEN3, 16_777_216) == (4096, 4096)
    assert resized((100, 100), QWEN25, 401_408) == (112, 112)
    assert resized((100, 100), QWEN3, 401_408) == (256, 256)


def test_a_family_that_resizes_in_another_way_keeps_the_size() -> None:
    assert resized((640, 480), BY_NAME["Idefics3"], 784) == (640, 480)
    assert resized((640, 480), UNKNOWN, 784) == (640, 480)


def limited(family: Family, max_pixels: int) -> Any:
    """The family's image processor as rftkit loads it."""
    size = {"shortest_edge": family.min_pixels, "longest_edge": family.max_pixels}
    images = Qwen2VLImageProcessorPil(size=size, patch_size=family.factor // 2)
    limit_pixels(images, "qwen2_vl", max_pixels)
    return images


def sizes(count: int) -> list[tuple[int, int]]:
    """Sizes of every kind: tiny, ordinary, huge, long and thin; the same ones every time."""
    rng, found = random.Random(0), [(1, 1), (1, 200), (200, 1), (13, 14), (14, 14), (42, 70)]
    while len(found) < count:
        width, height = (round(2 ** rng.uniform(0, 14)) for _ in range(2))
        if max(width, height) <= 200 * min(width, height):
            found.append((width, height))
    return found


@pytest.mark.parametrize("family", [QWEN2, QWEN25, QWEN3, TINY_FAMILY], ids=lambda f: f.name)
@pytest.mark.parametrize("max_pixels", [784, 3136, 50_176, 401_408, 16_777_216])
def test_the_resize_is_the_one_of_transformers(family: Family, max_pixels: int) -> None:
    images = limited(family, max_pixels)
    bounds = (family.factor, images.size["shortest_edge"], images.size["longest_edge"])
    for width, height in sizes(1500):
        there = smart_resize(height, width, *bounds)
        assert resized((width, height), family, max_pixels) == there[::-1], (width, height)


@given(
    width=st.integers(1, 30_000),
    share=st.floats(1 / 200, 200),
    max_pixels=st.integers(784, 16_777_216),
    min_pixels=st.integers(1, 10**6),
    factor=st.sampled_from([28, 32]),
)
def test_the_resize_is_the_same_for_any_limits(
    width: int, share: float, max_pixels: int, min_pixels: int, factor: int
) -> None:
    height = max(1, int(width * share))
    if max(width, height) > 200 * min(width, height):
        return
    family = replace(QWEN25, factor=factor)
    most = min(max_pixels, family.max_pixels)
    there = smart_resize(height, width, factor, min(min_pixels, most), most)
    assert resized((width, height), family, max_pixels, min_pixels) == there[::-1]


@pytest.mark.parametrize("family", [QWEN2, QWEN3, TINY_FAMILY], ids=lambda f: f.name)
@pytest.mark.parametrize("max_pixels", [784, 12_544, 100_352])
def test_a_image_comes_out_of_the_processor_in_that_size(family: Family, max_pixels: int) -> None:
    images = limited(family, max_pixels)
    for size in [(1, 1), (30, 20), (64, 300), (333, 250), (410, 3), (720, 405)]:
        seen = images(Image.new("RGB", size), return_tensors="np")["image_grid_thw"][0]
        side = family.factor // 2  # of a patch
        assert resized(size, family, max_pixels) == (seen[2] * side, seen[1] * side), size


@pytest.mark.skipif(not SHIPPED.is_dir(), reason="the shared processor files are not here")
@pytest.mark.parametrize(("folder", "family"), [("qwen2_5_vl", QWEN25), ("qwen3_vl", QWEN3)])
def test_the_limits_are_those_that_the_families_ship(folder: str, family: Family) -> None:
    images = Qwen2VLImageProcessorPil.from_pretrained(SHIPPED / folder)
    assert (images.size["shortest_edge"], images.size["longest_edge"]) == (
        family.min_pixels,
        family.max_pixels,
    )
    assert images.patch_size * images.merge_size == family.factor


@pytest.mark.parametrize(
    ("file", "holds"),
    [
        ("preprocessor_config", {"min_pixels": 784, "max_pixels": 50_176, "patch_size": 14}),
        ("preprocessor_config", {"size": {"shortest_edge": 784, "longest_edge": 50_176}}),
        ("processor_config", {"image_processor": {"min_pixels": 784, "max_pixels": 50_176}}),
    ],
)
def test_a_folder_s_own_limits_hold(tmp_path: Path, file: str, holds: dict[str, object]) -> None:
    settings = model_folder(tmp_path, "qwen2_5_vl", **{file: holds})
    images = Qwen2VLImageProcessorPil.from_pretrained(tmp_path)
    limit_pixels(images, "qwen2_vl", settings.max_pixels)
    seen = images(Image.new("RGB", (640, 480)), return_tensors="np")["image_grid_thw"][0]
    assert grid_for(settings, (640, 480)) == Grid(252, 168)
    assert (seen[2] * 14, seen[1] * 14) == (252, 168)
    assert family_of(settings).min_pixels == images.size["shortest_edge"] == 784


def test_a_nested_processor_file_goes_before_the_old_one(tmp_path: Path) -> None:
    settings = model_folder(
        tmp_path,
        "qwen3_vl",
        processor_config={
            "image_processor": {"max_pixels": 9_999, "min_pixels": 4, "patch_size": 16}
        },
        preprocessor_config={"max_pixels": 8_888, "min_pixels": 4},
    )
    assert (family_of(settings).max_pixels, family_of(settings).factor) == (9_999, 32)


edges = st.floats(0, 1)
grids = st.builds(Grid, st.integers(1, 2000), st.integers(1, 2000))


@st.composite
def gold_boxes(draw: st.DrawFn) -> Box:
    """Any box within the image, slivers too."""
    (x1, x2), (y1, y2) = (
        sorted(draw(st.lists(edges, min_size=2, max_size=2, unique=True))) for _ in range(2)
    )
    return Box(x1, y1, x2, y2)


@given(box=gold_boxes(), grid=grids)
def test_each_edge_comes_back_within_half_a_unit(box: Box, grid: Grid) -> None:
    single = box_text.read_box(box_text.write_box(box, grid), grid)
    listed = box_text.read_boxes(box_text.write_boxes([box], grid), grid)
    assert single is not None
    assert listed is not None
    assert listed[0].box == single
    for low, high, units in ((0, 2, grid.width), (1, 3, grid.height)):
        written = [round(edge * units) for edge in (box[low], box[high])]
        slack = 0.5 if written[0] < written[1] else 1.5  # a sliver is widened to one unit
        for edge in (low, high):
            assert abs(single[edge] - box[edge]) * units <= slack + 1e-6
    assert min(single) >= 0
    assert max(single) <= 1


@given(box=gold_boxes(), grid=grids)
def test_the_trip_costs_at_most_half_a_unit_on_each_edge(box: Box, grid: Grid) -> None:
    units = ((box.x2 - box.x1) * grid.width, (box.y2 - box.y1) * grid.height)
    overlap = trip_iou(box, grid)
    assert 0 <= overlap <= 1
    if min(units) > 2:
        kept = (units[0] - 1) * (units[1] - 1)
        union = units[0] * units[1] + (units[0] + 1) * (units[1] + 1) - kept
        assert overlap >= kept / union - 1e-6


@pytest.mark.parametrize(
    ("box", "grid", "overlap"),
    [
        (Box(0.1, 0.2, 0.3, 0.4), THOUSANDTHS, 1),
        (Box(0, 0, 0.5, 1), Grid(28, 28), 1),
        (Box(0.004, 0, 1, 1), Grid(100, 100), 0.996),
        (Box(0, 0, 0.025, 1), Grid(100, 100), 0.8),  # 2.5 units are written as 2
        (Box(0.5, 0.5, 0.5001, 0.5001), Grid(1000, 1000), 0.01),
    ],
)
def test_what_a_box_loses_in_text(box: Box, grid: Grid, overlap: float) -> None:
    assert trip_iou(box, grid) == pytest.approx(overlap)


def test_a_box_shrinks_with_its_image() -> None:
    box = Box(0.5, 0.5, 0.51, 0.6)
    seen = resized((4000, 3000), QWEN25, 401_408)
    assert seen == (728, 532)
    assert shrunk(box, seen) == pytest.approx((7.28, 53.2))
    assert [too_small(box, seen), too_small(box, (4000, 3000))] == [True, False]
    assert [too_small(Box(0, 0, 1, 0.5), (8, 16)), too_small(Box(0, 0, 1, 0.5), (8, 15))] == [
        False,
        True,
    ]
    assert not too_small(box, seen, least=7)


def test_units_of_a_family_s_own_go_before_its_convention() -> None:
    assert grid_of(replace(QWEN25, units=(10, 20)), 401408, None) == Grid(10, 20)


def test_it_loads_nothing_heavy() -> None:
    heavy = "torch transformers numpy PIL huggingface_hub"
    code = (
        "import sys, rftkit.model_info.families\n"
        f"print(*(m for m in {heavy!r}.split() if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
