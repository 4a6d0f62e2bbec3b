"""Log-probabilities of completions, with the prompt of each group computed once.

The same numbers as a forward of every row by itself: a completion attends to the prompt and to
itself, at the positions it would have alone. The prompt's keys and values get gradient from every
completion. Source: Prefix Grouper (arXiv 2506.05433), here with pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rftkit.shared_prefix.forward import Scoring, bare, prompt_places, score
from rftkit.shared_prefix.groups import find_groups, grids_of, of_rows, pictures_of, tokens_of
from rftkit.shared_prefix.packing import Group, Packed, pack

ANSWERS_AT_ONCE = 256  # in one forward: they are short


@dataclass(frozen=True)
class Rows:
    """A batch as TRL lays it out: one completion a row, prompts padded left, replies right.

    ids, mask: (rows, prompt + reply tokens). reply: columns that hold the reply. inputs: further
    inputs of the model by name, among them the pictures.
    """

    ids: Tensor
    mask: Tensor
    reply: int
    inputs: Mapping[str, Any]


class Scores(NamedTuple):
    """(rows, reply) float32 each: log-probability and entropy in nats, 0 where masked."""

    logps: Tensor
    entropies: Tensor | None


def shared_logps(model: Any, rows: Rows, scoring: Scoring) -> Scores:
    """Log-probability of each completion token, and its entropy if asked.

    Rows are one group if prompt and pictures are equal, wherever they stand in the batch.
    """
    prompt = rows.ids.shape[1] - rows.reply
    prompts = tokens_of(rows.ids[:, :prompt], rows.mask[:, :prompt])
    groups = find_groups(prompts, pictures_of(rows.inputs), grids_of(rows.inputs))
    parts = [
        _scores(bare(model), rows, part, scoring)
        for part in in_parts(groups, scoring.most_rows or len(rows.ids))
    ]
    entropies = [part.entropies for part in parts if part.entropies is not None]
    logps = reduce(torch.add, [part.logps for part in parts])
    return Scores(logps, reduce(torch.add, entropies) if entropies else None)


@torch.no_grad()
def answer_logps(
    model: Any, inputs: Mapping[str, Any], answers: Sequence[Sequence[Tensor]]
) -> list[list[float]]:
    """Log-probability, in nats, of each whole answer to its prompt.

    inputs: what a processor makes of the prompts, padded left, and `num_images` if not one each.
    answers: the tokens of each prompt's answers.
    """
    model, flat = bare(model), [tokens for given in answers for tokens in given]
    prompt_of = [number for number, given in enumerate(answers) for _ in given]
    numbers = iter(range(len(flat)))
    groups = [group for given in answers if (group := [next(numbers) for _ in given])]
    found = torch.zeros(len(flat), device=inputs["input_ids"].device)
    for part in in_parts(groups, ANSWERS_AT_ONCE):
        prompts = [prompt_of[group[0]] for group in part]
        pictures = of_rows(inputs, prompts)
        ids, mask = inputs["input_ids"][prompts], inputs["attention_mask"][prompts]
        packed = _packed(model, (ids, mask), pictures, part, flat)
        found.index_add_(0, packed.row, score(model, packed, pictures, Scoring())[0])
    totals = iter(found.tolist())
    return [[next(totals) for _ in given] for given in answers]


def in_parts(groups: Sequence[list[int]], most: int) -> Iterator[list[list[int]]]:
    """Groups in lots of at most `most` rows; a larger group is cut."""
    lot: list[list[int]] = []
    for group in groups:
        for start in range(0, len(group), most):
            piece = group[start : start + most]
            if lot and sum(map(len, lot)) + len(piece) > most:
                yield lot
                lot = []
            lot.append(piece)
    if lot:
        yield lot


def _scores(model: Any, rows: Rows, groups: list[list[int]], scoring: Scoring) -> Scores:
    """Scores of these groups' rows, 0 in all others."""
    size, firsts = rows.ids.shape[1] - rows.reply, [group[0] for group in groups]
    pictures = of_rows(rows.inputs, firsts)
    masked = zip(rows.ids[:, size:], rows.mask[:, size:].bool(), strict=True)
    replies = [ids[kept] for ids, kept in masked]
    prompts = (rows.ids[firsts, :size], rows.mask[firsts, :size])
    packed = _packed(model, prompts, pictures, groups, replies)
    logps, entropies = score(model, packed, pictures, scoring)
    return Scores(
        _spread(logps, packed, rows),
        _spread(entropies, packed, rows) if scoring.entropy else None,
    )


def _packed(
    model: Any,
    prompts: tuple[Tensor, Tensor],
    pictures: dict[str, Tensor],
    groups: list[list[int]],
    completions: Sequence[Tensor],
) -> Packed:
    """prompts: ids and mask, (groups, tokens) each. groups: which completions follow a prompt."""
    ids, mask = prompts
    places = prompt_places(model, ids, mask, pictures)
    return pack(
        [
            Group(row[kept], place, [completions[n] for n in group], group)
            for row, kept, place, group in zip(ids, mask.bool(), places, groups, strict=True)
        ]
    )


def _spread(values: Tensor, packed: Packed, rows: Rows) -> Tensor:
    """values: (tokens,). Returns (rows, reply), connected to the model even without a token."""
    empty = values.new_zeros(len(rows.ids), rows.reply)
    return empty.index_put((packed.row, packed.column), values)
