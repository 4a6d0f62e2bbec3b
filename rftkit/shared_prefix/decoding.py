"""Generation that reads each distinct prompt once, picture included, and then copies its cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rftkit.shared_prefix.cache import make_roomy
from rftkit.shared_prefix.forward import M_ROPE, bare
from rftkit.shared_prefix.groups import find_groups, grids_of, of_rows, pictures_of, tokens_of

BY_ROW = ("attention_mask", "mm_token_type_ids")  # (rows, tokens)
PICTURES = ("pixel_values", "image_grid_thw", "pixel_attention_mask")
SETTINGS = ("use_cache", "logits_to_keep", "past_key_values", "position_ids")


@contextmanager
def shared_prefill(model: Any) -> Iterator[None]:
    """Within it `model.generate` prefills equal rows once; all else of it stays as it is.

    Sampling, stopping and the random numbers drawn are generate's own, one row a completion.
    """
    inner = bare(model)
    inner._prefill = partial(_prefill, inner)
    try:
        yield
    finally:
        del inner._prefill


def _prefill(
    model: Any,
    input_ids: Tensor,
    generation_config: Any,
    model_kwargs: dict[str, Any],
    is_first_iteration: bool = True,
) -> Any:
    """What generate's own prefill returns for all rows, computed for the distinct ones."""
    own = partial(type(model)._prefill, model)
    plain = _plain(generation_config, model_kwargs)
    if plain:
        make_roomy(model_kwargs["past_key_values"])
    groups = _groups(model, input_ids, model_kwargs) if plain else []
    if not plain or len(groups) == len(input_ids):
        return own(input_ids, generation_config, model_kwargs, is_first_iteration)
    firsts = [group[0] for group in groups]
    shared = {name: model_kwargs[name] for name in SETTINGS if name in model_kwargs}
    shared |= {name: model_kwargs[name][firsts] for name in BY_ROW if name in model_kwargs}
    if "position_ids" in shared:  # (rows, tokens) or (axes, rows, tokens)
        shared["position_ids"] = shared["position_ids"][..., firsts, :]
    shared |= of_rows(_counted(model, input_ids, model_kwargs), firsts)
    outputs = own(input_ids[firsts], generation_config, shared, is_first_iteration)
    source = torch.empty(len(input_ids), dtype=torch.long, device=input_ids.device)
    for number, group in enumerate(groups):
        source[group] = number
    outputs.logits = outputs.logits[source]
    outputs.past_key_values.batch_select_indices(source)
    return outputs


def _groups(model: Any, input_ids: Tensor, model_kwargs: dict[str, Any]) -> list[list[int]]:
    prompts = tokens_of(input_ids, model_kwargs["attention_mask"])
    shown = _counted(model, input_ids, model_kwargs)
    return find_groups(prompts, pictures_of(shown), grids_of(shown))


def _counted(model: Any, input_ids: Tensor, model_kwargs: dict[str, Any]) -> dict[str, Any]:
    """The pictures, and how many each row has: generate is not told."""
    pictures = {name: model_kwargs[name] for name in PICTURES if name in model_kwargs}
    if model.config.model_type in M_ROPE:
        pictures["num_images"] = model._get_image_nums_and_video_nums(input_ids)[0].tolist()
    return pictures


def _plain(generation_config: Any, model_kwargs: dict[str, Any]) -> bool:
    """Whether nothing is asked that rows would have to be picked from in another way."""
    cache = model_kwargs.get("past_key_values")
    known = {*BY_ROW, *PICTURES, *SETTINGS}
    return (
        generation_config.prefill_chunk_size is None
        and cache is not None
        and cache.get_seq_length() == 0
        and not [name for name, v in model_kwargs.items() if name not in known and v is not None]
    )
