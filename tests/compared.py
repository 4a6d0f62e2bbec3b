"""What the tests of `rftkit compare` share: runs and evaluations, made up without a model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import fakes
from PIL import Image

from rftkit.files import append_line
from rftkit.metrics.samples import (
    Header,
    Sample,
    Side,
    Timing,
    header_line,
    sample_line,
    timing_line,
)
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import dump_recipe
from rftkit.runs.adapter import write_card
from rftkit.runs.run import RunFolder

PETS = ("cat", "dog", "fox")
GOLD = ("cat", "cat", "cat", "dog", "dog", "fox")


def header(**more: object) -> Header:
    """Of a classification of six pets, answered directly."""
    told: dict[str, object] = {
        "task": "classification", "style": "direct", "labels": PETS, "expected": len(GOLD),
        "provenance": {"model": "tiny", "data": "folder pets"},
    }  # fmt: skip
    return Header.model_validate(told | more)


def sample(place: int, text: str, side: Side = "tuned", **more: object) -> Sample:
    """The reply to one of the pets."""
    name = f"test/{GOLD[place % len(GOLD)]}/{place}.png"
    told: dict[str, object] = {
        "side": side, "id": name, "image": name, "text": text,
        "gold": GOLD[place % len(GOLD)], "tokens": 4 + place,
    }  # fmt: skip
    return Sample.model_validate(told | more)


def replies(texts: Sequence[str], side: Side = "tuned", **more: object) -> list[Sample]:
    """A reply to each of the pets in turn."""
    return [sample(place, text, side, **more) for place, text in enumerate(texts)]


def evaluation(
    folder: Path, samples: Sequence[Sample], head: Header | None = None, seconds: float = 2.0
) -> Path:
    """A folder of an evaluation with these samples."""
    folder.mkdir(parents=True)
    timing = Timing(
        side="tuned", seconds=seconds, samples=len(samples), tokens=sum(s.tokens for s in samples),
        peak_memory_bytes=2**30, hardware="cpu", batch_size=3,
    )  # fmt: skip
    lines = [header_line(head or header()), *map(sample_line, samples), timing_line(timing)]
    (folder / "samples.jsonl").write_text("".join(lines), "utf-8")
    return folder


def recipe(data: Path | None = None, **more: object) -> Recipe:
    """Of the pets, direct; without a folder, of the built-in digits."""
    if data is None:
        return fakes.recipe(style="direct", **more)
    table = {"source": "folder", "path": str(data), "shots": 1, "splits": ("train", "test")}
    return fakes.recipe(style="direct", data=table, **more)


def run(folder: Path, by: Recipe, steps: int = 2) -> RunFolder:
    """A run's folder: its recipe, its state, its steps, an adapter without weights."""
    folder.mkdir(parents=True)
    found = RunFolder(folder)
    found.resolved.write_text(dump_recipe(by), "utf-8")
    found.set_status("finished", labels=PETS)
    for step in range(1, steps + 1):
        append_line(found.metrics, {"step": step, "seconds": 1.5, "length": 10.0})
    found.adapter.mkdir()
    (found.adapter / "adapter_config.json").write_text("{}")
    write_card(found.adapter, by, PETS)
    return found


def evaluated(folder: Path, texts: Sequence[str], by: Recipe | None = None) -> RunFolder:
    """A run that was evaluated on the pets."""
    made = run(folder, by or recipe())
    evaluation(made.evaluations / "test", replies(texts))
    return made


def pictures(folder: Path) -> Path:
    """The pets as images in folders, training images beside the six of the test."""
    for place, label in enumerate(GOLD):
        for split in ("train", "test"):
            path = folder / split / label / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (40 * place, 0, 0)).save(path)
    return folder


def remove(folder: Path) -> None:
    """Delete a folder with all that is in it."""
    shutil.rmtree(folder)


def scores_of(pairs: Mapping[str, tuple[float, float]]) -> tuple[list[Sample], list[Sample]]:
    """Samples of both subjects with these scores, by image."""
    before, after = list[Sample](), list[Sample]()
    for number, (name, (ours, theirs)) in enumerate(pairs.items()):
        image = name.partition("#")[0]
        for listed, score in ((before, ours), (after, theirs)):
            listed.append(
                Sample(side="tuned", id=f"{number}", image=image, text="", gold="cat",
                       correct=score, tokens=number)
            )  # fmt: skip
    return before, after
