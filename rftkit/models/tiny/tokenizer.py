"""The tiny model's tokenizer: byte-level BPE trained on the spot, with Qwen's special tokens."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from rftkit.answers.replies import INSTRUCTIONS

END, PAD = "<|im_end|>", "<|endoftext|>"
SPECIALS = (
    *(PAD, "<|im_start|>", END, "<|vision_start|>", "<|vision_end|>"),
    *("<|image_pad|>", "<|video_pad|>"),
)
# Not special: decoding a reply must keep them.
TAGS = ("<think>", "</think>", "<answer>", "</answer>", "<reason>", "</reason>")
# One token each: it halves the prompt, and with it the time of a step on a CPU.
PHRASES = tuple(dict.fromkeys(INSTRUCTIONS.values()))
# A name's letters stay apart from its digits, and every digit is a token, as in Qwen's own. Unlike
# there, ", " and ": " are words: a label in a list is then the same token as in the answer.
WORDS = Regex(r"[,:] | ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s")

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' or 'image' in part or 'image_url' in part %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def train_tokenizer(
    texts: Iterable[str], size: int, phrases: tuple[str, ...] = ()
) -> PreTrainedTokenizerFast:
    """A tokenizer of `size` tokens or fewer, beside the special ones, that knows these texts.

    phrases: further texts that are one token each.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(WORDS, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIALS])
    whole = (*TAGS, *PHRASES, *phrases)
    bpe.add_tokens([AddedToken(text, special=False, normalized=False) for text in whole])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=list(SPECIALS),
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )


def token_ids(tokenizer: PreTrainedTokenizerFast, tokens: Iterable[str]) -> list[int]:
    """The id of each of these tokens, which must be in the vocabulary."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    return [vocabulary[token] for token in tokens]
