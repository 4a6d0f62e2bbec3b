"""A model of the hub that cannot be had is said in one line at once, before a run begins."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from huggingface_hub import constants
from rich.console import Console

from rftkit.errors import HubError
from rftkit.models import hub
from rftkit.models.hub import require_model
from rftkit.recipe.sections import Model
from rftkit.training.request import TrainRequest
from rftkit.training.run import train


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for name in ("https_proxy", "HTTPS_PROXY"):  # nothing listens there: as good as no network
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return tmp_path / "hub"


def downloaded(cache: Path, name: str) -> None:
    """What the hub's library leaves of a model whose configuration was downloaded."""
    folder = cache / f"models--{name.replace('/', '--')}"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc" / "config.json").write_text("{}")


def test_a_run_is_not_begun(cache: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('model = { name = "some/model" }\ndata = { source = "digits", shots = 1 }')
    started = time.process_time()
    with pytest.raises(HubError, match=r"^model\.name: some/model: the hub cannot be reached, and"):
        train(TrainRequest(recipe=recipe, out=tmp_path / "run"), Console(file=io.StringIO()))
    assert time.process_time() - started < 30
    assert not (tmp_path / "run").exists()


def test_what_was_downloaded_is_read_without_asking(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloaded(cache, "some/model")
    monkeypatch.setattr(hub.os, "environ", {**hub.os.environ})
    require_model(Model(name="some/model"))
    assert constants.HF_HUB_OFFLINE
    assert hub.os.environ["HF_HUB_OFFLINE"] == "1"
    with pytest.raises(HubError):
        require_model(Model(name="some/model@v2"))


@pytest.mark.parametrize("name", ["tiny", "./mine", "/models/mine", "~/mine"])
def test_local_models_need_no_hub(cache: Path, name: str) -> None:
    require_model(Model(name=name))
    assert not constants.HF_HUB_OFFLINE


def test_a_hub_that_answers_is_left_alone(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "reachable", lambda url: True)
    require_model(Model(name="some/model"))
    assert not constants.HF_HUB_OFFLINE
