"""Tiny random vision-language models, and batches as TRL lays them out, without a processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rftkit.shared_prefix.groups import PromptKey

IMAGE, VIDEO, START, END, PAD = 90, 91, 92, 93, 0
VOCABULARY = 96
QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
KINDS = (*QWEN, "idefics3", "smolvlm")
PATCH, MERGE = 4, 2


class Batch(NamedTuple):
    """ids, mask: (rows, prompt + reply). inputs: the images, by the model's names."""

    ids: Tensor
    mask: Tensor
    reply: int
    prompts: list[PromptKey]
    inputs: dict[str, Any]

    def with_ids(self, ids: Tensor) -> Batch:
        """Other ids in the same rows, the tokens of the keys with them."""
        width = ids.shape[1] - self.reply
        prompts = [
            PromptKey(tuple(row[:width][kept[:width]].tolist()), key.images)
            for row, kept, key in zip(ids, self.mask.bool(), self.prompts, strict=True)
        ]
        return self._replace(ids=ids, prompts=prompts)


class Ask(NamedTuple):
    """A prompt: text tokens before and after an image of this many patches, high and wide."""

    before: int
    after: int
    image: tuple[int, int]
    replies: Sequence[int]  # the tokens of each completion


def tiny_model(
    kind: str,
    vocabulary: int = VOCABULARY,
    specials: tuple[int, int, int, int] = (IMAGE, VIDEO, START, END),
) -> Any:
    """A random model in fp32 whose logits differ clearly from token to token.

    specials: ids of the image's token, the video's, and of an image's start and end.
    """
    from transformers import AutoConfig, AutoModelForImageTextToText

    torch.manual_seed(0)
    settings = _settings(kind)
    settings["text_config"]["vocab_size"] = vocabulary
    if kind in QWEN:
        names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
        settings |= dict(zip(names, specials, strict=True))
    config = AutoConfig.for_model(kind, **settings)
    model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.mul_(4.0 if "embed_tokens" not in name else 10.0)
    return model.eval()


def _settings(kind: str) -> dict[str, Any]:
    text: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "bos_token_id": None,
        "eos_token_id": 1,
        "pad_token_id": PAD,
    }
    if kind not in QWEN:
        vision = {
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 4 * PATCH,
            "patch_size": PATCH,
        }
        text |= {"model_type": "llama"}
        ids = {"image_token_id": IMAGE, "pad_token_id": PAD}
        return {"text_config": text, "vision_config": vision, "scale_factor": 2, **ids}
    text["rope_parameters"] = {
        "rope_type": "default",
        "rope_theta": 1e4,
        "mrope_section": [2, 1, 1],
        **({"mrope_interleaved": True} if kind == "qwen3_vl" else {}),
    }
    vision = {"depth": 2, "num_heads": 2, "patch_size": PATCH, "spatial_merge_size": MERGE}
    if kind == "qwen2_vl":
        vision |= {"embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2}
    else:
        vision |= {"hidden_size": 16, "out_hidden_size": 32, "intermediate_size": 32}
    if kind == "qwen2_5_vl":
        vision |= {"fullatt_block_indexes": [1], "window_size": 2 * PATCH * MERGE}
    if kind == "qwen3_vl":
        text["head_dim"] = 8
        vision |= {"deepstack_visual_indexes": [0, 1], "num_position_embeddings": 16}
    return {
        "text_config": text,
        "vision_config": vision,
        "tie_word_embeddings": True,
    }


def batch_of(kind: str, asks: Sequence[Ask], order: Sequence[int], seed: int = 0) -> Batch:
    """The rows of these prompts, padded as TRL does, in this order."""
    made = torch.Generator().manual_seed(seed)
    rows: list[tuple[Tensor, Tensor, dict[str, Tensor], PromptKey]] = []
    for number, ask in enumerate(asks):
        prompt, image = _prompt(kind, ask, made), _image(kind, ask, made)
        key = PromptKey(tuple(prompt.tolist()), (f"image {number}",))
        for count in ask.replies:
            rows.append((prompt, _text(count, made), image, key))
    rows = [rows[i] for i in order]
    left, left_mask = _pad([row[0] for row in rows], "left")
    right, right_mask = _pad([row[1] for row in rows], "right")
    ids = torch.cat([left, right], 1)
    inputs = {
        name: torch.cat([row[2][name] for row in rows]) for name in rows[0][2]
    }  # each with one entry a patch, an image or a row
    if kind in QWEN:
        inputs["mm_token_type_ids"] = (ids == IMAGE).int()
    return Batch(
        ids,
        torch.cat([left_mask, right_mask], 1),
        right.shape[1],
        [row[3] for row in rows],
        inputs | {"num_images": [1] * len(rows)},
    )


def _text(count: int, made: torch.Generator) -> Tensor:
    return torch.randint(2, 80, (count,), generator=made)


def _prompt(kind: str, ask: Ask, made: torch.Generator) -> Tensor:
    high, wide = ask.image
    shown = [IMAGE] * (high * wide // MERGE**2 if kind in QWEN else 4)
    image = torch.tensor([START, *shown, END])
    return torch.cat([_text(ask.before, made), image, _text(ask.after, made)])


def _image(kind: str, ask: Ask, made: torch.Generator) -> dict[str, Tensor]:
    high, wide = ask.image
    if kind in QWEN:
        pixels = torch.randn(high * wide, 3 * 2 * PATCH**2, generator=made)
        return {"pixel_values": pixels, "image_grid_thw": torch.tensor([[1, high, wide]])}
    pixels, side = torch.zeros(1, 1, 3, 4 * PATCH, 4 * PATCH), PATCH
    mask = torch.zeros(1, 1, 4 * PATCH, 4 * PATCH, dtype=torch.bool)
    mask[..., : high * side, : wide * side] = True
    pixels[..., : high * side, : wide * side] = torch.randn(
        3, high * side, wide * side, generator=made
    )
    return {"pixel_values": pixels, "pixel_attention_mask": mask}


def _pad(rows: Sequence[Tensor], side: str) -> tuple[Tensor, Tensor]:
    pad = torch.nn.utils.rnn.pad_sequence
    ones = [torch.ones_like(row) for row in rows]
    return (
        pad(list(rows), batch_first=True, padding_value=PAD, padding_side=side),
        pad(ones, batch_first=True, padding_value=0, padding_side=side),
    )


def leaky(query: Any, key: Any, value: Any, layout: Any, scale: float) -> torch.Tensor:
    """Attention by which every answer attends to those before it."""
    attend = torch.nn.functional.scaled_dot_product_attention
    parts = (part[None] for part in (query, key, value))
    return attend(*parts, is_causal=True, scale=scale, enable_gqa=True)[0].transpose(0, 1)
