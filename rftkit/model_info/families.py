"""Model families: what a box's numbers count, and how an image is resized before it is seen.

The convention belongs to the model and is declared here, one row each; it is never guessed from an
answer. Nothing here loads a model or its processor: reading data and `rftkit check` need it too.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rftkit.answers import box_text
from rftkit.answers.boxes import THOUSANDTHS, Box, Grid, iou
from rftkit.errors import DataError, ModelError
from rftkit.recipe.sections import TINY, Model

WIDEST = 200  # an image whose one side is more than 200 times the other is refused by Qwen's code
TINY_SIDE = 56  # pixels: the side of the square that the built-in models see
SCENES = ("tiny-scenes", "tiny-quiz")  # these have a larger square, and units of their own
SCENES_SIDE = 112
# architectures whose prompts can be shared (shared_prefix/), by the axes of their position ids
M_ROPE = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")  # three, and pixels by patch
TEXT_ROPE = ("idefics3", "smolvlm", "llava_onevision")  # one, and pixels by prompt and tile
FLAT_TILES = ("internvl",)  # one, and pixels by tile, the tiles of all prompts one after another
UNCACHED = ("internvl", "llava_onevision")  # of them, those whose image features are not kept
SHARED = (*M_ROPE, *TEXT_ROPE, *FLAT_TILES)
CARD = "rftkit.json"  # lies beside the weights of a built-in model


class Size(NamedTuple):
    """Width and height of an image in pixels."""

    width: int
    height: int


@dataclass(frozen=True)
class Family:
    """Models that read and write boxes alike.

    pattern: finds the family in the last part of a hub id, any case. units: a grid of the family's
    own instead of the convention's. factor: sides of a resized image are multiples of it; 0 if
    the family resizes in another way. min_pixels, max_pixels: of the whole image after the
    resize, as its processor is shipped. y_first: boxes are written top, left, bottom, right.
    """

    name: str
    convention: Literal["thousandths", "pixels"] = "thousandths"
    pattern: str = ""
    model_types: tuple[str, ...] = ()
    factor: int = 0
    min_pixels: int = 0
    max_pixels: int = 0
    units: tuple[int, int] | None = None
    y_first: bool = False
    known: bool = True


QWEN2 = (28, 56 * 56, 12_845_056)
TINY_FAMILY = Family(
    "tiny",
    factor=28,
    min_pixels=TINY_SIDE**2,
    max_pixels=TINY_SIDE**2,
    units=(100, 100),
)
SCENES_FAMILY = replace(
    TINY_FAMILY, min_pixels=SCENES_SIDE**2, max_pixels=SCENES_SIDE**2, units=(16, 16)
)
FAMILIES = (
    TINY_FAMILY,
    Family("Qwen2-VL", "thousandths", r"qwen[-_]?2[-_]?vl", ("qwen2_vl",), *QWEN2),
    Family("Qwen2.5-VL", "pixels", r"qwen[-_]?2[-_.]?5[-_]?vl", ("qwen2_5_vl",), *QWEN2),
    Family(
        "Qwen3-VL",
        "thousandths",
        r"qwen[-_]?3[-_]?vl",
        ("qwen3_vl", "qwen3_vl_moe"),
        factor=32,
        min_pixels=65_536,
        max_pixels=16_777_216,
    ),
    Family(
        "Qwen3.5",
        "thousandths",
        r"qwen[-_]?3[-_.]5",
        ("qwen3_5", "qwen3_5_moe"),
        factor=32,
        min_pixels=65_536,
        max_pixels=16_777_216,
    ),
    Family("Idefics3", "thousandths", r"idefics[-_]?3|smolvlm", ("idefics3", "smolvlm")),
    Family("Gemma 3", "thousandths", r"gemma[-_]?3[-_]\d+b", ("gemma3",), max_pixels=896 * 896),
    Family(
        "Gemma 4",
        "thousandths",
        r"gemma[-_]?4",
        ("gemma4", "gemma4_unified"),
        max_pixels=280 * 48 * 48,
        y_first=True,
    ),
    Family("InternVL3.5", "thousandths", r"internvl[-_]?3", ("internvl",), max_pixels=12 * 448**2),
    Family(
        "LFM2-VL", "thousandths", r"lfm[-_]?2(\.5)?[-_]?vl", ("lfm2_vl",), max_pixels=10 * 512**2
    ),
    Family(
        "LLaVA-OneVision", "thousandths", r"onevision", ("llava_onevision",), max_pixels=9 * 384**2
    ),
)
UNKNOWN = Family("unknown", known=False)


def family_of(model: Model) -> Family:
    """The family of a recipe's model; `UNKNOWN` (thousandths, `known` false) if none is declared.

    A built-in model goes by its name, a local folder by `model_type` in its config.json, with the
    limits of its own processor, a hub id by its name. Reads files: ask once, not for every row.
    Raises ModelError if a file of the folder cannot be read.
    """
    if model.name in TINY:
        return SCENES_FAMILY if model.name in SCENES else TINY_FAMILY
    folder = Path(model.name).expanduser()
    if (folder / "config.json").is_file():
        return _family_in(folder)
    identity = model.name.partition("@")[0].rstrip("/").rpartition("/")[2].casefold()
    return next((f for f in FAMILIES if f.pattern and re.search(f.pattern, identity)), UNKNOWN)


def architecture_of(model: Model) -> str:
    """transformers' name of the architecture (`qwen2_5_vl`), "" where it is not known.

    Of a hub id it is guessed from the name. Raises ModelError if a file cannot be read.
    """
    folder = Path(model.name).expanduser()
    if (folder / "config.json").is_file():
        return str(_object_in(folder / "config.json").get("model_type", ""))
    if model.name in TINY:
        return "qwen2_5_vl"
    kinds = family_of(model).model_types
    newer = "smolvlm2" in model.name.casefold()
    return kinds[-1] if newer and kinds else kinds[0] if kinds else ""


def grid_of(family: Family, max_pixels: int, size: tuple[int, int] | None) -> Grid:
    """The units in which the family counts on an image of this size (upright, width first).

    max_pixels: the recipe's image budget. size may be None where the family does not count pixels.
    Raises DataError if it does and size is None, or if it refuses the shape of the image.
    """
    if family.units is not None:
        return Grid(*family.units)
    if family.convention == "thousandths":
        return THOUSANDTHS._replace(y_first=family.y_first)
    if size is None:
        raise DataError(
            f"{family.name} counts the pixels of the resized image, and the image's size is "
            "not known; give the image"
        )
    return Grid(*resized(size, family, max_pixels))


def resized(
    size: tuple[int, int], family: Family, max_pixels: int, min_pixels: int | None = None
) -> Size:
    """The size at which the family's processor shows an image of this size.

    max_pixels: the recipe's image budget; as when a model is loaded, the family's own limit holds
    if it is lower, and the floor (min_pixels, or the family's) never lies above it. The size itself
    if the family does not resize by multiples. Raises DataError for more than 200 : 1.

    Source: `smart_resize` of transformers' Qwen2-VL image processor, whose results these are.
    """
    width, height = size
    if not family.factor:
        return Size(width, height)
    if max(size) > WIDEST * min(size):
        raise DataError(
            f"image of {width} x {height} pixels: one side is more than {WIDEST} times the "
            f"other, which {family.name} does not take; crop it or leave it out"
        )
    most = min(max_pixels, family.max_pixels)
    least = min(family.min_pixels if min_pixels is None else min_pixels, most)
    factor = family.factor
    near = Size(round(width / factor) * factor, round(height / factor) * factor)
    if near.width * near.height > most:
        shrink = math.sqrt(width * height / most)
        sides = [max(1, math.floor(side / shrink / factor)) for side in size]
    elif near.width * near.height < least:
        stretch = math.sqrt(least / (width * height))
        sides = [math.ceil(side * stretch / factor) for side in size]
    else:
        return near
    return Size(sides[0] * factor, sides[1] * factor)


def trip_iou(box: Box, grid: Grid) -> float:
    """IoU of a gold box with itself after the trip through text: the best a model can score."""
    back = box_text.read_box(box_text.write_box(box, grid), grid)
    assert back is not None, f"{box} is lost in {grid}"
    return iou(box, back)


def shrunk(box: Box, seen: tuple[int, int]) -> tuple[float, float]:
    """Width and height of a box in pixels of the image as the model sees it (`resized`)."""
    return (box.x2 - box.x1) * seen[0], (box.y2 - box.y1) * seen[1]


def too_small(box: Box, seen: tuple[int, int], least: float = 8.0) -> bool:
    """Whether a side of the box is under `least` pixels in the image as the model sees it."""
    return min(shrunk(box, seen)) < least


def _family_in(folder: Path) -> Family:
    kind = _object_in(folder / "config.json").get("model_type")
    family = next((f for f in FAMILIES if kind in f.model_types), UNKNOWN)
    if (folder / CARD).is_file():
        # its architecture is Qwen's, its grid is not
        scenes = _object_in(folder / CARD).get("name") in SCENES
        family = SCENES_FAMILY if scenes else TINY_FAMILY
    return _with_own_limits(family, folder) if family.factor else family


def _with_own_limits(family: Family, folder: Path) -> Family:
    """The family with the image processor that lies in the folder, which may not be as shipped."""
    processor: Any = {}
    if (folder / "processor_config.json").is_file():
        processor = _object_in(folder / "processor_config.json").get("image_processor")
    if not processor and (folder / "preprocessor_config.json").is_file():
        processor = _object_in(folder / "preprocessor_config.json")
    if not processor:
        return family
    size = {"shortest_edge": 3136, "longest_edge": 1_003_520} | (processor.get("size") or {})
    return replace(
        family,
        factor=processor.get("patch_size", 14) * processor.get("merge_size", 2),
        min_pixels=processor.get("min_pixels") or size["shortest_edge"],
        max_pixels=processor.get("max_pixels") or size["longest_edge"],
    )


def _object_in(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); copy the model again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: holds no JSON object; copy the model again")
    return value
