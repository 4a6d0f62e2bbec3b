"""GRPO: a recipe and examples in, TRL's trainer, configured and never copied."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import set_seed

from rftkit.core import Example
from rftkit.errors import RecipeError
from rftkit.hardware import backends
from rftkit.hardware.memory_plan import Generation
from rftkit.hardware.memory_plan import Trainer as Loss
from rftkit.hardware.prompt_size import TEMPLATE_TOKENS, largest_prompt, longest_text
from rftkit.models.out_of_memory import free_memory
from rftkit.models.policy import Decoding, Prompt
from rftkit.patches.trl import own
from rftkit.rewards.length import LengthReward, auto_target
from rftkit.shared_prefix.trainer import obstacle, shared_prefix_trainer
from rftkit.tasks import get_task
from rftkit.training import vllm_rollouts
from rftkit.training.dataset import lazy_dataset, schedule
from rftkit.training.first_step import FirstStep, PathRefused, checked
from rftkit.training.halving import halving
from rftkit.training.merged_rollouts import writing_merged
from rftkit.training.reward_functions import RolloutLog, Scorer
from rftkit.training.trainer import (
    TrainingJob,
    common_arguments,
    fit,
    note,
    prints_to_stderr,
    verify,
)
from rftkit.training.vllm_agreement import Agreement
from rftkit.training.vllm_rollouts import engine_like, with_plain_prompts

PROMPTS_MEASURED = 64  # for method.length.target = "auto"
USED_BY_THE_LOSS = {  # setting -> the trainer's own copy of it, which is what the loss reads
    "beta": "beta",
    "loss_type": "loss_type",
    "epsilon": "epsilon_low",
    "epsilon_high": "epsilon_high",
    "num_generations": "num_generations",
    "num_iterations": "num_iterations",
    "scale_rewards": "scale_rewards",
    "temperature": "temperature",
    "max_completion_length": "max_completion_length",
    "importance_sampling_level": "importance_sampling_level",
    "mask_truncated_completions": "mask_truncated_completions",
}


@dataclass(frozen=True)
class Paths:
    """How this run computes.

    not_shared: why prompts are not shared; None where they are. writes: what writes completions.
    base: how the base model is had: by the adapter switched off, or as a copy of its own.
    """

    loss: Loss
    not_shared: str | None
    writes: Generation = "transformers"
    base: Literal["adapter off", "a copy"] = "adapter off"

    def record(self) -> dict[str, str]:
        """For effective.json."""
        return {
            "shared_prefix": "on" if self.not_shared is None else f"off: {self.not_shared}",
            "generation": self.writes,
            "base_model": self.base,
        }


@prints_to_stderr()
def train(job: TrainingJob, examples: Sequence[Example]) -> None:
    """Train the policy's adapter by GRPO on the examples.

    A fast path that is not as its slow twin on the first batch is left, and training begins anew
    without it.
    """
    check_budget(job, examples)
    attempt = _Attempt(_length_reward(job, examples), FirstStep())
    paths = _without_unchecked_copy(Paths(*choose_loss(job), writes=job.policy.generation), job)
    if job.resume and job.run.settings_in_force().get("base_model") == "a copy":
        paths, job.policy.base_apart = replace(paths, base="a copy"), True
    while True:
        try:
            fit(_trainer(job, examples, paths, attempt), job)
        except PathRefused as refused:
            paths, line = without(paths, refused, job)
            attempt.step.refuse(refused)
        else:
            return
        free_memory()  # outside the handler: its traceback holds the trainer that was left
        job.console.print(line, highlight=False, markup=False, soft_wrap=True)


@dataclass(frozen=True)
class _Attempt:
    """What outlasts a trainer that is left. engines: TRL's own vLLM, once it has started."""

    length: LengthReward | None
    step: FirstStep
    engines: list[Any] = field(default_factory=list)


