"""A prompt group as one row: the prompt once, then its completions, each blind to the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

PROMPT, PADDING = 0, -1  # segment ids; completions are numbered from 1


@dataclass(frozen=True)
class Group:
    """A prompt group: one prompt and its completions, as int64 tensors.

    position_ids_AT: of the prompt. completions_G: the ids of each completion, of any length.
    rows_G: the row of TRL's batch that each completion is in.
    """

    prompt_T: Tensor
    position_ids_AT: Tensor
    completions_G: Sequence[Tensor]
    rows_G: Sequence[int]


class Packed(NamedTuple):
    """Prompt groups as rows of one batch, padded on the right.

    input_ids_PL, segment_ids_PL, position_ids_APL: what the model and its attention mask read.
    For each completion token, of all groups one after another: token_ids_N, its id; group_N and
    read_from_N, the packed row and the position there whose hidden state predicts it; row_N and
    column_N, its place in the completion part of TRL's batch.
    """

    input_ids_PL: Tensor
    segment_ids_PL: Tensor
    position_ids_APL: Tensor
    token_ids_N: Tensor
    group_N: Tensor
    read_from_N: Tensor
    row_N: Tensor
    column_N: Tensor

    def to(self, device: torch.device) -> Packed:
        """The same on that device."""
        return Packed(*(tensor.to(device) for tensor in self))


class _PackedRow(NamedTuple):
    """One group, not padded yet; names as in `Packed`."""

    input_ids_L: Tensor
    segment_ids_L: Tensor
    position_ids_AL: Tensor
    token_ids_N: Tensor
    read_from_N: Tensor
    row_N: Tensor
    column_N: Tensor


# A prompt [11 12] with the completions [21 22 23] and [31 32], from rows 5 and 2 of the batch:
#
#   input_ids_L      11 12 21 22 31     a completion's last token predicts nothing: 23, 32 left out
#   segment_ids_L     0  0  1  1  2     which completion a position belongs to; 0 is the prompt
#   position_ids_AL   0  1  2  3  2     every completion continues where the prompt ends
#
#   token_ids_N      21 22 23 31 32     what is predicted
#   read_from_N       1  2  3  1  4     21 and 31 both follow the last token of the prompt
#   row_N             5  5  5  2  2
#   column_N          0  1  2  0  1
#
# and who attends to whom, query by row (`attention_mask`):
#
#          11 12 21 22 31
#   11      x
#   12      x  x
#   21      x  x  x
#   22      x  x  x  x
#   31      x  x        x               not to 21 and 22: those are another completion


def pack(groups: Sequence[Group]) -> Packed:
    """The groups as rows of one batch, on the device of their tensors."""
    packed = [_packed_row(group) for group in groups]
    numbers = [torch.full_like(row.token_ids_N, number) for number, row in enumerate(packed)]
    return Packed(
        _padded([row.input_ids_L for row in packed], 0),
        _padded([row.segment_ids_L for row in packed], PADDING),
        _padded([row.position_ids_AL.T for row in packed], 0).permute(2, 0, 1),
        torch.cat([row.token_ids_N for row in packed]),
        torch.cat(numbers),
        torch.cat([row.read_from_N for row in packed]),
        torch.cat([row.row_N for row in packed]),
        torch.cat([row.column_N for row in packed]),
    )


def _packed_row(group: Group) -> _PackedRow:
    none = group.prompt_T[:0]
    ids, segments = [group.prompt_T], [torch.full_like(group.prompt_T, PROMPT)]
    positions, first_position = [group.position_ids_AT], int(group.position_ids_AT.max()) + 1
    read_from, rows, columns = [none], [none], [none]
    start = last_of_prompt = len(group.prompt_T) - 1
    for number, (tokens, row) in enumerate(zip(group.completions_G, group.rows_G, strict=True), 1):
        column = torch.arange(len(tokens), device=tokens.device)
        read_from.append(torch.where(column == 0, last_of_prompt, start + column))
        rows.append(torch.full_like(column, row))
        columns.append(column)
        inputs = tokens[:-1]
        ids.append(inputs)
        segments.append(torch.full_like(inputs, number))
        positions.append((first_position + column[:-1]).expand(len(group.position_ids_AT), -1))
        start += len(inputs)
    return _PackedRow(
        torch.cat(ids),
        torch.cat(segments),
        torch.cat(positions, 1),
        torch.cat([none, *group.completions_G]),
        torch.cat(read_from),
        torch.cat(rows),
        torch.cat(columns),
    )


def _padded(rows: Sequence[Tensor], value: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)


def attention_mask(segment_ids_PL: Tensor) -> Tensor:
    """(P, 1, L, L) bool, query before key: True where the query attends to the key.

    A token attends to the prompt and to its own completion, never to a later position. Padding
    attends to itself, so that no row of the softmax is empty.
    """
    query, key = segment_ids_PL[:, None, :, None], segment_ids_PL[:, None, None, :]
    length = segment_ids_PL.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segment_ids_PL.device).tril()
    return causal & ((key == PROMPT) | (key == query))
