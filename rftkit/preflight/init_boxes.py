"""The recipe that `rftkit init` writes for annotated boxes: COCO json, YOLO or Pascal VOC."""

from __future__ import annotations

import json
from collections import Counter

from rftkit.answers.boxes import LabelledBox
from rftkit.data import rows
from rftkit.data.detect import Annotations
from rftkit.data.source_notes import SourceNotes
from rftkit.errors import DataError
from rftkit.recipe.sections import Data

MAX_SHOTS = 4


def boxes_recipe(location: Annotations) -> str:
    """A commented recipe (TOML) for these annotations. Raises DataError as their source does."""
    data = Data(source=location.kind, path=location.path, splits=location.splits)
    notes = SourceNotes()
    counts, images = Counter[str](), 0
    for row in rows(data, location.splits[0], notes):
        things = row.values["objects"]
        assert isinstance(things, tuple)
        counts.update(sorted({thing.label for thing in things if isinstance(thing, LabelledBox)}))
        images += 1
    if not counts:
        raise DataError(f"{location.path}: no boxes in split {location.splits[0]!r}; annotate some")
    least = min(counts, key=lambda label: (counts[label], label))
    shown = ", ".join(sorted(counts)[:8]) + (", …" if len(counts) > 8 else "")
    return TEMPLATE.format(
        images=images,
        categories=f"{len(counts)} categories: {shown}",
        fewest=f"fewest images have {least!r}: {counts[least]}",
        notes="".join(f"#   {note}\n" for note in dict.fromkeys(notes.lines)),
        source=location.kind,
        path=json.dumps(location.path, ensure_ascii=False),
        splits=json.dumps(list(location.splits)),
        shots=min(MAX_SHOTS, counts[least]),
    )


TEMPLATE = """\
# Written by `rftkit init`. What the annotations hold:
#   {images} images to train on
#   {categories}
#   {fewest}
{notes}#
# rftkit check THIS_FILE                          every box, one prompt, what rounding costs
# rftkit train THIS_FILE                          needs a GPU, or much patience
# rftkit train THIS_FILE --set model.name=tiny-scenes    a smoke test on any machine
task = "detection"
style = "think"        # think | direct | answer-first | adaptive

[model]
name = "Qwen/Qwen2.5-VL-3B-Instruct"   # hub id or local folder

[data]
source = "{source}"
path = {path}
splits = {splits}
shots = {shots}              # training images per category; 0 uses all

[options]
ask = "category"       # one prompt per category, or "picture": one for all of them
threshold = 0.5        # least IoU that is paid

[method]
kind = "grpo"          # reinforcement; "sft" imitates the boxes
steps = 200
learning_rate = 1e-5
group_size = 8

[rewards]
iou = 1.0
confidence = 1.0
format = 1.0
"""
