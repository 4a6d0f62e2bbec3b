"""The weights in the package are whole, and of the courses that this version has."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open

from rftkit.models.tiny.cache import CARD, SHIPPED, ensure_tiny, version_of, what_is_wrong
from rftkit.models.tiny.courses import COURSES
from rftkit.models.tiny.ship import WEIGHTS


@pytest.mark.parametrize("name", COURSES)
def test_the_model_in_the_package_is_taken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RFTKIT_CACHE", "/nonexistent/cache")  # nothing is built there
    folder = ensure_tiny(name)
    assert folder == SHIPPED / name
    assert what_is_wrong(folder, version_of(name)) is None
    assert json.loads((folder / CARD).read_text("utf-8"))["name"] == name


@pytest.mark.parametrize("name", COURSES)
def test_its_weights_have_16_bits_and_are_loaded_in_32(name: str) -> None:
    folder = SHIPPED / name
    with safe_open(folder / WEIGHTS, "pt") as weights:
        kinds = {weights.get_tensor(key).dtype for key in weights.keys()}  # noqa: SIM118
    assert kinds == {torch.float16}
    assert json.loads((folder / "config.json").read_text("utf-8"))["dtype"] == "float32"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5_000_000
