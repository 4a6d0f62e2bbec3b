"""SFT: a recipe and examples in, TRL's trainer, configured. The loss is on the reply only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import set_seed

from rftkit.core import Example
from rftkit.tasks import get_task
from rftkit.training.dataset import lazy_dataset
from rftkit.training.trainer import (
    TrainingJob,
    chat_options,
    common_arguments,
    fit,
    prints_to_stderr,
    verify,
)


@prints_to_stderr()
def train(job: TrainingJob, examples: Sequence[Example]) -> None:
    """Train the policy's adapter on the ideal replies to the examples."""
    from trl import SFTTrainer  # after the backend: Unsloth patches TRL as it is imported

    recipe, wanted = job.recipe, settings(job)
    set_seed(recipe.seed)  # the adapter's first weights are drawn while the trainer is built
    trainer = job.dress(SFTTrainer)(
        model=job.policy.model,
        args=_config(wanted),
        train_dataset=_dataset(job, examples),
        processing_class=job.policy.processor,
        peft_config=job.policy.new_adapter(),
    )
    verify(trainer, wanted, job.run)
    fit(trainer, job)


def settings(job: TrainingJob) -> dict[str, Any]:
    """Every setting of TRL's SFT that decides the result, by TRL's name."""
    return common_arguments(job, job.recipe.method.batch_size, 1) | {
        "completion_only_loss": True,
        "max_length": _longest(job),  # a cut prompt would lose image tokens
        "packing": False,
        "loss_type": "nll",
        "train_sampling_strategy": "sequential",
    }


def _longest(job: TrainingJob) -> int | None:
    """No limit; under Unsloth, which always has one, that of the model it has loaded."""
    unsloth = job.policy.facts().backend == "unsloth"
    return int(job.policy.model.max_seq_length) if unsloth else None


def _config(wanted: dict[str, Any]) -> Any:
    from trl import SFTConfig

    return SFTConfig(**wanted)


def _dataset(job: TrainingJob, examples: Sequence[Example]) -> Any:
    recipe, task, options = job.recipe, get_task(job.recipe.task), chat_options(job)

    def columns(example: Example) -> dict[str, Any]:
        question, reply = task.prompt(example, recipe.style), task.target(example, recipe.style)
        return {
            "prompt": [{"role": "user", "content": question}],
            "completion": [{"role": "assistant", "content": reply}],
            **options,
        }

    return lazy_dataset(examples, job.schedule(examples), columns)
