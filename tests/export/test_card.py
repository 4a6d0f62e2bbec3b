"""An exported folder says what it is, and one that is broken is not taken for an export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes import recipe

from rftkit.errors import ModelError
from rftkit.export.card import CARD, ExportCard, exported_card, write_card
from rftkit.export.proof import Bounds, Proof
from rftkit.export.readme import write_readme

PROOF = Proof(8, 7, 0.0021, 0.01, 0.35, 0.004, 8, Bounds(0.01, 0.1, 0.05), (), ())
FILES = {"model-f16.gguf": "language model", "mmproj-f16.gguf": "image encoder"}


def card(**more: Any) -> ExportCard:
    return ExportCard("gguf", recipe(), ("cat", "dog"), {"puss": "cat"}, "Cat or dog?", "", {},
                      FILES, True)._replace(**more)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).touch()
    write_card(tmp_path, card(), {"config.json": "abc"})
    return tmp_path


def test_a_card_comes_back(folder: Path) -> None:
    assert exported_card(folder) == card()
    assert json.loads((folder / CARD).read_text())["copied_sha256"] == {"config.json": "abc"}


def test_one_that_nobody_proved_says_so(folder: Path) -> None:
    write_card(folder, card(proved=None), {})
    assert exported_card(folder).proved is None
    write_card(folder, card(proved=False), {})
    with pytest.raises(ModelError, match="failed its proof"):
        exported_card(folder)


def test_what_is_not_whole_is_refused(folder: Path) -> None:
    (folder / "mmproj-f16.gguf").unlink()
    with pytest.raises(ModelError, match=r"mmproj-f16\.gguf is missing"):
        exported_card(folder)
    held = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(held | {"format": 2}))
    with pytest.raises(ModelError, match="written by a newer rftkit"):
        exported_card(folder)
    (folder / CARD).write_text(json.dumps(held)[:-40])
    with pytest.raises(ModelError, match="damaged"):
        exported_card(folder)
    (folder / CARD).unlink()
    with pytest.raises(ModelError, match="not a folder that `rftkit export` wrote"):
        exported_card(folder)


def test_the_readme_says_how_it_is_asked_and_what_was_proved(tmp_path: Path) -> None:
    write_readme(tmp_path, "pets", card(), PROOF)
    text = (tmp_path / "README.md").read_text()
    assert "7 of 8 replies are the adapter's; log-probabilities differ by 0.0021" in text
    assert "```text\nCat or dog?\n```" in text
    assert "`cat`, `dog`" in text
    # the built-in model sees 56 x 56 pixels, a token for 28 x 28
    assert (
        "llama-server -m model-f16.gguf --mmproj mmproj-f16.gguf --temp 0 "
        "--image-min-tokens 4 --image-max-tokens 4\n" in text
    )
    write_readme(tmp_path, "pets", card(proved=None), None)
    assert "**Nothing was proved**" in (tmp_path / "README.md").read_text()
    write_readme(tmp_path, "pets", card(proved=False), PROOF)
    assert "**It failed its proof: do not use it.**" in (tmp_path / "README.md").read_text()


def test_merged_weights_come_with_code(tmp_path: Path) -> None:
    merged = card(kind="merged", files={"model.safetensors": "merged weights"})
    write_readme(tmp_path, "pets", merged, PROOF)
    text = (tmp_path / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    compile(code, "README.md", "exec")
    assert "PROMPT = 'Cat or dog?'" in code
    assert "thinking" not in code
    write_readme(tmp_path, "pets", merged._replace(kind="vllm"), PROOF)
    assert "sh serve.sh" in (tmp_path / "README.md").read_text()


def test_a_switch_for_thinking_stands_in_the_readme_of_gguf_files(tmp_path: Path) -> None:
    off, on = {"enable_thinking": False}, {"enable_thinking": True}
    write_readme(tmp_path, "pets", card(template=off), PROOF)
    text = (tmp_path / "README.md").read_text()
    assert " --chat-template-kwargs '{\"enable_thinking\": false}'\n```\n\nllama.cpp" in text
    write_readme(tmp_path, "pets", card(template=on), PROOF)
    text = (tmp_path / "README.md").read_text()
    assert "--chat-template-kwargs" not in text
    assert "send the whole prompt to `/completion` instead" in text
    write_card(tmp_path, card(template=on), {})
    for name in FILES:
        (tmp_path / name).touch()
    assert exported_card(tmp_path).template == on


def test_a_card_from_before_the_switch_has_none(folder: Path) -> None:
    held = json.loads((folder / CARD).read_text())
    del held["template"]
    (folder / CARD).write_text(json.dumps(held))
    assert exported_card(folder).template == {}
