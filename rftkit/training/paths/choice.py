"""What computes a GRPO run: chosen before it, left where the first batch refuses it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from rftkit.errors import RecipeError
from rftkit.hardware.phases import Generation
from rftkit.hardware.phases import Trainer as Loss
from rftkit.patches.trl import own
from rftkit.shared_prefix.trainer import obstacle, shared_prefix_trainer
from rftkit.training.paths.first_step import checked
from rftkit.training.paths.halving import halving
from rftkit.training.paths.merged_rollouts import writing_merged
from rftkit.training.paths.reference import saving_one_adapter
from rftkit.training.paths.twin import PathRefused
from rftkit.training.paths.vllm_rollouts import with_plain_prompts
from rftkit.training.summed import summing
from rftkit.training.trainer import TrainingJob


@dataclass(frozen=True)
class Paths:
    """How this run computes.

    not_shared: why prompts are not shared; None where they are. writes: what writes completions.
    base: how the base model is had: by the adapter switched off, or as a copy of its own. summed:
    whether all answers follow a sampled thought in place of the sampled one.
    """

    loss: Loss
    not_shared: str | None
    writes: Generation = "transformers"
    base: Literal["adapter off", "a copy"] = "adapter off"
    summed: bool = False

    def record(self) -> dict[str, str]:
        """For effective.json."""
        return {
            "shared_prefix": "on" if self.not_shared is None else f"off: {self.not_shared}",
            "generation": self.writes,
            "base_model": self.base,
        }


def choose_loss(job: TrainingJob) -> tuple[Loss, str | None]:
    """What computes the loss, and why prefixes are not shared; None where they are.

    Where sharing was left to rftkit and is not possible, the console says so. Raises RecipeError
    where it was asked for by name.
    """
    asked, backend = job.recipe.method.trainer, job.policy.facts().backend
    if asked in ("unsloth", "trl"):
        return asked, f'method.trainer = "{asked}"'
    off = obstacle(job.policy.model)
    if off is None:
        return "shared", None
    if asked == "shared":
        raise RecipeError(
            f"method.trainer: 'shared' is not possible here: {off}; set method.trainer = \"auto\""
        )
    summed = job.recipe.method.answers == "summed"  # which Unsloth's compiled class cannot do
    loss: Loss = "unsloth" if backend == "unsloth" and not summed else "trl"
    name = "Unsloth's" if loss == "unsloth" else "TRL's"
    line = f"shared-prefix GRPO is off ({off}); using {name} own loss"
    job.console.print(line, highlight=False, markup=False)
    return loss, off


def without_unchecked_copy(paths: Paths, job: TrainingJob) -> Paths:
    """Unsloth's own trainer compares nothing: where it has to take over, no copy writes for it."""
    if paths.loss != "unsloth" or paths.writes != "merged":
        return paths
    job.policy.generation = "transformers"
    return replace(paths, writes="transformers")


def without(paths: Paths, refused: PathRefused, job: TrainingJob) -> tuple[Paths, str]:
    """The paths without the one that was refused, and the line that says so."""
    why = f"not as without on the first batch: {refused.why}"
    if refused.path == "shared prefixes":
        job.policy.shares = False
        line = f"shared prefixes are {why}; using TRL's own loss"
        return replace(paths, loss="trl", not_shared=refused.why), line
    if refused.path in ("vLLM", "merged copy"):
        job.policy.generation = "transformers"
        line = (
            f"{refused.path} is not as the trainer on the first batch: {refused.why}; transformers "
            "writes the completions"
        )
        return replace(paths, writes="transformers"), line
    job.policy.base_apart = True
    line = f"the adapter switched off is not the base: {refused.why}; the base is loaded beside it"
    return replace(paths, base="a copy"), line


def trainer_class(paths: Paths) -> Any:
    """The class that trains. Open the backend before: Unsloth patches TRL as it is imported."""
    import trl

    if paths.loss == "shared":
        kind = shared_prefix_trainer()
    else:
        kind = trl.GRPOTrainer if paths.loss == "unsloth" else own("GRPOTrainer")
    kind = with_plain_prompts(kind) if paths.writes == "vllm" else kind
    kind = writing_merged(kind) if paths.writes == "merged" else kind
    kind = summing(kind) if paths.summed else kind
    kind = kind if paths.loss == "unsloth" else halving(checked(kind))
    return saving_one_adapter(kind) if paths.base == "a copy" else kind
