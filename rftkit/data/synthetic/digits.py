"""Printed digits: the tiny model learns to read from images that are drawn here, never stored.

A digit is set in one of the fonts that come with matplotlib, bent a little, passed through a low
resolution and back, and dusted with noise. Handwriting is not imitated: that gap is what a
fine-tuning run on the scans of `builtin.py` has to close.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from math import cos, radians, sin
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rftkit.errors import DataError

DIGITS = tuple("0123456789")
SIDE = 56  # pixels of a drawn image, which is square
MASK_SIDE = 96  # pixels of the glyph it is bent from
FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmss10", "cmtt10", "cmti10"),
)
RATIONALES = {
    "0": "one large closed loop",
    "1": "a single upright stroke",
    "2": "an open curve above a flat base",
    "3": "two bowls, both open to the left",
    "4": "straight strokes that cross on the right",
    "5": "a flat top above one open bowl",
    "6": "one closed loop at the bottom",
    "7": "a flat top and a slanted stroke",
    "8": "two closed loops, one above the other",
    "9": "one closed loop at the top",
}


def digit_rationale(label: str) -> str:
    """What tells this digit from the others: its loops and strokes, in at most nine words."""
    return RATIONALES[label]


def draw_digit(label: str, rng: np.random.Generator) -> Image.Image:
    """A printed digit, dark on light, mode RGB, SIDE x SIDE pixels; the same for the same `rng`."""
    return Image.fromarray(_tone(digit_ink(label, rng), rng)).convert("RGB")


def digit_ink(label: str, rng: np.random.Generator) -> np.ndarray:
    """A printed digit without its paper: (SIDE, SIDE) float32, 1 where there is ink."""
    font = FONTS[int(rng.integers(len(FONTS)))]
    bent = _bend(_mask(font, label), rng)
    coarse = int(rng.integers(8, 17))
    small = bent.resize((coarse, coarse), Image.Resampling.BOX)
    back = Image.Resampling.BICUBIC if rng.random() < 0.7 else Image.Resampling.NEAREST
    return np.asarray(small.resize((SIDE, SIDE), back), dtype=np.float32) / 255


def _bend(mask: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The glyph, turned, sheared, scaled and moved."""
    angle, shear = radians(rng.uniform(-15, 15)), rng.uniform(-0.3, 0.3)
    wide, high = 1 / rng.uniform(0.8, 1.4), 1 / rng.uniform(0.75, 1.3)
    a, b = wide * cos(angle), wide * (sin(angle) + shear)
    d, e = -high * sin(angle), high * cos(angle)
    middle = MASK_SIDE / 2
    x, y = middle + rng.uniform(-6, 6), middle + rng.uniform(-6, 6)
    shift = (middle - a * x - b * y, middle - d * x - e * y)
    matrix = (a, b, shift[0], d, e, shift[1])
    return mask.transform(mask.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _tone(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """ink: (side, side) in [0, 1]. Returns grey levels, uint8: contrast, then noise."""
    light, dark = rng.uniform(200, 255), rng.uniform(0, 70)
    weight = np.clip(ink * rng.uniform(1.0, 1.5), 0, 1)
    noise = rng.normal(0, rng.uniform(0, 14), ink.shape)
    return np.clip(light - (light - dark) * weight + noise, 0, 255).astype(np.uint8)


@cache
def _mask(font: str, label: str) -> Image.Image:
    """The glyph, white on black, mode L, in the middle of MASK_SIDE pixels and 70 of them high."""
    face = ImageFont.truetype(str(_font_folder() / f"{font}.ttf"), MASK_SIDE)
    left, top, right, bottom = (round(edge) for edge in face.getbbox(label))
    glyph = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(glyph).text((-left, -top), label, font=face, fill=255)
    height = 70
    glyph = glyph.resize((max(1, round(glyph.width * height / glyph.height)), height))
    mask = Image.new("L", (MASK_SIDE, MASK_SIDE))
    mask.paste(glyph, ((MASK_SIDE - glyph.width) // 2, (MASK_SIDE - height) // 2))
    return mask


@cache
def _font_folder() -> Path:
    """Where matplotlib keeps its fonts; found without importing it, which takes a second."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise DataError("drawn digits need the fonts of 'matplotlib': pip install matplotlib")
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
