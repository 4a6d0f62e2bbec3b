"""Log-probabilities of completions, with the prompt of each group encoded once.

The same numbers as a forward of every row by itself: a completion attends to the prompt and to
itself, at the position ids it would have alone. The prompt's keys and values get gradient from
every completion. Source: Prefix Grouper (arXiv 2506.05433), here with images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rftkit.shared_prefix.forward import LogpOptions, Prompts, position_ids_of, token_logps
from rftkit.shared_prefix.groups import PromptKey, find_groups, images_of_rows, without_padding
from rftkit.shared_prefix.packing import Group, Packed, pack
from rftkit.shared_prefix.supported import bare

ANSWERS_AT_ONCE = 256  # in one forward: they are short
TOKEN_TYPES = {"token_type_ids", "mm_token_type_ids"}  # which tokens are of an image


@dataclass(frozen=True)
class Batch:
    """A batch as TRL lays it out: one completion a row, prompts padded left, completions right.

    input_ids_BT, mask_BT: prompt and completion side by side, the completion in the last `columns`
    (C) of them. prompts_B: the key of each row's prompt; rows of equal keys are one group, wherever
    they stand. inputs: further inputs of the model by name, among them those of the images.
    follow_B: token ids of whatever may follow the completion of each row, for which probabilities
    are wanted too.
    """

    input_ids_BT: Tensor
    mask_BT: Tensor
    columns: int
    prompts_B: Sequence[PromptKey]
    inputs: Mapping[str, Any]
    follow_B: Sequence[Sequence[Tensor]] = ()


class BatchLogps(NamedTuple):
    """(B, C) float32 each: log-probability and entropy in nats, 0 where masked.

    follow: of what may follow each row's completion, given that and the prompt: row -> (follows,).
    """

    logps: Tensor
    entropies: Tensor | None
    follow: Mapping[int, Tensor] = {}


def shared_logps(model: Any, batch: Batch, options: LogpOptions) -> BatchLogps:
    """Log-probability of each completion token, and its entropy if asked."""
    model, batch, rows = bare(model), _on_cpu(batch), len(batch.prompts_B)
    _check_keys(batch)
    groups = find_groups(batch.prompts_B)
    parts = [
        _of_groups(model, batch, part, options)
        for part in in_parts(groups, options.rows_at_once or rows)
    ]
    entropies = [part.entropies for part in parts if part.entropies is not None]
    logps = reduce(torch.add, [part.logps for part in parts])
    follow = {row: found for part in parts for row, found in part.follow.items()}
    return BatchLogps(logps, reduce(torch.add, entropies) if entropies else None, follow)


def answer_logps(
    model: Any,
    inputs: Mapping[str, Any],
    prompts_P: Sequence[PromptKey],
    answers_P: Sequence[Sequence[Tensor]],
    options: LogpOptions,
) -> list[Tensor]:
    """Log-probability, in nats, of each whole answer to its prompt: for each prompt (answers,).

    With a gradient, if gradients are enabled. inputs: what a processor makes of the prompts, padded
    left, on the CPU. prompts_P: their keys. answers_P: the token ids of each prompt's answers.
    """
    model, flat = bare(model), [tokens for answers in answers_P for tokens in answers]
    prompt_of = [number for number, answers in enumerate(answers_P) for _ in answers]
    numbers = iter(range(len(flat)))
    groups = [group for answers in answers_P if (group := [next(numbers) for _ in answers])]
    logps = torch.zeros(len(flat), device=model.device)
    for part in in_parts(groups, options.rows_at_once or ANSWERS_AT_ONCE):
        rows = [prompt_of[group[0]] for group in part]
        prompts = Prompts(
            inputs["input_ids"][rows],
            inputs["attention_mask"][rows],
            [prompts_P[row] for row in rows],
            images_of_rows(model, inputs, prompts_P, rows),
        )
        packed = _packed(model, prompts, part, flat)
        logps_N, _ = token_logps(model, packed, prompts, options)
        logps = logps.index_add(0, packed.row_N, logps_N)
    return list(torch.split(logps, [len(answers) for answers in answers_P]))


def plain_answer_logps(
    model: Any,
    inputs: Mapping[str, Any],
    answers_B: Sequence[Tensor],
    padded: tuple[int, float],
) -> Tensor:
    """(B,) The same of one answer a row, each with a prompt of its own: the slow twin.

    inputs: a row for each answer, on the model's device. padded: token id of the padding, and the
    temperature.
    """
    pad, temperature = padded
    logps, ids_BT, mask_BT = plain_logps(model, inputs, answers_B, pad, temperature)
    sums: Tensor = (logps.gather(-1, ids_BT[..., None])[..., 0] * mask_BT).sum(1)
    return sums


def plain_logps(
    model: Any,
    inputs: Mapping[str, Any],
    answers_B: Sequence[Tensor],
    pad: int,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """(B, T, V) log-probabilities at each token of the answers, their ids and mask, (B, T)."""
    masks = [torch.ones_like(one) for one in answers_B]
    ids_BT, mask_BT = (
        torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value).to(
            model.device
        )
        for rows, value in ((answers_B, pad), (masks, 0))
    )
    grown = {
        **inputs,
        "input_ids": torch.cat([inputs["input_ids"], ids_BT], 1),
        "attention_mask": torch.cat([inputs["attention_mask"], mask_BT], 1),
    }
    for name in TOKEN_TYPES & {*inputs}:
        grown[name] = torch.cat([inputs[name], torch.zeros_like(ids_BT)], 1)
    logits = model(**grown, logits_to_keep=ids_BT.shape[1] + 1, use_cache=False).logits
    logps = (logits[:, :-1].float() / temperature).log_softmax(-1)
    return logps, ids_BT, mask_BT


def in_parts(groups: Sequence[list[int]], most: int) -> Iterator[list[list[int]]]:
    """Groups in parts of at most `most` rows; a larger group is cut.

    >>> list(in_parts([[0, 1, 2], [3], [4, 5]], 4))
    [[[0, 1, 2], [3]], [[4, 5]]]
    """
    part: list[list[int]] = []
    for group in groups:
        for start in range(0, len(group), most):
            piece = group[start : start + most]
            if part and sum(map(len, part)) + len(piece) > most:
                yield part
                part = []
            part.append(piece)
    if part:
        yield part


def _on_cpu(batch: Batch) -> Batch:
    """All but the pixels copied from the GPU: the layout below is then worked out without it."""
    grid = batch.inputs.get("image_grid_thw")
    return replace(
        batch,
        input_ids_BT=batch.input_ids_BT.cpu(),
        mask_BT=batch.mask_BT.cpu(),
        inputs={**batch.inputs, "image_grid_thw": None if grid is None else grid.cpu()},
    )


def _check_keys(batch: Batch) -> None:
    """Only a bug can mix up keys and rows, but it would train on another prompt unnoticed."""
    prompt = slice(0, batch.input_ids_BT.shape[1] - batch.columns)
    tokens_B = without_padding(batch.input_ids_BT[:, prompt], batch.mask_BT[:, prompt])
    assert tokens_B == [list(key.tokens) for key in batch.prompts_B], "keys of other prompts"


def _of_groups(
    model: Any, batch: Batch, groups: list[list[int]], options: LogpOptions
) -> BatchLogps:
    """Of these groups' rows, 0 in all others."""
    prompt_columns = batch.input_ids_BT.shape[1] - batch.columns
    firsts = [group[0] for group in groups]
    prompts = Prompts(
        batch.input_ids_BT[firsts, :prompt_columns],
        batch.mask_BT[firsts, :prompt_columns],
        [batch.prompts_B[row] for row in firsts],
        images_of_rows(model, batch.inputs, batch.prompts_B, firsts),
    )
    masked = zip(
        batch.input_ids_BT[:, prompt_columns:],
        batch.mask_BT[:, prompt_columns:].bool(),
        strict=True,
    )
    completions_B = [ids[kept] for ids, kept in masked]
    packed, follows = _packed_with_follows(model, prompts, groups, (completions_B, batch.follow_B))
    logps_N, entropies_N = token_logps(model, packed, prompts, options)
    return BatchLogps(
        _spread(logps_N, packed, batch),
        _spread(entropies_N, packed, batch) if options.entropy else None,
        _sums(logps_N, packed, len(completions_B), follows),
    )


