"""Which rows of a batch share a prompt, and the image inputs of each row.

TRL lays a batch out as one row per completion, with prompt and image repeated in each of them, and
shuffles the rows. What tells prompts apart is worked out once per batch from token ids and images
on the CPU, before anything is on a GPU, so that no forward has to wait for a copy from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from PIL.Image import Image
from torch import Tensor

from rftkit.model_info.families import FLAT_TILES


class PromptKey(NamedTuple):
    """What a prompt is made of. Prompts of equal keys give the model equal inputs.

    tokens: its ids, without padding. images: the digest of each of its images, in order.
    """

    tokens: tuple[int, ...]
    images: tuple[str, ...] = ()


def prompt_keys(
    ids: Sequence[Sequence[int]], images: Sequence[Sequence[Image] | None] | None
) -> list[PromptKey]:
    """The key of each prompt. ids: its tokens, without padding. images: its images, if any."""
    digests: dict[int, str] = {}
    shown = images if images is not None else [None] * len(ids)
    return [
        PromptKey(tuple(tokens), tuple(digest(image, digests) for image in row or ()))
        for tokens, row in zip(ids, shown, strict=True)
    ]


def digest(image: Image, digests: dict[int, str]) -> str:
    """A hash of an image's mode, size and pixels: equal copies of an image have the same.

    digests: by `id` of the images that are alive; filled in here.
    """
    if id(image) not in digests:
        pixels = hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest()
        digests[id(image)] = f"{image.mode} {image.size} {pixels}"
    return digests[id(image)]


def find_groups(keys: Sequence[Hashable]) -> list[list[int]]:
    """The rows of each key, in order of first appearance.

    >>> find_groups(["cat", "dog", "cat"])
    [[0, 2], [1]]
    """
    groups: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def without_padding(input_ids_BT: Tensor, mask_BT: Tensor) -> list[list[int]]:
    """The token ids of each row where the mask is 1."""
    table = zip(input_ids_BT.tolist(), mask_BT.bool().tolist(), strict=True)
    return [[token for token, kept in zip(*row, strict=True) if kept] for row in table]


def images_of_rows(
    model: Any, inputs: Mapping[str, Any], prompts_B: Sequence[PromptKey], rows: Sequence[int]
) -> dict[str, Tensor]:
    """The image inputs of these rows alone, by the model's names; none if there are no images.

    model: bare. inputs: `pixel_values` flat over the patches of all images, with `image_grid_thw`
    (images, 3) on the CPU (Qwen), or flat over their tiles (InternVL), or with one entry a row and
    `pixel_attention_mask` (Idefics3, SmolVLM) or `image_sizes` (LLaVA-OneVision) beside it.
    prompts_B: the key of every row of them.
    """
    pixels, grid = inputs.get("pixel_values"), inputs.get("image_grid_thw")
    if pixels is None:
        return {}
    if model.config.model_type in FLAT_TILES:
        tiles_B = pixels.split(tiles_of(model.config.image_token_id, prompts_B, len(pixels)))
        return {"pixel_values": torch.cat([tiles_B[row] for row in rows])}
    if grid is None:
        names = ("pixel_values", "pixel_attention_mask", "image_sizes")
        per_row = {name: inputs[name] for name in names if inputs.get(name) is not None}
        return {name: value[list(rows)] for name, value in per_row.items()}
    grids_B = grid.split([len(prompt.images) for prompt in prompts_B])
    pixels_B = pixels.split([int(grids.prod(-1).sum()) for grids in grids_B])
    return {
        "pixel_values": torch.cat([pixels_B[row] for row in rows]),
        "image_grid_thw": torch.cat([grids_B[row] for row in rows]),
    }


def tiles_of(image_token: int, prompts_B: Sequence[PromptKey], tiles: int) -> list[int]:
    """How many of these tiles each prompt has: as many tokens stand for each.

    >>> tiles_of(9, [PromptKey((1, 9, 9)), PromptKey((9, 9, 9, 9, 2))], 3)
    [1, 2]
    """
    tokens_B = [prompt.tokens.count(image_token) for prompt in prompts_B]
    each, rest = divmod(sum(tokens_B), tiles)
    assert not rest, "tiles of other prompts"
    return [tokens // each for tokens in tokens_B]
