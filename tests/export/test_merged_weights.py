"""Merged weights are compared with the base's, tensor by tensor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rftkit.export.publish import ProofError
from rftkit.export.weights import check_merged, stored_dtype

BASE = {
    "layers.0.q": torch.ones(4, 4, dtype=torch.bfloat16),
    "layers.0.norm": torch.ones(4, dtype=torch.float32),
    "visual.patch": torch.arange(8.0).to(torch.bfloat16),
}


def saved(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Two files with an index, as large models have."""
    folder = tmp_path / "base"
    folder.mkdir()
    first = {"layers.0.q": BASE["layers.0.q"]}
    save_file(first, folder / "a.safetensors")
    rest = {name: value for name, value in BASE.items() if name not in first}
    save_file({**rest, "mtp.head": torch.ones(2)}, folder / "b.safetensors")
    places = {"layers.0.q": "a.safetensors", **dict.fromkeys((*rest, "mtp.head"), "b.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return folder


def test_one_merged_matrix_and_the_rest_as_it_was(base: Path, tmp_path: Path) -> None:
    merged = {**BASE, "layers.0.q": BASE["layers.0.q"] * 2}
    found = check_merged(base, saved(tmp_path / "out", merged), adapted=1)
    assert (found.changed, found.tensors, found.left_out) == (1, 3, ("mtp.head",))
    assert found.dtype == "bfloat16"
    assert found.words().startswith("1 of 3 tensors merged in bfloat16")
    assert found.words().endswith(
        "1 that transformers does not load are left out, such as mtp.head"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"visual.patch": torch.ones(8, dtype=torch.bfloat16)}, "2 tensors differ from the base's"),
        ({"layers.1.q": torch.ones(2)}, "1 tensors that the base has not, as layers.1.q"),
        ({"layers.0.norm": torch.full((4,), torch.nan)}, "layers.0.norm has another shape, or is"),
        ({"layers.0.norm": torch.ones(5)}, "layers.0.norm has another shape"),
    ],
)
def test_what_no_adapter_does_is_refused(
    base: Path, tmp_path: Path, change: dict[str, torch.Tensor], message: str
) -> None:
    merged = {**BASE, "layers.0.q": BASE["layers.0.q"] * 2, **change}
    with pytest.raises(ProofError, match=message):
        check_merged(base, saved(tmp_path / "out", merged), adapted=1)


def test_the_format_is_that_of_most_numbers(base: Path, tmp_path: Path) -> None:
    assert stored_dtype(base) == torch.bfloat16
    half = saved(tmp_path / "half", {"a": torch.ones(9).half(), "b": torch.ones(8)})
    assert stored_dtype(half) == torch.float16
