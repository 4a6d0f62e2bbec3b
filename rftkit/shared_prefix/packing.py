"""A group as one row: the prompt once, then its completions, each blind to the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PROMPT, PADDING = 0, -1  # segments; completions are numbered from 1


@dataclass(frozen=True)
class Group:
    """One prompt and its completions.

    prompt: (tokens,). places: (axes, tokens) positions of the prompt's tokens; one axis for text,
    three for M-RoPE. completions: each (tokens,), any length. rows: which rows of the batch.
    """

    prompt: Tensor
    places: Tensor
    completions: Sequence[Tensor]
    rows: Sequence[int]


@dataclass(frozen=True)
class Packed:
    """Groups as rows of one batch, padded on the right.

    ids, segments: (groups, width). places: (axes, groups, width). read: (3, tokens) for every
    completion token its group, the place whose hidden state predicts it, and its id. row, column:
    (tokens,) where the batch keeps that token.
    """

    ids: Tensor
    segments: Tensor
    places: Tensor
    read: Tensor
    row: Tensor
    column: Tensor


def pack(groups: Sequence[Group]) -> Packed:
    """The groups as rows. A completion's last token predicts nothing and is left out."""
    read, row, column = [], [], []
    ids, segments, places = [], [], []
    for number, group in enumerate(groups):
        size, device = len(group.prompt), group.prompt.device
        start, after = size, int(group.places.max()) + 1
        parts, marks, spots = (
            [group.prompt],
            [torch.full_like(group.prompt, PROMPT)],
            [group.places],
        )
        for mark, (tokens, home) in enumerate(zip(group.completions, group.rows, strict=True), 1):
            steps = torch.arange(len(tokens), device=device)
            places_read = torch.where(steps == 0, size - 1, start + steps - 1)
            read.append(torch.stack([torch.full_like(steps, number), places_read, tokens]))
            row.append(torch.full_like(steps, home))
            column.append(steps)
            shown = tokens[:-1]
            parts.append(shown)
            marks.append(torch.full_like(shown, mark))
            spots.append((after + steps[:-1]).expand(len(group.places), -1))
            start += len(shown)
        ids.append(torch.cat(parts))
        segments.append(torch.cat(marks))
        places.append(torch.cat(spots, 1))
    return Packed(
        _padded(ids, 0),
        _padded(segments, PADDING),
        _padded([spot.T for spot in places], 0).permute(2, 0, 1),
        torch.cat(read, 1),
        torch.cat(row),
        torch.cat(column),
    )


def _padded(rows: Sequence[Tensor], value: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)


def attention(segments: Tensor) -> Tensor:
    """What may look at what: the prompt and one's own completion, never what comes later.

    segments: (groups, width). Returns (groups, 1, width, width) bool, query before key. Padding
    looks at itself, so that no row of the softmax is empty.
    """
    query, key = segments[:, None, :, None], segments[:, None, None, :]
    width = segments.shape[1]
    past = torch.ones(width, width, dtype=torch.bool, device=segments.device).tril()
    return past & ((key == PROMPT) | (key == query))
