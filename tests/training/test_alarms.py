"""Each alarm goes off for a stream of metrics that shows its fault, once, and for no other."""

from __future__ import annotations

import io
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from rftkit.files import append_line, read_lines
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import parse_recipe
from rftkit.runs.run import RunFolder
from rftkit.training.alarms.rules import RULES, Watch
from rftkit.training.alarms.seen import LIMITS, Alarm
from rftkit.training.alarms.watch import AlarmError, Alarms

Record = dict[str, Any]
WELL = {
    "loss": 0.1, "grad_norm": 0.5, "reward": 1.0, "truncated": 0.0, "silent_groups": 0.2,
    "kl": 0.01, "entropy": 0.5, "repetition": 0.0, "rewards": {"accuracy": 0.5, "format": 0.5},
}  # fmt: skip


@pytest.fixture
def recipe() -> Recipe:
    return parse_recipe("", "test", ["model.name=tiny", "data.source=digits", "data.shots=8"])


def steps(count: int, first: int = 1, **changes: object) -> Iterator[Record]:
    for number in range(first, first + count):
        yield {"step": number, **WELL, **changes}


def rising(count: int, accuracy: float, form: float) -> Iterator[Record]:
    """The accuracy stays, the format's reward goes from 0.1 up by so much."""
    for number in range(count):
        paid = {"accuracy": accuracy, "format": 0.1 + form * number / (count - 1)}
        yield {"step": number + 1, **WELL, "rewards": paid}


FAULTS: dict[str, list[Record]] = {
    "truncated": [*steps(5), *steps(3, 6, truncated=0.97)],
    "silent": [*steps(5), *steps(10, 6, silent_groups=1.0)],
    "held_out": [
        *steps(4),
        *steps(1, 5, validation=0.8, reward=1.0),
        *steps(4, 6, reward=1.3),
        *steps(1, 10, validation=0.69, reward=1.4),
    ],
    "repetition": [*steps(5), *steps(3, 6, repetition=0.6)],
    "entropy_low": [*steps(5), *steps(5, 6, entropy=0.001, silent_groups=0.8)],
    "entropy_high": [*steps(5), *steps(5, 6, entropy=5.2)],
    "kl": [*steps(10), *steps(1, 11, kl=5.1)],
    "grad_norm": [*steps(10), *steps(1, 11, grad_norm=31.0)],
    "format_only": [*rising(20, 0.3, 0.8)],
}


def names(recipe: Recipe, records: list[Record]) -> list[tuple[int, str]]:
    watch = Watch(recipe)
    return [(alarm.step, alarm.name) for one in records for alarm in watch.step(one)]


@pytest.mark.parametrize("name", FAULTS)
def test_an_alarm_goes_off_at_the_last_of_its_steps_and_no_other_does(
    recipe: Recipe, name: str
) -> None:
    records = FAULTS[name]
    assert names(recipe, records) == [(records[-1]["step"], name)]
    assert names(recipe, records[:-1]) == []
    again = [{**records[-1], "step": len(records) + n} for n in range(1, 15)]
    assert names(recipe, [*records, *again]).count((records[-1]["step"], name)) == 1
    assert sum(found == name for _, found in names(recipe, [*records, *again])) == 1


def test_every_rule_has_a_stream_that_sets_it_off() -> None:
    assert {*FAULTS, "unchanged", "disk"} == {*RULES}


@pytest.mark.parametrize(
    "records",
    [
        [*steps(60)],
        [*steps(60, silent_groups=0.99)],
        [*steps(60, truncated=0.9)],
        [*steps(30, entropy=3.0)],  # high from the beginning: a large vocabulary
        [*steps(30), *steps(30, 31, entropy=0.005)],  # low, but the groups still differ
        [*steps(5), *steps(1, 6, validation=0.8), *steps(1, 7, validation=0.71, reward=2.0)],
        [*steps(5), *steps(1, 6, validation=0.8), *steps(1, 7, validation=0.4, reward=0.5)],
        [*steps(9), *steps(1, 10, kl=5.0, grad_norm=50.0)],  # too early to know what is usual
        [*rising(20, 0.95, 0.8)],
        [*rising(19, 0.3, 0.8)],
        [{"step": n, "phase": "warmup", "loss": 2.0, "grad_norm": 0.1} for n in range(1, 40)],
        [{"step": 1, "loss": 0.0}],
    ],
)
def test_what_is_not_a_fault_sets_none_off(recipe: Recipe, records: list[Record]) -> None:
    assert names(recipe, records) == []


