"""The wording of errors: near names are offered, others listed; the first line of a reason."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from peft import PeftModel

from rftkit.errors import ModelError, TrainingError, UserError
from rftkit.hardware import backends
from rftkit.messages import did_you_mean, first_line
from rftkit.metrics import Summary
from rftkit.metrics.files import read_summary
from rftkit.models import adapters, out_of_memory
from rftkit.models.vllm import open_vllm
from rftkit.recipe.sections import Model


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        *[("lable", "label"), ("img", "image"), ("images", "image"), ("vall", "val")],
        *[("grup", "group"), ("file", "file_name"), ("anotations", "annotations")],
    ],
)
def test_a_typo_is_recognised(wrong: str, meant: str) -> None:
    known = ["id", "categories", "split", meant]
    assert did_you_mean(wrong, known) == f"did you mean {meant!r}?"


@pytest.mark.parametrize(
    ("wrong", "known"),
    [
        ("width", ["id", "file_name", "height_px"]),
        ("images", ["categories", "annotations"]),
        ("bbox", ["id", "box_count"]),
    ],
)
def test_another_name_is_not_taken_for_a_typo(wrong: str, known: list[str]) -> None:
    assert did_you_mean(wrong, known) == f"there are: {', '.join(known)}"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("no such layer\nsee the log"), "no such layer"),
        (ValueError("\n  no such layer  \nsee the log"), "no such layer"),
        (RuntimeError(), "RuntimeError"),
        (RuntimeError(" \n"), "RuntimeError"),
        (ImportError("x" * 300), "x" * 160),
    ],
)
def test_the_first_line_of_an_error_says_what_it_is(error: Exception, line: str) -> None:
    assert first_line(error) == line


def test_an_error_without_text_is_reported_and_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TrainingError, match=r"while evaluating \(OutOfMemoryError\)"):  # noqa: SIM117
        with out_of_memory.named("evaluating", "less"):
            raise torch.OutOfMemoryError
    monkeypatch.setattr(PeftModel, "from_pretrained", fails)
    monkeypatch.setattr(adapters, "_fitting", lambda *_: None)
    with pytest.raises(ModelError, match=r"does not fit the model \(ValueError\)"):
        adapters.put_adapter(object(), tmp_path)
    monkeypatch.setattr(Summary, "model_validate_json", fails)
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(UserError, match=r"summary.json: cannot be read \(ValueError\)"):
        read_summary(tmp_path)


def test_a_vllm_that_does_not_load_and_does_not_say_why_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Refuses(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise ImportError

    monkeypatch.setattr(backends, "ENVIRONMENT", {})
    monkeypatch.setitem(sys.modules, "vllm", Refuses("vllm"))
    with pytest.raises(ModelError, match=r"--engine vllm: ImportError;"):
        open_vllm(Model(name="tiny"))


def fails(*_: object, **__: object) -> object:
    raise ValueError
