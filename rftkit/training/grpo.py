"""GRPO: a recipe and examples in, TRL's trainer, configured and never copied."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from transformers import set_seed

from rftkit.core import Example
from rftkit.errors import RecipeError
from rftkit.hardware import backends
from rftkit.hardware.phases import Trainer as Loss
from rftkit.hardware.prompt_size import TEMPLATE_TOKENS, largest_prompt, longest_text
from rftkit.models.out_of_memory import free_memory
from rftkit.models.policy import Decoding, prompt_of
from rftkit.patches.trl import own
from rftkit.rewards.length import LengthReward, auto_target
from rftkit.tasks import get_task
from rftkit.training.dataset import lazy_dataset
from rftkit.training.paths import vllm_rollouts
from rftkit.training.paths.choice import (
    Paths,
    choose_loss,
    trainer_class,
    without,
    without_unchecked_copy,
)
from rftkit.training.paths.first_step import FirstStep
from rftkit.training.paths.reference import add_reference, forget_reference
from rftkit.training.paths.twin import PathRefused
from rftkit.training.paths.vllm_agreement import Agreement
from rftkit.training.paths.vllm_rollouts import engine_like
from rftkit.training.reward_functions import RolloutLog, Scorer
from rftkit.training.summed import Answers
from rftkit.training.trainer import (
    TrainingJob,
    chat_options,
    common_arguments,
    fit,
    note,
    prints_to_stderr,
    verify,
)

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


@prints_to_stderr()
def train(job: TrainingJob, examples: Sequence[Example]) -> None:
    """Train the policy's adapter by GRPO on the examples.

    A fast path that is not as its slow twin on the first batch is left, and training begins anew
    without it.
    """
    method = job.recipe.method
    check_budget(job, examples)
    attempt = _Attempt(_length_reward(job, examples), FirstStep())
    begun = Paths(*choose_loss(job), job.policy.generation, summed=method.answers == "summed")
    paths = without_unchecked_copy(begun, job)
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
    every, before = job.session.save_every, job.phase.before
    log = RolloutLog(job.run.rollouts, job.console, every, before, job.tracker, job.patience)
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
    if paths.summed:
        trainer.answers = Answers(recipe, policy, scorer)
    if paths.loss == "shared":
        trainer.features = policy.features  # one cache for training and evaluation
    verify(trainer, wanted, job.run, USED_BY_THE_LOSS, paths.record() | step.record())
    trainer.add_callback(Agreement(job.console))  # says nothing where transformers generates
    if paths.loss != "unsloth":
        trainer.first_step = step
        trainer.on_checked = partial(_say_checked, job)
        trainer.on_halved = partial(_say_halved, job)
    return trainer


def _say_checked(job: TrainingJob, step: FirstStep) -> None:
    note(job.run, step.record())
    if step.found:  # a resumed run by TRL's own loss has nothing left to compare
        job.console.print(step.line, highlight=False, markup=False, soft_wrap=True)


def _say_halved(job: TrainingJob, line: str) -> None:
    note(job.run, {"out_of_memory": line})
    job.console.print(line, highlight=False, markup=False, soft_wrap=True)


def check_before(job: TrainingJob, examples: Sequence[Example]) -> None:
    """What GRPO needs to begin, settled or refused before a warm-up is spent on it."""
    check_budget(job, examples)
    _length_reward(job, examples)  # a target of the base model is written to the run
    _vllm_settings(job, examples)


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
                prompt_of(task, example, recipe.style) for example in chosen[start : start + size]
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
        **chat_options(job),
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

    def columns(example: Example) -> dict[str, Any]:
        return {"prompt": [{"role": "user", "content": task.prompt(example, recipe.style)}]}

    return lazy_dataset(examples, job.schedule(examples), columns)
