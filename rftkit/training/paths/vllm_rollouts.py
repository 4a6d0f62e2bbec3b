"""What TRL needs for rollouts by vLLM: settings, plain prompts, an engine like the trainer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cache, partial
from typing import Any

from rftkit.errors import ModelError
from rftkit.hardware.backends import Here, backend_of, engine_room
from rftkit.hardware.prompt_size import PromptSize
from rftkit.messages import first_line
from rftkit.models import out_of_memory
from rftkit.models.vllm_options import engine_options
from rftkit.patches.trl import engine_built_by
from rftkit.recipe.schema import Recipe


def engine_like(processor: Any, engines: list[Any] | None = None) -> AbstractContextManager[None]:
    """Within it a trainer of TRL's builds its engine with `engine_options`.

    engines: where the first one is kept; a second trainer gets it again, since a process has room
    for one.
    Building it raises ModelError where vLLM does not start, TrainingError where memory runs out
    meanwhile. What else is raised within, such as TRL's own errors about its settings, stays.
    """
    made = [] if engines is None else engines
    return engine_built_by(partial(_started, engine_options(processor), made))


def _started(
    options: Mapping[str, Any], made: list[Any], engine: Any, *args: Any, **kwargs: Any
) -> Any:
    try:
        with out_of_memory.named("starting vLLM", out_of_memory.STARTING):
            if not made:
                made.append(engine(*args, **{**kwargs, **options}))
            return made[0]
    except (AssertionError, ImportError, OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"model.generation: vLLM does not start ({first_line(error)}); see "
            '`rftkit doctor`, or set model.generation = "transformers"'
        ) from error


@cache
def with_plain_prompts(kind: Any) -> Any:
    """A class of trainers that hands vLLM prompts with one placeholder for each image."""

    class PlainPromptTrainer(kind):
        """Gives the engine the prompts as their text has them; the loss reads them as before."""

        def _tokenize_prompts(self, prompts: list[Any]) -> Any:
            texts = self.processing_class.apply_chat_template(
                prompts,
                chat_template=self.chat_template,
                add_generation_prompt=True,
                tokenize=False,
                **self.chat_template_kwargs,
            )
            tokenizer = self.processing_class.tokenizer
            self._plain = tokenizer(texts, add_special_tokens=False)["input_ids"]
            return super()._tokenize_prompts(prompts)

        def _generate_single_turn(self, prompt_ids: list[Any], *given: Any, **more: Any) -> Any:
            assert len(prompt_ids) == len(self._plain), "TRL asks for the prompts it tokenized"
            return super()._generate_single_turn(self._plain, *given, **more)

    PlainPromptTrainer.__name__ = f"PlainPrompt{kind.__name__}"
    return PlainPromptTrainer


def trainer_settings(
    recipe: Recipe, banned: list[int], machine: Here, prompt: PromptSize
) -> dict[str, Any]:
    """TRL's settings of the engine, where vLLM writes the completions.

    banned: ids that must not be sampled, which vLLM takes as a bias. prompt: the largest one.
    """
    own_copy = backend_of(recipe.model, machine) == "transformers"
    room = engine_room(recipe, machine, prompt)
    return {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": room.share,
        "vllm_max_model_length": room.longest,
        # what it holds beside the trainer's weights is given back while the trainer works; where
        # they share them, Unsloth's engine for images cannot
        "vllm_enable_sleep_mode": own_copy and machine.cuda,
        "vllm_importance_sampling_correction": True,
        "vllm_importance_sampling_mode": "sequence_mask",
        "vllm_importance_sampling_clip_max": 3.0,
        "top_k": -1,  # none, in vLLM's words, to which Unsloth changes a 0
        "generation_kwargs": {"logit_bias": dict.fromkeys(banned, -100.0)},
    }
