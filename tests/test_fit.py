"""What a trainer does with its settings after libraries had their hands on them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fakes
import pytest
import torch
from rich.console import Console

from rftkit.errors import ModelError
from rftkit.fit import Job, fit, verify, widen
from rftkit.grpo import USED_BY_THE_LOSS
from rftkit.runs import Run

WANTED = {
    "beta": 0.0, "loss_type": "dapo", "epsilon": 0.2, "epsilon_high": 0.2, "temperature": 1.0,
    "mask_truncated_completions": False, "scale_rewards": "group", "max_steps": 9,
}  # fmt: skip
COPIES = {name: copy for name, copy in USED_BY_THE_LOSS.items() if name in WANTED}


def trainer(**changed: Any) -> Any:
    """A trainer whose settings a library changed, in its arguments and in its own copies."""
    has = {**WANTED, **changed}
    own = {copy: has[name] for name, copy in COPIES.items()}
    return SimpleNamespace(args=SimpleNamespace(**has), **own)


@pytest.mark.parametrize(("name", "copy", "rewritten"), [
    ("epsilon_high", "epsilon_high", 0.28),
    ("mask_truncated_completions", "mask_truncated_completions", True),
    ("scale_rewards", "scale_rewards", False),
    ("epsilon", "epsilon_low", 0.1),
])  # fmt: skip
def test_a_silent_rewrite_is_put_back(
    name: str, copy: str, rewritten: object, tmp_path: Path
) -> None:
    found = trainer(**{name: rewritten})
    verify(found, WANTED, Run(tmp_path), COPIES)
    assert (getattr(found.args, name), getattr(found, copy)) == (WANTED[name], WANTED[name])
    assert json.loads(Run(tmp_path).effective.read_text())[name] == str(WANTED[name])


@pytest.mark.parametrize(("name", "rewritten"), [
    ("beta", 0.001), ("loss_type", "bnpo"), ("max_steps", 100), ("temperature", 0.9),
])  # fmt: skip
def test_a_rewrite_that_cannot_be_put_back_stops_the_run(
    name: str, rewritten: object, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=f"{name}: the recipe asks for .* changed it to"):
        verify(trainer(**{name: rewritten}), WANTED, Run(tmp_path), COPIES)


def test_nothing_is_added_to_a_trainer_that_was_not_asked_for_it(tmp_path: Path) -> None:
    found = SimpleNamespace(args=SimpleNamespace(max_steps=9))
    verify(found, {"max_steps": 9}, Run(tmp_path))
    assert vars(found) == {"args": SimpleNamespace(max_steps=9)}


def test_only_what_is_trained_is_put_in_32_bit() -> None:
    model = torch.nn.ModuleList([torch.nn.Linear(2, 2, dtype=torch.bfloat16) for _ in range(2)])
    model[0].requires_grad_(False)
    widen(model)
    assert [part.weight.dtype for part in model] == [torch.bfloat16, torch.float32]


def test_the_adapter_is_in_32_bit_when_training_begins(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2, dtype=torch.bfloat16)  # as TRL leaves that of a quantised model
    seen = list[torch.dtype]()
    trainer = SimpleNamespace(
        model=model,
        args=SimpleNamespace(fp16=False),
        add_callback=lambda callback: None,
        remove_callback=lambda callback: None,
        train=lambda **_: seen.extend(p.dtype for p in model.parameters()),
    )
    policy = fakes.FakePolicy(answer=fakes.never)
    fit(trainer, Job(fakes.recipe(), policy, Run(tmp_path), Console(file=io.StringIO())))
    assert seen == [torch.float32, torch.float32]
