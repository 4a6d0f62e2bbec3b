"""Sizes of models: those known by name, and those of a local folder's config.json."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from rftkit.errors import ModelError
from rftkit.messages import first_line
from rftkit.model_info.config_sizes import kind_of, text_of, vision_of
from rftkit.model_info.count import Counts, count
from rftkit.model_info.counted import COUNTED, counted
from rftkit.model_info.families import family_of
from rftkit.model_info.shapes import Shape, Text, Vision
from rftkit.recipe.sections import TINY, Model

QWEN2_ENCODER = Vision(1280, 5120, 32, 14, 2)
SMALL_SIGLIP = Vision(768, 3072, 12, 16, 4, tile=512, tiles=17, positions=1024)


def _siglip(tile: int, merge: int) -> Vision:
    return Vision(1152, 4304, 27, 14, merge, tile=tile, tiles=17, positions=(tile // 14) ** 2)


def _qwen25(inner: int = 3420) -> Vision:
    return Vision(1280, inner, 32, 14, 2)


def _qwen3(width: int, inner: int, layers: int) -> Vision:
    return Vision(width, inner, layers, 16, 2, extra_merges=3, positions=2304)


def _tiny(side: int) -> Shape:
    """Of models/tiny_build.py; the vocabulary is learnt on the spot and a little smaller."""
    text = Text(128, 384, 3, 4, 2, 512, True, head=32, bias=True)
    return Shape(f"tiny, {side} pixels", "qwen2_5_vl", text, Vision(128, 256, 3, 14, 2))


# sizes as in the models' published config.json; of Text: width, inner, layers, heads, key heads,
# vocabulary, tied
_ROWS: tuple[tuple[str, str, Text, Vision], ...] = (
    ("Qwen/Qwen2-VL-2B-Instruct", "qwen2_vl",
     Text(1536, 8960, 28, 12, 2, 151936, True, bias=True), QWEN2_ENCODER),
    ("Qwen/Qwen2-VL-7B-Instruct", "qwen2_vl",
     Text(3584, 18944, 28, 28, 4, 152064, False, bias=True), QWEN2_ENCODER),
    ("Qwen/Qwen2.5-VL-3B-Instruct", "qwen2_5_vl",
     Text(2048, 11008, 36, 16, 2, 151936, True, bias=True), _qwen25()),
    ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl",
     Text(3584, 18944, 28, 28, 4, 152064, False, bias=True), _qwen25()),
    ("Qwen/Qwen2.5-VL-32B-Instruct", "qwen2_5_vl",
     Text(5120, 27648, 64, 40, 8, 152064, False, bias=True), _qwen25(3456)),
    ("Qwen/Qwen3-VL-2B-Instruct", "qwen3_vl",
     Text(2048, 6144, 28, 16, 8, 151936, True, head_norms=True), _qwen3(1024, 4096, 24)),
    ("Qwen/Qwen3-VL-4B-Instruct", "qwen3_vl",
     Text(2560, 9728, 36, 32, 8, 151936, True, head_norms=True), _qwen3(1024, 4096, 24)),
    ("Qwen/Qwen3-VL-8B-Instruct", "qwen3_vl",
     Text(4096, 12288, 36, 32, 8, 151936, False, head_norms=True), _qwen3(1152, 4304, 27)),
    ("HuggingFaceTB/SmolVLM-256M-Instruct", "idefics3",
     Text(576, 1536, 30, 9, 3, 49280, False, head=64), SMALL_SIGLIP),
    ("HuggingFaceTB/SmolVLM-500M-Instruct", "idefics3",
     Text(960, 2560, 32, 15, 5, 49280, False, head=64), SMALL_SIGLIP),
    ("HuggingFaceTB/SmolVLM-Instruct", "idefics3",
     Text(2048, 8192, 24, 32, 32, 49155, False, head=64), _siglip(384, 3)),
    ("HuggingFaceM4/Idefics3-8B-Llama3", "idefics3",
     Text(4096, 14336, 32, 32, 8, 128259, False), _siglip(364, 2)),
)  # fmt: skip
KNOWN = (
    *(Shape(hub.rpartition("/")[2], kind, text, vision, hub) for hub, kind, text, vision in _ROWS),
    *map(counted, COUNTED),
)
ENDINGS = re.compile(r"(-video)?-(instruct|it|hf)$")  # that copies of a model often lack
FORMULAS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "idefics3")  # architectures; of others, a count


def shape_of(model: Model) -> Shape:
    """The sizes of a recipe's model: of a known name, or of a local folder's config.json.

    Raises ModelError for a model that is neither, and for an architecture that has no formula.
    """
    if model.name in TINY:
        return _tiny(round(family_of(model).max_pixels ** 0.5))
    folder = Path(model.name).expanduser()
    if (folder / "config.json").is_file():
        return _read(folder)
    name = _plain(model.name.partition("@")[0])
    matches = [shape for shape in KNOWN if name.startswith(ENDINGS.sub("", _plain(shape.name)))]
    if not matches:
        raise ModelError(
            f"model.name: {model.name!r} is not among the models whose sizes are known "
            "(docs/models.md lists them); name a local folder with its config.json"
        )
    return max(matches, key=lambda shape: len(shape.name))


def _plain(name: str) -> str:
    """The last part of a hub id, as it is compared."""
    return name.rpartition("/")[2].lower().replace("_", "-")


def smaller(shape: Shape) -> Shape | None:
    """The next smaller known model of the same kind."""
    below = [s for s in KNOWN if s.kind == shape.kind and s.size < shape.size]
    return max(below, key=lambda s: s.size, default=None)


def _read(folder: Path) -> Shape:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
        kind = kind_of(config)
        text = text_of(config.get("text_config") or config, kind, config)
        vision = vision_of(config["vision_config"], kind, config)
        counts = None if kind in FORMULAS else _counts(path, config)
        return Shape(folder.name, kind, text, vision, counts=counts)
    except ModelError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); copy the model again") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: lacks a size ({error}); copy the model again") from None


def _counts(path: Path, config: dict[str, Any]) -> Counts:
    """Of an architecture without a formula."""
    try:
        return count(config)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path}: transformers cannot build this model ({first_line(error)}); is it an "
            "image-text model that the installed version knows?"
        ) from None
