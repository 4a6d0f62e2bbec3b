"""The categories that published detection protocols train and test on, by the name of the list."""

from __future__ import annotations

COCO_80 = tuple(
    """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant,
stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe,
backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite,
baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork,
knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake,
chair, couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote, keyboard,
cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear,
hair drier, toothbrush
""".replace("\n", " ").strip().split(", ")
)  # fmt: skip
COCO_15 = (
    *("mouse", "fork", "hot dog", "cat", "airplane", "suitcase", "parking meter", "sandwich"),
    *("train", "hair drier", "toilet", "toaster", "snowboard", "frisbee", "bear"),
)

# Visual-RFT: the few-shot lists, and those of open-vocabulary detection
LISTS: dict[str, tuple[str, ...]] = {
    "coco-80": COCO_80,
    "coco-65": tuple(name for name in COCO_80 if name not in COCO_15),
    "coco-15": COCO_15,
    "coco-8": ("bus", "train", "fire hydrant", "stop sign", "cat", "dog", "bed", "toilet"),
    "lvis-6": ("horse_buggy", "die", "kitchen_table", "omelet", "papaya", "stepladder"),
    "lvis-13": (
        *("casserole", "die", "egg_roll", "futon", "garbage", "handsaw", "hippopotamus"),
        *("kitchen_table", "mallet", "omelet", "shot_glass", "stepladder", "sugar_bowl"),
    ),
}


def named(name: str) -> tuple[str, ...] | None:
    """The categories of the list of that name; None if there is no such list."""
    return LISTS.get(name.casefold())
