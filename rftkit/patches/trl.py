"""Patches of TRL 1.14: the order of a shuffled batch, and how vLLM's engine is built.

The overrides of GRPOTrainer's own methods stand in `shared_prefix/trainer.py` and
`training/paths/vllm_rollouts.py`; `changed` knows the parameters that they were written for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from rftkit.errors import ModelError
from rftkit.patches import parameters, reads_global, replaced

OVERRIDDEN = {  # methods of GRPOTrainer -> the names of their parameters
    "_compute_loss": "self model inputs",
    "_generate_and_score_completions": "self inputs",
    "_generate_single_turn": "self prompt_ids images multimodal_fields num_generations "
    "has_tool_images",
    "_get_per_token_logps_and_entropies": "self model args batch_size compute_aux_loss kwargs",
    "_prepare_inputs": "self generation_batch",
    "_tokenize_prompts": "self prompts",
}

Rows = dict[str, Any]


def own(name: str) -> Any:
    """TRL's own class of this name, also where Unsloth has put one of its own in its place.

    The module of Unsloth's class, which is generated from TRL's source, imports TRL's by name.
    """
    import trl

    found = getattr(trl, name)
    if not found.__module__.startswith("trl."):
        found = vars(sys.modules[found.__module__])[name]
    assert found.__module__.startswith("trl."), f"{name} is not TRL's, but {found.__module__}'s"
    return found


def changed() -> str | None:
    """The first of what rftkit overrides or replaces that TRL has changed; None if nothing."""
    from trl.trainer import grpo_trainer

    trainer = own("GRPOTrainer")
    for name, expected in OVERRIDDEN.items():
        if not hasattr(trainer, name) or parameters(getattr(trainer, name)) != expected:
            return f"GRPOTrainer.{name}"
    if not reads_global(trainer._prepare_inputs, "shuffle_sequence_dict"):
        return "GRPOTrainer._prepare_inputs"
    if parameters(grpo_trainer.shuffle_sequence_dict) != "seq_dict":
        return "shuffle_sequence_dict"
    return None


@contextmanager
def reordered_after_shuffle(reorder: Callable[[Rows], Rows]) -> Iterator[None]:
    """Within it `reorder` sees every batch of rows that TRL has shuffled, before it is cut.

    `_prepare_inputs` shuffles the rows of a generation batch and cuts them into micro-batches in
    one go; no method of the trainer is called in between.
    """
    from trl.trainer import grpo_trainer

    shuffle = grpo_trainer.shuffle_sequence_dict
    ours = partial(_reordered, shuffle, reorder)
    with replaced(grpo_trainer, "shuffle_sequence_dict", ours):
        yield


def _reordered(shuffle: Any, reorder: Callable[[Rows], Rows], rows: Rows) -> Rows:
    return reorder(shuffle(rows))


@contextmanager
def engine_built_by(build: Callable[..., Any]) -> Iterator[None]:
    """Within it TRL gets its vLLM engine from `build(LLM, *args, **kwargs)`, not from LLM itself.

    A GRPOConfig has no field for most of the engine's options.
    Raises ModelError where vLLM is missing, or TRL builds its engine in another way.
    """
    from trl.generation import vllm_generation

    if not reads_global(vllm_generation.VLLMGeneration._init_vllm, "LLM"):
        raise ModelError(
            "model.generation: TRL builds vLLM's engine in another way than 1.14 does; install "
            "the versions of constraints.txt"
        )
    engine = vars(vllm_generation).get("LLM")  # imported there only if vLLM is installed
    if engine is None:
        raise ModelError(
            "model.generation: vLLM is not installed, or TRL cannot use its version; see "
            '`rftkit doctor`, or set model.generation = "transformers"'
        )
    with replaced(vllm_generation, "LLM", partial(build, engine)):
        yield
