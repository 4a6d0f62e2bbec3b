"""How long `rftkit check` takes over many images, beside decoding them once.

    python benchmarks/check_images.py --images 10000 --rounds 3

Writes JPEGs of 320 x 240 pixels into a temporary folder, ten classes of them, then times in turns:
decoding every file once on all cores (Pillow in threads), and all that `check` does: it reads the
folder, opens every image, looks for copies in and between the splits, tries every gold answer.
Prints the seconds of each round and the ratio of the medians.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from rftkit.preflight.check import check
from rftkit.recipe.toml import parse_recipe

SIZE = (320, 240)
CLASSES = 10


def main() -> None:
    """Make the images, time both in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        files = [written(root, number) for number in range(given.images)]
        text = f'[model]\nname = "tiny"\n[data]\nsource = "folder"\npath = "{root}"\n'
        recipe = parse_recipe(text, "benchmark")
        decoded, checked = list[float](), list[float]()
        for _ in range(given.rounds):
            decoded.append(seconds(lambda: decode(files)))
            checked.append(seconds(lambda: check(recipe)))
    print(f"{given.images} images of {SIZE[0]} x {SIZE[1]}, {os.cpu_count()} cores, seconds")
    for name, taken in (("decoding once", decoded), ("rftkit check", checked)):
        print(f"{name:<14} " + " / ".join(f"{value:.1f}" for value in taken))
    print(f"ratio of the medians: {median(checked) / median(decoded):.2f}")


def written(root: Path, number: int) -> Path:
    """A JPEG of a soft random texture, about as large as a photograph's."""
    random = np.random.default_rng(number)
    small = random.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize(SIZE, Image.Resampling.BICUBIC)
    split = "test" if number % 5 == 0 else "train"
    path = root / split / f"kind-{number // 5 % CLASSES}" / f"{number}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=88)
    return path


def decode(files: list[Path]) -> None:
    """Decode every file once, in threads on all cores."""

    def one(path: Path) -> None:
        with Image.open(path) as image:
            image.load()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, files))


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
