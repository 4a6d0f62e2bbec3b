"""How long the prompts of a recipe are, without a tokenizer: for the memory plan and for vLLM."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

from rftkit.core import Example
from rftkit.data import shots
from rftkit.data.archives.members import SUFFIXES
from rftkit.data.examples import load_examples
from rftkit.data.hierarchies import read_hierarchy
from rftkit.data.read_cache import ReadCache
from rftkit.errors import DataError
from rftkit.recipe.schema import BUILT_IN, Recipe
from rftkit.tasks import get_task
from rftkit.tasks.annotated import chosen_categories
from rftkit.tasks.options import DetectionOptions, LabelOptions

TEMPLATE_TOKENS = 64  # of the chat template: roles, system prompt, the marks around an image
ASSUMED_TOKENS = 256  # of text, template included, where nothing is known of the labels
READ_UP_TO = 100_000_000  # bytes of an annotation file; a larger one takes minutes
PIECES = re.compile(r"[^\W\d_]+|\s?\d|[^\s\w]|_")  # runs of letters; all else one by one


@dataclass(frozen=True)
class PromptSize:
    """The largest prompt of a recipe: its text in tokens, template included, and its images.

    source: what this was counted from, in a few words. list_tokens: of all answers of its list, if
    there is one.
    """

    text_tokens: int
    images: int
    source: str
    list_tokens: int = 0


def estimated_tokens(text: str) -> int:
    """Tokens of a text: two for five letters of a word, one for each digit, sign and line end.

    Letters beyond ASCII count by their UTF-8 bytes, one token for two. Held against Qwen's own
    tokenizer on the prompts of every task, on English prose and on lists of labels (COCO, LVIS,
    FGVC-Aircraft, Flowers, Pets, Cars, Latin, German, Russian and Chinese names) it is 1.0 to 2.2
    times the true count, and never less.

    >>> estimated_tokens("a Boeing 737-300")
    12
    """
    return text.count("\n") + sum(map(_tokens_of_line, text.split("\n")))


@lru_cache(maxsize=4096)
def _tokens_of_line(line: str) -> int:
    """The list of labels is the longest line, and the same in most prompts."""
    return sum(_tokens(piece) for piece in PIECES.findall(line))


def _tokens(piece: str) -> int:
    """A word has one token at least; a space before a digit is a token of its own."""
    if not piece[-1].isalpha():
        return len(piece) if piece.isascii() else math.ceil(len(piece.encode(errors="replace")) / 2)
    ascii_letters = sum(letter.isascii() for letter in piece)
    others = len(piece.encode(errors="replace")) - ascii_letters
    return math.ceil(ascii_letters / 2.5 + others / 2)


def largest_prompt(recipe: Recipe, examples: Sequence[Example]) -> PromptSize:
    """The most text and the most images that one of these examples has."""
    return PromptSize(
        TEMPLATE_TOKENS + estimated_tokens(longest_text(recipe, examples)),
        max(len(example.images) for example in examples),
        f"the longest of {len(examples)} prompts",
        max(map(partial(_list_tokens, recipe), examples)),
    )


def _list_tokens(recipe: Recipe, example: Example) -> int:
    """Of every answer of its list, each with the end of the turn."""
    answers = get_task(recipe.task).answers(example, recipe.options)
    return sum(estimated_tokens(answer) + 1 for answer in answers)


def longest_text(recipe: Recipe, examples: Sequence[Example]) -> str:
    """The text of the prompt with the most tokens, as estimated."""
    task = get_task(recipe.task)
    texts = (task.prompt(example, recipe.style) for example in examples)
    return max(texts, key=estimated_tokens)


def expected_prompt(recipe: Recipe) -> PromptSize:
    """The largest prompt of both splits, where they lie on this machine and are quick to read.

    Where not: that of a prompt with the labels that the recipe itself names, or as assumed.
    """
    if why := _not_read(recipe):
        return assumed_prompt(recipe, why)
    cache, splits = ReadCache(), [split for split in recipe.data.splits if split]
    try:
        loaded = [load_examples(recipe, split, cache=cache).examples for split in splits]
    except DataError as error:
        return assumed_prompt(recipe, str(error).partition("; ")[0][:120])
    examples = [example for split in loaded for example in split]
    return largest_prompt(recipe, examples)


def assumed_prompt(recipe: Recipe, why: str = "the data is not read") -> PromptSize:
    """One image, and the labels that the recipe names, else `ASSUMED_TOKENS`; why: for `source`."""
    labels = _named_labels(recipe)
    task = get_task(recipe.task)
    if not labels:
        listed = max(ASSUMED_TOKENS, _list_tokens(recipe, task.sample)) if recipe.has_list else 0
        return PromptSize(ASSUMED_TOKENS, 1, f"assumed, {why}", listed)
    question = recipe.data.question or task.sample.question
    example = replace(task.sample, question=question, choices=labels)
    tokens = TEMPLATE_TOKENS + estimated_tokens(task.prompt(example, recipe.style))
    source, listed = f"{len(labels)} labels of the recipe, {why}", _list_tokens(recipe, example)
    return PromptSize(max(ASSUMED_TOKENS, tokens), 1, source, listed)


def _named_labels(recipe: Recipe) -> tuple[str, ...]:
    """The labels that a prompt offers, where the recipe says which there are; () if it does not.

    Of a random list, as many of the longest labels as it has.
    """
    options = recipe.options
    if isinstance(options, DetectionOptions):
        return chosen_categories(options.categories) if options.ask == "picture" else ()
    if not (isinstance(options, LabelOptions) and options.names):
        return ()
    labels, share = tuple(read_hierarchy(options.names).aliases), shots.FEW_SHOT
    if recipe.data.classes != "all":
        labels, share = labels[: math.ceil(len(labels) / 2)], shots.BASE_TO_NEW
    example = replace(get_task(recipe.task).sample, gold=labels[0])
    offered = shots.offered(labels, example, recipe.data.choices, recipe.seed, share)
    return tuple(sorted(labels, key=len)[len(labels) - len(offered) :])


def _not_read(recipe: Recipe) -> str | None:
    """Why the data is left alone: nothing is downloaded, unpacked or waited for."""
    data = recipe.data
    if data.source in BUILT_IN:
        return "the data is built in"
    path = Path(data.path).expanduser()
    if data.source == "hub" and not path.exists():
        return "the data is on the hub"
    if any(part.lower().endswith(SUFFIXES) for part in path.parts):
        return "the data is in an archive"
    if path.is_file() and path.stat().st_size > READ_UP_TO:
        return f"{path.name} is larger than {READ_UP_TO // 1_000_000} MB"
    return None