def test_imitation_whose_loss_falls_while_held_out_accuracy_does(recipe: Recipe) -> None:
    records = [
        {"step": 1, "loss": 1.0, "validation": 0.7},
        {"step": 2, "loss": 0.5},
        {"step": 3, "loss": 0.1, "validation": 0.5},
    ]
    (alarm,) = (alarm for watch in [Watch(recipe)] for one in records for alarm in watch.step(one))
    assert alarm.text == (
        "since step 1 the loss fell, and held-out accuracy fell from 70.0% to 50.0%"
    )


def test_a_budget_that_is_too_small_is_named(recipe: Recipe) -> None:
    watch = Watch(recipe)
    (alarm,) = (alarm for one in FAULTS["truncated"] for alarm in watch.step(one))
    budget = recipe.method.max_new_tokens
    assert alarm.line.startswith(
        f"step 8: 97% of the completions of 3 steps were cut off at {budget} tokens; raise "
        "method.max_new_tokens"
    )


class Tower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(4, 4).requires_grad_(False)
        self.adapter = nn.Linear(4, 4)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def control() -> Any:
    return SimpleNamespace(should_save=False, should_training_stop=False)


def watching(recipe: Recipe, run: RunFolder, stop: bool = False) -> tuple[Alarms, io.StringIO]:
    text = io.StringIO()
    return Alarms(recipe, run, Console(file=text, width=400), stop), text


@pytest.mark.parametrize(("move", "said"), [(0.0, True), (1e-12, True), (1e-6, False)])
def test_an_adapter_that_does_not_move_is_noticed_after_five_steps(
    recipe: Recipe, run: RunFolder, move: float, said: bool
) -> None:
    alarms, text = watching(recipe, run)
    model = Tower().double()
    with torch.no_grad():
        model.adapter.weight.zero_()
        alarms.begin(model, 0)
        for record in steps(8):
            model.base.weight.add_(1.0)
            model.adapter.weight.add_(move)
            alarms.step(record, model, control())
    found = read_lines(run.alarms)
    assert [(line["step"], line["name"]) for line in found] == ([(5, "unchanged")] if said else [])
    assert text.getvalue().startswith("Alarm: step 5: after 5 steps the adapter is" if said else "")


def test_a_disk_that_fills_is_noticed_while_there_is_room(
    recipe: Recipe, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    free = [2**30]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**40, 0, free[0]))
    alarms, text = watching(recipe, run)
    alarms.begin(Tower(), 0)
    for number, record in enumerate(steps(4)):
        free[0] = 2**30 if number < 2 else 2 * 2**20
        alarms.step(record, Tower(), control())
    (line,) = read_lines(run.alarms)
    assert (line["step"], line["name"]) == (3, "disk")
    assert "step 3: the disk has room for 2.0 checkpoints more; make room" in text.getvalue()


@pytest.mark.parametrize("stop", [True, False])
def test_the_first_alarm_ends_training_where_that_is_asked(
    recipe: Recipe, run: RunFolder, stop: bool
) -> None:
    alarms, _ = watching(recipe, run, stop)
    alarms.begin(nn.Linear(1, 1), 0)
    controls = [control() for _ in FAULTS["kl"]]
    for record, asked in zip(FAULTS["kl"], controls, strict=True):
        record = {**record, "step": record["step"]}
        alarms.steps = 100  # this adapter is not looked at
        alarms.step(record, nn.Linear(1, 1), asked)
    assert [asked.should_save for asked in controls] == [False] * 10 + [stop]
    assert [asked.should_training_stop for asked in controls] == [False] * 10 + [stop]
    if stop:
        with pytest.raises(
            AlarmError, match=r"^stopped by --stop-on alarm: step 11: KL to the base"
        ):
            alarms.raise_any()
    else:
        alarms.raise_any()


def test_a_resumed_run_knows_its_steps_and_says_no_alarm_twice(
    recipe: Recipe, run: RunFolder
) -> None:
    records = FAULTS["truncated"]
    for record in records[:-1]:
        append_line(run.metrics, record)
    for alarm in (Alarm(2, "kl", "seen", "done"), Alarm(9, "silent", "lost", "with its step")):
        append_line(run.alarms, alarm._asdict())
    alarms, _ = watching(recipe, run)
    alarms.begin(Tower(), 7)
    assert alarms.watch.raised == {"kl"}
    alarms.step(records[-1], Tower(), control())
    assert [line["name"] for line in read_lines(run.alarms)] == ["kl", "truncated"]


def test_the_limits_of_an_alarm_stand_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "alarms.md").read_text("utf-8")
    for name, rule in RULES.items():
        when = rule.when.format(**vars(LIMITS))
        assert f"| `{name}` | {when} | {rule.advice} |" in page
