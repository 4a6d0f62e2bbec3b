"""Which known data set a path, hub id or file name means."""

from __future__ import annotations

import re
from pathlib import PureWindowsPath

# Spelled without separators. These mean their data set whatever stands beside them in a name.
DISTINCT = {
    "caltech101": "Caltech101",
    "describabletextures": "DTD",
    "describabletexture": "DTD",
    "eurosat": "EuroSAT",
    "fgvcaircraft": "FGVCAircraft",
    "aircraftfgvc": "FGVCAircraft",
    "food101": "Food101",
    "flowers102": "Flowers102",
    "flower102": "Flowers102",
    "102flowers": "Flowers102",
    "oxfordflowers": "Flowers102",
    "oxfordflower": "Flowers102",
    "oxfordpets": "OxfordPets",
    "oxfordpet": "OxfordPets",
    "oxfordiiitpets": "OxfordPets",
    "oxfordiiitpet": "OxfordPets",
    "stanfordcars": "StanfordCars",
    "stanfordcar": "StanfordCars",
    "cars196": "StanfordCars",
    "car196": "StanfordCars",
    "sun397": "SUN397",
    "ucf101": "UCF101",
    "mscoco": "COCO",
    "cvbench": "CV-Bench",
    "monstergirls": "Monster Girls",
    "monstergirl": "Monster Girls",
}
# Only beside words of PLAIN: tiny-imagenet, coco-stuff and the images of a Lisa are other data.
SHORT = {
    "imagenet": "ImageNet",
    "imagenet1k": "ImageNet",
    "ilsvrc2012": "ImageNet",
    "dtd": "DTD",
    "coco": "COCO",
    "lvis": "LVIS",
    "lisa": "LISA",
    "sat": "SAT",
}
PLAIN = frozenset(
    {"train", "val", "valid", "validation", "test", "dev", "trainval", "all", "full", "static"}
    | {"split", "splits", "zhou", "data", "dataset", "datasets", "annotations", "instances"}
    | {"image", "images", "img", "few", "shot", "v", "0", "1", "2", "5", "k", "2014", "2017", "hf"}
)
SHOTS = re.compile(r"\d+[ _-]?shots?", re.IGNORECASE)
SUFFIX = re.compile(r"\.(csv|gz|json|jsonl|parquet|pth|tar|tgz|txt|yaml|yml|zip)$", re.IGNORECASE)
REVISION = re.compile(r"@[^/\\]*$")
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def data_set_of(text: str) -> str | None:
    """The data set that a path, hub id or file name speaks of; None if it is none that we know.

    The last part that says one decides: `coco/annotations/lvis_v1_val.json` is LVIS. Words count
    whole, and `pets`, `cars` or `flowers` alone are anybody's.

    >>> data_set_of("data/split_zhou_StanfordCars.json"), data_set_of("pets")
    ('StanfordCars', None)
    """
    parts = PureWindowsPath(REVISION.sub("", text)).parts  # splits at / and at \
    return next((data_set for part in reversed(parts) if (data_set := _named(part))), None)


def _named(part: str) -> str | None:
    while SUFFIX.search(part):
        part = SUFFIX.sub("", part)
    words = [word.casefold() for word in WORD.findall(SHOTS.sub("", part))]
    runs = [(i, j) for i in range(len(words)) for j in range(len(words), i, -1)]
    for start, end in runs:
        run = "".join(words[start:end])
        if run in DISTINCT:
            return DISTINCT[run]
        if run in SHORT and PLAIN.issuperset(words[:start] + words[end:]):
            return SHORT[run]
    return None
