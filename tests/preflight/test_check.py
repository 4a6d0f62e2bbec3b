"""`rftkit check` goes on past what is wrong, and says all of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rftkit.cli.show.check import lines, record
from rftkit.preflight.check import Checked, check
from rftkit.preflight.suspects import visible_difference
from rftkit.recipe.toml import parse_recipe


def photo(path: Path, seed: int) -> Path:
    """An image with texture, of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shades = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(shades).resize((64, 48)).save(path)
    return path


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    root = tmp_path / "pets"
    for number, (split, label) in enumerate(
        (split, label) for split in ("train", "test") for label in ("cat", "dog") for _ in range(4)
    ):
        photo(root / split / label / f"{number}.png", number)
    return root


def checked(root: Path, *overrides: str, more: str = "") -> Checked:
    text = f'[data]\nsource = "folder"\npath = "{root}"\n[model]\nname = "tiny"\n{more}'
    return check(parse_recipe(text, "it", overrides))


def test_all_broken_images_are_named(pets: Path) -> None:
    for name in ("train/cat/1.png", "train/dog/5.png", "test/cat/8.png"):
        (pets / name).write_text("no image")
    found = checked(pets)
    assert [line.partition(":")[0] for line in found.problems] == [
        str(pets / name) for name in ("train/cat/1.png", "train/dog/5.png", "test/cat/8.png")
    ]
    assert found.opened == 13
    assert [line for line in lines(found) if line.startswith("problem: ")] == [
        f"problem: {line}" for line in found.problems
    ]
    assert not [line for line in lines(found) if line.startswith("every gold answer earns")]


def test_all_bad_rows_of_an_annotation_file_are_named(tmp_path: Path) -> None:
    images, entries = [], []
    for number in range(5):
        if number != 3:  # its file is missing
            photo(tmp_path / f"{number}.png", number)
        images.append({"id": number, "file_name": f"{number}.png", "width": 64, "height": 48})
        entries.append({"id": number, "image_id": number, "category_id": 1, "bbox": [2, 2, 30, 30]})
    entries[0]["bbox"], entries[1]["category_id"] = [2, 2, 4000, 30], 99
    told = {"images": images, "annotations": entries, "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "train.json").write_text(json.dumps(told), "utf-8")
    text = f'task = "detection"\n[data]\nsource = "coco"\npath = "{tmp_path}/train.json"\n'
    recipe = parse_recipe(f'{text}[model]\nname = "tiny-scenes"\n', "it", ())
    found = check(recipe).problems
    assert [line.rpartition("annotations[")[2][:1] for line in found] == ["0", "1"]
    entries[0]["bbox"], entries[1]["category_id"] = [2, 2, 30, 30], 1
    (tmp_path / "1.png").unlink()
    (tmp_path / "train.json").write_text(json.dumps(told), "utf-8")
    assert [line.rpartition("images[")[2][:1] for line in check(recipe).problems] == ["1", "3"]


def test_all_bad_rows_of_a_table_are_named(tmp_path: Path) -> None:
    for number in range(6):
        photo(tmp_path / f"{number}.png", number)
    kinds = ["cat" if number % 2 else "dog" for number in range(6)]
    rows = [f"{n}.png,{kind},{'test' if n < 2 else 'train'}" for n, kind in enumerate(kinds)]
    rows[2], rows[4] = "gone.png,cat,train", "4.png,,train"
    lines = ["image,label,split", *rows, "5.png,dog,train"]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n", "utf-8")
    text = f'[data]\nsource = "csv"\npath = "{tmp_path}/t.csv"\n[model]\nname = "tiny"\n'
    found = "\n".join(check(parse_recipe(text, "it", ())).problems)
    assert "t.csv:4: no file 'gone.png'" in found
    assert "t.csv:6: no label in column 'label'" in found
    assert "5.png" in found  # under two labels


def test_the_validation_split_is_read_and_counted(pets: Path) -> None:
    for number, label in enumerate(("cat", "dog", "dog")):
        photo(pets / "val" / label / f"v{number}.png", 90 + number)
    found = checked(pets, "eval.validation=val")
    assert (found.problems, found.choosing, found.opened) == ((), 3, 19)
    assert any("+ 3 to choose the step by" in line for line in lines(found))
    (pets / "val" / "dog" / "v1.png").write_text("no image")
    (problem,) = checked(pets, "eval.validation=val").problems
    assert problem.startswith(str(pets / "val" / "dog" / "v1.png"))
    (problem,) = checked(pets, "eval.validation=vla").problems
    assert "did you mean 'val'?" in problem


def test_a_split_that_cannot_be_read_is_not_dressed_up(pets: Path) -> None:
    found = checked(pets, "data.shots=50")
    assert lines(found) == ["split 'train' was not read, so nothing was counted"]
    assert "data.shots: 50, but class 'cat' has 4 training images" in found.problems[0]


def test_all_broken_images_with_boxes_are_named(tmp_path: Path) -> None:
    images, entries = [], []
    for number in range(6):
        photo(tmp_path / f"{number}.png", number)
        images.append({"id": number, "file_name": f"{number}.png", "width": 64, "height": 48})
        entries.append({"id": number, "image_id": number, "category_id": 1, "bbox": [2, 2, 30, 30]})
    for name in ("train", "test"):
        held = {"images": images, "annotations": entries, "categories": [{"id": 1, "name": "cat"}]}
        (tmp_path / f"{name}.json").write_text(json.dumps(held))
    for number in (2, 4):
        (tmp_path / f"{number}.png").write_text("no image")
    text = f'task = "detection"\n[data]\nsource = "coco"\npath = "{tmp_path}/{{split}}.json"\n'
    found = check(parse_recipe(text, "it", ["model.name=tiny"]))
    assert [line.partition(":")[0] for line in found.problems] == [
        f"{tmp_path}/{number}.png" for number in (2, 4)
    ]


def test_a_split_that_cannot_be_read_does_not_hide_the_other(pets: Path) -> None:
    (pets / "train" / "cat" / "0.png").write_text("no image")
    photo(pets / "test" / "bird" / "99.png", 99)
    first, second = checked(pets).problems
    assert "label 'bird' is not among the 2 of the training split" in first
    assert second.startswith(f"{pets}/train/cat/0.png: ")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("def other(attempt):\n    return 1.0\n", "no function 'brief'"),
        ("def brief(attempt):\n    return attempt.nothing\n", "raised AttributeError"),
        ("def brief(attempt):\n    return 'much'\n", "a reward must be a number"),
        ("import nothing_like_it\n", "cannot be run"),
        (None, "no file"),
    ],
)
def test_rewards_of_ones_own_are_tried(
    pets: Path, tmp_path: Path, written: str | None, said: str
) -> None:
    file = tmp_path / "mine.py"
    if written is not None:
        file.write_text(written)
    (problem,) = checked(pets, more=f'[rewards]\naccuracy = 1.0\n"{file}:brief" = 0.5\n').problems
    assert said in problem


