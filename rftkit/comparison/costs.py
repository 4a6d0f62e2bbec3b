"""What each subject took, and the settings in which the subjects differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from rftkit import files
from rftkit.comparison.answers import Answers
from rftkit.comparison.schema import Cost, Setting
from rftkit.metrics.behaviour import speed
from rftkit.recipe.diff import by_dotted_key
from rftkit.report.training_curves import column


def cost_of(one: Answers) -> Cost:
    """Speed and memory of its evaluation, and of the fine-tuned model what training took."""
    found = speed(one.timings)
    told: dict[str, object] = {}
    if found:
        told = {
            "seconds_per_reply": 1 / found.samples_per_second if found.samples_per_second else None,
            "tokens_per_second": found.tokens_per_second,
            "peak_memory_bytes": found.peak_memory_bytes,
            "peak_memory_of": found.peak_memory_of,
            "batch_sizes": found.batch_sizes,
            "hardware": found.hardware,
        }
    return Cost.model_validate(told | (_training(one) if one.side == "tuned" else {}))


def differing(answers: Sequence[Answers]) -> tuple[Setting, ...]:
    """Keys of the recipes first, then what the evaluations say of how they were made."""
    recipes = [by_dotted_key(a.located.recipe) if a.located.recipe else None for a in answers]
    trained, made = _rows(recipes), _rows([_made(one) for one in answers])
    told = {(row.key, row.values) for row in trained}
    new = [row for row in made if (row.key, row.values) not in told]
    named = [row.model_copy(update={"key": f"evaluation: {row.key}"}) for row in new]
    return (*trained, *named)


def _training(one: Answers) -> dict[str, object]:
    """What `metrics.jsonl` of its run holds, up to the step of a checkpoint."""
    run, recipe, last = one.located.run, one.located.recipe, one.located.step
    if run is None or recipe is None:
        return {}
    lines = files.read_lines(run.metrics)
    kept = [line for line in lines if last is None or line.get("step", 0) <= last]
    seconds, lengths = column(kept, "seconds"), column(kept, "length").values
    if not seconds.values:
        return {}
    each = recipe.method.batch_size * recipe.method.group_size
    return {
        "train_steps": len(column(kept, "step").values),
        "train_seconds": sum(seconds.values),
        "train_tokens": sum(lengths) * each if lengths else None,
    }


def _made(one: Answers) -> dict[str, object]:
    header, made = one.header, one.header.provenance
    return {
        "model": "base" if one.side == "base" else "fine-tuned",
        "style": header.style,
        "decode": header.decode,
        "scoring in training": header.rules,
        "split": header.split,
        "decoding": made.decoding,
        "base model": made.model,
        "revision": made.revision,
        "dtype": made.dtype,
        "quantisation": made.quantisation,
        "max_pixels": made.max_pixels,
        "data": made.data,
        "hardware": made.hardware,
        "batch size": sorted({timing.batch_size for timing in one.timings}),
        **{f"version of {name}": version for name, version in made.versions.items()},
    }


def _rows(tables: Sequence[Mapping[str, object] | None]) -> list[Setting]:
    """The keys whose values are not the same in all tables that are known."""
    known = [table for table in tables if table is not None]
    keys = dict.fromkeys(key for table in known for key in table)
    return [
        Setting(
            key=key,
            values=tuple(None if table is None else _text(table.get(key)) for table in tables),
        )
        for key in keys
        if any(table.get(key) != known[0].get(key) for table in known)
    ]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
