"""Which rows of a batch share a prompt, and the pictures of each row.

TRL lays a batch out as one row per completion, prompt and picture repeated in each of them, and
shuffles the rows; which belong together is found from what they hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

GLIMPSE = 64  # values of a picture that are looked at before the whole of it is compared


def find_groups(
    prompts: Sequence[tuple[int, ...]], pictures: Sequence[Tensor], grids: Sequence[Tensor] = ()
) -> list[list[int]]:
    """Rows with the same prompt and picture, in order of first appearance.

    prompts: the tokens of each row. pictures: the pixels of each row, or empty if there are none.
    grids: how the patches of each row lie, or empty where the pixels say it: an even picture has
    the same patches standing and lying.
    """
    groups: list[list[int]] = []
    alike: dict[tuple[object, ...], list[list[int]]] = {}
    for row, prompt in enumerate(prompts):
        grid = tuple(grids[row].flatten().tolist()) if grids else ()
        key = (prompt, grid, _glimpse(pictures[row])) if pictures else (prompt,)
        candidates = alike.setdefault(key, [])
        for group in candidates:
            if not pictures or torch.equal(pictures[group[0]], pictures[row]):
                group.append(row)
                break
        else:
            candidates.append([row])
            groups.append(candidates[-1])
    return groups


def _glimpse(picture: Tensor) -> tuple[object, ...]:
    """Shape and a few values: pictures of another glimpse differ, without comparing them all."""
    flat = picture.reshape(-1)
    few = flat[:: max(1, len(flat) // GLIMPSE)]
    return tuple(picture.shape), tuple(few.tolist())


def tokens_of(ids: Tensor, mask: Tensor) -> list[tuple[int, ...]]:
    """The tokens of each row without its padding. ids, mask: (rows, tokens)."""
    table = zip(ids.tolist(), mask.bool().tolist(), strict=True)
    return [tuple(i for i, kept in zip(*row, strict=True) if kept) for row in table]


def pictures_of(inputs: Mapping[str, Any]) -> list[Tensor]:
    """The pixels of each row; empty if the batch has no pictures.

    inputs: what TRL hands to a model: `pixel_values` either flat over patches, with
    `image_grid_thw` and `num_images` (Qwen), or with one entry a row (Idefics3, SmolVLM).
    """
    pixels, grid = inputs.get("pixel_values"), inputs.get("image_grid_thw")
    if pixels is None:
        return []
    if grid is None:
        return list(pixels)
    patches = [sum(part.prod(-1).tolist()) for part in grids_of(inputs)]
    return list(pixels.split(patches))


def of_rows(inputs: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Tensor]:
    """The picture inputs of these rows alone."""
    pixels, grid = inputs.get("pixel_values"), inputs.get("image_grid_thw")
    if pixels is None:
        return {}
    if grid is None:
        names = ("pixel_values", "pixel_attention_mask")
        given = {name: inputs[name] for name in names if inputs.get(name) is not None}
        return {name: value[list(rows)] for name, value in given.items()}
    every, grids = pictures_of(inputs), grids_of(inputs)
    return {
        "pixel_values": torch.cat([every[row] for row in rows]),
        "image_grid_thw": torch.cat([grids[row] for row in rows]),
    }


def grids_of(inputs: Mapping[str, Any]) -> tuple[Tensor, ...]:
    """The grids of each row's pictures, (pictures, 3); empty where pixels are not flat."""
    grid: Tensor | None = inputs.get("image_grid_thw")
    if grid is None:
        return ()
    return torch.split(grid, inputs.get("num_images") or [1] * len(grid))
