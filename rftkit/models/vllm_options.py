"""vLLM in the process of TRL's trainer, made to read the prompts and pictures the trainer reads.

TRL 1.14, and Unsloth after it, build the engine without the limits of our image processor, and hand
it prompts that hold a token for every patch of a picture already. vLLM puts those tokens in itself,
so that every picture would stand in the prompt twice (huggingface/trl, issue 6294).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

from rftkit.errors import ModelError
from rftkit.messages import first_line
from rftkit.models import loading
from rftkit.models import out_of_memory as memory

PICTURES = 8  # of one prompt, at most


def engine_options(processor: Any) -> dict[str, Any]:
    """What vLLM's engine has to be told so that it computes as transformers does."""
    dtype = str(loading.dtype_here()).removeprefix("torch.")
    return {"dtype": dtype, **pictures_of_engine(processor)}


def pictures_of_engine(processor: Any) -> dict[str, Any]:
    """How many pictures of a prompt the engine takes, and the limits of our image processor."""
    size, edges = processor.image_processor.size, ("shortest_edge", "longest_edge")
    limited = all(name in size for name in edges)
    limits = {"size": {name: size[name] for name in edges}} if limited else {}
    return {
        "limit_mm_per_prompt": {"image": PICTURES, "video": 0},
        "mm_processor_kwargs": limits,
    }


@contextmanager
def engine_like(processor: Any) -> Iterator[None]:
    """Within it a trainer of TRL's builds its engine with `engine_options`.

    Raises ModelError where vLLM does not start, TrainingError where memory runs out meanwhile.
    """
    from trl.generation import vllm_generation

    own = vllm_generation.LLM
    vllm_generation.LLM = partial(own, **engine_options(processor))
    try:
        with memory.named("starting vLLM", memory.LOADING):
            yield
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        first = first_line(error)
        raise ModelError(
            f"model.generation: vLLM does not start ({first}); see `rftkit doctor`, or set "
            'model.generation = "transformers"'
        ) from None
    finally:
        vllm_generation.LLM = own


@cache
def with_plain_prompts(kind: Any) -> Any:
    """A class of trainers that hands vLLM prompts with one placeholder for each picture."""

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
