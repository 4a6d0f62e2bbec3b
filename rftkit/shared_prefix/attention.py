"""Attention of packed rows in two calls: the prompt, and all completions of its group side by side.

The same as one call with `packing.attention_mask`, which is (L, L) and mostly False: a completion
attends to nothing of the others, but a kernel that is given a mask computes those scores too. Here
none is computed, no (L, L) mask is held, and the prompt gets the kernel for causal attention.

    packed row      p0 p1 p2 a1 a2 b1              the prompt p, completions a and b
    1. causal       p0 p1 p2
    2. a batch of G     queries   keys             mask, the same for the whole batch
       a                a1 a2     p0 p1 p2 a1 a2   11110   a1 does not attend to a2
       b                b1 __     p0 p1 p2 b1 __   11111   __ is padding: its output is dropped
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from rftkit.shared_prefix.packing import PROMPT

KEPT = 16  # layouts: a micro-batch and its recomputation ask for the same few again and again


class RowLayout(NamedTuple):
    """Where the parts of one packed row are.

    prompt: its tokens. gather_M: for each completion, padded to the longest, the position of each
    of its R tokens: flat, G × R = M. real_N: which of those M are no padding, in packed order.
    mask_RK: what the R tokens of a completion attend to of prompt and completion, K = prompt + R.
    """

    prompt: int
    completions: int
    gather_M: Tensor
    real_N: Tensor
    mask_RK: Tensor


def row_layout(segment_ids_L: Tensor, device: torch.device) -> RowLayout:
    """The layout of a row by its segment ids, which are on the CPU."""
    prompt = int((segment_ids_L == PROMPT).sum())
    count = max(0, int(segment_ids_L.max()))
    places = [(segment_ids_L == number).nonzero()[:, 0] for number in range(1, count + 1)]
    places = [positions for positions in places if len(positions)]  # one token: nothing to compute
    longest = max((len(positions) for positions in places), default=0)
    gather = torch.zeros(len(places), longest, dtype=torch.long)
    real = torch.zeros(len(places), longest, dtype=torch.bool)
    for number, positions in enumerate(places):
        gather[number, : len(positions)] = positions
        real[number, : len(positions)] = True
    own = torch.ones(longest, longest, dtype=torch.bool).tril()
    mask = torch.cat([torch.ones(longest, prompt, dtype=torch.bool), own], 1)
    tensors = (gather.flatten(), real.flatten().nonzero()[:, 0], mask)
    return RowLayout(prompt, len(places), *(tensor.to(device) for tensor in tensors))


class Known(NamedTuple):
    """segments: kept, so that its memory, by which it is known again, is not another's.

    again: whether attention is computed again in the backward pass.
    """

    segments: Tensor
    rows: list[RowLayout]
    again: bool


_known: OrderedDict[tuple[int, torch.Size], Known] = OrderedDict()


def announce(segments: Tensor, *, again: bool) -> None:
    """Work out the layout of every row of segment ids, (P, 1, 1, L), once for all layers.

    again: whether attention is to be computed again in the backward pass. Its keys and values, once
    for every completion, are then not kept until there; where whole layers are computed again
    (gradient checkpointing) they are not kept anyway.
    """
    rows = [row_layout(row, segments.device) for row in segments[:, 0, 0].cpu()]
    _known[segments.data_ptr(), segments.shape] = Known(segments, rows, again)
    while len(_known) > KEPT:
        _known.popitem(last=False)


def _known_of(segments: Tensor) -> Known:
    key = (segments.data_ptr(), segments.shape)
    if key not in _known:  # forgotten since: many forwards came between
        announce(segments, again=False)
    return _known[key]


@torch.compiler.disable  # type: ignore[untyped-decorator]
def attend(
    query: Tensor, key: Tensor, value: Tensor, segments: Tensor, scale: float | None
) -> Tensor:
    """Attention of packed rows.

    query: (P, heads, L, size). key, value: (P, key heads, L, size). segments: segment ids,
    (P, 1, 1, L). Returns (P, L, heads, size); 0 for padding.
    """
    known = _known_of(segments)
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
    if layout.completions:
        keys, values = (
            torch.cat(
                [
                    states[:, :prompt].expand(layout.completions, -1, -1, -1),
                    _by_completion(states, layout),
                ],
                2,
            )
            for states in (key, value)
        )
        found = scaled_dot_product_attention(
            _by_completion(query, layout), keys, values, attn_mask=layout.mask_RK, scale=scale
        )
        parts.append(found.transpose(1, 2).flatten(0, 1)[layout.real_N])
    done = sum(len(part) for part in parts)
    return torch.nn.functional.pad(torch.cat(parts), (0, 0, 0, 0, 0, length - done))


def _by_completion(states: Tensor, layout: RowLayout) -> Tensor:
    """(heads, L, size) as (G, heads, R, size)."""
    heads, _, size = states.shape
    gathered = states.index_select(1, layout.gather_M)
    return gathered.view(heads, layout.completions, -1, size).transpose(0, 1)
