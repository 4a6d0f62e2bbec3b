"""What each part of a run takes of the GPU, in bytes, by formula.

Every number is counted from sizes, in the number format the part has on a GPU: 2 bytes for
activations and unquantised weights, 4 for norms and logits within a computation. Nothing here was
fitted to a measurement; docs/measured.md says what has been measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rftkit.hardware.gpus import GIB
from rftkit.model_info.shapes import Shape, Text, Vision

HALF, FULL = 2, 4  # bytes of a number
# NF4, double quantised: 4 bits, a byte for the scale of 64 weights, and 4 for that of 256 scales.
# Source: QLoRA (arXiv 2305.14314), section 3: 0.127 bits a weight beside the four
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
CUDA = 0.6 * GIB  # context and kernels of torch, cuBLAS and bitsandbytes, beside the allocator
FRAGMENTS = 0.05  # of what comes and goes: blocks the allocator holds and cannot give
ENGINE = 0.5 * GIB  # vLLM's own workspaces
GRAPHS = 0.5 * GIB  # its CUDA graphs with an adapter; 0.15 to 1.0 by Unsloth's own estimate
ENGINE_TOKENS = 8192  # that vLLM computes at once, of texts and of images


@dataclass(frozen=True)
class Weights:
    """Bytes of the base model: language matrices, rest of the language model, vision encoder."""

    matrices: float
    rest: float
    vision: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.matrices + self.rest + self.vision


def weights(shape: Shape, four_bit: bool) -> Weights:
    """Of the base model; embeddings, head, norms and the vision encoder stay in 16 bit."""
    each = NF4 if four_bit else HALF
    return Weights(shape.matrices * each, float(shape.rest * HALF), float(shape.vision_size * HALF))


def adapter_size(shape: Shape, rank: int, vision: bool) -> int:
    """Parameters of LoRA: rank × (inputs + outputs) for every matrix it adapts."""
    return rank * (shape.adapted + (shape.adapted_vision if vision else 0))


def kv_bytes(text: Text) -> int:
    """Keys and values of one token in all layers that keep them."""
    return 2 * (text.kv_layers or text.layers) * text.key_heads * text.head * HALF


def layer_bytes(text: Text, gradients: bool) -> int:
    """What one token takes within a layer: kept for the backward pass, or only passing through.

    Kept: the input and output of both norms in 16 and 32 bit, queries, keys, values and output of
    the attention before and after their rotation, the four inner rows of the MLP, and the gradients
    of its two widest. Passing through: three of the inner rows, and no second copy.
    """
    heads, keys = text.heads * text.head, text.key_heads * text.head
    if not gradients:
        return HALF * (3 * text.inner + 2 * heads + 2 * text.width) + 2 * FULL * text.width
    kept = HALF * (4 * text.inner + 4 * heads + 4 * keys + 4 * text.width)
    return kept + 2 * FULL * text.width + HALF * (2 * text.inner + 2 * text.width)


def patch_bytes(encoder: Vision, gradients: bool) -> int:
    """What one patch takes within a layer of the encoder; queries and keys turn in 32 bit."""
    passing = HALF * (3 * encoder.inner + 4 * encoder.width) + 4 * FULL * encoder.width
    return passing + (HALF * (3 * encoder.inner + 8 * encoder.width) if gradients else 0)


def image_bytes(encoder: Vision, patches: int, gradients: bool) -> int:
    """What a batch of so many patches takes at peak, its pixels in 32 bit among it.

    With gradients the input of every layer is kept as well: the encoder is checkpointed.
    """
    pixels = FULL * 3 * 2 * encoder.patch**2
    inputs = encoder.layers * HALF * encoder.width if gradients else 0
    return patches * (patch_bytes(encoder, gradients) + pixels + inputs)


def generation(
    shape: Shape, rows: int, prompts: int, tokens: tuple[int, int], patches: int
) -> float:
    """Peak bytes of transformers' `generate`.

    rows: completions at once. prompts: of them that are read, one a row without a shared prefix.
    tokens: of a prompt, and new ones. patches: of one prompt's image. The cache of keys and
    values is full at the end, and one layer of it is copied as it grows; logits are sampled from in
    32 bit, with a copy. Reading the prompts comes first and is over by then.
    """
    prompt, new = tokens
    text = shape.text
    cache = rows * (prompt + new) * kv_bytes(text) * (1 + 1 / text.layers)
    sampled = 3 * rows * text.vocabulary * FULL
    read = max(
        prompts * prompt * layer_bytes(text, gradients=False),
        image_bytes(shape.vision, prompts * patches, gradients=False),
    )
    return max(cache + sampled, read + prompts * prompt * kv_bytes(text))


def logits(text: Text, tokens: int, at_once: int | None = None) -> float:
    """Bytes of the logits of so many tokens in the backward pass.

    All together: in 16 bit as computed, and in 32, to which accelerate brings what a model returns,
    with their logarithms and their gradient. at_once: values computed together and again in the
    backward pass, in 32 bit.
    """
    values = tokens * text.vocabulary
    if at_once is None:
        return float((HALF + 3 * FULL) * values)
    return float((HALF + 4 * FULL) * min(values, at_once))


class MicroBatch(NamedTuple):
    """tokens, patches: that enter the language model and the encoder. logits: their bytes."""

    tokens: int
    patches: int
    logits: float


def training(shape: Shape, batch: MicroBatch, *, vision: bool, offloaded: bool) -> float:
    """Peak bytes of a forward and backward pass over a micro-batch.

    vision: whether the encoder is trained. The input of every layer is kept (gradient
    checkpointing), offloaded: all but two of them in the computer's memory; above them the
    costliest of one layer, the logits and the encoder.
    """
    text = shape.text
    kept = batch.tokens * text.width * HALF * (2 if offloaded else text.layers)
    layer = batch.tokens * layer_bytes(text, gradients=True)
    return kept + max(layer, batch.logits, image_bytes(shape.vision, batch.patches, vision))


def mask(tokens: int) -> float:
    """Bytes of who may look at whom in a packed group, as bits of a byte and as added numbers."""
    return float((1 + HALF) * tokens**2)


def engine(shape: Shape, rows: int, tokens: int, patches: int, own_weights: float) -> float:
    """Bytes that vLLM reserves beside weights it shares with the trainer.

    rows, tokens: completions at once, and the tokens of each at its end. patches: of the largest
    image. own_weights: of a second copy of the model. Its trial run computes a full batch of
    tokens, and as many of the largest images as make one.
    """
    cache = rows * tokens * kv_bytes(shape.text)
    images = max(1, ENGINE_TOKENS * shape.vision.merge**2 // max(1, patches))
    trial = max(
        ENGINE_TOKENS * layer_bytes(shape.text, gradients=False),
        image_bytes(shape.vision, images * patches, gradients=False),
    )
    return cache + trial + ENGINE + GRAPHS + own_weights


def overhead(shape: Shape, four_bit: bool, moving: float) -> float:
    """CUDA's context, the largest matrix as dequantised, and what the allocator cannot reuse."""
    largest = shape.largest * HALF if four_bit else 0
    return CUDA + largest + FRAGMENTS * moving
