"""Writes recipe.md, the reference of every key of a recipe, from the schema in rftkit/recipe.py.

Run it after a change of the schema: python docs/make_recipe_reference.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rftkit import rewards, tasks
from rftkit.recipe import Recipe

PAGE = Path(__file__).with_name("recipe.md")

INTRO = """\
<!-- Written by make_recipe_reference.py from rftkit/recipe.py; change those, not this page. -->
# The recipe

A recipe is one TOML file that says everything about one run. There is no inheritance and there are
no includes: what you read is what runs. Every key has a default, so a recipe holds only what
differs from it. An unknown key is an error that names the likeliest right one.

```toml
[data]
source = "folder"
path = "pets"            # pets/cat/*.jpg, pets/dog/*.jpg, …
shots = 4

[method]
steps = 200
```

This much is a whole recipe: GRPO in the think style on Qwen2.5-VL-3B, four pictures per class.

## Seeing and changing values

```bash
rftkit train mine.toml --dry-run                        # every value, defaults too; touches nothing
rftkit check mine.toml                                  # the recipe, the data, one prompt; no model
rftkit train mine.toml --set style=direct               # a key at the top
rftkit train mine.toml --set method.kind=sft --set method.learning_rate=1e-4
rftkit train mine.toml --set 'rewards={accuracy=1.0}'   # a whole table
rftkit train mine.toml --set 'data.splits=["train", "val"]'
```

`--set` may be given many times. It counts as if it stood in the file, so it is checked the same
way. What stands after `=` is read as TOML; what is no TOML value is taken as text.
`rftkit recipes` lists the built-in recipes, `rftkit recipes quickstart` prints one, and
`rftkit recipes quickstart --copy mine.toml` gives you one to change.

## Keys
"""

REWARDS = """\
### `[rewards]`

The weight of each reward, a number from 0 to 1000. A table that is given replaces the default,
which is `accuracy = 1.0` and `format = 1.0`. With `kind = "sft"` nothing is weighed.
"""

OUTRO = """
`method.max_new_tokens` is also the budget of a reply in evaluation and in `rftkit predict`, after
SFT too.

## What is refused

- a key that does not stand here, a value of another type, a number that is not finite;
- a reward that the task has not, or weights that are all 0;
- a source with files and no `data.path`;
- `eval.decode = "choices"` with `data.choices = "none"`: there would be nothing to choose from;
- a training split that is also the held-out one;
- a file above 256 KB, or one that is not UTF-8.

Each is one line with the place, what is wrong, the value and what to do. The exit code is 1.
[runs.md](runs.md) says how a run goes on from there; [methods.md](methods.md) what the options do.
"""


def page() -> str:
    """The text of recipe.md."""
    parts = [INTRO]
    for name, model in sections():
        title = f"`[{name}]`" if name else "At the top of the file"
        doc = " ".join((model.__doc__ or "").split())
        parts.append("\n".join([f"### {title}\n", f"{doc}\n", *_table(model, name)]) + "\n")
    parts.append("\n".join([REWARDS, *_rewards()]) + "\n")
    return "\n".join(parts) + OUTRO


def sections(
    model: type[BaseModel] = Recipe, name: str = ""
) -> Iterator[tuple[str, type[BaseModel]]]:
    """Each table of a recipe by its dotted name, the top of the file first."""
    yield name, model
    for key, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from sections(kind, f"{name}.{key}" if name else key)


def _table(model: type[BaseModel], section: str) -> Iterator[str]:
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for name, schema in model.model_json_schema()["properties"].items():
        if "$ref" not in schema:
            default = _code(toml(model.model_fields[name].get_default(call_default_factory=True)))
            meaning = schema.get("description", "").replace("|", "\\|")
            yield f"| `{name}` | {values(schema)} | {default} | {meaning} |"


def _rewards() -> Iterator[str]:
    yield "| reward | of | what it is |"
    yield "|---|---|---|"
    for task in (task for task in tasks.TASKS if task.name in tasks.TRAINABLE):
        for name, reward in task.rewards.items():
            yield f"| `{name}` | {task.name} | {_first_line(reward)} |"
    for name, reward in rewards.GENERAL.items():
        yield f"| `{name}` | any task | {_first_line(reward)} |"


def _first_line(function: object) -> str:
    return (function.__doc__ or "").split("\n", 1)[0].rstrip(".")


def values(schema: Mapping[str, Any]) -> str:
    """What a key may hold, in words: its choices, or its kind and range."""
    if "enum" in schema or "const" in schema:
        choices = schema.get("enum") or [schema["const"]]
        return ", ".join(f"`{json.dumps(choice)}`" for choice in choices)
    match schema["type"]:
        case "array":
            return f"two of: {values(schema['prefixItems'][0])}"
        case "object":
            inner = schema["additionalProperties"]
            names = schema.get("propertyNames", {}).get("enum")
            which = f" for {', '.join(f'`{name}`' for name in names)}" if names else ""
            return f"table: {values(inner)}{which}"
        case "boolean":
            return "`true`, `false`"
        case "string":
            return "text"
    kind = "whole number" if schema["type"] == "integer" else "number"
    return f"{kind}{_bounds(schema)}"


def _bounds(schema: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {_number(schema[key])}" for key, sign in signs.items() if key in schema]
    return f", {', '.join(found)}" if found else ""


def toml(value: object) -> str:
    """A default as a recipe would spell it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml(item) for item in value)}]"
    if isinstance(value, float):
        return _number(value) if value < 1e-3 and value else str(value)
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    """1e-05 as 1e-5, 784.0 as 784."""
    return f"{value:.15g}".replace("e-0", "e-")


def _code(text: str) -> str:
    return f"`{text}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
