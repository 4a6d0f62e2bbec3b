"""Whether the gold answers fit into `method.max_new_tokens`, counted before a model is loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path

from rftkit.core import Example
from rftkit.errors import ModelError
from rftkit.messages import first_line
from rftkit.recipe.schema import REASONING, Recipe
from rftkit.recipe.sections import TINY
from rftkit.tasks import get_task

PIECES = re.compile(r"[^\W\d_]+|\d|[^\w\s]+|_|\n")
MARGIN = 1.1
LEAST_THOUGHT = 48  # tokens that a thought should have, where one is asked for
STEP = 32  # budgets are written in multiples of it
TOKENIZERS = Path(__file__).parents[1] / "models" / "tiny" / "weights"  # of the built-in models

Count = Callable[[str], int]


def reply_tokens(text: str) -> int:
    """About how many tokens a text takes, without a tokenizer; rather too many than too few.

    As today's vocabularies divide texts: a digit each, four letters of a word, two signs in a row,
    one letter of what is not ASCII.
    """
    count = 0
    for piece in PIECES.findall(text):
        if piece.isalpha():
            count += ceil(len(piece) / 4) if piece.isascii() else len(piece)
        else:
            count += ceil(len(piece) / 2)
    return ceil(count * MARGIN)


def fitting_budget(recipe: Recipe, examples: Sequence[Example]) -> int:
    """Tokens into which every gold answer fits, with room for a thought where one is asked for.

    Never less than the recipe's own `method.max_new_tokens`.
    """
    count = counter(recipe)
    longest = max((_tokens(recipe, example, count) for example in examples), default=0)
    room = 0 if recipe.style == "direct" else REASONING
    needed = STEP * ceil((longest + 1 + room) / STEP)
    return max(recipe.method.max_new_tokens, needed)


def budget_notes(recipe: Recipe, **splits: Sequence[Example]) -> list[str]:
    """A line for each split with gold answers that cannot be written in full."""
    budget, count, notes = recipe.method.max_new_tokens, counter(recipe), []
    # the built-in models think in a few words
    room = 0 if recipe.style == "direct" or recipe.model.name in TINY else LEAST_THOUGHT
    fitting = fitting_budget(recipe, [e for examples in splits.values() for e in examples])
    for name, examples in splits.items():
        tokens = {e.id: _tokens(recipe, e, count) for e in examples}
        long = [number for number in tokens.values() if number + room >= budget]
        if long:
            notes.append(
                f"{len(long)} of {len(tokens)} {name} answers do not fit into "
                f"method.max_new_tokens = {budget}: the longest takes about {max(long)} tokens"
                f"{' without a thought' if room else ''}; set it to {fitting}"
            )
    longest = context(recipe)
    if longest and budget >= longest:
        notes.append(
            f"method.max_new_tokens = {budget} is as much as {recipe.model.name} was made for, "
            f"prompt and images included ({longest} tokens): lower it"
        )
    return notes


def context(recipe: Recipe) -> int:
    """Tokens that a model in a local folder was made for, prompt and reply; 0 if it does not say.

    What is damaged there is said by whoever loads it.
    """
    try:
        config = json.loads((_folder(recipe) / "config.json").read_text("utf-8"))
        longest = config.get("text_config", config).get("max_position_embeddings")
    except (OSError, ValueError, AttributeError, RecursionError):
        return 0
    return longest if type(longest) is int else 0


def _folder(recipe: Recipe) -> Path:
    name = recipe.model.name
    return TOKENIZERS / name if name in TINY else Path(name).expanduser()


def counter(recipe: Recipe) -> Count:
    """Counts the tokens of a text, by the model's tokenizer if that is in a local folder."""
    file = _folder(recipe) / "tokenizer.json"
    if not file.is_file():
        return reply_tokens
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # of Rust's, which has no class of its own
        line = f"{file}: cannot be read ({first_line(error)}); copy the model again"
        raise ModelError(line) from None
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def _tokens(recipe: Recipe, example: Example, count: Count) -> int:
    """Of the ideal reply, its reasoning left out."""
    task = get_task(recipe.task)
    return count(task.ideal(example, recipe.style))
