"""Sizes of models: those known by name, and those of a local folder's config.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rftkit.errors import ModelError
from rftkit.model_info.families import family_of
from rftkit.recipe.sections import TINY, Model

Kind = Literal["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "idefics3"]
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
    extra_merges: further layers whose output goes to the language model (Qwen3-VL's deepstack).
    """

    width: int
    inner: int
    layers: int
    patch: int
    merge: int
    tile: int = 0
    tiles: int = 1  # at most, the whole image among them
    extra_merges: int = 0
    positions: int = 0  # that have a learnt embedding

    @property
    def side(self) -> int:
        """Pixels a side that become one token."""
        return self.patch * self.merge

    @property
    def marks(self) -> int:
        """Tokens that tell the tiles of an image apart, where it is cut into tiles."""
        return 4 * self.tiles if self.tile else 0


@dataclass(frozen=True)
class Shape:
    """A vision-language model. hub: the id of a known one."""

    name: str
    kind: Kind
    text: Text
    vision: Vision
    hub: str = ""

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
        return self.text.linear + self.text.rest + self.vision_size

    def image_tokens(self, max_pixels: int) -> int:
        """Tokens of the largest image under this budget."""
        encoder = self.vision
        if encoder.tile:
            return encoder.tiles * (encoder.tile // encoder.side) ** 2
        return max(1, max_pixels // encoder.side**2)


QWEN2_ENCODER = Vision(1280, 5120, 32, 14, 2)
SMALL_SIGLIP = Vision(768, 3072, 12, 16, 4, tile=512, tiles=17, positions=1024)


def _siglip(tile: int, merge: int) -> Vision:
    return Vision(1152, 4304, 27, 14, merge, tile=tile, tiles=17, positions=(tile // 14) ** 2)


def _qwen25(inner: int = 3420) -> Vision:
    return Vision(1280, inner, 32, 14, 2)


def _qwen3(width: int, inner: int, layers: int) -> Vision:
    return Vision(width, inner, layers, 16, 2, extra_merges=3, positions=2304)


def _tiny(side: int) -> Shape:
    """Of models/tiny_build.py; the vocabulary is learnt on the spot and a little smaller."""
    text = Text(128, 384, 3, 4, 2, 512, True, head=32, bias=True)
    return Shape(f"tiny, {side} pixels", "qwen2_5_vl", text, Vision(128, 256, 3, 14, 2))


# sizes as in the models' published config.json; of Text: width, inner, layers, heads, key heads,
# vocabulary, tied
_ROWS: tuple[tuple[str, Kind, Text, Vision], ...] = (
    ("Qwen/Qwen2-VL-2B-Instruct", "qwen2_vl",
     Text(1536, 8960, 28, 12, 2, 151936, True, bias=True), QWEN2_ENCODER),
    ("Qwen/Qwen2-VL-7B-Instruct", "qwen2_vl",
     Text(3584, 18944, 28, 28, 4, 152064, False, bias=True), QWEN2_ENCODER),
    ("Qwen/Qwen2.5-VL-3B-Instruct", "qwen2_5_vl",
     Text(2048, 11008, 36, 16, 2, 151936, True, bias=True), _qwen25()),
    ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl",
     Text(3584, 18944, 28, 28, 4, 152064, False, bias=True), _qwen25()),
    ("Qwen/Qwen2.5-VL-32B-Instruct", "qwen2_5_vl",
     Text(5120, 27648, 64, 40, 8, 152064, False, bias=True), _qwen25(3456)),
    ("Qwen/Qwen3-VL-2B-Instruct", "qwen3_vl",
     Text(2048, 6144, 28, 16, 8, 151936, True, head_norms=True), _qwen3(1024, 4096, 24)),
    ("Qwen/Qwen3-VL-4B-Instruct", "qwen3_vl",
     Text(2560, 9728, 36, 32, 8, 151936, True, head_norms=True), _qwen3(1024, 4096, 24)),
    ("Qwen/Qwen3-VL-8B-Instruct", "qwen3_vl",
     Text(4096, 12288, 36, 32, 8, 151936, False, head_norms=True), _qwen3(1152, 4304, 27)),
    ("HuggingFaceTB/SmolVLM-256M-Instruct", "idefics3",
     Text(576, 1536, 30, 9, 3, 49280, False, head=64), SMALL_SIGLIP),
    ("HuggingFaceTB/SmolVLM-500M-Instruct", "idefics3",
     Text(960, 2560, 32, 15, 5, 49280, False, head=64), SMALL_SIGLIP),
    ("HuggingFaceTB/SmolVLM-Instruct", "idefics3",
     Text(2048, 8192, 24, 32, 32, 49155, False, head=64), _siglip(384, 3)),
    ("HuggingFaceM4/Idefics3-8B-Llama3", "idefics3",
     Text(4096, 14336, 32, 32, 8, 128259, False), _siglip(364, 2)),
)  # fmt: skip
KNOWN = tuple(
    Shape(hub.rpartition("/")[2], kind, text, vision, hub) for hub, kind, text, vision in _ROWS
)


def shape_of(model: Model) -> Shape:
    """The sizes of a recipe's model: of a known name, or of a local folder's config.json.

    Raises ModelError for a model that is neither, and for an architecture that has no formula.
    """
    if model.name in TINY:
        return _tiny(round(family_of(model).max_pixels ** 0.5))
    folder = Path(model.name).expanduser()
    if (folder / "config.json").is_file():
        return _read(folder)
    name = model.name.partition("@")[0].rpartition("/")[2].lower().replace("_", "-")
    name = name.replace("smolvlm2-2.2b", "smolvlm").replace("smolvlm2", "smolvlm")
    matches = [
        shape for shape in KNOWN if name.startswith(shape.name.lower().removesuffix("-instruct"))
    ]
    if not matches:
        hubs = ", ".join(shape.hub for shape in KNOWN)
        raise ModelError(
            f"model.name: {model.name!r} is not among the models whose sizes are known ({hubs}); "
            "name a local folder with its config.json"
        )
    return max(matches, key=lambda shape: len(shape.name))


def smaller(shape: Shape) -> Shape | None:
    """The next smaller known model of the same kind."""
    below = [s for s in KNOWN if s.kind == shape.kind and s.size < shape.size]
    return max(below, key=lambda s: s.size, default=None)


def _read(folder: Path) -> Shape:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
        kind = {"smolvlm": "idefics3"}.get(config["model_type"], config["model_type"])
        if kind not in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "idefics3"):
            raise ModelError(
                f"{path}: no formula for architecture {kind!r}; `train` may still work"
            )
        text = _text(config.get("text_config") or config, kind, config)
        return Shape(folder.name, kind, text, _vision(config["vision_config"], kind, config))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); copy the model again") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: lacks a size ({error}); copy the model again") from None


