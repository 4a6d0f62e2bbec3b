"""The page of a comparison: whole, self-contained, inert; without images where they are gone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import compared
import pytest
from PIL import Image

from rftkit.comparison.compare import CompareRequest, found, measured
from rftkit.comparison.page import EACH, Images, images_of, render, write_page
from rftkit.errors import UserError
from rftkit.measures import statistics
from rftkit.metrics.samples import Sample

A = ("cat", "dog", "cat", "dog", "cat", "fox")
B = ("cat", "cat", "fox", "dog", "dog", "horse")
HACK = "<script>alert(1)</script>"
VOID = {"meta", "img", "br", "image", "use", "rect"}


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """What bootstraps come to is looked at elsewhere: tests/comparison/test_gaps.py."""
    monkeypatch.setattr(statistics, "RESAMPLES", 20)


class Page(HTMLParser):
    """Fails on a tag that is closed but not open. seen: how often each tag stands there."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.seen = list[str](), list[str]()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def page_of(folders: Sequence[Path], each: int = EACH, base: bool = False) -> str:
    common = found(CompareRequest(tuple(folders), base=base))
    return render(measured(common), common, images_of(common), each)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return compared.pictures(tmp_path / "pets")


@pytest.fixture
def both(tmp_path: Path, data: Path) -> tuple[Path, Path]:
    by = compared.recipe(data)
    return (
        compared.evaluated(tmp_path / "a", A, by).folder,
        compared.evaluated(tmp_path / "b", B, by).folder,
    )


def test_a_page_is_whole_and_fetches_nothing(both: tuple[Path, Path]) -> None:
    text = page_of(both)
    page = Page(text)
    assert page.seen.count("img") == 4  # two fixed, two broken
    assert "script" not in page.seen
    assert not re.search(r"https?:|//[a-z]|url\(\s*[\"']?[^#\"'\s)]|@import|<link", text)
    assert "default-src 'none'; img-src data:" in text
    assert text.count('src="data:image/png;base64,') == 4
    assert "not shown" not in text


def test_it_shows_result_and_replies(both: tuple[Path, Path]) -> None:
    text = page_of(both)
    for part in ("Accuracy of B against A: 66.7 % → 66.7 %", "Fixed by B", "Broken by B",
                 "No setting differs.", "✗ horse", "off the list", "By class", "training steps",
                 "paired Wald, Bonett-Price", "McNemar, exact"):  # fmt: skip
        assert part in text, part


def test_labels_replies_and_names_are_inert(tmp_path: Path) -> None:
    head = compared.header(labels=(HACK, "dog"), prompt=HACK)

    def evil(text: str) -> list[Sample]:
        return [compared.sample(n, text, gold=HACK, image=f"{HACK}{n}", category=HACK)
                for n in range(3)]  # fmt: skip

    first = compared.evaluation(tmp_path / HACK[:7].replace("/", ""), evil("dog"), head)
    second = compared.evaluation(tmp_path / "b", evil(HACK), head)
    page = Page(page_of((first, second)))
    assert "script" not in page.seen
    text = page_of((first, second))
    assert HACK not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 9
    assert "&lt;script" in text.partition("</title>")[0]


def test_images_that_are_gone_leave_a_page_with_a_note(both: tuple[Path, Path], data: Path) -> None:
    (data / "test/cat/1.png").unlink()
    text = page_of(both)
    assert Page(text).seen.count("img") == 3
    assert "Images are not shown: 1 of 4 could not be opened." in text
    compared.remove(data)
    text = page_of(both)
    assert Page(text).seen.count("img") == 0
    assert text.count('<span class="blank">no image</span>') == 4
    assert "Images are not shown: the data cannot be read (" in text


def test_without_a_recipe_or_with_other_data_it_says_why(
    tmp_path: Path, both: tuple[Path, Path]
) -> None:
    folders = [compared.evaluation(tmp_path / n, compared.replies(t)) for n, t in
               (("x", A), ("y", B))]  # fmt: skip
    assert "no recipe was found beside the evaluations" in page_of(folders)
    elsewhere = [s.model_copy(update={"id": f"new/{s.id}"}) for s in compared.replies(A)]
    others = [s.model_copy(update={"id": f"new/{s.id}"}) for s in compared.replies(B)]
    for folder, samples in zip(both, (elsewhere, others), strict=True):
        compared.remove(folder / "eval/test")
        compared.evaluation(folder / "eval/test", samples)
    assert "they are not among those of the recipe" in page_of(both)


def test_a_long_list_is_cut_and_says_how_many_more(both: tuple[Path, Path]) -> None:
    text = page_of(both, 1)
    assert Page(text).seen.count("img") == 2
    assert text.count("and 1 more;") == 2
    assert text.count("2; the 1 with the largest change") == 2


def test_three_subjects_have_a_column_each_and_holm(
    tmp_path: Path, both: tuple[Path, Path], data: Path
) -> None:
    third = compared.evaluated(tmp_path / "c", compared.GOLD, compared.recipe(data, seed=3)).folder
    text = page_of((*both, third))
    Page(text)
    assert "C − A" in text
    assert "adjusted by Holm over the 2 comparisons with A" in text
    assert "Fixed by C" in text
    assert "not known" not in text
    assert '<i class="three"' in text


def boxes(folder: Path, texts: Sequence[str]) -> Path:
    """An evaluation of a detection of one zero in each of two drawn scenes."""
    head = compared.header(task="detection", labels=(), expected=2,
                           provenance={"data": "scenes detection"})  # fmt: skip
    samples = [
        Sample(
            side="tuned", id=f"scenes:test:{n}: 0", image=f"scenes:test:{n}", text=text,
            category="0", gold="[[0.5625, 0.375, 0.8125, 0.75]]",
            meta={"grid": "16x16", "size": "112x112", "label": "0"}, tokens=9,
        )
        for n, text in enumerate(texts)
    ]  # fmt: skip
    return compared.evaluation(folder, samples, head)


def blank(_: str) -> Sequence[Image.Image]:
    return (Image.new("RGB", (112, 112)),)


def test_boxes_are_drawn_and_every_id_stands_once(tmp_path: Path) -> None:
    right = '[{"Position": [9, 6, 13, 12], "Confidence": 1}]'
    made = (("a", ["[]", right]), ("b", [right, "[]"]), ("c", [right, right]))
    common = found(CompareRequest(tuple(boxes(tmp_path / name, texts) for name, texts in made)))
    text = render(measured(common), common, Images(blank), EACH)
    page = Page(text)
    assert page.seen.count("image") == page.seen.count("use") == 3  # B: one of each; C: one
    ids = re.findall(r'<image id="([\w-]+)"', text)
    assert len({*ids}) == 3
    assert {*re.findall(r'<use href="#([\w-]+)"', text)} == {*ids}
    for part in ("Better with B", "Worse with B", "mAP", "found by A", "IoU of B against A"):
        assert part in text, part


def test_a_page_goes_where_it_is_told_and_nowhere_else(
    both: tuple[Path, Path], tmp_path: Path
) -> None:
    common = found(CompareRequest(both))
    comparison = measured(common)
    write_page(tmp_path / "page.html", comparison, common)
    assert (tmp_path / "page.html").read_text("utf-8") == page_of(both)
    for where, why in (("none/page.html", "no such folder"), (".", "is a folder")):
        with pytest.raises(UserError, match=why):
            write_page(tmp_path / where, comparison, common)
