"""An export, loaded by what runs it, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rftkit.export.answers import InTransformers
from rftkit.export.held_out import image_tokens
from rftkit.export.llama_cpp.convert import GgufFiles
from rftkit.export.llama_cpp.server import Limits, LlamaCpp, Reading, serving
from rftkit.export.markup import markup_of
from rftkit.export.proof import Asked, Side, answered
from rftkit.models.policy import Prompt, rendered
from rftkit.models.processing.template import undecided
from rftkit.recipe.sections import Model

LONGEST = 8192  # tokens of prompt and reply that a server makes room for, at most
BY_TEMPLATE = 2  # prompts that are asked by the file's own chat template too


def side_of_merged(folder: Path, settings: Model, asked: Asked) -> Side:
    """What merged weights answer, loaded by transformers from their folder alone."""
    from rftkit.models.transformers import open_transformers

    policy = open_transformers(settings.model_copy(update={"name": str(folder)}))
    return answered(InTransformers(policy), asked)


def side_of_gguf(
    made: GgufFiles, merged: Path, settings: Model, asked: Asked, as_sent: Sequence[Prompt]
) -> Side:
    """What GGUF files answer in llama.cpp. merged: the folder that they were made from.

    as_sent: the same prompts, with images in their own size.
    """
    from rftkit.models import loading

    source = loading.Source(str(merged), None)
    processor = loading.load_processor_of(source, settings)
    limits = Limits(min(LONGEST, loading.longest(source)), image_tokens(settings))
    with serving(made, _reading(processor), limits) as llama:
        side = answered(llama, asked)
        faults = tuple(_otherwise(llama, processor, asked, side))
        own = llama.answers(as_sent, asked.tokens)
        same = sum(a.text == b.text for a, b in zip(side.answers, own, strict=True))
        return replace(side, faults=faults, as_sent=same)


def same_replies(side: Side, model: InTransformers, asked: Asked) -> int:
    """How many of an export's replies are those of another model, letter for letter."""
    others = model.answers(asked.prompts, asked.tokens)
    return sum(a.text == b.text for a, b in zip(side.answers, others, strict=True))


def stops_of(folder: Path, processor: Any) -> list[str]:
    """The texts of the tokens that end a reply."""
    from transformers import GenerationConfig

    declared = GenerationConfig.from_pretrained(folder, trust_remote_code=False).eos_token_id
    ids = declared if isinstance(declared, list) else [declared]
    tokenizer = processor.tokenizer
    wanted = sorted({tokenizer.eos_token_id, *ids} - {None})
    return [str(token) for token in tokenizer.convert_ids_to_tokens(wanted)]


def _reading(processor: Any) -> Reading:
    tokenizer = processor.tokenizer

    def ids(text: str, ended: bool) -> list[int]:
        whole = text + (tokenizer.eos_token if ended else "")
        found: list[int] = tokenizer(whole, add_special_tokens=False)["input_ids"]
        return found

    def text(tokens: Any) -> str:
        return str(tokenizer.decode(tokens, skip_special_tokens=False))

    mark = markup_of(processor, thinks=False).image  # the same, whether it is to think or not
    return Reading(lambda prompt: rendered(processor, prompt), mark, ids, text)


def _otherwise(llama: LlamaCpp, processor: Any, asked: Asked, side: Side) -> list[str]:
    """What llama.cpp reads otherwise than transformers: prompts, or the chat template."""
    faults = list[str]()
    for prompt in asked.prompts:
        images = [image.open() for image in (prompt.image, *prompt.others)]
        text = rendered(processor, prompt)
        expected = len(processor(text=[text], images=[images])["input_ids"][0])
        if (tokens := llama.prompt_tokens(prompt)) != expected:
            faults.append(f"{prompt.image.name}: {tokens} tokens of prompt, {expected} in training")
            break
    for prompt, answer in [*zip(asked.prompts, side.answers, strict=True)][:BY_TEMPLATE]:
        template = undecided(processor, prompt.thinks)
        if prompt.prefill or any(template.values()):
            continue  # it cannot be asked so: the template alone does not write this prompt
        if (reply := llama.chat(prompt, asked.tokens, template)) != answer.text:
            faults.append(
                f"by its own chat template it replies {reply[:80]!r}, not {answer.text[:80]!r}"
            )
            break
    return faults
