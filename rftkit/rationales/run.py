"""`rftkit rationales`: sample what is not sampled yet, and write the tables after every batch."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from rftkit import files
from rftkit.core import Example
from rftkit.data.gold_check import load_checked_splits
from rftkit.errors import DataError, RecipeError
from rftkit.models import open_for_inference, out_of_memory
from rftkit.models.policy import AnswerModel
from rftkit.rationales import table
from rftkit.rationales.sampling import Keep, Sampled, Sampling, Thought, chosen, sample
from rftkit.recipe.resolve import with_absolute_paths
from rftkit.recipe.schema import Recipe, budget
from rftkit.runs.locks import locked

SAMPLED = "sampled.jsonl"  # the settings, then a line for each batch
RECIPE = "recipe.toml"


@dataclass(frozen=True, kw_only=True)
class RationalesRequest:
    """What is wanted. samples: of each example, at most; out: a folder, new or begun."""

    recipe: Recipe
    out: Path
    samples: int = 8
    temperature: float = 1.0
    keep: Keep = "median"


@dataclass(frozen=True)
class Rationales:
    """What was found. classes: name -> examples with a rationale, and all; "" is no class."""

    table: Path
    recipe: Path
    samples: int
    right: int
    classes: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Examples with a rationale."""
        return sum(have for have, _ in self.classes.values())

    @property
    def examples(self) -> int:
        """All of the training examples."""
        return sum(count for _, count in self.classes.values())

    def record(self) -> dict[str, Any]:
        """For `--json`."""
        counted = {
            name: {"rationales": have, "examples": count}
            for name, (have, count) in self.classes.items()
        }
        return {
            "table": str(self.table),
            "recipe": str(self.recipe),
            "examples": self.examples,
            "rationales": self.kept,
            "samples": self.samples,
            "right": self.right,
            "classes": counted,
        }

    def lines(self) -> list[str]:
        """For people: the count of each class, and what to do where there is none."""
        named = {name: counts for name, counts in self.classes.items() if name}
        lines = [
            f"{self.kept} of {self.examples} examples have a rationale; {self.right} of "
            f"{self.samples} replies were right, in the right format",
            *(f"  {name}: {have} of {count}" for name, (have, count) in named.items()),
        ]
        without = [name for name, (have, _) in named.items() if not have]
        if not self.kept:
            lines.append(
                "the base model earns no reward on any example, so nothing can be kept: raise "
                "--samples or --temperature, write a few rationales by hand, or take a larger model"
            )
        elif without:
            lines.append(
                f"none of the replies was right for: {', '.join(without)}; without a rationale SFT "
                "imitates the answer alone"
            )
        return lines


def write_rationales(request: RationalesRequest, console: Console) -> Rationales:
    """Sample, keep, write. What an earlier call has sampled with the same settings is kept.

    Raises RecipeError if `out` holds something else, and UserError for data that do not fit.
    """
    recipe, out = thinking(with_absolute_paths(request.recipe)), request.out
    if recipe.data.classes != "all":
        raise RecipeError(
            f"data.classes: {recipe.data.classes!r}: a table has no halves; sample for all classes "
            '(--set data.classes=all), then set it to "base" again in the recipe'
        )
    training, held_out = load_checked_splits(recipe)
    sampling = Sampling(
        task=recipe.task,
        style=recipe.style,
        samples=request.samples,
        temperature=request.temperature,
        max_new_tokens=recipe.method.max_new_tokens,
        seed=recipe.seed,
        at_once=recipe.eval.batch_size,
    )
    examples, header = training.examples, _header(recipe, training.examples, sampling)
    _claim(out)
    with locked(out):
        batches = _begun(out / SAMPLED, header)
        tables = table.prepare(recipe, examples, held_out.examples, out)
        tables.write(table.TEST)
        files.write_atomically(out / RECIPE, table.recipe_for(recipe, tables))
        found = {one.id: one for batch in batches for one in batch}
        _write(tables, found, request.keep)
        if len(batches) * sampling.batch < len(examples):
            policy = open_for_inference(recipe.model)
            try:
                for batch in _sampled(policy, examples, sampling, len(batches), console):
                    found |= {one.id: one for one in batch}
                    files.append_line(out / SAMPLED, {"batch": [one._asdict() for one in batch]})
                    _write(tables, found, request.keep)
            finally:  # whatever stopped it
                _write(tables, found, request.keep)
    return _summary(tables, examples, found, request)


