"""The real vLLM on a CPU: its answers and scores are those of transformers, for both models."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from environments import driven

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("vllm") is None, reason="needs vllm: make test-vllm"),
]


@pytest.fixture(scope="module")
def told(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("vllm")
    return driven("vllm_driver.py", folder, str(folder), site="vllm_site")


@pytest.mark.parametrize("side", ["base", "tuned"])
def test_greedy_replies_are_those_of_transformers(told: dict[str, Any], side: str) -> None:
    assert told["vllm"][side] == told["transformers"][side]


@pytest.mark.parametrize("side", ["base scores", "tuned scores"])
def test_scores_are_those_of_transformers(told: dict[str, Any], side: str) -> None:
    for ours, reference in zip(told["vllm"][side], told["transformers"][side], strict=True):
        assert ours == pytest.approx(reference, abs=0.02)


def test_the_adapter_reaches_the_engine(told: dict[str, Any]) -> None:
    base, tuned = told["vllm"]["base scores"], told["vllm"]["tuned scores"]
    moved = [abs(a - b) for one, other in zip(base, tuned, strict=True)
             for a, b in zip(one, other, strict=True)]  # fmt: skip
    assert median(moved) > 0.05


@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_a_watched_reply_grows_token_by_token_and_can_be_stopped(
    told: dict[str, Any], engine: str
) -> None:
    found = told[engine]
    assert found["watched"] == found["tuned"][0]
    assert found["grown"] == sorted(found["grown"])
    assert len(found["grown"]) >= found["tokens"][0][0] > 3
    assert found["stopped"] in (2, 3)


def test_tokens_are_counted_alike(told: dict[str, Any]) -> None:
    assert told["vllm"]["tokens"] == told["transformers"]["tokens"]


@pytest.fixture(scope="module", params=["model.max_pixels=401408", "model.max_pixels=1600"])
def trained(
    tiny: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("trained")
    return driven("vllm_driver.py", folder, str(folder), "train", request.param, site="vllm_site")


def test_rollouts_of_vllm_train_the_model(trained: dict[str, Any]) -> None:
    assert trained["effective"]["use_vllm"] == "True"
    assert [line["step"] for line in trained["lines"]] == [1, 2, 3]
    assert max(line["grad_norm"] for line in trained["lines"]) > 0


def test_the_engine_reads_the_images_and_the_adapter_of_the_trainer(
    trained: dict[str, Any],
) -> None:
    assert len(trained["differences"]) == 3
    assert max(largest for _, largest in trained["differences"]) < 0.001


def test_the_engine_has_proved_itself_on_the_first_batch(trained: dict[str, Any]) -> None:
    lines = [line for line in trained["said"] if line.startswith("checked on the first batch")]
    assert len(lines) == 1
    assert "vLLM: log-probabilities differ by " in lines[0]
    assert trained["effective"]["checked vLLM"].startswith("log-probabilities differ by ")
    assert trained["effective"]["generation"] == "vllm"


def test_an_engine_that_is_another_model_gives_way_to_transformers(
    tiny: Path, tmp_path: Path
) -> None:
    found = driven("vllm_driver.py", tmp_path, str(tmp_path), "train", "+broken", site="vllm_site")
    lines = [line for line in found["said"] if "vLLM is not as the trainer" in line]
    assert len(lines) == 1
    assert lines[0].endswith("; transformers writes the completions")
    assert found["effective"]["generation"] == "transformers"
    assert found["effective"]["checked vLLM"].startswith("left: log-probabilities differ by 1e+00")
    assert "use_vllm" not in found["effective"]
    assert [line["step"] for line in found["lines"]] == [1, 2, 3]
    assert "checked vLLM" not in found["said"][-1]


def test_an_engine_that_is_right_serves_the_next_trainer_too(tiny: Path, tmp_path: Path) -> None:
    found = driven("vllm_driver.py", tmp_path, str(tmp_path), "train", "+leaky", site="vllm_site")
    assert any("shared prefixes are not as without" in line for line in found["said"])
    assert (found["effective"]["trainer"], found["effective"]["generation"]) == (
        "PlainPromptGRPOTrainer", "vllm",
    )  # fmt: skip
    assert found["effective"]["checked vLLM"].startswith("log-probabilities differ by ")
    assert max(largest for _, largest in found["differences"]) < 0.001
    assert [line["step"] for line in found["lines"]] == [1, 2, 3]


def test_a_report_names_the_engine(told: dict[str, Any]) -> None:
    assert told["facts"]["backend"] == "vllm"


def test_an_exported_model_answers_in_vllm_as_its_adapter_in_transformers(
    tiny: Path, tmp_path: Path
) -> None:
    told = driven("vllm_driver.py", tmp_path, str(tmp_path), "exported", site="vllm_site")
    assert told["vllm"] == told["transformers"] != told["base"]
    for ours, reference in zip(told["vllm scores"], told["transformers scores"], strict=True):
        assert ours == pytest.approx(reference, abs=0.02)
