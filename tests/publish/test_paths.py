"""What tells where files lie on a machine does not leave it."""

from __future__ import annotations

import json

import pytest

from rftkit.publish.paths import in_json, in_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM /home/anna/pets/model.gguf", "FROM model.gguf"),
        ("BASE = '/data/models/qwen-vl/'", "BASE = 'qwen-vl'"),
        ("in `~/pets/scans` there", "in `scans` there"),
        ("see https://huggingface.co/docs/trl", "see https://huggingface.co/docs/trl"),
        ("<think>why</think>/<answer>a</answer>", "<think>why</think>/<answer>a</answer>"),
        ("out/pets/adapter and ./a/b", "out/pets/adapter and ./a/b"),
        ("base Acme/Tiny-VL, 1/2/3 of them", "base Acme/Tiny-VL, 1/2/3 of them"),
    ],
)
def test_an_absolute_path_in_a_text_is_cut_to_its_name(text: str, expected: str) -> None:
    assert in_text(text) == expected


def test_of_paths_in_json_the_names_stay_and_the_rest_is_as_it_was() -> None:
    held = {
        "_name_or_path": "/models/x",
        "a": ["/a b/c/d.py", "/think"],
        "n": [1, None],
        "u": "A/B",
    }
    cut = {"_name_or_path": "x", "a": ["/a b/c/d.py", "/think"], "n": [1, None], "u": "A/B"}
    assert json.loads(in_json(json.dumps(held))) == cut


def test_json_without_a_path_is_not_rewritten() -> None:
    assert in_json('{ "r":8 }') == '{ "r":8 }'
