"""Attention of packed rows in two calls: what all of a row begin with, and what follows, in blocks.

The same as one call with `packing.attention_mask`, which is (L, L) and mostly False: a completion
attends to nothing of the others, but a kernel that is given a mask computes those scores too. Here
few are computed, no (L, L) mask is held, and the prompt gets the kernel for causal attention.

    packed row      p0 p1 p2 a1 a2 a3 b1 b2    the prompt p, completions a and b
    1. causal       p0 p1 p2
    2. a batch      queries     keys                   mask
       block 0      a1 a2 a3    p0 p1 p2 a1 a2 a3      111100  111110  111111
       block 1      b1 b2 __    p0 p1 p2 b1 b2 __      111100  111110  ______

__ is padding: its output is dropped. Short completions, such as all labels of a list, share a
block, and a block may be a tree; its mask then says who attends to whom.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

KEPT = 16  # layouts: a micro-batch and its recomputation ask for the same few again and again
BLOCK = 128  # tokens of short completions that are put together: fewer copies of the prompt's keys


class RowLayout(NamedTuple):
    """Where the parts of one packed row are.

    prompt: tokens that all others follow. gather_M: for each of the C blocks, padded to the longest
    of R tokens, the position of each token: flat, C × R = M. real_N: which of those M are no
    padding, in packed order. mask_CRK: what the R tokens of a block attend to of prompt and block,
    K = prompt + R; one for all where no block is a tree.
    """

    prompt: int
    blocks: int
    gather_M: Tensor
    real_N: Tensor
    mask_CRK: Tensor


def row_layout(ends_L: Tensor, device: torch.device | str = "cpu") -> RowLayout:
    """The layout of a row. ends_L: see `packing.Packed`, on the CPU."""
    ends = ends_L.tolist()
    total = ends[0]
    prompt = next((place for place in range(total) if ends[place] != total), total)
    blocks = list(_blocks(ends, prompt, total))
    longest = max((stop - start for start, stop in blocks), default=0)
    column = torch.arange(longest)
    starts = torch.tensor([start for start, _ in blocks], dtype=torch.long)[:, None]
    lengths = torch.tensor([stop - start for start, stop in blocks], dtype=torch.long)[:, None]
    real_CR = column < lengths
    gather_CR = torch.where(real_CR, starts + column, starts)
    causal = column[:, None] >= column
    if all(ends[place] == stop for start, stop in blocks for place in range(start, stop)):
        own = causal[None]
    else:
        ends_CR = ends_L[gather_CR]
        own = causal & (gather_CR[:, :, None] < ends_CR[:, None, :])
    mask = torch.cat([own.new_ones(*own.shape[:2], prompt), own], 2)
    tensors = (gather_CR.flatten(), real_CR.flatten().nonzero()[:, 0], mask)
    return RowLayout(prompt, len(blocks), *(tensor.to(device) for tensor in tensors))


def _blocks(ends: Sequence[int], prompt: int, total: int) -> Iterator[tuple[int, int]]:
    """Where blocks begin and end: the branches after the prompt, short ones put together.

    None is longer than the longest branch, or than BLOCK.
    """
    branches, place = list[tuple[int, int]](), prompt
    while place < total:
        branches.append((place, ends[place]))
        place = ends[place]
    most = max([BLOCK, *(stop - start for start, stop in branches)])
    first = prompt
    for start, stop in branches:
        if stop - first > most:
            yield first, start
            first = start
    if first < total:
        yield first, total


class Known(NamedTuple):
    """ends: kept, so that its memory, by which it is known again, is not another's.

    again: whether attention is computed again in the backward pass.
    """

    ends: Tensor
    rows: list[RowLayout]
    again: bool


_known: OrderedDict[tuple[int, torch.Size], Known] = OrderedDict()


def announce(ends: Tensor, *, again: bool) -> None:
    """Work out the layout of every packed row by its ends, (P, 1, 1, L), once for all layers.

    again: whether attention is to be computed again in the backward pass. Its keys and values, once
    for every completion, are then not kept until there; where whole layers are computed again
    (gradient checkpointing) they are not kept anyway.
    """
    rows = [row_layout(row, ends.device) for row in ends[:, 0, 0].cpu()]
    _known[ends.data_ptr(), ends.shape] = Known(ends, rows, again)
    while len(_known) > KEPT:
        _known.popitem(last=False)


def _known_of(ends: Tensor) -> Known:
    key = (ends.data_ptr(), ends.shape)
    if key not in _known:  # forgotten since: many forwards came between
        announce(ends, again=False)
    return _known[key]


@torch.compiler.disable  # type: ignore[untyped-decorator]
def attend(query: Tensor, key: Tensor, value: Tensor, ends: Tensor, scale: float | None) -> Tensor:
    """Attention of packed rows.

    query: (P, heads, L, size). key, value: (P, key heads, L, size). ends: (P, 1, 1, L), as they
    were announced. Returns (P, L, heads, size); 0 for padding.
    """
    known = _known_of(ends)
    rows = zip(query, key, value, known.rows, strict=True)
    if known.again and torch.is_grad_enabled():
        found = [
            checkpoint(_attend_row, *row, scale, use_reentrant=False, preserve_rng_state=False)
            for row in rows
        ]
    else:
        found = [_attend_row(*row, scale) for row in rows]
    return torch.stack(found)


def _attend_row(
    query: Tensor, key: Tensor, value: Tensor, layout: RowLayout, scale: float | None
) -> Tensor:
    """One row: (heads, L, size) each. Returns (L, heads, size)."""
    length, prompt = query.shape[1], layout.prompt
    # a kernel without scores in memory takes as many heads of keys as of queries on older GPUs
    repeats = query.shape[0] // key.shape[0]
    key, value = (states.repeat_interleave(repeats, 0) for states in (key, value))
    first = [states[None, :, :prompt] for states in (query, key, value)]
    of_prompt = scaled_dot_product_attention(
        first[0], first[1], first[2], is_causal=True, scale=scale
    )
    parts = [of_prompt[0].transpose(0, 1)]
    if layout.blocks:
        keys, values = (
            torch.cat(
                [
                    states[:, :prompt].expand(layout.blocks, -1, -1, -1),
                    _by_block(states, layout),
                ],
                2,
            )
            for states in (key, value)
        )
        found = scaled_dot_product_attention(
            _by_block(query, layout), keys, values, attn_mask=layout.mask_CRK[:, None], scale=scale
        )
        parts.append(found.transpose(1, 2).flatten(0, 1)[layout.real_N])
    done = sum(len(part) for part in parts)
    return torch.nn.functional.pad(torch.cat(parts), (0, 0, 0, 0, 0, length - done))


def _by_block(states: Tensor, layout: RowLayout) -> Tensor:
    """(heads, L, size) as (C, heads, R, size)."""
    heads, _, size = states.shape
    gathered = states.index_select(1, layout.gather_M)
    return gathered.view(heads, layout.blocks, -1, size).transpose(0, 1)
