"""The largest prompt of a recipe: counted from the data where it is here, else assumed, said so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from rftkit.core import Example
from rftkit.hardware import prompt_size
from rftkit.hardware.memory_plan import need
from rftkit.hardware.prompt_size import (
    PromptSize,
    assumed_prompt,
    estimated_tokens,
    expected_prompt,
    largest_prompt,
)
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import parse_recipe
from rftkit.tasks import get_task

ROOT = Path(__file__).parents[2]


def recipe(*overrides: str) -> Recipe:
    return parse_recipe('[data]\nsource = "digits"\n', "test", overrides)


# by the tokenizer of Qwen2.5-VL
@pytest.mark.parametrize(("text", "tokens"), [
    ("Reply with the answer only.", 6),
    ("737-300, A330-200, Fokker 100, DC-10", 29),
    ("Aglais urticae, Vanessa atalanta, Gonepteryx rhamni, Pieris brassicae", 25),
    ("Zitronenfalter, Großes Ochsenauge", 13),
    ("кошка, собака, самолёт, подсолнух", 14),
    ("猫, 狗, 波音七三七, 空中客车, 向日葵, 郁金香", 28),
    ("n02119022_african_hunting_dog", 15),
    ("one\ntwo\nthree", 5),
])  # fmt: skip
def test_no_fewer_tokens_are_estimated_than_there_are(text: str, tokens: int) -> None:
    assert tokens <= estimated_tokens(text) <= 2.2 * tokens


@pytest.mark.parametrize(("text", "tokens"), [
    ("", 0), (" ", 0), ("at", 1), ("horse", 2), ("a cat", 3), ("737", 3), (" 737", 4), ("a_b", 3),
    ("é", 1), ("猫", 2), ("🐈", 2), ("\ud800", 1), ("a\n\nb", 4),
])  # fmt: skip
def test_tokens_are_estimated_by_letters_digits_and_signs(text: str, tokens: int) -> None:
    assert estimated_tokens(text) == tokens


def test_the_largest_prompt_has_the_most_text_and_the_most_images() -> None:
    sample, asked = get_task("choice").sample, recipe()
    wordy = Example("1", sample.image, "word " * 500, "a", ("a", "b"))
    many = Example("2", sample.image, "?", "a", ("a", "b"), others=(sample.image,) * 3)
    found = largest_prompt(asked, [sample, wordy, many])
    text = get_task(asked.task).prompt(wordy, asked.style)
    assert found.text_tokens == prompt_size.TEMPLATE_TOKENS + estimated_tokens(text)
    assert (found.images, found.source) == (4, "the longest of 3 prompts")


def test_images_and_labels_are_counted_in_the_plan() -> None:
    few, many = PromptSize(100, 1, "x"), PromptSize(900, 3, "x")
    one, three = (need(recipe(), prompt=prompt) for prompt in (few, many))
    assert (one.prompt_tokens, three.prompt_tokens) == (512 + 100, 3 * 512 + 900)
    assert three.bytes > one.bytes
    assert {key: three.record()[key] for key in ("images", "text_tokens", "prompt_source")} == {
        "images": 3, "text_tokens": 900, "prompt_source": "x"
    }  # fmt: skip


def test_tiles_have_marks_of_their_own() -> None:
    found = need(recipe("model.name=HuggingFaceTB/SmolVLM-Instruct"), prompt=PromptSize(9, 2, ""))
    assert found.prompt_tokens == 2 * (17 * 81 + 17 * 4) + 9


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Six classes with long names, two images each, in two splits."""
    for split in ("train", "test"):
        for number in range(6):
            folder = tmp_path / split / f"a pet with quite a long name {number}"
            folder.mkdir(parents=True)
            for image in range(2):
                Image.new("RGB", (8, 8), (number, image, 9)).save(folder / f"{image}.png")
    return tmp_path


def of_pets(pets: Path, *overrides: str) -> Recipe:
    return parse_recipe(f'[data]\nsource = "folder"\npath = "{pets}"\n', "test", overrides)


def test_data_on_this_machine_is_read(pets: Path) -> None:
    found = expected_prompt(of_pets(pets))
    none = expected_prompt(of_pets(pets, "data.choices=none"))
    assert (found.images, found.source) == (1, "the longest of 24 prompts")
    assert found.text_tokens - none.text_tokens > 6 * 8


@pytest.mark.parametrize(("overrides", "source"), [
    (("data.source=digits",), "assumed, the data is built in"),
    (("data.source=hub", "data.path=me/pets"), "assumed, the data is on the hub"),
    (("data.path=pets.zip/train",), "assumed, the data is in an archive"),
    (("data.path=nowhere",), "assumed, nowhere: no such folder"),
])  # fmt: skip
def test_data_that_is_not_here_is_assumed(
    overrides: tuple[str, ...], source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = expected_prompt(of_pets(tmp_path, *overrides))
    assert (found.text_tokens, found.images) == (256, 1)
    assert found.source.startswith(source)


def test_a_file_that_takes_minutes_to_read_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pets.csv").write_text("image,label\n")
    monkeypatch.setattr(prompt_size, "READ_UP_TO", 5)
    found = expected_prompt(of_pets(tmp_path / "pets.csv", "data.source=csv"))
    assert found.source == "assumed, pets.csv is larger than 0 MB"


def test_labels_that_the_recipe_names_are_counted_without_the_data(tmp_path: Path) -> None:
    names = [f"category number {n}" for n in range(200)]
    listed = json.dumps(names)
    wanted = parse_recipe(
        'task = "detection"\n[data]\nsource = "coco"\npath = "none.json"\n'
        f'[options]\nask = "picture"\ncategories = {listed}\n',
        "test",
    )
    found = assumed_prompt(wanted)
    assert found.text_tokens > sum(map(estimated_tokens, names))
    assert found.source == "200 labels of the recipe, the data is not read"


def test_as_many_labels_are_counted_as_a_prompt_offers(tmp_path: Path) -> None:
    def aircraft(*overrides: str) -> PromptSize:
        names = ("data.source=hub", "data.path=me/planes", "options.names=fgvc-aircraft")
        return expected_prompt(of_pets(tmp_path, *names, *overrides))

    every = aircraft()
    assert every.source == "100 labels of the recipe, the data is on the hub"
    assert every.text_tokens > 686  # what Qwen's tokenizer counts for the list alone
    some = aircraft("data.choices=paper")
    assert some.source.startswith("40 labels of the recipe")
    assert 40 / 100 < some.text_tokens / every.text_tokens < 70 / 100
    assert aircraft("data.classes=base").source.startswith("50 labels")
    assert aircraft("data.choices=none").source.startswith("assumed")


def test_what_is_computed_at_once_is_said_in_one_place() -> None:
    sources = [path.read_text("utf-8") for path in (ROOT / "rftkit").rglob("*.py")]
    assert sum("\nLOGITS_AT_ONCE =" in source for source in sources) == 1
