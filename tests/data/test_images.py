"""Images of every kind: read upright and RGB, or refused by name."""

from __future__ import annotations

import contextlib
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from rftkit.data.images import BytesImage, FileImage, open_safely, read_size, upright_size
from rftkit.errors import DataError

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(side: int = 64) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(values)


def png_header(width: int, height: int) -> bytes:
    """A PNG that only says how large it is: decoding it would need all those pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_whole_image_of_each_format_is_read(kind: str) -> None:
    opened = open_safely(encoded(Image.new("RGB", (8, 6), RED), kind), "a")
    assert (opened.mode, opened.size, opened.info) == ("RGB", (8, 6), {})
    assert np.abs(np.asarray(opened).astype(int) - RED).max() <= 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_cut_image_is_refused_by_name(kind: str, share: float) -> None:
    whole = encoded(noise(), kind)
    with pytest.raises(DataError, match=r"^pets/cut: .*; .+"):
        open_safely(whole[: int(len(whole) * share)], "pets/cut")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_a_cut_image_is_refused_even_if_a_library_tolerates_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    whole = encoded(noise(), "JPEG")
    with pytest.raises(DataError, match="cut off or broken"):
        open_safely(whole[: len(whole) // 2], "a")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<?xml version='1.0'?>\n<svg/>", "SVG"),
        (b"<!DOCTYPE html><p>404", "web page"),
        (b"\xef\xbb\xbf<html>", "web page"),
        (b"just words", "text"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\x93\x00\xff" * 50, "not an image that can be read"),
        (b"%PDF-1.7\n\xe2\xe3", "a PDF document"),
        (png_header(13000, 13000), "13000 × 13000 pixels, above the limit"),
        (png_header(60000, 60000), "too many pixels"),
        (png_header(1, 1), "1 × 1 pixels, too small"),
        (png_header(1, 20000), "too small"),
        (png_header(2, 20000), "longer than 200 : 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_image_is_refused_in_one_line(content: bytes, says: str) -> None:
    with pytest.raises(DataError) as caught:
        BytesImage(content, "shop/a.jpg").open()
    line = str(caught.value)
    assert line.startswith("shop/a.jpg: ")
    assert says in line
    assert "; " in line
    assert "\n" not in line


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA", "EPS", "PDF"])
def test_formats_that_few_need_are_refused(kind: str) -> None:
    with pytest.raises(DataError, match=r"^a: .*; "):
        open_safely(encoded(Image.new("RGB", (16, 16)), kind), "a")


def test_the_limits_are_checked_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(DataError, match="above the limit"):
        open_safely(png_header(13000, 13000), "bomb")


def test_large_files_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rftkit.data.images.MAX_BYTES", 100)
    (tmp_path / "a.bmp").write_bytes(encoded(noise(), "BMP"))
    with pytest.raises(DataError, match=r"a\.bmp: 0 MB, above"):
        open_safely(tmp_path / "a.bmp", "a.bmp")


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(DataError, match="no such file"):
            FileImage(path, "a").open()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation: int) -> None:
    upright = Image.new("RGB", (32, 16), WHITE)
    upright.paste(RED, (0, 0, 8, 8))  # a red corner, top left
    to_stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(to_stored[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("PNG", "TIFF", "JPEG"):
        opened = open_safely(encoded(stored, kind, exif=exif), "a")
        assert opened.size == (32, 16), kind
        assert np.abs(np.asarray(opened.getpixel((2, 2))) - RED).max() < 30, kind
        assert np.abs(np.asarray(opened.getpixel((29, 13))) - WHITE).max() < 30, kind


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"]
)
def test_broken_exif_is_tolerated(exif: bytes) -> None:
    assert open_safely(encoded(Image.new("RGB", (8, 6), RED), "JPEG", exif=exif), "a").size == (
        8,
        6,
    )


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.array([[0, 257 * 100, 65535]] * 3, dtype=np.uint16)
    for kind in ("PNG", "TIFF"):
        opened = open_safely(encoded(Image.fromarray(ramp), kind), "a")
        assert [opened.getpixel((x, 0))[0] for x in range(3)] == [0, 100, 255], kind


@pytest.mark.parametrize(
    ("values", "greys"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),  # reals in [0, 1]
        ([0.0, 100.0, 200.0], [0, 100, 200]),  # in [0, 255]
        ([0.0, 25700.0, 65535.0], [0, 100, 255]),
        ([-10.0, 0.0, 10.0], [0, 128, 255]),  # its own range
        ([0.0, float("nan"), 1.0], [0, 0, 255]),
    ],
)
def test_real_values_are_scaled_by_their_range(values: list[float], greys: list[int]) -> None:
    image = Image.fromarray(np.array([values] * 2, dtype=np.float32))
    opened = open_safely(encoded(image, "TIFF"), "a")
    assert [opened.getpixel((x, 0))[0] for x in range(3)] == greys


def test_whole_numbers_of_32_bits_are_scaled() -> None:
    image = Image.fromarray(np.array([[0, 25700, 65535]] * 2, dtype=np.int32))
    opened = open_safely(encoded(image, "TIFF"), "a")
    assert [opened.getpixel((x, 0))[0] for x in range(3)] == [0, 100, 255]


def half_clear(mode: str) -> Image.Image:
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 4, 2))
    return image.convert(mode)


@pytest.mark.parametrize(("mode", "kind"), [("RGBA", "PNG"), ("RGBA", "WEBP"), ("LA", "PNG")])
def test_clear_parts_become_white(mode: str, kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    opened = open_safely(encoded(half_clear(mode), kind, **options), "a")
    assert opened.getpixel((0, 0)) == WHITE
    assert opened.getpixel((0, 3)) == (RED if mode == "RGBA" else (76, 76, 76))


def test_a_palette_with_a_clear_colour_becomes_white_there() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.paste(1, (0, 2, 4, 4))
    for kind in ("PNG", "GIF"):
        opened = open_safely(encoded(image, kind, transparency=0), "a")
        assert (opened.getpixel((0, 0)), opened.getpixel((0, 3))) == (WHITE, RED), kind


def test_grey_bilevel_and_cmyk_become_rgb() -> None:
    for mode, kind, colour in (
        ("L", "PNG", 90),
        ("1", "PNG", 1),
        ("CMYK", "JPEG", (0, 255, 255, 0)),
    ):
        opened = open_safely(encoded(Image.new(mode, (8, 8), colour), kind), "a")
        wanted = {"L": (90, 90, 90), "1": WHITE, "CMYK": RED}[mode]
        assert opened.mode == "RGB"
        assert np.abs(np.asarray(opened.getpixel((4, 4))) - wanted).max() <= 3, mode


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame_and_says_so(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE, WHITE)]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    opened = open_safely(content, "a")
    assert opened.info == {"note": "3 frames; the first one is used"}
    assert np.abs(np.asarray(opened.getpixel((4, 4))) - RED).max() <= 3


WHOLE = [encoded(noise(16), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=8),
)
def test_a_damaged_file_is_a_image_or_a_data_error(
    whole: bytes, damage: list[tuple[float, int]]
) -> None:
    content = bytearray(whole)
    for location, value in damage:
        content[int(location**3 * len(content))] = value  # headers more often than pixels
    with contextlib.suppress(DataError):
        assert open_safely(bytes(content), "a").mode == "RGB"


def test_the_size_is_read_from_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    assert read_size(encoded(Image.new("RGB", (8, 6)), "PNG"), "a") == (8, 6)


def test_a_png_without_exif_is_not_decoded_in_search_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.new("RGB", (8, 6)), "PNG"))
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (8, 6)).save(tmp_path / "b.png", exif=turned)
    assert upright_size(FileImage(tmp_path / "b.png", "b.png")) == (6, 8)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    assert upright_size(FileImage(path, "a.png")) == (8, 6)


def test_a_image_keeps_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "ä ö.png"
    path.write_bytes(encoded(Image.new("RGB", (8, 6), RED), "PNG"))
    opened = FileImage(path, "ä ö.png").open()
    path.unlink()
    assert opened.getpixel((0, 0)) == RED
