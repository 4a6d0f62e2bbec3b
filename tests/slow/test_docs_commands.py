"""Every command in a shell block of README and docs that the built-in models can run, is run.

Each page has a folder with what its commands speak of: images in folders, boxes, recipes, runs.
What was trained is trained for two steps. `NOT_HERE` says which commands are left out, and why.
"""

from __future__ import annotations

import io
import json
import random
import re
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image
from test_docs import PAGES, ROOT, shell_lines, words_of

from rftkit.cli import main as cli

WARMUP = ("method.steps=2", "method.warmup.steps=1")
SMALL = ("method.steps=2", "eval.limit=6", "eval.batch_size=6", "eval.during=0")
RUNS = {  # name of a run in the docs -> what makes one like it
    "pets": ("pets.toml",),
    "quickstart": ("quickstart",),
    "cards": ("cards.toml",),
    "phrases": ("tiny_grounding",),
    "sat": ("tiny_choice",),
    "counts": ("tiny_number",),
}
DOWNLOADED = "its data have to be downloaded"
NOT_HERE = {  # a part of a command -> why it is not run here
    "rftkit serve": "serves until it is stopped; tests/slow/test_serve_runs.py",
    "rftkit demo": "serves until it is stopped; tests/slow/test_app_browser.py",
    "rftkit study": "a dozen runs; tests/slow/test_study_runs.py",
    "rftkit push out/pets ACCOUNT/pets-lora": "needs an account; tests/slow/test_pushed_model.py",
    "rftkit bench": "minutes; tests/slow/test_bench_runs.py",
    "rftkit score": "reads lines from a pipe; tests/test_docs.py scores those of the page",
    "--engine vllm": "tests/slow/test_vllm.py",
    "--fail-if-worse": "fails where two steps make a model worse; tests/cli/test_cli.py",
    "--abstain-at-error": "needs held-out answers; tests/inference/test_compare.py",
    "data.choices=none --": DOWNLOADED,
    "recipes/pets_4shot.toml": DOWNLOADED,
    "recipes/coco": DOWNLOADED,
    "out/coco": DOWNLOADED,
    "recipes/sat.toml": DOWNLOADED,
    "out/sat --data": DOWNLOADED,
    "recipes/banners": DOWNLOADED,
    "recipes/aircraft": DOWNLOADED,
    "out/aircraft": DOWNLOADED,
}
EXITS = {"doctor": (0, 1), "plan": (0, 1)}  # 1: something is missing, or the model does not fit
LISTED = ("--schema-only", "--dry-run")  # what NOT_HERE leaves out is run with these all the same


def runnable(page: Path) -> list[str]:
    lines = dict.fromkeys(shell_lines(page))
    return [
        line
        for line in lines
        if any(flag in line for flag in LISTED) or not any(part in line for part in NOT_HERE)
    ]


WITH_COMMANDS = [page for page in PAGES if runnable(page)]


def photo(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = random.Random(seed).randbytes(64 * 64 * 3)
    Image.frombytes("RGB", (64, 64), pixels).save(path)
    return path


def classes(root: Path, count: int, seed: int) -> None:
    for number in range(count):
        for offset, label in enumerate(("cat", "dog")):
            photo(root / label / f"{number}.jpg", seed + 2 * number + offset)


def boxes(folder: Path, seed: int) -> None:
    """Ten images with a queen and a joker each, in COCO's format."""
    images = [{"id": n, "file_name": f"{seed}-{n}.jpg", "width": 64, "height": 64}
              for n in range(10)]  # fmt: skip
    for image in images:
        photo(folder / str(image["file_name"]), seed + int(str(image["id"])))
    marks = [
        {"id": 2 * n + k, "image_id": n, "category_id": k, "iscrowd": 0,
         "bbox": [4 + 30 * k, 6, 24, 30], "area": 720}
        for n in range(10) for k in (0, 1)
    ]  # fmt: skip
    names = [{"id": 0, "name": "queen"}, {"id": 1, "name": "joker"}]
    text = json.dumps({"images": images, "annotations": marks, "categories": names})
    folder.with_suffix(".json").write_text(text, "utf-8")


def rftkit(*words: str, stdin: str = "") -> int:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["rftkit", *words])
        patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as caught:
            cli.main()
    return int(caught.value.code or 0)


