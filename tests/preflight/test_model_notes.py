"""What `check` says of models of which nothing is declared."""

from __future__ import annotations

from pathlib import Path

from rftkit.preflight.model_notes import model_notes
from rftkit.recipe.sections import Model


def test_nothing_is_said_of_a_known_family() -> None:
    for name in ("tiny", "Qwen/Qwen3.5-4B", "google/gemma-4-E2B-it", "OpenGVLab/InternVL3_5-2B-HF"):
        assert model_notes(Model(name=name)) == ()


def test_what_is_unknown_of_an_undeclared_architecture_is_said(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "aya_vision"}', "utf-8")
    (note,) = model_notes(Model(name=str(tmp_path)))
    assert note.startswith(f"model.name: '{tmp_path}' (architecture 'aya_vision') is of no family")
    for unknown in ("prompts are not shared", "whatever model.max_pixels says"):
        assert unknown in note
