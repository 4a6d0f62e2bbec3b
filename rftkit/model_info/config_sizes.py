"""Shapes of text and vision models as transformers' configurations hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from rftkit.model_info.shapes import Text, Vision

Config = Mapping[str, Any]
OLDER = ("qwen2_vl", "qwen2_5_vl")


class Cut(NamedTuple):
    """How a family shows an image to its encoder. See `Vision` for the names."""

    tiles: int = 1
    by_budget: bool = False
    least_tiles: int = 1
    row_ends: int = 0


CUTS = {
    "idefics3": Cut(17),
    "internvl": Cut(13, by_budget=True),
    "lfm2_vl": Cut(11, by_budget=True),
    "llava_onevision": Cut(10, by_budget=True, least_tiles=2, row_ends=1),
}
LFM2_TILE = 512  # pixels; of its processor, the configuration does not say


def kind_of(config: Config) -> str:
    """The architecture, a SmolVLM as the Idefics3 that it is."""
    return {"smolvlm": "idefics3"}.get(config["model_type"], str(config["model_type"]))


def text_of(config: Config, kind: str, whole: Config) -> Text:
    """The decoder. config: of the text model; whole: of the model around it. Raises KeyError."""
    heads = config["num_attention_heads"]
    return Text(
        width=config["hidden_size"],
        inner=_inner(config),
        layers=config["num_hidden_layers"],
        heads=heads,
        key_heads=config.get("num_key_value_heads") or heads,
        vocabulary=config["vocab_size"],
        tied=bool(whole.get("tie_word_embeddings", config.get("tie_word_embeddings", False))),
        head=config.get("head_dim") or config["hidden_size"] // heads,
        bias=kind in OLDER,
        head_norms=kind == "qwen3_vl",
        kv_layers=_kv_layers(config),
    )


def vision_of(config: Config, kind: str, whole: Config) -> Vision:
    """The encoder. config: of the vision model; whole: of the model around it. Raises KeyError."""
    width = config["embed_dim"] if kind == "qwen2_vl" else config.get("hidden_size")
    width = width or config["mm_embed_dim"]
    patch, merge = _first(config["patch_size"]), _merge(config, whole)
    tile = LFM2_TILE if kind == "lfm2_vl" else _first(config.get("image_size") or 0)
    cut = CUTS.get(kind, Cut())
    return Vision(
        width=width,
        inner=config.get("intermediate_size") or round(width * config.get("mlp_ratio", 4)),
        layers=config.get("depth") or config.get("num_hidden_layers") or 1,
        patch=patch,
        merge=merge,
        tile=tile,
        tiles=cut.tiles,
        by_budget=cut.by_budget,
        least_tiles=cut.least_tiles,
        row_ends=cut.row_ends,
        extra_merges=len(config.get("deepstack_visual_indexes") or ()),
        positions=_positions(config, kind, tile // patch),
    )


def _inner(config: Config) -> int:
    """Width of the MLP. LFM2 takes two thirds of what it declares, rounded up."""
    inner = int(config["intermediate_size"])
    if not config.get("block_auto_adjust_ff_dim"):
        return inner
    step = int(config["block_multiple_of"])
    wanted = int(2 * inner / 3 * float(config["block_ffn_dim_multiplier"]))
    return math.ceil(wanted / step) * step


def _kv_layers(config: Config) -> int:
    """Layers that keep keys and values of every token, sliding windows counted as if they did."""
    layers = int(config["num_hidden_layers"])
    if every := config.get("full_attention_interval"):
        return layers // int(every)
    kinds = config.get("layer_types") or ()
    without = sum(kind in ("conv", "linear_attention") for kind in kinds)
    return int(layers - without - (config.get("num_kv_shared_layers") or 0))


def _merge(config: Config, whole: Config) -> int:
    """Patches a side that become one token of the language model."""
    if tokens := whole.get("mm_tokens_per_image"):
        side = _first(config["image_size"]) // _first(config["patch_size"])
        return side // math.isqrt(int(tokens))
    if ratio := whole.get("downsample_ratio"):
        return round(1 / float(ratio))
    declared = (
        config.get("spatial_merge_size")
        or config.get("pooling_kernel_size")
        or whole.get("scale_factor")
        or whole.get("downsample_factor")
    )
    return int(declared or 1)


def _positions(config: Config, kind: str, side: int) -> int:
    """Learnt position embeddings, where the formulas of `shapes` need them."""
    if kind == "idefics3":
        return side**2
    return int(config.get("num_position_embeddings", 0)) if kind == "qwen3_vl" else 0


def _first(value: Any) -> int:
    """Some configurations give both sides of a square."""
    return int(value if isinstance(value, int) else value[0])
