"""What torch is told about the GPU's memory before it is imported."""

from __future__ import annotations

import os

import pytest

from rftkit.hardware import allocator


@pytest.mark.parametrize(("vllm", "given", "expected"), [
    (False, {}, "expandable_segments:True"),
    (True, {}, None),
    (False, {"PYTORCH_ALLOC_CONF": "max_split_size_mb:64"}, "max_split_size_mb:64"),
    (False, {"PYTORCH_CUDA_ALLOC_CONF": "backend:native"}, None),
])  # fmt: skip
def test_blocks_grow_unless_the_user_or_vllm_says_otherwise(
    vllm: bool, given: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in allocator.NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(allocator, "find_spec", lambda name: object() if vllm else None)
    allocator.grow_segments()
    assert os.environ.get("PYTORCH_ALLOC_CONF") == expected
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "")  # taken back afterwards, with what was set here
