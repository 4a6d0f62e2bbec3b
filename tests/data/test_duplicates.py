"""Images that are there twice: to the pixel, nearly, or under two labels."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from effort import assert_effort
from PIL import Image

from rftkit.core import Example
from rftkit.data.duplicates import Print, fingerprint, overlap, two_labels
from rftkit.data.examples import load_examples
from rftkit.data.images import BytesImage, FileImage
from rftkit.errors import DataError
from rftkit.recipe.toml import parse_recipe

CLOTHING = Path(__file__).parents[3] / "shared/data/cls_clothing10"


def scene(seed: int) -> Image.Image:
    """Something with large shapes, as a photo has."""
    small = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((160, 160), Image.Resampling.BICUBIC)


def mark(image: Image.Image, name: str = "a", gold: str = "a", kind: str = "PNG") -> Print:
    file = BytesIO()
    image.save(file, kind)
    return fingerprint(Example(name, BytesImage(file.getvalue(), name), "?", gold))


def names(found: list[Print], others: list[Print]) -> list[tuple[str, str, bool]]:
    return [(p.first.id, p.second.id, p.exact) for p in overlap(found, others)]


def test_the_same_pixels_are_an_exact_overlap_in_any_format() -> None:
    train = [mark(scene(n), f"train{n}") for n in range(3)]
    test = [mark(scene(1), "test1", kind="BMP"), mark(scene(7), "test7")]
    assert names(train, test) == [("train1", "test1", True)]


def test_a_smaller_recompressed_copy_is_a_near_overlap() -> None:
    train = [mark(scene(n), f"train{n}") for n in range(30)]
    copies = [mark(scene(n).resize((90, 90)), f"test{n}", kind="JPEG") for n in range(30)]
    assert names(train, copies) == [(f"train{n}", f"test{n}", False) for n in range(30)]


def test_images_without_texture_only_overlap_exactly() -> None:
    train = [mark(Image.new("RGB", (50, 50), "red"), "red")]
    test = [mark(Image.new("RGB", (50, 50), c), c) for c in ("blue", "red")]
    assert names(train, test) == [("red", "red", True)]


def test_the_same_bytes_in_another_shape_are_another_image() -> None:
    wide, tall = Image.new("RGB", (8, 4)), Image.new("RGB", (4, 8))
    assert mark(wide).digest != mark(tall).digest


def test_one_image_with_two_labels_is_reported() -> None:
    prints = [
        mark(scene(0), "x", "cat"),
        mark(scene(1), "y", "dog"),
        mark(scene(0), "z", "dog"),
        mark(scene(1), "v", "dog"),
    ]
    assert [(p.first.id, p.second.id) for p in two_labels(prints)] == [("x", "z")]


def test_a_print_keeps_size_and_note() -> None:
    file = BytesIO()
    frames = [Image.new("RGB", (20, 10), c) for c in ("red", "blue")]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    found = fingerprint(Example("a", BytesImage(file.getvalue(), "a"), "?", "a"))
    assert (found.size, found.note) == ((20, 10), "2 frames; the first one is used")


def test_a_broken_image_is_named() -> None:
    with pytest.raises(DataError, match=r"^pets/a: "):
        fingerprint(Example("a", BytesImage(b"", "pets/a"), "?", "a"))


def test_two_thousand_images_are_compared_in_a_moment() -> None:
    bits = np.random.default_rng(0).integers(0, 2**63, (2000, 4), dtype=np.uint64)
    some = mark(scene(0)).example
    prints = [Print(some, (1, 1), str(n), bits[n], np.zeros(4)) for n in range(2000)]
    assert overlap(prints[:1000], prints[1000:]) == ()
    assert_effort(1400, overlap, prints[:1000], prints[1000:])


@pytest.mark.skipif(not CLOTHING.is_dir(), reason="the shared data sets are not here")
def test_real_photos_do_not_overlap_by_chance() -> None:
    prints = {
        split: [
            fingerprint(Example(p.name, FileImage(p, p.name), "?", p.parent.name))
            for p in sorted((CLOTHING / split).glob("*/*"))[::2]
        ]
        for split in ("train", "test")
    }
    assert len(prints["train"]) == 80
    assert overlap(prints["train"], prints["test"]) == ()


def test_scans_of_one_digit_by_two_hands_are_not_copies() -> None:
    recipe = parse_recipe('[data]\nsource = "digits"\nshots = 16\n', "test")
    ours = [fingerprint(e) for e in load_examples(recipe, "train").examples]
    theirs = [fingerprint(e) for e in load_examples(recipe, "test", limit=400).examples]
    assert overlap(ours, theirs) == ()
