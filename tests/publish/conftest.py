"""A finished run of somebody's private images, and a hub on this machine."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import fakes
import hub_stub
import numpy as np
import pytest
from hub_stub import Hub
from PIL import Image
from safetensors.numpy import save_file

from rftkit.cli import main as cli
from rftkit.core import Example
from rftkit.measures.selective import Confident
from rftkit.metrics.files import finish
from rftkit.metrics.samples import Header, Provenance, Sample, header_line, sample_line
from rftkit.metrics.scoring import derive
from rftkit.recipe.toml import dump_recipe
from rftkit.runs.adapter import write_card
from rftkit.runs.calibration import HeldOutAnswers, Temperatures, write_calibration
from rftkit.runs.model_card import write_model_card
from rftkit.runs.run import RunFolder

SECRET = "/home/anna/secret project"  # where the images and the files beside them lay
BASE = "Acme/Tiny-VL"


class Done(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def rftkit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["rftkit", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
        with pytest.raises(SystemExit) as caught:
            cli.main()
        written = capsys.readouterr()
        return Done(int(caught.value.code or 0), written.out, written.err)

    return run


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub that this process talks to, as anna."""
    with (
        hub_stub.running(Hub()) as here,
        hub_stub.used_by_this_process(here, "hf_anna", tmp_path / "hf"),
    ):
        yield here


@pytest.fixture
def pets(made: RunFolder, tmp_path: Path) -> RunFolder:
    """The run, in out/pets of the current folder."""
    return RunFolder(Path(shutil.copytree(made.folder, tmp_path / "out" / "pets")))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run on images of a private folder, evaluated, calibrated; images lie about in it."""
    run = RunFolder(tmp_path_factory.mktemp("pets"))
    recipe = fakes.recipe(
        model={"name": f"{BASE}@v1", "lora_rank": 8},
        style="direct",
        data={
            "source": "csv",
            "path": f"{SECRET}/pets.csv",
            "images": f"{SECRET}/scans",
            "shots": 2,
        },
        rewards={"accuracy": 1.0, f"{SECRET}/rewards.py:neat": 0.5},
    )
    run.adapter.mkdir(parents=True)
    save_file({"lora_A": np.arange(6.0)}, run.adapter / "adapter_model.safetensors")
    config = {"base_model_name_or_path": f"{SECRET}/weights", "r": 8, "peft_type": "LORA"}
    (run.adapter / "adapter_config.json").write_text(json.dumps(config))
    labels, names = ("cat", "dog"), fakes.BlankImage(f"{SECRET}/scans/tom.jpg")
    example = Example("pets.csv:1", names, "Which pet?", "cat", choices=labels, labels=labels)
    write_card(run.adapter, recipe, labels)
    write_model_card(run.adapter, recipe, [example], labels, {})
    write_calibration(
        run.adapter,
        HeldOutAnswers(Temperatures(1.5, 1.25), "split", (Confident(0.9, True),) * 3),
    )
    Image.new("RGB", (8, 8)).save(run.adapter / "photo.png")
    (run.adapter / "samples.jsonl").write_text("{}")
    (run.adapter / "optimizer.pt").write_bytes(b"state")
    run.resolved.write_text(dump_recipe(recipe), "utf-8")
    run.set_status("finished", labels=[*labels], aliases={}, training_images=[4, 30])
    _evaluated(run.evaluations / "test")
    return run


def _evaluated(folder: Path) -> None:
    """Of eight images: base writes 4 rightly and fine-tuned 6; by the list 5 and 7."""
    header = Header(
        task="classification", style="direct", labels=("cat", "dog"), expected=8, list_scores=True,
        temperatures={"base": 1.5, "tuned": 1.25},
        provenance=Provenance(model=BASE, data=f"csv {SECRET}/pets.csv"),
    )  # fmt: skip
    lines = [header_line(header)]
    for side, written, listed in (("base", 4, 5), ("tuned", 6, 7)):
        for number in range(8):
            likely = -0.1 if number < listed else -3.0
            made = {
                "side": side, "id": f"{number}", "image": f"{SECRET}/scans/{number}.jpg",
                "gold": "cat", "text": "cat" if number < written else "dog", "finished": True,
                "scores": {"cat": likely, "dog": -3.1 - likely},
            }  # fmt: skip
            lines.append(sample_line(derive(Sample.model_validate(made), header)))
    folder.mkdir(parents=True)
    (folder / "samples.jsonl").write_text("".join(lines), "utf-8")
    finish(folder)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A whole model as an exporter leaves it, with what is not to travel beside it."""
    folder = tmp_path / "exported"
    folder.mkdir()
    save_file({"weight": np.arange(4.0)}, folder / "model.safetensors")
    config = {"model_type": "qwen2_5_vl", "_name_or_path": f"{SECRET}/weights", "hidden": 4}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "pets-q8_0.gguf").write_bytes(b"GGUF")
    (folder / "Modelfile").write_text(f"FROM {SECRET.replace(' ', '_')}/pets-q8_0.gguf\n")
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {"/usr/bin": 1}}}')
    text = (
        "---\nlibrary_name: transformers\nlicense: mit\n---\n\n# Pets\n\n## Use it\n\nAs others.\n"
    )
    (folder / "README.md").write_text(text)
    Image.new("RGB", (8, 8)).save(folder / "example.png")
    (folder / "report.html").write_text("<img src='data:'>")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "config.json").write_text("{}")
    return folder
