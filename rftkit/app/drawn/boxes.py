"""Boxes on an image, drawn by PIL: numbered, a colour and a line style for each side."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

from PIL import Image

from rftkit.answers import boxes as geometry
from rftkit.core import Example
from rftkit.data.box_grid import annotated_size
from rftkit.errors import DataError
from rftkit.inference.drawing import BASE, GOLD, TUNED, Corners, Look, draw
from rftkit.inference.panes import Comparison, Pane, overlaps
from rftkit.inference.prediction import PixelBox
from rftkit.metrics.schema import display_model

EDGE = 720  # pixels of a drawing's longer side


LOOKS = {
    "truth": Look(GOLD, 3, 9, "dotted green: the truth", over=True),
    "base": Look(BASE, 10, 6, "dashed grey: base"),
    "tuned": Look(TUNED, 1, 0, "solid blue: fine-tuned"),
}


def boxes_html(both: Comparison) -> str:
    """A slider from base to fine-tuned over the image, and a table of all boxes; "" without boxes.

    In its middle both show; towards an end the other's fade.
    """
    if "grid" not in both.asked.example.meta:
        return ""
    try:
        image = both.asked.example.image.open()
    except DataError:
        image = Image.new("RGB", annotated_size(both.asked.example), "#888888")
    scale = min(1.0, EDGE / max(image.size)) if max(image.size) > EDGE else _up(image)
    size = (round(image.width * scale), round(image.height * scale))
    shown = image.resize(size, Image.Resampling.LANCZOS)
    truth = _truth(both.asked.example) if both.asked.has_truth else []
    drawn = [
        (pane.side, [box.box for box in pane.boxes or ()], _alt(pane))
        for pane in (both.base, both.tuned)
    ]
    layers = f'<img src="{_uri(shown.convert("RGB"), "JPEG")}" alt="">' + "".join(
        f'<img class="{name}" src="{_uri(_layer(name, boxes, size, scale), "PNG")}" '
        f'alt="{escape(alt)}">'
        for name, boxes, alt in (*drawn, ("truth", truth, ""))
    )
    return (
        f'<figure class="rft-boxes" style="--wide:{size[0]}px"><div class="stack">{layers}'
        '</div><label>Base <input type="range" min="0" max="100" value="50" '
        'aria-label="Slide from the boxes of the base model to those of the fine-tuned one" '
        "oninput=\"this.closest('figure').style.setProperty('--cut', this.value / 100)\"> "
        "Fine-tuned"
        f"</label><figcaption>{_legend(both)}</figcaption></figure>{_table(both)}"
    )


def _layer(name: str, boxes: Sequence[Corners], size: tuple[int, int], scale: float) -> Image.Image:
    """The boxes of one side or of the truth, on nothing."""
    layer = Image.new("RGBA", size)
    draw(layer, [_scaled(corners, scale) for corners in boxes], LOOKS[name])
    return layer


def _truth(example: Example) -> list[Corners]:
    width, height = annotated_size(example)
    return [
        (b.x1 * width, b.y1 * height, b.x2 * width, b.y2 * height)
        for b in geometry.load_boxes(example.gold)
    ]


def _table(both: Comparison) -> str:
    rows = "".join(
        f"<tr><td>{display_model(pane.side)}</td><td>{number}</td><td>{escape(box.label)}</td>"
        f"<td>{', '.join(f'{edge:g}' for edge in box.box)}</td><td>{box.confidence:.2f}</td>"
        f"<td>{'' if overlap is None else f'{overlap:.2f}'}</td></tr>"
        for pane in (both.base, both.tuned)
        for number, (box, overlap) in enumerate(
            zip(pane.boxes or (), overlaps(pane, both.asked), strict=True), 1
        )
    )
    if not rows:
        return ""
    return (
        '<div class="rft-scroll" tabindex="0" role="region" aria-label="Table of boxes">'
        '<table class="rft-table"><caption>Boxes, in pixels of the image</caption><thead><tr>'
        "<th>model</th><th>no.</th><th>label</th><th>left, top, right, bottom</th>"
        f"<th>confidence</th><th>IoU</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _legend(both: Comparison) -> str:
    kinds = ("base", "tuned", "truth") if both.asked.has_truth else ("base", "tuned")
    return "; ".join(LOOKS[kind].words for kind in kinds) + "."


def _alt(pane: Pane) -> str:
    return f"Found by the {display_model(pane.side)} model: {_named(pane.boxes)}."


def _named(boxes: Sequence[PixelBox] | None) -> str:
    if boxes is None:
        return "no boxes that can be read"
    return ", ".join(f"{n}: {box.label}" for n, box in enumerate(boxes, 1)) or "nothing"


def _uri(image: Image.Image, kind: str) -> str:
    out = io.BytesIO()
    image.save(out, format=kind, quality=88)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(out.getvalue()).decode()}"


def _up(image: Image.Image) -> float:
    """Small images are enlarged, so that a line of three pixels does not cover them."""
    return min(6.0, EDGE / 2 / max(image.size)) if max(image.size) < EDGE / 2 else 1.0


def _scaled(corners: Corners, scale: float) -> Corners:
    x1, y1, x2, y2 = corners
    return (x1 * scale, y1 * scale, x2 * scale, y2 * scale)
