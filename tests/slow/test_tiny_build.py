"""The tiny models as a user gets them: built once, checked, loaded like any other, and able."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

from rftkit.answers.replies import read, well_formed
from rftkit.core import Completion, Style
from rftkit.data.synthetic import digits
from rftkit.data.synthetic.scene_questions import KINDS
from rftkit.data.synthetic.scenes import SIDE, UNITS
from rftkit.model_info import families
from rftkit.models.processing.load import load_processor
from rftkit.models.tiny import cache
from rftkit.models.tiny.course import Plan
from rftkit.models.tiny.courses import COURSES
from rftkit.models.tiny.drawing_lessons import prompt_text
from rftkit.models.tiny.pretrain import encode
from rftkit.models.tiny.quiz_lessons import reading_lesson
from rftkit.models.tiny.scene_lessons import draw_things, lesson
from rftkit.models.tiny.ship import ship
from rftkit.recipe.sections import Model

pytestmark = pytest.mark.slow

QUESTION = "What is shown in this picture?"
BRIEF = Plan(drawings=256, eye_steps=2, eye_batch=16, word_steps=2, word_batch=8)


@dataclass(frozen=True)
class Shown:
    """A tiny model, and the share of digits that it has to read."""

    folder: Path
    least: float


@pytest.fixture(scope="module", params=["as it ships", "built in half the steps"])
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """The real `tiny`: in the package, and as this machine builds and ships it."""
    if request.param == "as it ships":
        return Shown(cache.ensure_tiny("tiny"), 0.88)
    plan = COURSES["tiny"].plan
    half = {"eye_steps": plan.eye_steps // 2, "word_steps": plan.word_steps // 2}
    plan = replace(plan, drawings=plan.drawings // 2, **half)
    root = tmp_path_factory.mktemp("tiny")
    cache.build_whole(root / "built", "tiny", plan)
    ship(root / "built", root / "tiny")
    assert cache.what_is_wrong(root / "tiny", cache.version_of("tiny")) is None
    return Shown(root / "tiny", 0.75)


@pytest.fixture(scope="module")
def loaded(shown: Shown) -> tuple[Any, Any]:
    model = AutoModelForImageTextToText.from_pretrained(shown.folder)
    return model.eval(), load_processor(str(shown.folder), 401408)


def replies(loaded: tuple[Any, Any], images: list[Image.Image], text: str) -> list[Completion]:
    model, processor = loaded
    asked = [
        [
            {
                "role": "user",
                "content": [{"type": "image", "image": p}, {"type": "text", "text": text}],
            }
        ]
        for p in images
    ]
    inputs = processor.apply_chat_template(
        asked,
        tokenize=True,
        return_dict=True,
        add_generation_prompt=True,
        processor_kwargs={"return_tensors": "pt", "padding": True},
    )
    with torch.no_grad():
        ids = model.generate(**inputs, max_new_tokens=32)[:, inputs["input_ids"].shape[1] :]
    return [Completion(t) for t in processor.batch_decode(ids, skip_special_tokens=True)]


@pytest.mark.parametrize("choices", [digits.DIGITS, ()], ids=["closed", "open"])
@pytest.mark.parametrize("style", ["think", "direct", "answer-first", "adaptive"])
def test_it_reads_printed_digits(
    loaded: tuple[Any, Any], shown: Shown, style: Style, choices: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(999)
    gold = [digits.DIGITS[n % 10] for n in range(200)]
    images = [digits.draw_digit(label, rng) for label in gold]
    told = replies(loaded, images, prompt_text(QUESTION, choices, style))
    right = [read(c, style).answer == label for c, label in zip(told, gold, strict=True)]
    assert np.mean(right) >= shown.least
    assert np.mean([well_formed(c.text, style) for c in told]) >= 0.99


def test_it_replies_in_shape_to_a_list_it_has_never_seen(loaded: tuple[Any, Any]) -> None:
    rng = np.random.default_rng(7)
    images = [digits.draw_digit(str(n % 10), rng) for n in range(20)]
    told = replies(loaded, images, prompt_text(QUESTION, ("jacket", "dress", "shoe"), "think"))
    assert np.mean([well_formed(c.text, "think") for c in told]) >= 0.9


def test_a_image_of_any_size_is_shown_as_56_by_56(loaded: tuple[Any, Any]) -> None:
    images = loaded[1].image_processor([Image.new("RGB", (640, 640))], return_tensors="pt")
    assert images["image_grid_thw"].tolist() == [[1, 4, 4]]


@pytest.fixture
def brief(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hardly trained tiny model in a cache of its own: quick to build, whole in every file."""
    monkeypatch.setenv("RFTKIT_CACHE", str(tmp_path))
    return cache.ensure_tiny("tiny-hangar", plan=BRIEF)


def test_a_whole_model_is_not_built_again(brief: Path) -> None:
    said: list[str] = []
    before = (brief / cache.CARD).stat().st_mtime_ns
    assert cache.ensure_tiny("tiny-hangar", said.append, BRIEF) == brief
    assert (brief / cache.CARD).stat().st_mtime_ns == before
    assert said == []


def test_a_damaged_file_is_noticed_and_the_model_rebuilt_the_same(brief: Path) -> None:
    weights = brief / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    said: list[str] = []
    cache.ensure_tiny("tiny-hangar", said.append, BRIEF)
    assert said == [f"{brief}: model.safetensors has changed since it was built; building it again"]
    assert weights.read_bytes() == whole
    left = sorted(path.name for path in brief.parent.iterdir())
    assert left == [".tiny-hangar.lock", "tiny-hangar"]