def test_the_rewards_that_count_are_shown(pets: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def brief(attempt):\n    return 0.25\n")
    found = checked(pets, more=f'[rewards]\naccuracy = 1.0\n"{tmp_path}/mine.py:brief" = 0.5\n')
    assert found.rewards == {"accuracy": 1.0, "brief": 0.25}
    assert not found.problems


def test_a_copy_under_another_label_and_a_misplaced_name_are_suspected(pets: Path) -> None:
    photo(pets / "train" / "cat" / "a_dog_17.png", 99)
    with Image.open(pets / "train" / "cat" / "0.png") as image:
        image.resize((128, 96)).save(pets / "train" / "dog" / "again.png")
    notes = " ".join(checked(pets).notes)
    assert (
        "nearly the same image under two labels: train/cat/0.png (cat) and train/dog/again" in notes
    )
    assert "file names that hold another label: train/cat/a_dog_17.png is labelled 'cat'" in notes


def test_imbalance_and_a_small_test_set_are_said(pets: Path) -> None:
    for number in range(100, 140):
        photo(pets / "train" / "cat" / f"{number}.png", number)
    notes = checked(pets).notes
    assert any(note.startswith("44 training images of 'cat', 4 of 'dog'") for note in notes)
    assert any(
        note.startswith("8 test images show only differences of about 54%") for note in notes
    )
    assert visible_difference(8) == pytest.approx(0.542, abs=1e-3)
    assert visible_difference(58) > 0.2 > visible_difference(59)


def test_what_was_found_can_be_read_by_programs(pets: Path) -> None:
    (pets / "test" / "cat" / "8.png").write_text("no image")
    found = json.loads(json.dumps(record(checked(pets))))
    assert found["images"] == {"training": 8, "test": 8}
    assert found["classes"] == {
        "cat": {"training": 4, "test": 4},
        "dog": {"training": 4, "test": 4},
    }
    assert len(found["problems"]) == 1
    assert found["opened"] == 15
