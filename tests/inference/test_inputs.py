"""Which images `rftkit predict` is given by names, folders, patterns and a pipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from rftkit.errors import DataError
from rftkit.inference.inputs import image_files

FILES = ("a.jpg", "b.PNG", "notes.txt", ".hidden/x.png", "deep/er/c.webp", "deep/.d.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(folder: Path, *given: str, lines: tuple[str, ...] = ()) -> list[str]:
    found = image_files([Path("-") if name == "-" else folder / name for name in given], lines)
    return [path.relative_to(folder).as_posix() for path in found]


def test_a_folder_stands_for_its_images(folder: Path) -> None:
    assert names(folder, "") == ["a.jpg", "b.PNG", "deep/er/c.webp"]
    assert names(folder, "deep") == ["deep/er/c.webp"]


def test_a_pattern_stands_for_what_it_matches(folder: Path) -> None:
    assert names(folder, "*") == ["a.jpg", "b.PNG", "deep/er/c.webp"]
    assert names(folder, "*.jpg", "**/*.webp") == ["a.jpg", "deep/er/c.webp"]
    (folder / "[1].jpg").touch()
    assert names(folder, "[1].jpg") == ["[1].jpg"]  # a file of that name


def test_each_image_is_taken_once_in_the_order_given(folder: Path) -> None:
    assert names(folder, "b.PNG", "", "a.jpg") == ["b.PNG", "a.jpg", "deep/er/c.webp"]


def test_a_file_that_is_named_is_taken_as_it_is(folder: Path) -> None:
    assert names(folder, "notes.txt", "none.jpg") == ["notes.txt", "none.jpg"]


def test_paths_come_from_a_pipe(folder: Path) -> None:
    lines = (f"{folder}/a.jpg\n", "\n", f"{folder}/deep\r\n")
    assert names(folder, "-", lines=lines) == ["a.jpg", "deep/er/c.webp"]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("deep/er/*.jpg", "no image fits this pattern"),
        ("empty", "no images in this folder"),
        ("-", "no images are named"),
    ],
)
def test_nothing_is_said(folder: Path, given: str, line: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=line):
        names(folder, given)
