"""What is known of each family beside its sizes and boxes: licence, thinking, other programs.

Of the programs it is what they say of themselves; nothing here decides what rftkit does.
"""

from __future__ import annotations

from dataclasses import dataclass

UNSLOTH_VLLM = "yes, with its vLLM"
UNSLOTH_ALONE = "yes, without its vLLM"
FLOAT32 = "; fp16 cards (T4) compute in 32 bit"


@dataclass(frozen=True)
class Support:
    """Words about a family, for docs/models.md.

    boxes: as it was trained to write them. thinking: what its chat template offers, and what
    becomes of it. images: how they are shown within `model.max_pixels`. unsloth, vllm: whether they
    take it, and from which version. four_bit: advice. tested: transformers' name of the
    architecture whose tiny model the tests train.
    """

    licence: str
    boxes: str
    images: str
    unsloth: str
    vllm: str
    tested: str
    thinking: str = "no switch"
    four_bit: str = "yes"


QWEN_IMAGES = "whole, by the pixel"
SUPPORT = {
    "Qwen2-VL": Support(
        "Apache-2.0", "0–1000, x first", QWEN_IMAGES, UNSLOTH_ALONE, "yes", "qwen2_vl"
    ),
    "Qwen2.5-VL": Support(
        "Apache-2.0 (3B: Qwen Research)", "pixels of the resized image, x first", QWEN_IMAGES,
        UNSLOTH_VLLM, "yes", "qwen2_5_vl",
    ),
    "Qwen3-VL": Support(
        "Apache-2.0", "0–1000, x first", QWEN_IMAGES, UNSLOTH_VLLM, "yes", "qwen3_vl"
    ),
    "Qwen3.5": Support(
        "Apache-2.0", "0–1000, x first", QWEN_IMAGES, UNSLOTH_ALONE + FLOAT32, "0.17", "qwen3_5",
        thinking="on in the styles think and adaptive, off in the others",
        four_bit="Unsloth advises against it: `load_in_4bit = false`",
    ),
    "Idefics3": Support(
        "Apache-2.0", "none documented", "17 tiles at most, whatever the budget", UNSLOTH_ALONE,
        "yes", "smolvlm",
    ),
    "Gemma 3": Support(
        "Gemma Terms of Use", "none documented", "896 × 896, 256 tokens, whatever the budget",
        UNSLOTH_VLLM + FLOAT32, "yes", "gemma3",
    ),
    "Gemma 4": Support(
        "Apache-2.0", "0–1000, y first", "whole: 70, 140 or 280 tokens of 48 × 48 pixels",
        UNSLOTH_ALONE + FLOAT32, "0.19.1 (12B: 0.23)", "gemma4",
        thinking="off: its thoughts are in a form of its own",
    ),
    "InternVL3.5": Support(
        "Apache-2.0", "0–1000, x first", "1 to 12 tiles of 448 × 448, and the whole",
        "not named", "0.10", "internvl",
    ),
    "LFM2-VL": Support(
        "LFM Open License 1.0", "2.5-3B: 0–1000, x first; 2.5-450M, 2.5-1.6B: 0–1, x first",
        "whole up to 256 tokens, then 2 to 10 tiles of 512 × 512", "not named", "0.23 (2.5)",
        "lfm2_vl",
    ),
    "LLaVA-OneVision": Support(
        "Apache-2.0", "none documented", "1 to 9 tiles of 384 × 384, and the whole; one image a "
        "prompt", "not named", "yes", "llava_onevision",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Advice:
    """The model that a new recipe names on a GPU of so many gigabytes."""

    gigabytes: int
    hub: str


# The largest whose recipe fits by plan with the defaults, of the newest family of which everything
# that makes a GPU run fast is known to work: shared prefixes, 4 bit, Unsloth with its vLLM.
TODAY = (
    Advice(8, "Qwen/Qwen3-VL-2B-Instruct"),
    Advice(12, "Qwen/Qwen3-VL-4B-Instruct"),
    Advice(16, "Qwen/Qwen3-VL-8B-Instruct"),
    Advice(24, "Qwen/Qwen3-VL-8B-Instruct"),
)


def advised(gigabytes: float) -> Advice:
    """For a GPU of this size; for 12 GB where it is not known (0)."""
    if not gigabytes:
        return TODAY[1]
    fitting = [one for one in TODAY if one.gigabytes <= gigabytes + 0.5]
    return fitting[-1] if fitting else TODAY[0]
