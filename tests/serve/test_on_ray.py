"""The configuration for Ray Serve in the documentation says what the application reads.

Ray itself is not among the packages that the tests need.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from rftkit.errors import UserError
from rftkit.serve.on_ray import Arguments, options_of

PAGE = Path(__file__).parents[2] / "docs" / "serve.md"


def configuration() -> dict[str, Any]:
    (block,) = re.findall(r"```yaml\n(.+?)```", PAGE.read_text("utf-8"), re.DOTALL)
    held: dict[str, Any] = yaml.safe_load(block)
    return held


def test_the_file_of_the_page_names_the_application_and_its_arguments() -> None:
    (application,) = configuration()["applications"]
    module, _, name = application["import_path"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    options = options_of(application["args"])
    assert (options.ckpt, options.limits.batch) == (Path("/shared/out/pets"), 16)
    assert [one["name"] for one in application["deployments"]] == ["rftkit"]
    assert [*application["runtime_env"]["env_vars"]] == ["RFTKIT_API_KEY"]


def test_the_page_lists_the_arguments() -> None:
    line = next(line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("`args`"))
    assert re.findall(r"`(\w+)`", line.partition(":")[2]) == [*Arguments.model_fields]


def test_the_key_comes_from_the_replica_s_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RFTKIT_API_KEY", "s3cret")
    assert options_of({"ckpt": "x"}).api_key == "s3cret"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "args.ckpt: Field required"),
        ({"ckpt": "x", "port": 1}, "args.port: Extra inputs"),
        ({"ckpt": "x", "max_batch": "many"}, "args.max_batch: Input should be a valid integer"),
    ],
)
def test_arguments_that_cannot_be_used(args: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        options_of(args)
    assert str(error.value).startswith(said)