class _Follow(NamedTuple):
    """What may follow the completion of `row`, which has `start` tokens."""

    row: int
    start: int


def _packed_with_follows(
    model: Any,
    prompts: Prompts,
    groups: list[list[int]],
    sequences: tuple[Sequence[Tensor], Sequence[Sequence[Tensor]]],
) -> tuple[Packed, list[_Follow]]:
    """Of every row its completion, then the completion with each thing that may follow it.

    The latter have numbers from B on; in a packed row the completion is there once.
    """
    completions_B, follow_B = sequences
    written, follows, grown = list(completions_B), list[_Follow](), list[list[int]]()
    for group in groups:
        numbers = list(group)
        for row in group if follow_B else ():
            for ids in follow_B[row]:
                numbers.append(len(written))
                written.append(torch.cat([completions_B[row], ids]))
                follows.append(_Follow(row, len(completions_B[row])))
        grown.append(numbers)
    return _packed(model, prompts, grown, written), follows


def _sums(
    logps_N: Tensor, packed: Packed, rows: int, follows: Sequence[_Follow]
) -> dict[int, Tensor]:
    """Row -> (follows,): the sum over the tokens of each that come after the completion."""
    if not follows:
        return {}
    starts = torch.tensor([0] * rows + [follow.start for follow in follows], device=logps_N.device)
    wanted = (packed.row_N >= rows) & (packed.column_N >= starts[packed.row_N])
    sums = logps_N.new_zeros(len(follows))
    sums = sums.index_add(0, packed.row_N[wanted] - rows, logps_N[wanted])
    numbers: dict[int, list[int]] = {}
    for number, follow in enumerate(follows):
        numbers.setdefault(follow.row, []).append(number)
    return {row: sums[chosen] for row, chosen in numbers.items()}


def _packed(
    model: Any, prompts: Prompts, groups: list[list[int]], completions: Sequence[Tensor]
) -> Packed:
    """groups: for each prompt the numbers of its completions."""
    rows = zip(
        prompts.input_ids_PT,
        prompts.mask_PT.bool(),
        position_ids_of(model, prompts),
        groups,
        strict=True,
    )
    packed = pack(
        [
            Group(ids[kept], position_ids, [completions[n] for n in group], group)
            for ids, kept, position_ids, group in rows
        ]
    )
    return packed.to(model.device)


def _spread(values_N: Tensor, packed: Packed, batch: Batch) -> Tensor:
    """(B, C): each value in its row and column, connected to the model even if there is none."""
    rows = len(batch.prompts_B)
    empty, own = values_N.new_zeros(rows, batch.columns), packed.row_N < rows
    return empty.index_put((packed.row_N[own], packed.column_N[own]), values_N[own])
