"""A prompt and its completions as one row: what several of them begin with is there once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """A prompt group: one prompt and its completions, as int64 tensors on the CPU.

    position_ids_AT: of the prompt. completions_G: the ids of each completion, of any length.
    rows_G: the row of TRL's batch that each completion is in.
    """

    prompt_T: Tensor
    position_ids_AT: Tensor
    completions_G: Sequence[Tensor]
    rows_G: Sequence[int]


class Packed(NamedTuple):
    """Prompt groups as rows of one batch, padded on the right.

    input_ids_PL, ends_PL, position_ids_APL: what the model and its attention read; `ends_PL` says
    who attends to whom.
    group_U, place_U: the packed rows and the positions there whose hidden states are read.
    read_E, token_E: every next token that is wanted once: the number in U of what it is read from,
    never falling, and its id.
    edge_N, row_N, column_N: for each completion token, of all groups one after another, its number
    in E, and its place in the completion part of TRL's batch.
    """

    input_ids_PL: Tensor
    ends_PL: Tensor
    position_ids_APL: Tensor
    group_U: Tensor
    place_U: Tensor
    read_E: Tensor
    token_E: Tensor
    edge_N: Tensor
    row_N: Tensor
    column_N: Tensor

    def to(self, device: torch.device) -> Packed:
        """The same on that device."""
        return Packed(*(tensor.to(device) for tensor in self))


# A prompt [11 12] with the completions [21 22 23], [31 32] and [21 22 24], from rows 5, 2 and 7 of
# the batch. They are a tree, which is written down as it is walked, completions in sorted order:
#
#                     ┌ 21 ─ 22 ─ (23), (24)     a completion's last token predicts nothing: it is
#       11 ─ 12 ──────┤                          left out unless another one goes on from it
#                     └ 31 ─ (32)
#
#   position          0  1  2  3  4
#   input_ids_L      11 12 21 22 31
#   ends_L            5  5  4  4  5     where what follows from a token ends: 21 is seen up to 4
#   position_ids_AL   0  1  2  3  2     every completion continues where the prompt ends
#
#   place_U           1  2  3  4        what is read: the last token of the prompt, all after it
#   read_E            0  0  1  2  2  3  place 1 predicts 21 and 31, place 3 both 23 and 24
#   token_E          21 31 22 23 24 32
#   edge_N            0  2  3 | 1  5 | 0  2  4
#   row_N             5  5  5 | 2  2 | 7  7  7
#   column_N          0  1  2 | 0  1 | 0  1  2
#
# and who attends to whom, query by row (`attention_mask`): to all before it whose end it is before
#
#          11 12 21 22 31
#   11      x
#   12      x  x
#   21      x  x  x
#   22      x  x  x  x
#   31      x  x        x               not to 21 and 22: they end at 4, and this is position 4


def pack(groups: Sequence[Group]) -> Packed:
    """The groups as rows of one batch, on the CPU."""
    trees = [_tree(group) for group in groups]
    width = max((len(tree.ids) for tree in trees), default=0)
    read_before = [0, *accumulate(len(tree.places) for tree in trees)]
    edges_before = [0, *accumulate(len(tree.edges) for tree in trees)]
    lengths = [len(ids) for group in groups for ids in group.completions_G]
    rows = [row for group in groups for row in group.rows_G]
    return Packed(
        _rows([tree.ids + [0] * (width - len(tree.ids)) for tree in trees]),
        _rows([[*tree.ends, *range(len(tree.ends) + 1, width + 1)] for tree in trees]),
        _padded([_position_ids(*pair).T for pair in zip(groups, trees, strict=True)]),
        _flat([number] * len(tree.places) for number, tree in enumerate(trees)),
        _flat(tree.places for tree in trees),
        _flat(
            [read + start for read, _ in tree.edges]
            for tree, start in zip(trees, read_before, strict=False)
        ),
        _flat([token for _, token in tree.edges] for tree in trees),
        _flat(
            [edge + start for edge in tree.walked]
            for tree, start in zip(trees, edges_before, strict=False)
        ),
        _flat([row] * length for row, length in zip(rows, lengths, strict=True)),
        _flat(range(length) for length in lengths),
    )


class _Tree(NamedTuple):
    """One group. ids, ends: of its row. depths: of the tokens after the prompt, from 0.

    places: those that are read. edges: the number in places and the token, sorted. walked: the
    numbers in edges of every completion's tokens, one completion after another.
    """

    ids: list[int]
    ends: list[int]
    depths: list[int]
    places: list[int]
    edges: list[tuple[int, int]]
    walked: list[int]


def _tree(group: Group) -> _Tree:
    completions = [ids.tolist() for ids in group.completions_G]
    ids: list[int] = group.prompt_T.tolist()
    prompt, depths = len(ids), list[int]()
    ends = [0] * prompt
    path, before = list[int](), list[int]()  # places and tokens of the completion written last
    steps: list[list[tuple[int, int]]] = [[] for _ in completions]
    for number in sorted(range(len(completions)), key=completions.__getitem__):
        inputs = completions[number][:-1]
        same = _common(before, inputs)
        for place in path[same:]:
            ends[place] = len(ids)
        new = range(len(ids), len(ids) + len(inputs) - same)
        path, before = [*path[:same], *new], inputs
        ids += inputs[same:]
        ends += [0] * len(new)
        depths += range(same, len(inputs))
        steps[number] = [*zip([prompt - 1, *path], completions[number], strict=False)]
    ends = [end or len(ids) for end in ends]
    edges = sorted({*chain(*steps)})
    places = sorted({place for place, _ in edges})
    read_of = {place: number for number, place in enumerate(places)}
    edge_of = {edge: number for number, edge in enumerate(edges)}
    read = [(read_of[place], token) for place, token in edges]
    return _Tree(ids, ends, depths, places, read, [edge_of[step] for step in chain(*steps)])


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many of their first tokens are the same."""
    same = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        same += 1
    return same


def _position_ids(group: Group, tree: _Tree) -> Tensor:
    """(A, L): the prompt's, then one more for every token from its end."""
    first = int(group.position_ids_AT.max()) + 1
    after = (first + torch.tensor(tree.depths, dtype=torch.long)).expand(
        len(group.position_ids_AT), -1
    )
    return torch.cat([group.position_ids_AT, after], 1)


def _padded(rows: Sequence[Tensor]) -> Tensor:
    """(A, P, L), zeros on the right. rows: (L, A) each."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True).permute(2, 0, 1)


def _rows(rows: Sequence[Sequence[int]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.long)


def _flat(parts: Iterable[Iterable[int]]) -> Tensor:
    return torch.tensor([*chain(*parts)], dtype=torch.long)


def attention_mask(ends_PL: Tensor) -> Tensor:
    """(P, 1, L, L) bool, query before key: True where the query attends to the key.

    A token attends to the tokens before it that it follows from. Padding, which ends where it
    stands, attends to itself too, so that no row of the softmax is empty.
    """
    place = torch.arange(ends_PL.shape[1], device=ends_PL.device)
    before = place[:, None] >= place
    return (before & (place[:, None] < ends_PL[:, None, :]))[:, None]