def _text(config: dict[str, Any], kind: str, whole: dict[str, Any]) -> Text:
    heads = config["num_attention_heads"]
    return Text(
        width=config["hidden_size"],
        inner=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        heads=heads,
        key_heads=config.get("num_key_value_heads") or heads,
        vocabulary=config["vocab_size"],
        tied=bool(whole.get("tie_word_embeddings", config.get("tie_word_embeddings", False))),
        head=config.get("head_dim") or config["hidden_size"] // heads,
        bias=kind in ("qwen2_vl", "qwen2_5_vl"),
        head_norms=kind == "qwen3_vl",
    )


def _vision(config: dict[str, Any], kind: str, whole: dict[str, Any]) -> Vision:
    if kind == "idefics3":
        side, patch = config["image_size"], config["patch_size"]
        return Vision(
            width=config["hidden_size"],
            inner=config["intermediate_size"],
            layers=config["num_hidden_layers"],
            patch=patch,
            merge=whole.get("scale_factor", 2),
            tile=side,
            tiles=17,
            positions=(side // patch) ** 2,
        )
    width = config["embed_dim"] if kind == "qwen2_vl" else config["hidden_size"]
    return Vision(
        width=width,
        inner=config.get("intermediate_size") or round(width * config.get("mlp_ratio", 4)),
        layers=config["depth"],
        patch=config["patch_size"],
        merge=config["spatial_merge_size"],
        extra_merges=len(config.get("deepstack_visual_indexes") or ()),
        positions=config.get("num_position_embeddings", 0) if kind == "qwen3_vl" else 0,
    )
