"""Log-probabilities of completions, with the prompt of each group computed once.

The same numbers as a forward of every row by itself: a completion attends to the prompt and to
itself, at the positions it would have alone. The prompt's keys and values get gradient from every
completion. Source: Prefix Grouper (arXiv 2506.05433), here with pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import torch
from peft import PeftModel
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rftkit.shared_prefix.groups import find_groups, of_rows, pictures_of, tokens_of
from rftkit.shared_prefix.packing import Group, Packed, attention, pack

M_ROPE = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
TEXT_ROPE = ("idefics3", "smolvlm")
LOGITS_AT_ONCE = 2**24  # values; 64 MiB in fp32


@dataclass(frozen=True)
class Rows:
    """A batch as TRL lays it out: one completion a row, prompts padded left, replies right.

    ids, mask: (rows, prompt + reply tokens). reply: columns that hold the reply. inputs: further
    inputs of the model by name, among them the pictures.
    """

    ids: Tensor
    mask: Tensor
    reply: int
    inputs: dict[str, Any]


@dataclass(frozen=True)
class Scoring:
    """How tokens are scored. most_rows: completions in one forward, all if None."""

    temperature: float = 1.0
    entropy: bool = False
    entropy_gradient: bool = False
    most_rows: int | None = None


class Scores(NamedTuple):
    """(rows, reply) float32 each: log-probability and entropy in nats, 0 where masked."""

    logps: Tensor
    entropies: Tensor | None


def unsupported(model: Any) -> str | None:
    """Why this model cannot share prefixes, in a few words; None if it can."""
    config = bare(model).config
    if config.model_type not in (*M_ROPE, *TEXT_ROPE):
        return f"architecture '{config.model_type}' is not among those it is tested with"
    text = config.get_text_config()
    if text._attn_implementation not in ("sdpa", "eager"):
        return f"attention '{text._attn_implementation}' takes no mask of one's own"
    if "sliding_attention" in (getattr(text, "layer_types", None) or ()):
        return "some layers see a sliding window only"
    return None


def bare(model: Any) -> Any:
    """The transformers model within an adapter's wrapper, its LoRA layers in place."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def shared_logps(model: Any, rows: Rows, scoring: Scoring) -> Scores:
    """Log-probability of each completion token, and its entropy if asked.

    Rows are one group if prompt and pictures are equal, wherever they stand in the batch.
    """
    prompt = rows.ids.shape[1] - rows.reply
    prompts = tokens_of(rows.ids[:, :prompt], rows.mask[:, :prompt])
    groups = find_groups(prompts, pictures_of(rows.inputs))
    parts = [
        _score(bare(model), rows, part, scoring)
        for part in in_parts(groups, scoring.most_rows or len(rows.ids))
    ]
    entropies = [part.entropies for part in parts if part.entropies is not None]
    logps = reduce(torch.add, [part.logps for part in parts])
    return Scores(logps, reduce(torch.add, entropies) if entropies else None)


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
    yield lot


def _score(model: Any, rows: Rows, groups: list[list[int]], scoring: Scoring) -> Scores:
    """Scores of these groups' rows, 0 in all others."""
    firsts = [group[0] for group in groups]
    pictures = of_rows(rows.inputs, firsts)
    packed = pack(_groups(model, rows, groups, pictures))
    outputs = model.base_model(
        input_ids=packed.ids,
        attention_mask=_mask(model, packed),
        position_ids=packed.places if len(packed.places) > 1 else packed.places[0],
        use_cache=False,
        **pictures,
    )
    group, place, tokens = packed.read
    found = _token_scores(model, outputs.last_hidden_state[group, place], tokens, scoring)
    return Scores(
        _spread(found[0], packed, rows),
        _spread(found[1], packed, rows) if scoring.entropy else None,
    )


def _spread(values: Tensor, packed: Packed, rows: Rows) -> Tensor:
    """values: (tokens,). Returns (rows, reply), connected to the model even without a token."""
    empty = values.new_zeros(len(rows.ids), rows.reply)
    return empty.index_put((packed.row, packed.column), values)


def _mask(model: Any, packed: Packed) -> Tensor:
    """As the attention wants it: bool for sdpa, to be added for eager."""
    allowed = attention(packed.segments)
    if model.config.get_text_config()._attn_implementation == "sdpa":
        return allowed
    least = torch.finfo(model.dtype).min
    return torch.zeros_like(allowed, dtype=model.dtype).masked_fill(~allowed, least)


def _groups(
    model: Any, rows: Rows, groups: list[list[int]], pictures: dict[str, Tensor]
) -> list[Group]:
    size = rows.ids.shape[1] - rows.reply
    ids, mask = rows.ids[:, :size], rows.mask[:, :size].bool()
    replies, kept = rows.ids[:, size:], rows.mask[:, size:].bool()
    places = _places(model, rows, [group[0] for group in groups], pictures)
    return [
        Group(ids[group[0]][mask[group[0]]], place, [replies[r][kept[r]] for r in group], group)
        for group, place in zip(groups, places, strict=True)
    ]


def _places(model: Any, rows: Rows, firsts: list[int], pictures: dict[str, Tensor]) -> list[Tensor]:
    """Positions of the prompt's tokens in each of these rows: (axes, tokens)."""
    size = rows.ids.shape[1] - rows.reply
    ids, mask = rows.ids[firsts, :size], rows.mask[firsts, :size]
    axes = 3 if model.config.model_type in M_ROPE else 1
    if axes == 1 or not pictures:
        count = [int(total) for total in mask.sum(1)]
        return [torch.arange(n, device=ids.device).expand(axes, -1) for n in count]
    places, _ = model.base_model.get_rope_index(
        ids,
        rows.inputs["mm_token_type_ids"][firsts, :size],
        image_grid_thw=pictures["image_grid_thw"],
        attention_mask=mask,
    )
    return [places[:, i, kept] for i, kept in enumerate(mask.bool())]


def _token_scores(
    model: Any, hidden: Tensor, tokens: Tensor, scoring: Scoring
) -> tuple[Tensor, Tensor]:
    """hidden: (tokens, width). A few tokens at a time: all their logits would fill the memory.

    While gradients are wanted the logits are computed again in the backward pass.
    """
    head = model.get_output_embeddings()

    def scores(part: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        logs = (head(part).float() / scoring.temperature).log_softmax(-1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and scoring.entropy_gradient):
            entropy = -(logs.exp() * logs).sum(-1) if scoring.entropy else logs.new_zeros(len(logs))
        return logs.gather(-1, chosen[:, None])[:, 0], entropy

    at_once = max(1, LOGITS_AT_ONCE // model.config.get_text_config().vocab_size)
    if len(tokens) <= at_once:
        return scores(hidden, tokens)
    found = [
        checkpoint(scores, part, chosen, use_reentrant=False)
        for part, chosen in zip(
            torch.split(hidden, at_once), torch.split(tokens, at_once), strict=True
        )
    ]
    logps, entropies = zip(*found, strict=True)
    return torch.cat(logps), torch.cat(entropies)
