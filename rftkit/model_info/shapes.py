"""The shape of a vision-language model: what the memory plan needs to know of it, and no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rftkit.model_info.count import Counts

CHANNELS = 3


class Matrix(NamedTuple):
    """A linear layer without its bias."""

    inputs: int
    outputs: int

    @property
    def size(self) -> int:
        """Its weights."""
        return self.inputs * self.outputs


@dataclass(frozen=True)
class Text:
    """A decoder with grouped attention and a gated MLP. tied: the head is the embedding."""

    width: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    vocabulary: int
    tied: bool
    head: int = 128  # size of one attention head
    bias: bool = False  # of queries, keys and values
    head_norms: bool = False  # of queries and keys
    kv_layers: int = 0  # that keep keys and values of every token; 0: all

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """Of one layer: queries, keys, values, output, gate, up, down."""
        all_heads, keys = self.heads * self.head, self.key_heads * self.head
        return (
            Matrix(self.width, all_heads),
            Matrix(self.width, keys),
            Matrix(self.width, keys),
            Matrix(all_heads, self.width),
            Matrix(self.width, self.inner),
            Matrix(self.width, self.inner),
            Matrix(self.inner, self.width),
        )

    @property
    def linear(self) -> int:
        """Weights of all layers' matrices: what is quantised."""
        return self.layers * sum(matrix.size for matrix in self.matrices)

    @property
    def rest(self) -> int:
        """Embedding, head, norms and biases: what stays in 16 bit."""
        embeddings = self.vocabulary * self.width * (1 if self.tied else 2)
        heads = self.heads + 2 * self.key_heads
        biases = heads * self.head if self.bias else 0
        norms = 2 * self.width + (2 * self.head if self.head_norms else 0)
        return embeddings + self.layers * (norms + biases) + self.width


@dataclass(frozen=True)
class Vision:
    """A vision encoder. merge: so many patches a side become one token of the language model.

    tile: side of a tile in pixels where an image is cut into tiles, 0 where it is shown whole.
    by_budget: as many as the recipe's budget of pixels holds, and the whole image beside them where
    there are two or more. least_tiles: where there is only one. row_ends: tokens after each row.
    extra_merges: further layers whose output goes to the language model (Qwen3-VL's deepstack).
    """

    width: int
    inner: int
    layers: int
    patch: int
    merge: int
    tile: int = 0
    tiles: int = 1  # at most, the whole image among them
    by_budget: bool = False
    least_tiles: int = 1
    row_ends: int = 0
    extra_merges: int = 0
    positions: int = 0  # that have a learnt embedding

    @property
    def side(self) -> int:
        """Pixels a side that become one token."""
        return self.patch * self.merge

    def tiles_of(self, max_pixels: int) -> int:
        """Tiles of the largest image under this budget, the whole image among them."""
        if not self.by_budget:
            return self.tiles
        cut = min(self.tiles - 1, max(1, max_pixels // self.tile**2))
        return max(self.least_tiles, cut + (cut > 1))

    @property
    def marks(self) -> int:
        """Tokens that tell the tiles of an image apart, where it is cut into tiles."""
        return 4 * self.tiles if self.tile else 0


@dataclass(frozen=True)
class Shape:
    """A vision-language model. hub: the id of a known one. counts: where there is no formula."""

    name: str
    kind: str
    text: Text
    vision: Vision
    hub: str = ""
    counts: Counts | None = None

    @property
    def matrices(self) -> int:
        """Weights of the language model's linear layers: what is quantised."""
        return self.counts.matrices if self.counts else self.text.linear

    @property
    def rest(self) -> int:
        """Of the language model what stays in 16 bit."""
        return self.counts.rest if self.counts else self.text.rest

    @property
    def largest(self) -> int:
        """Weights of the largest linear layer."""
        return self.counts.largest if self.counts else max(m.size for m in self.text.matrices)

    @property
    def adapted(self) -> int:
        """Inputs and outputs of the language model's linear layers."""
        if self.counts:
            return self.counts.adapted
        return self.text.layers * sum(m.inputs + m.outputs for m in self.text.matrices)

    @property
    def adapted_vision(self) -> int:
        """Inputs and outputs of the linear layers of the encoder and of what joins it."""
        if self.counts:
            return self.counts.adapted_vision
        layers = self.vision.layers * sum(m.inputs + m.outputs for m in self.vision_matrices)
        joined = self.vision.width * self.vision.merge**2
        joins = 1 if self.kind == "idefics3" else 2
        each = (joins - 1) * 2 * joined + joined + self.text.width
        return layers + (1 + self.vision.extra_merges) * each

    @property
    def vision_matrices(self) -> tuple[Matrix, ...]:
        """Of one layer of the encoder."""
        w, inner = self.vision.width, self.vision.inner
        mlp: tuple[Matrix, ...] = (Matrix(w, inner), Matrix(inner, w))
        if self.kind == "qwen2_5_vl":
            mlp = (Matrix(w, inner), *mlp)
        if self.kind == "idefics3":
            return (*[Matrix(w, w)] * 4, *mlp)
        return (Matrix(w, 3 * w), Matrix(w, w), *mlp)

    @property
    def vision_size(self) -> int:
        """Parameters of the encoder and of what joins it to the language model."""
        if self.counts:
            return self.counts.vision
        encoder, w = self.vision, self.vision.width
        frames = 1 if self.kind == "idefics3" else 2  # Qwen's patches are two frames deep
        patch = CHANNELS * frames * encoder.patch**2 * w
        layer = sum(m.size + m.outputs for m in self.vision_matrices)
        norms = 2 * w if self.kind == "qwen2_5_vl" else 4 * w
        body = patch + encoder.positions * w + encoder.layers * (layer + norms)
        joined = encoder.merge**2 * w
        if self.kind == "idefics3":
            return body + w + 2 * w + joined * self.text.width
        two = joined * joined + joined + joined * self.text.width + self.text.width
        if self.kind == "qwen3_vl":
            return body + w + 2 * w + two + encoder.extra_merges * (two + 2 * joined)
        return body + two + (w if self.kind == "qwen2_5_vl" else 2 * w)

    @property
    def size(self) -> int:
        """All parameters."""
        return self.matrices + self.rest + self.vision_size

    def image_tokens(self, max_pixels: int) -> int:
        """Tokens of the largest image under this budget."""
        encoder = self.vision
        if encoder.tile:
            side = encoder.tile // encoder.side
            return encoder.tiles_of(max_pixels) * side * (side + encoder.row_ends)
        return max(1, max_pixels // encoder.side**2)