def thinking(recipe: Recipe) -> Recipe:
    """The recipe in a style with reasoning: `think` in place of `direct`."""
    if recipe.style != "direct":
        return recipe
    values = recipe.model_dump(mode="json", exclude_none=True)
    values["method"]["max_new_tokens"] = budget(recipe.task, "think")
    if recipe.method.kind == "exact":  # which sums over bare answers
        values["method"]["kind"] = "grpo"
    return Recipe.model_validate({**values, "style": "think"})


def _sampled(
    policy: AnswerModel,
    examples: Sequence[Example],
    sampling: Sampling,
    done: int,
    console: Console,
) -> Iterator[list[Sampled]]:
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        begun = done * sampling.batch
        task = bar.add_task("sampling", total=len(examples), completed=begun)
        batches = sample(policy, examples, sampling, done)
        while batch := _next(batches, sampling):
            yield batch
            bar.advance(task, len(batch))


def _next(batches: Iterator[list[Sampled]], sampling: Sampling) -> list[Sampled] | None:
    less = f"eval.batch_size={max(1, sampling.at_once // 2)}, a smaller --samples"
    with out_of_memory.named("sampling", less):
        return next(batches, None)


def _write(tables: table.Tables, found: Mapping[str, Sampled], keep: Keep) -> None:
    tables.write(table.TRAIN, {name: chosen(one.right, keep) for name, one in found.items()})


def _header(recipe: Recipe, examples: Sequence[Example], sampling: Sampling) -> dict[str, Any]:
    """Everything that decides what is sampled."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(f"{example.id}\t{example.gold}\t{example.question}\n".encode())
        digest.update("\t".join(example.choices).encode())
    settings = {"model": recipe.model.name, **asdict(sampling), "data": digest.hexdigest()[:16]}
    return {"settings": settings}


def _claim(out: Path) -> None:
    """Make the folder. Raises RecipeError if it holds other files."""
    if out.is_dir() and any(out.iterdir()) and not (out / SAMPLED).exists():
        raise RecipeError(f"--out {out}: holds other files; name a new or empty folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecipeError(
            f"--out {out}: cannot write there ({os.strerror(error.errno or 0)}); name a folder"
        ) from None


def _begun(path: Path, header: dict[str, Any]) -> list[list[Sampled]]:
    """The batches that are there, once the file is whole again; begins a new one.

    Raises RecipeError if they were sampled otherwise.
    """
    lines = files.read_lines(path)
    if not lines:
        files.write_atomically(path, json.dumps(header, ensure_ascii=False) + "\n")
        return []
    before, now = lines[0].get("settings", {}), header["settings"]
    if other := next((name for name in now if now[name] != before.get(name)), None):
        raise RecipeError(
            f"{path}: {other} is {now[other]!r}, was {before.get(other)!r}; name another --out, "
            "or remove the file"
        )
    whole = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines)
    files.write_atomically(path, whole)
    try:
        return [
            [Sampled(one["id"], tuple(Thought(*each) for each in one["right"])) for one in batch]
            for batch in (line["batch"] for line in lines[1:])
        ]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged ({error}); remove it") from None


def _summary(
    tables: table.Tables,
    examples: Sequence[Example],
    found: Mapping[str, Sampled],
    request: RationalesRequest,
) -> Rationales:
    every = Counter(example.category for example in examples)
    have = Counter(e.category for e in examples if e.id in found and found[e.id].right)
    return Rationales(
        table=tables.path(table.TRAIN),
        recipe=tables.folder / RECIPE,
        samples=len(examples) * request.samples,
        right=sum(len(one.right) for one in found.values()),
        classes={name: (have[name], every[name]) for name in sorted(every)},
    )
