"""A recipe and examples in, the trainer, configured."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from transformers import TrainingArguments, set_seed

from rftkit.core import Example
from rftkit.model_info.limits import TOKENS_AT_ONCE
from rftkit.shared_prefix.supported import unsupported
from rftkit.training.exact.answers import questions
from rftkit.training.exact.check import compare
from rftkit.training.exact.objectives import Goal
from rftkit.training.exact.samples import Samples
from rftkit.training.exact.trainer import ExactTrainer, Passes
from rftkit.training.paths.first_step import FirstStep
from rftkit.training.reward_functions import RolloutLog, Scorer
from rftkit.training.trainer import (
    WHOLE_BATCH_BELOW,
    TrainingJob,
    common_arguments,
    fit,
    note,
    prints_to_stderr,
    verify,
)


@prints_to_stderr()
def train(job: TrainingJob, examples: Sequence[Example]) -> None:
    """Train the policy's adapter on sums over the answers of each example."""
    recipe, policy, wanted = job.recipe, job.policy, settings(job)
    every, before = job.session.save_every, job.phase.before
    log = RolloutLog(job.run.rollouts, job.console, every, before, job.tracker, job.patience)
    scorer = Scorer(recipe, examples, policy.stop_ids(), log)
    not_shared = _not_shared(job)
    if job.resume and job.run.settings_in_force().get("base_model") == "a copy":
        policy.base_apart = True
    set_seed(recipe.seed)  # the adapter's first weights are drawn now
    small = policy.model.num_parameters() < WHOLE_BATCH_BELOW
    tokens = Passes.tokens_at_once if small else TOKENS_AT_ONCE
    kind: Any = job.dress(ExactTrainer)
    trainer = kind(
        model=_with_adapter(job, checkpointed=wanted["gradient_checkpointing"]),
        args=TrainingArguments(**wanted),
        train_dataset=_dataset(job, examples),
        policy=policy,
        question=questions(recipe, policy, scorer),
        goal=goal(job),
        passes=Passes(recipe.method.temperature, tokens, shared=not_shared is None),
    )
    shown = {"shared_prefix": "on" if not_shared is None else f"off: {not_shared}"}
    verify(trainer, wanted, job.run, facts=shown | _base(job))
    step = FirstStep()
    trainer.on_first = partial(compare, step, partial(_say_checked, job))
    trainer.on_halved = partial(_say_halved, job)
    trainer.on_step = Samples(scorer, log)
    fit(trainer, job)


def settings(job: TrainingJob) -> dict[str, Any]:
    """Every setting of the trainer that decides the result, by transformers' name."""
    size = job.recipe.method.batch_size  # the trainer itself cuts a step into parts
    common = common_arguments(job, size, size)
    del common["shuffle_dataset"]  # TRL's
    return common | {
        "train_sampling_strategy": "sequential",
        "label_names": ["index"],
    }


def goal(job: TrainingJob) -> Goal:
    """What the recipe wants to be maximised."""
    exact = job.recipe.method.exact
    return Goal(
        objective=exact.objective,
        within_list=exact.within_list,
        beta=exact.beta,
        kl=job.recipe.method.kl,
        brier=exact.brier,
    )


def _not_shared(job: TrainingJob) -> str | None:
    """Why prompts are computed once for each answer; None where once is enough."""
    asked = job.recipe.method.trainer
    if asked in ("unsloth", "trl"):
        return f'method.trainer = "{asked}"'
    why = unsupported(job.policy.model)
    if why:
        line = f"prompts are computed once for each answer ({why})"
        job.console.print(line, highlight=False, markup=False)
    return why


def _with_adapter(job: TrainingJob, *, checkpointed: bool) -> Any:
    from peft import get_peft_model

    model, adapter = job.policy.model, job.policy.new_adapter()
    if adapter is not None:
        model = get_peft_model(model, adapter)
        if checkpointed:
            model.enable_input_require_grads()
    job.policy.model = model
    return model


def _dataset(job: TrainingJob, examples: Sequence[Example]) -> list[dict[str, int]]:
    return [{"index": index} for index in job.schedule(examples)]


def _say_checked(job: TrainingJob, step: FirstStep) -> None:
    note(job.run, step.record() | _base(job))
    lines = [step.line] if step.found else []
    lines += [f"{path} {words}; the slower path is taken" for path, words in step.left.items()]
    for line in lines:
        job.console.print(line, highlight=False, markup=False, soft_wrap=True)


def _base(job: TrainingJob) -> dict[str, str]:
    return {"base_model": "a copy" if job.policy.base_apart else "adapter off"}


def _say_halved(job: TrainingJob, line: str) -> None:
    note(job.run, {"out_of_memory": line})
    job.console.print(line, highlight=False, markup=False, soft_wrap=True)
