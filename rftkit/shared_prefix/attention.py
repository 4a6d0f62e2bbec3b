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
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

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


_layouts: OrderedDict[tuple[int, torch.Size], tuple[Tensor, list[RowLayout]]] = OrderedDict()


def layouts_of(segments: Tensor) -> Sequence[RowLayout]:
    """The layout of every row, worked out once for a tensor of segment ids, (P, 1, 1, L).

    The tensor is kept beside them: it is known again by its memory, which must not be another's.
    """
    key = (segments.data_ptr(), segments.shape)
    if key not in _layouts:
        rows = segments[:, 0, 0].cpu()
        _layouts[key] = segments, [row_layout(row, segments.device) for row in rows]
        while len(_layouts) > KEPT:
            _layouts.popitem(last=False)
    return _layouts[key][1]


@torch.compiler.disable  # type: ignore[untyped-decorator]
def attend(
    query: Tensor, key: Tensor, value: Tensor, segments: Tensor, scale: float | None
) -> Tensor:
    """Attention of packed rows.

    query: (P, heads, L, size). key, value: (P, key heads, L, size). segments: segment ids,
    (P, 1, 1, L). Returns (P, L, heads, size); 0 for padding.
    """
    rows = [
        _attend_row(query[number], key[number], value[number], layout, scale)
        for number, layout in enumerate(layouts_of(segments))
    ]
    return torch.stack(rows)


def _attend_row(
    query: Tensor, key: Tensor, value: Tensor, layout: RowLayout, scale: float | None
) -> Tensor:
    """One row: (heads, L, size) each. Returns (L, heads, size)."""
    length, prompt = query.shape[1], layout.prompt
    options: dict[str, Any] = {"scale": scale, "enable_gqa": query.shape[0] != key.shape[0]}
    of_prompt = scaled_dot_product_attention(
        query[None, :, :prompt], key[None, :, :prompt], value[None, :, :prompt],
        is_causal=True, **options,
    )[0].transpose(0, 1)  # fmt: skip
    parts = [of_prompt]
    if layout.completions:
        queries = _by_completion(query, layout)
        # a kernel for masks takes as many heads of keys as of queries
        repeats = query.shape[0] // key.shape[0]
        keys, values = (
            torch.cat(
                [
                    states[:, :prompt].expand(layout.completions, -1, -1, -1),
                    _by_completion(states, layout),
                ],
                2,
            ).repeat_interleave(repeats, 1)
            for states in (key, value)
        )
        found = scaled_dot_product_attention(
            queries, keys, values, attn_mask=layout.mask_RK, scale=scale
        )
        parts.append(found.transpose(1, 2).flatten(0, 1)[layout.real_N])
    done = sum(len(part) for part in parts)
    return torch.nn.functional.pad(torch.cat(parts), (0, 0, 0, 0, 0, length - done))


def _by_completion(states: Tensor, layout: RowLayout) -> Tensor:
    """(heads, L, size) as (G, heads, R, size)."""
    heads, _, size = states.shape
    gathered = states.index_select(1, layout.gather_M)
    return gathered.view(heads, layout.completions, -1, size).transpose(0, 1)
