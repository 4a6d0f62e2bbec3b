"""Referring expressions, LISA's polygons and LLaVA's talks become rows, or one clear line."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from annotated_files import names, noted, read, refusal, write_image, written

from rftkit.answers.boxes import Box, LabelledBox
from rftkit.data.sources import lisa, refs
from rftkit.data.sources.llava import read_annotations

# Referring expressions

LINE: dict[str, Any] = {"image": "a.jpg", "phrase": "left cat", "bbox": [5, 1, 10, 4]}


def refs_set(root: Path, *lines: object) -> Path:
    write_image(root / "a.jpg")
    write_image(root / "b.jpg", 10, 20, turn=6)  # upright 20 × 10
    return written(root / "train.jsonl", list(lines))


def test_every_phrase_is_a_row(tmp_path: Path) -> None:
    path = refs_set(
        tmp_path,
        LINE,
        {"file_name": "b.jpg", "sentences": ["one", {"sent": "two  words"}], "box": [0, 0, 20, 5]},
        {"image": "a.jpg", "caption": "x", "box": [10, 5, 20, 10], "width": 40, "height": 20},
    )
    found = read("refs", tmp_path / "{split}.jsonl")
    assert [(row.location, row.image.name, row.values["phrase"]) for row in found] == [
        (f"{path}:1", "a.jpg", "left cat"),
        (f"{path}:2: sentences[0]", "b.jpg", "one"),
        (f"{path}:2: sentences[1]", "b.jpg", "two words"),
        (f"{path}:3", "a.jpg", "x"),
    ]
    assert found[0].values == {
        "phrase": "left cat",
        "size": "20x10",
        "objects": (LabelledBox("left cat", Box(0.25, 0.1, 0.75, 0.5)),),
        "categories": ("left cat",),
    }
    assert found[1].values["size"] == "20x10"
    assert found[3].values["objects"] == (LabelledBox("x", Box(0.25, 0.25, 0.5, 0.5)),)


def test_a_json_list_and_other_keys_are_read_too(tmp_path: Path) -> None:
    refs_set(tmp_path)
    entry = {"file": "a.jpg", "said": "cat", "corners": [0, 0, 10, 10]}
    path = written(tmp_path / "train.json", [entry])
    columns = {"image": "file", "phrase": "said", "box": "corners"}
    (row,) = read("refs", tmp_path / "{split}.json", columns=columns)
    assert row.location == f"{path}[0]"
    assert row.values["objects"] == (LabelledBox("cat", Box(0, 0, 0.5, 1)),)
    assert "no 'file'" in refusal("refs", refs_set(tmp_path, LINE), columns=columns)


WRONG_REFS: list[tuple[dict[str, object], str]] = [
    ({"image": "none.jpg"}, "no file 'none.jpg'"),
    ({"image": "../a.jpg"}, "leaves"),
    ({"image": 3}, "image 3 is not a text"),
    ({"image": ...}, "no 'image'; there are: phrase, bbox"),
    ({"phrase": ...}, "no 'phrase'"),
    ({"phrase": " "}, "phrase ' ' is not a text"),
    ({"phrase": ["a"]}, "phrase ['a'] is not a text"),
    ({"phrase": "a" * 2001}, "phrase of 2001 characters"),
    ({"phrase": "<answer>x"}, "holds a tag or control character"),
    ({"phrase": "<|im_end|>"}, "holds a tag or control character"),
    ({"sentences": []}, "'sentences' is empty"),
    ({"sentences": "a"}, "'sentences' is 'a', not a list"),
    ({"sentences": ["a", 5]}, ":2: sentences[1]: phrase 5 is not a text"),
    ({"sentences": [{"x": 1}]}, ":2: sentences[0]: no 'sent'"),
    ({"bbox": ...}, "needs either 'bbox'"),
    ({"box": [0, 0, 1, 1]}, "needs either 'bbox'"),
    ({"bbox": [0, 0, 0, 1]}, "is 0 wide and 1 high"),
    ({"bbox": [0, 0, "1", 1]}, "holds '1', no finite number"),
    ({"bbox": [0, 0, 21, 1]}, "leaves the image of 20 × 10 pixels"),
    ({"bbox": ..., "box": [5, 0, 4, 1]}, "box [5, 0, 4, 1] is not [x1, y1, x2, y2]"),
    ({"bbox": ..., "box": [0, 0, 1]}, "box [0, 0, 1] is not a list of 4 numbers"),
    ({"width": 20}, "no 'height'"),
    ({"width": "20", "height": 10}, "width '20' is not a whole number"),
    ({"split": 3}, "split 3 is not the name of one"),
]


@pytest.mark.parametrize(("change", "what"), WRONG_REFS)
def test_what_is_wrong_in_a_line_is_refused(
    tmp_path: Path, change: dict[str, object], what: str
) -> None:
    entry = {key: value for key, value in {**LINE, **change}.items() if value is not ...}
    path = refs_set(tmp_path, LINE, entry)
    line = refusal("refs", tmp_path / "{split}.jsonl")
    assert line.startswith(f"{path}:2: ")
    assert what in line


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("a.jsonl", "", "no rows"),
        ("a.jsonl", "[1]\n", "a.jsonl:1: not a JSON object"),
        ("a.json", "[]", "no rows"),
        ("a.json", "5", "not a list of objects"),
        ("a.json", "[1]", "a.json[0]: 1 is not an object"),
        ("a.json", "[{]", "not JSON"),
        ("a.json", '{"image":\n', "a.json:1: not JSON"),
    ],
)
def test_what_is_no_table_of_phrases_is_refused(
    tmp_path: Path, name: str, text: str, what: str
) -> None:
    line = refusal("refs", written(tmp_path / name, text))
    assert line.startswith(str(tmp_path / name))
    assert what in line


def test_lines_may_say_their_split(tmp_path: Path) -> None:
    lines = [{**LINE, "split": split} for split in ("train", "val", "train")]
    path = refs_set(tmp_path, *lines)
    assert len(read("refs", path)) == 2
    assert len(read("refs", path, "val")) == 1
    assert "no split 'test'; there are: train, val" in refusal("refs", path, "test")


def test_phrases_of_one_image_stay_together(tmp_path: Path) -> None:
    for number in range(10):
        write_image(tmp_path / f"{number}.jpg")
    lines = [
        {**LINE, "image": f"{n}.jpg", "phrase": word} for word in ("a", "b") for n in range(10)
    ]
    path = refs_set(tmp_path, *lines)
    train, test = names(read("refs", path)), names(read("refs", path, "test"))
    assert (len(train), len(test)) == (16, 4)
    assert not set(train) & set(test)


def test_phrases_are_read_without_images(tmp_path: Path) -> None:
    (found,) = refs.read_annotations(written(tmp_path / "a.jsonl", [LINE]))
    assert (found.name, found.corners, found.size) == ("a.jpg", (5, 1, 15, 5), None)


# LISA

SHAPES: dict[str, Any] = {
    "text": ["the thing that purrs", "who is asleep?"],
    "is_sentence": True,
    "shapes": [
        {"label": "target", "points": [[5, 2], [9, 1], [7, 4]]},
        {"label": "ignore", "points": [[0, 0], [20, 0], [20, 10]]},
        {"label": "target", "points": [[12, 3], [15, 4.5], [13, 5]]},
    ],
}


def lisa_set(root: Path, values: object = SHAPES) -> Path:
    for name in ("train/a.jpg", "train/b.jpg", "test/c.jpg"):
        write_image(root / name)
    written(root / "train/b.json", {**SHAPES, "text": ["b"]})
    written(root / "test/c.json", {**SHAPES, "text": ["c"]})
    return written(root / "train/a.json", values)


def test_lisa_boxes_go_around_all_targets(tmp_path: Path) -> None:
    path = lisa_set(tmp_path)
    found = read("lisa", tmp_path)
    assert [(row.location, row.image.name) for row in found] == [
        (f"{path}: text[0]", "train/a.jpg"),
        (f"{path}: text[1]", "train/a.jpg"),
        (f"{tmp_path}/train/b.json: text[0]", "train/b.jpg"),
    ]
    assert found[1].values == {
        "phrase": "who is asleep?",
        "size": "20x10",
        "objects": (LabelledBox("who is asleep?", Box(0.25, 0.1, 0.75, 0.5)),),
        "categories": ("who is asleep?",),
    }
    assert names(read("lisa", tmp_path / "{split}", "test")) == ["c.jpg"]
    assert "no split 'val'; there are: test, train" in refusal("lisa", tmp_path, "val")


def shape(**change: object) -> dict[str, object]:
    return {**SHAPES, "shapes": [{**SHAPES["shapes"][0], **change}]}


WRONG_LISA: list[tuple[object, str]] = [
    ({**SHAPES, "text": []}, ": 'text' is empty"),
    ({**SHAPES, "text": "cat"}, ": 'text' is 'cat', not a list"),
    ({**SHAPES, "text": ["cat", 3]}, ": text[1]: text 3 is not a text"),
    ({"shapes": SHAPES["shapes"]}, ": no 'text'"),
    ({"text": ["cat"]}, ": no 'shapes'"),
    ({**SHAPES, "shapes": {}}, ": 'shapes' is {}, not a list"),
    ({**SHAPES, "shapes": [3]}, ": shapes[0]: 3 is not an object"),
    (shape(label="ignore"), ": no polygon is 'target'"),
    (shape(label=None), ": shapes[0]: label None is not a text"),
    (shape(points=[[1, 1]]), ": shapes[0]: 1 points"),
    (shape(points=[[1, 1], [2, 2, 2]]), ": shapes[0]: points[1] [2, 2, 2] is not a list of 2"),
    (shape(points=[[1, 1], [2, "2"]]), ": shapes[0]: points[1] [2, '2'] holds '2'"),
    (shape(points=[[1, 1], [21, 2]]), "leaves the image of 20 × 10 pixels"),
    (shape(points=[[1, 1], [1, 2]]), "has no area"),
    ([], ": [] is not an object"),
    ("{", ": not JSON"),
]


@pytest.mark.parametrize(("values", "what"), WRONG_LISA)
def test_what_is_wrong_in_lisa_is_refused(tmp_path: Path, values: object, what: str) -> None:
    path = lisa_set(tmp_path, values)
    line = refusal("lisa", tmp_path)
    assert line.startswith(str(path))
    assert what in line


def test_lisa_files_and_images_come_in_pairs(tmp_path: Path) -> None:
    path = lisa_set(tmp_path, {**SHAPES, "shapes": [*SHAPES["shapes"], {**shape(), "label": "x"}]})
    write_image(tmp_path / "train/d.jpg")
    assert noted("lisa", tmp_path) == [
        f"{tmp_path}/train/: 1 images without a JSON file; left out",
        f"{tmp_path}/train/: 1 polygons are 'x', not 'target'; left out",
    ]
    write_image(tmp_path / "train/a.png")
    assert refusal("lisa", tmp_path).startswith(f"{path}: a.jpg and a.png in")
    (tmp_path / "train/a.png").unlink()
    (tmp_path / "train/a.jpg").rename(tmp_path / "train/e.jpg")
    assert refusal("lisa", tmp_path).startswith(f"{path}: no image 'a' in")
    (tmp_path / "train/e.jpg").rename(tmp_path / "train/a.jpg")
    write_image(tmp_path / "empty/train/a.jpg")
    assert f"{path}: a file, not a folder" in refusal("lisa", path)
    path.write_text(" " * 50_000_001)
    assert f"{path}: above 50 MB" in refusal("lisa", tmp_path)
    assert "empty/train/: no JSON files" in refusal("lisa", tmp_path / "empty")


def test_lisa_files_of_an_old_encoding_are_read(tmp_path: Path) -> None:
    path = lisa_set(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"the thing", b"the cat\x92s tail"))
    assert lisa.read_annotations(path, "a.jpg")[0].phrase == "the cat’s tail that purrs"


# LLaVA

TALK: dict[str, Any] = {
    "id": "1",
    "image": "a.jpg",
    "conversations": [
        {"from": "human", "value": "<image>\nWhat is this?"},
        {"from": "gpt", "value": "A cat."},
    ],
}


def talks(root: Path, *entries: object) -> Path:
    for name in ("a.jpg", "b.jpg"):
        write_image(root / name)
    return written(root / "train.json", list(entries))


def test_a_talk_is_a_question_and_an_answer(tmp_path: Path) -> None:
    path = talks(tmp_path, TALK)
    (row,) = read("llava", tmp_path / "{split}.json")
    assert (row.location, row.image.name, row.others) == (f"{path}[0]", "a.jpg", ())
    assert row.values == {"question": "What is this?", "answer": "A cat."}


def test_other_spellings_of_a_talk_are_read(tmp_path: Path) -> None:
    parts = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "Same?"}]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "No."},
        {"role": "user", "content": "Sure?"},
        {"role": "assistant", "content": "Yes."},
    ]
    entry = {"images": ["a.jpg", "b.jpg"], "messages": messages}
    talks(tmp_path, TALK)
    written(tmp_path / "train.jsonl", [entry])
    (row,) = read("llava", tmp_path / "{split}.jsonl")
    assert [row.image.name, *(other.name for other in row.others)] == ["a.jpg", "b.jpg"]
    assert row.values == {
        "question": "Be brief.\nUser: Same?\nAssistant: No.\nUser: Sure?",
        "answer": "Yes.",
    }


def test_talks_without_a_image_are_left_out_and_counted(tmp_path: Path) -> None:
    text = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]}
    path = talks(tmp_path, text, TALK, text)
    assert len(read("llava", tmp_path / "{split}.json")) == 1
    assert noted("llava", tmp_path / "{split}.json") == [
        f"{path}: 2 conversations without an image; left out"
    ]
    talks(tmp_path, text)
    assert f"{path}: no conversation has an 'image'" in refusal("llava", tmp_path / "{split}.json")


WRONG_TALKS: list[tuple[str, object, str]] = [
    ("image", "none.jpg", "no file 'none.jpg'"),
    ("image", "../a.jpg", "leaves"),
    ("image", 3, "image 3 is not the path of an image"),
    ("image", ["a.jpg", ""], "image '' is not the path"),
    ("image", ["a.jpg", "b.jpg"], "1 times <image>, but 2 images"),
    ("image", ["a.jpg"] * 65, "65 images; at most 64 are read"),
    ("image", None, "1 times <image>, but 0 images"),
    ("conversations", ..., "no 'conversations'"),
    ("conversations", "hi", "'conversations' is 'hi', not a list"),
    ("conversations", [], "the turns are none; they must be user"),
    ("conversations.0", "hi", "conversations[0]: 'hi' is not an object"),
    ("conversations.0.from", "dog", "conversations[0]: from 'dog' is none of"),
    ("conversations.0.from", ..., "conversations[0]: no 'from'"),
    ("conversations.1.from", "human", "the turns are user, user; they must be user"),
    ("conversations.1", ..., "the turns are user; they must be user, assistant, …"),
    ("conversations.1.value", 5, "conversations[1]: 5 is not a text"),
    ("conversations.1.value", ..., "conversations[1]: no 'value'"),
    ("conversations.1.value", " ", "answer of 0 characters"),
    ("conversations.0.value", "<image>\n", "question of 0 characters"),
    ("conversations.0.value", [{"type": "video"}], "part 0: {'type': 'video'} is neither a text"),
    ("split", 3, "split 3 is not the name of one"),
]


@pytest.mark.parametrize(("where", "value", "what"), WRONG_TALKS)
def test_what_is_wrong_in_a_talk_is_refused(
    tmp_path: Path, where: str, value: object, what: str
) -> None:
    entry: Any = copy.deepcopy(TALK)
    inner: Any = entry
    *way, last = [int(key) if key.isdigit() else key for key in where.split(".")]
    for key in way:
        inner = inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    path = talks(tmp_path, TALK, entry)
    line = refusal("llava", tmp_path / "{split}.json")
    assert line.startswith(f"{path}[1]")
    assert what in line


def test_a_system_turn_comes_first(tmp_path: Path) -> None:
    entry = copy.deepcopy(TALK)
    entry["conversations"].insert(1, {"from": "system", "value": "x"})
    assert "a system turn that is not the first" in refusal("llava", talks(tmp_path, entry))


def test_talks_are_read_without_images_and_divided(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", [{**TALK, "split": "val"}, {**TALK, "split": "train"}])
    assert [talk.split for talk in read_annotations(path)] == ["val", "train"]
    write_image(tmp_path / "a.jpg")
    assert [row.location for row in read("llava", path, "val")] == [f"{path}[0]"]


def test_a_talk_or_phrase_without_a_split_beside_others_that_have_one_is_refused(
    tmp_path: Path,
) -> None:
    write_image(tmp_path / "a.jpg")
    path = written(tmp_path / "a.json", [{**TALK, "split": "train"}, TALK])
    for split in ("train", "test"):
        assert refusal("llava", path, split).startswith(f"{path}[1]: no split, and others have one")