def test_another_version_is_rebuilt(brief: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "VERSION", "0")
    said: list[str] = []
    cache.ensure_tiny("tiny-hangar", said.append, BRIEF)
    assert len(said) == 1
    assert "another version of rftkit" in said[0]


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("RFTKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "build_tiny", broken)
    with pytest.raises(KeyboardInterrupt):
        cache.ensure_tiny("tiny", plan=BRIEF)
    assert [path.name for path in tmp_path.iterdir()] == [".tiny.lock"]


def test_two_that_want_one_model_build_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, told = threading.Event(), threading.Event()
    built, said = list[Path](), list[str]()

    def build(folder: Path, *_: object) -> None:
        built.append(folder)
        begun.set()
        told.wait(60)
        (folder / "model.safetensors").write_bytes(b"weights")

    def tell(line: str) -> None:
        said.append(line)
        told.set()

    monkeypatch.setenv("RFTKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "build_tiny", build)
    first = threading.Thread(target=cache.ensure_tiny, args=("tiny", tell, BRIEF))
    first.start()
    assert begun.wait(60)
    folder = cache.ensure_tiny("tiny", tell, BRIEF)
    first.join(60)
    assert len(built) == 1
    assert said == [f"{folder}: another rftkit builds it; waiting"]


def test_a_builder_that_was_killed_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys\nfrom rftkit.models.tiny import cache as tiny\n"
        "def hang(*_):\n    print('builds', flush=True)\n    sys.stdin.read()\n"
        "from pathlib import Path\ntiny.SHIPPED = Path('none')\n"
        "tiny.build_tiny = hang\ntiny.ensure_tiny('tiny')"
    )
    monkeypatch.setenv("RFTKIT_CACHE", str(tmp_path))
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as other:
        assert other.stdout
        assert other.stdout.readline() == b"builds\n"

        def build(folder: Path, *_: object) -> None:
            (folder / "model.safetensors").write_bytes(b"weights")

        said = list[str]()

        def tell(line: str) -> None:
            said.append(line)
            other.kill()

        monkeypatch.setattr(cache, "build_tiny", build)
        monkeypatch.setattr(cache, "SHIPPED", tmp_path / "none")
        folder = cache.ensure_tiny("tiny", tell)
    assert said == [f"{folder}: another rftkit builds it; waiting"]
    assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_it_was_trained_on_the_very_tokens_that_its_chat_template_makes(
    loaded: tuple[Any, Any],
) -> None:
    processor = loaded[1]
    text = prompt_text(QUESTION, digits.DIGITS, "think")
    image = digits.draw_digit("4", np.random.default_rng(0))
    content = [{"type": "image", "image": image}, {"type": "text", "text": text}]
    asked = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        tokenize=True,
        return_dict=True,
        add_generation_prompt=True,
    )["input_ids"][0]
    taught = encode([text], [""], processor.tokenizer, COURSES["tiny"].tokens)
    assert taught["input_ids"][0].tolist() == [*asked, processor.tokenizer.eos_token_id]


@pytest.fixture(scope="module")
def scenes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hardly trained `tiny-scenes`, whole in every file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RFTKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        return cache.ensure_tiny("tiny-scenes", plan=BRIEF)


def test_tiny_scenes_sees_a_larger_image_and_counts_in_units_of_its_own(
    scenes_folder: Path,
) -> None:
    processor = load_processor(str(scenes_folder), 401408)
    images = processor.image_processor([Image.new("RGB", (640, 640))], return_tensors="pt")
    assert images["image_grid_thw"].tolist() == [[1, 8, 8]]
    for found in (Model(name="tiny-scenes"), Model(name=str(scenes_folder))):
        family = families.family_of(found)
        assert family.units == (UNITS, UNITS)
        assert family.max_pixels == family.min_pixels == SIDE**2


def test_its_prompts_are_those_that_its_chat_template_makes(scenes_folder: Path) -> None:
    processor, course = load_processor(str(scenes_folder), 401408), COURSES["tiny-scenes"]
    rng = np.random.default_rng(0)
    image = Image.new("RGB", (SIDE, SIDE))
    for kind in sorted({*KINDS} - {"fields"}):  # which no lesson is about
        text = lesson(kind, draw_things(rng), rng).prompt
        content = [{"type": "image", "image": image}, {"type": "text", "text": text}]
        asked = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            tokenize=True,
            return_dict=True,
            add_generation_prompt=True,
        )["input_ids"][0]
        taught = encode([text], [""], processor.tokenizer, course.tokens)["input_ids"][0].tolist()
        assert taught == [*asked, processor.tokenizer.eos_token_id]
        assert len(processor.tokenizer(text)["input_ids"]) < 25


def test_a_lesson_without_a_image_is_what_its_chat_template_makes_of_text(
    scenes_folder: Path,
) -> None:
    processor = load_processor(str(scenes_folder), 401408)
    text = reading_lesson(np.random.default_rng(0)).prompt
    asked = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "text", "text": text}]}],
        tokenize=True,
        return_dict=True,
        add_generation_prompt=True,
    )["input_ids"][0]
    taught = encode([text], [""], processor.tokenizer, 0)["input_ids"][0].tolist()
    assert taught == [*asked, processor.tokenizer.eos_token_id]


def test_its_gallery_shows_what_the_image_processor_makes(scenes_folder: Path) -> None:
    processor = load_processor(str(scenes_folder), 401408)
    gallery: Any = COURSES["tiny-scenes"].gallery(processor, BRIEF)
    images = [Image.fromarray(gallery.grey[n].numpy()).convert("RGB") for n in range(3)]
    seen = processor.image_processor(images, return_tensors="pt")["pixel_values"]
    assert torch.allclose(gallery.patches(torch.arange(3)), seen, atol=1e-5)
