"""The adapter `ref`, by which TRL measures KL where the base model is a copy of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch


@cache
def saving_one_adapter(kind: Any) -> Any:
    """A class of trainers whose checkpoints hold the trained adapter alone.

    Of a checkpoint with further adapters, in folders of their own, transformers would load only
    those.
    """

    class OneAdapterTrainer(kind):
        """`ref` is made anew by `add_reference`."""

        def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
            super()._save(output_dir, state_dict)
            shutil.rmtree(Path(output_dir or self.args.output_dir) / "ref", ignore_errors=True)

    OneAdapterTrainer.__name__ = kind.__name__
    return OneAdapterTrainer


def forget_reference(model: Any) -> None:
    """Delete the adapter `ref`, a copy that TRL makes of an adapter that is there already.

    It takes that for a trained one. Ours is new: with it switched off the model is the base.
    """
    if "ref" in getattr(model, "peft_config", {}):
        model.delete_adapter("ref")


def add_reference(model: Any) -> None:
    """The adapter `ref`, by which TRL then measures KL: a new one, which changes nothing."""
    with torch.random.fork_rng():
        model.add_adapter("ref", model.peft_config["default"])
    model.set_adapter("default")


@contextmanager
def unlearnt(model: Any) -> Iterator[None]:
    """Within it the trained adapter changes nothing, as a new one: a warm-up has taught it."""
    trained = [weight for name, weight in model.named_parameters() if ".lora_B.default" in name]
    kept = [weight.detach().clone() for weight in trained]
    with torch.no_grad():
        for weight in trained:
            weight.zero_()
        try:
            yield
        finally:
            for weight, value in zip(trained, kept, strict=True):
                weight.copy_(value)