def small(words: list[str]) -> list[str]:
    """A command that trains, for two steps on few images."""
    if words[0] not in ("train", "baseline") or "--dry-run" in words or "--ckpt" in words:
        return words
    settings = (*SMALL, *WARMUP) if any("warmup" in word for word in words) else SMALL
    return [*words, *(part for one in settings for part in ("--set", one))]


def labelled(row: str) -> dict[str, object]:
    """A task of Label Studio's export, of a line of labels.csv."""
    image, label = row.split(",")
    value = {"from_name": "kind", "type": "choices", "value": {"choices": [label]}}
    return {"data": {"image": image}, "annotations": [{"result": [value]}]}


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images, the recipes and the runs that the pages speak of."""
    root = tmp_path_factory.mktemp("docs")
    for part, (count, seed) in {"train": (12, 0), "val": (2, 100), "test": (3, 200)}.items():
        classes(root / "pets" / part, count, seed)
    classes(root / "newpets", 2, 300)
    for split, seed in (("train", 400), ("test", 500)):
        boxes(root / "cards" / split, seed)
    rows = [f"pets/train/{kind}/{n}.jpg,{kind}" for kind in ("cat", "dog") for n in range(12)]
    (root / "labels.csv").write_text("\n".join(["image,label", *rows]) + "\n", "utf-8")
    bills = [f"pets/train/cat/{n}.jpg,Shop {n},{n + 1}.3.2026,{n}.50" for n in range(6)]
    (root / "receipts.csv").write_text("\n".join(["image,shop,date,total", *bills]), "utf-8")
    (root / "project.json").write_text(json.dumps([labelled(row) for row in rows]), "utf-8")
    (root / "pets_thinking.toml").write_text(
        'recipes = ["pets.toml"]\nstyles = ["think", "direct"]\n'
    )
    for number, name in enumerate(
        ("photo.jpg", "x.jpg", "y.jpg", "table.jpg", "holiday/1.jpg", "tables/1.jpg", "more/1.png")
    ):
        photo(root / name, 600 + number)
    shutil.copytree(ROOT / "recipes", root / "recipes")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(root)
        for name, model in (("pets", "tiny"), ("cards", "tiny-scenes")):
            assert rftkit("init", name) == 0
            on_tiny(root / f"{name}.toml", model)
        lines = (root / "pets.toml").read_text("utf-8").splitlines()
        kept = [line for line in lines if not line.startswith(("validation =", "during ="))]
        (root / "mine.toml").write_text("\n".join(kept), "utf-8")
        for name, words in RUNS.items():
            assert rftkit(*small(["train", *words, "--out", f"out/{name}"])) == 0
        for copy in ("pets-2", "pets-3"):
            shutil.copytree(root / "out/pets", root / "out" / copy)
    return root


def on_tiny(recipe: Path, model: str) -> None:
    """The recipe that `rftkit init` wrote, for a built-in model that writes few tokens."""
    text, named = re.subn(r'name = "Qwen/[^"]+"', f'name = "{model}"', recipe.read_text("utf-8"))
    assert named == 1
    recipe.write_text(text.replace("[method]\n", "[method]\nmax_new_tokens = 24\n"), "utf-8")


@pytest.fixture(params=WITH_COMMANDS, ids=lambda page: page.stem)
def page(
    request: pytest.FixtureRequest, workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A page; the current folder is a copy of the work place, in which it is followed."""
    shutil.copytree(workplace, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COLUMNS", "100")
    found: Path = request.param
    return found


@pytest.mark.slow
def test_the_commands_of_a_page_run(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in runnable(page):
        words = small(words_of(line))
        if words[0] == "init":
            before = {
                path: path.rename(path.with_suffix(".kept")) for path in Path().glob("*.toml")
            }
        elif words[0] == "train" and "--resume" not in words and "--out" not in words:
            words += ["--out", f"out/of-{page.stem}-{len(line)}"]
        code = rftkit(*words, stdin="photo.jpg\n")
        written = capsys.readouterr()
        assert code in EXITS.get(words[0], (0,)), f"{line}\n{written.err[-2000:]}"
        if words[0] == "init":
            (recipe,) = Path().glob("*.toml")
            on_tiny(recipe, "tiny-scenes" if "cards" in line else "tiny")
            for path, kept in before.items():
                kept.rename(path)


def test_what_is_left_out_is_in_the_docs() -> None:
    """A reason goes with the last command that it was for."""
    lines = [line for page in PAGES for line in shell_lines(page)]
    assert [part for part in NOT_HERE if not any(part in line for line in lines)] == []