def _trainer(job: TrainingJob, examples: Sequence[Example], paths: Paths, attempt: _Attempt) -> Any:
    """The trainer that computes by these paths, its settings verified."""
    recipe, policy, step = job.recipe, job.policy, attempt.step
    log = RolloutLog(job.run.rollouts, job.console, job.checkpointing.save_every)
    scorer = Scorer(recipe, examples, policy.stop_ids(), log, attempt.length)
    wanted = settings(job, scorer.all_weights()) | _vllm_settings(job, examples)
    forget_reference(policy.model)
    set_seed(recipe.seed)  # the adapter's first weights are drawn while the trainer is built
    kind = job.dress(trainer_class(paths))
    engine = engine_like(policy.processor, attempt.engines)
    with engine if paths.writes == "vllm" else nullcontext():
        trainer = kind(
            model=policy.model,
            reward_funcs=scorer.functions(),
            args=_config(paths.loss, wanted),
            train_dataset=_dataset(job, examples),
            processing_class=policy.processor,
            peft_config=policy.new_adapter(),  # added by TRL, KL is measured with it switched off
        )
    forget_reference(trainer.model)
    if paths.base == "a copy":
        add_reference(trainer.model)
    if paths.loss == "shared":
        trainer.features = policy.features  # one cache for training and evaluation
    verify(trainer, wanted, job.run, USED_BY_THE_LOSS, paths.record() | step.record())
    trainer.add_callback(Agreement(job.console))  # says nothing where transformers generates
    if paths.loss != "unsloth":
        trainer.first_step = step
        trainer.on_checked = partial(_say_checked, job)
        trainer.on_halved = partial(_say_halved, job)
    return trainer


def _without_unchecked_copy(paths: Paths, job: TrainingJob) -> Paths:
    """Unsloth's own trainer compares nothing: where it has to take over, no copy writes for it."""
    if paths.loss != "unsloth" or paths.writes != "merged":
        return paths
    job.policy.generation = "transformers"
    return replace(paths, writes="transformers")


def _say_checked(job: TrainingJob, step: FirstStep) -> None:
    note(job.run, step.record())
    if step.found:  # a resumed run by TRL's own loss has nothing left to compare
        job.console.print(step.line, highlight=False, markup=False, soft_wrap=True)


def _say_halved(job: TrainingJob, line: str) -> None:
    note(job.run, {"out_of_memory": line})
    job.console.print(line, highlight=False, markup=False, soft_wrap=True)


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


def choose_loss(job: TrainingJob) -> tuple[Loss, str | None]:
    """What computes the loss, and why prefixes are not shared; None where they are.

    Where sharing was left to rftkit and is not possible, the console says so. Raises RecipeError
    where it was asked for by name.
    """
    asked, backend = job.recipe.method.trainer, job.policy.facts().backend
    if asked == "unsloth" and backend != "unsloth":
        raise RecipeError(
            f"method.trainer: 'unsloth', but {backend} has loaded the model; set "
            'method.trainer = "auto"'
        )
    if asked in ("unsloth", "trl"):
        return asked, f'method.trainer = "{asked}"'
    off = obstacle(job.policy.model)
    if off is None:
        return "shared", None
    if asked == "shared":
        raise RecipeError(
            f"method.trainer: 'shared' is not possible here: {off}; set method.trainer = \"auto\""
        )
    loss: Loss = "unsloth" if backend == "unsloth" else "trl"
    name = "Unsloth's" if loss == "unsloth" else "TRL's"
    line = f"shared-prefix GRPO is off ({off}); using {name} own loss"
    job.console.print(line, highlight=False, markup=False)
    return loss, off


def trainer_class(paths: Paths) -> Any:
    """The class that trains. Open the backend before: Unsloth patches TRL as it is imported."""
    import trl

    if paths.loss == "shared":
        kind = shared_prefix_trainer()
    else:
        kind = trl.GRPOTrainer if paths.loss == "unsloth" else own("GRPOTrainer")
    kind = with_plain_prompts(kind) if paths.writes == "vllm" else kind
    kind = writing_merged(kind) if paths.writes == "merged" else kind
    kind = kind if paths.loss == "unsloth" else halving(checked(kind))
    return saving_one_adapter(kind) if paths.base == "a copy" else kind


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


def check_budget(job: TrainingJob, examples: Sequence[Example]) -> None:
    """Raises RecipeError if a gold answer alone is longer than a completion may be."""
    task, budget = get_task(job.recipe.task), job.recipe.method.max_new_tokens
    longest = max(examples, key=lambda example: len(task.written(example)))
    tokens = job.policy.count_tokens(task.written(longest))
    if tokens >= budget:
        raise RecipeError(
            f"method.max_new_tokens: {budget}, but the answer of {longest.id} alone has {tokens} "
            "tokens; raise it, or leave such images out"
        )


def _length_reward(job: TrainingJob, examples: Sequence[Example]) -> LengthReward | None:
    """What measures the reasoning, its target settled; None without a length reward."""
    length, policy = job.recipe.method.length, job.policy
    if length is None:
        return None
    name = "reason" if job.recipe.style == "answer-first" else "think"
    rewards = LengthReward(
        length, 0.0, policy.processor.tokenizer.decode, (f"<{name}>", f"</{name}>")
    )
    if length.target != "auto":
        return replace(rewards, target=float(length.target))
    kept_target = job.run.status().get("length_target")
    target = float(kept_target) if kept_target else auto_target(_lengths(job, examples, rewards))
    job.run.set_status("running", length_target=target)  # a resumed run keeps it
    line = f"method.length.target: {target:g} tokens"
    job.console.print(line, highlight=False, markup=False)
    return replace(rewards, target=target)


def _lengths(job: TrainingJob, examples: Sequence[Example], rewards: LengthReward) -> list[int]:
    """The tokens of the base model's reasoning on the first training prompts."""
    recipe, policy, task = job.recipe, job.policy, get_task(job.recipe.task)
    decoding = Decoding(recipe.method.max_new_tokens, seed=recipe.seed)
    chosen, size, lengths = examples[:PROMPTS_MEASURED], recipe.eval.batch_size, list[int]()
    tokenizer = policy.processor.tokenizer
    with policy.base():
        for start in range(0, len(chosen), size):
            prompts = [
                Prompt(example.image, task.prompt(example, recipe.style), others=example.others)
                for example in chosen[start : start + size]
            ]
            for made in policy.generate(prompts, decoding).completions:
                ids = tokenizer(made.text, add_special_tokens=False)["input_ids"]
                lengths.append(rewards.tokens(ids))
    return lengths


def settings(job: TrainingJob, weights: Sequence[float]) -> dict[str, Any]:
    """Every setting of TRL's GRPO that decides the result, by TRL's name."""
    method, update = job.recipe.method, job.recipe.method.update
    rows = method.batch_size * method.group_size
    common = common_arguments(job, rows, method.group_size)
    return common | {
        "num_generations": method.group_size,
        "steps_per_generation": common["gradient_accumulation_steps"],
        "num_iterations": 1,
        "max_completion_length": method.max_new_tokens,
        "temperature": method.temperature,
        "top_p": 1.0,
        "top_k": 0,
        "repetition_penalty": 1.0,
        "generation_kwargs": {"suppress_tokens": job.policy.banned_ids()},
        "beta": method.kl,
        "loss_type": "grpo" if method.loss == "gspo" else method.loss,
        "epsilon": update.clip[0],
        "epsilon_high": update.clip[1],
        "importance_sampling_level": "sequence" if method.loss == "gspo" else "token",
        "scale_rewards": update.scale_rewards,
        "mask_truncated_completions": update.mask_truncated,
        "multi_objective_aggregation": update.aggregation,
        "reward_weights": list(weights),
        "disable_dropout": True,
        "log_completions": False,
    }


def _vllm_settings(job: TrainingJob, examples: Sequence[Example]) -> dict[str, Any]:
    """TRL's settings of its vLLM engine; none where transformers generates.

    Raises RecipeError if a prompt is longer than estimated: the engine has no room for it.
    """
    policy = job.policy
    if policy.generation != "vllm":
        return {}
    prompt, text = largest_prompt(job.recipe, examples), longest_text(job.recipe, examples)
    tokens, room = policy.count_tokens(text), prompt.text_tokens - TEMPLATE_TOKENS
    if tokens > room:
        raise RecipeError(
            f"model.generation: a prompt of {tokens} tokens was estimated at {room}, and vLLM "
            'has no room for it; set model.generation = "transformers"'
        )
    return vllm_rollouts.trainer_settings(job.recipe, policy.banned_ids(), backends.here(), prompt)


def _config(loss: Loss, wanted: dict[str, Any]) -> Any:
    import trl

    kind = trl.GRPOConfig if loss == "unsloth" else own("GRPOConfig")
    return kind(**wanted)


def _dataset(job: TrainingJob, examples: Sequence[Example]) -> Any:
    recipe, task = job.recipe, get_task(job.recipe.task)
    order = schedule(len(examples), recipe.method.steps * recipe.method.batch_size, recipe.seed)

    def columns(example: Example) -> dict[str, Any]:
        return {"prompt": [{"role": "user", "content": task.prompt(example, recipe.style)}]}

    return lazy_dataset(examples, order, columns)
