"""Writes recipe.md, the reference of every key of a recipe, from rftkit/recipe.

Run it after a change of the schema: python docs/make_recipe_reference.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from rftkit import tasks
from rftkit.recipe.schema import Recipe
from rftkit.rewards import general as rewards
from rftkit.tasks.options import Options

PAGE = Path(__file__).with_name("recipe.md")

INTRO = """\
<!-- Written by make_recipe_reference.py from schema.py and sections.py in rftkit/recipe/. -->
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

This much is a whole recipe: GRPO in the think style on Qwen2.5-VL-3B, four images per class.

## Seeing and changing values

```bash
rftkit train mine.toml --dry-run                        # every value, with defaults; writes nothing
rftkit check mine.toml                                  # the recipe, the data, one prompt; no model
rftkit train mine.toml --set style=direct               # a key at the top
rftkit train mine.toml --set method.kind=sft --set method.learning_rate=1e-4
rftkit train mine.toml --set 'rewards={accuracy=1.0}'   # a whole table
rftkit train mine.toml --set 'data.splits=["train", "val"]'
```

`--set` can be repeated. It has the same effect as the key in the file and is checked the same way.
The value after `=` is parsed as TOML; anything that is not valid TOML is taken as a string.
`rftkit recipes` lists the built-in recipes, `rftkit recipes quickstart` prints one, and
`rftkit recipes quickstart --copy mine.toml` gives you one to change.

## Keys
"""

OPTIONS = """\
### `[options]`

Options of the recipe's task. Keys of another task are errors. [tasks.md](tasks.md) explains them.
"""

REWARDS = """\
### `[rewards]`

The weight of each reward, a number from 0 to 1000. A table in the recipe replaces the defaults of
the task, which are the weights below. Style `direct` has no format reward. SFT does not use
rewards. `"my_rewards.py:name" = 1.0` adds a custom reward, see [methods.md](methods.md#rewards).
"""

OUTRO = """
`method.max_new_tokens` also limits replies in evaluation and in `rftkit predict`, after SFT too.

## What is refused

- an unknown key, a value of the wrong type, a number that is not finite;
- a reward that the task does not have, or weights that are all 0;
- a source that does not support the task, or no `data.path` for a source that is not built in;
- `eval.decode = "choices"` if no labels or options are offered;
- `[method.length]` in style `direct`: there is no reasoning to measure;
- a training split that is also the held-out one;
- a file above 256 KB, or one that is not UTF-8.

Each error is one line: where it is, what is wrong, the value and how to fix it. The exit code is 1.
[runs.md](runs.md) explains how to resume a run, [methods.md](methods.md) what the options do.
"""


def page() -> str:
    """The text of recipe.md."""
    parts = [INTRO]
    for name, model in sections():
        title = f"`[{name}]`" if name else "At the top of the file"
        doc = " ".join((model.__doc__ or "").split())
        parts.append("\n".join([f"### {title}\n", f"{doc}\n", *_table(model)]) + "\n")
    parts.append("\n".join([OPTIONS, *_options()]) + "\n")
    parts.append("\n".join([REWARDS, *_rewards()]) + "\n")
    return "\n".join(parts) + OUTRO


def sections(
    model: type[BaseModel] = Recipe, name: str = ""
) -> Iterator[tuple[str, type[BaseModel]]]:
    """Each table of a recipe by its dotted name, the top of the file first."""
    yield name, model
    for key, field in model.model_fields.items():
        inner = _section_in(field.annotation)
        if inner is not None and inner is not Options:
            yield from sections(inner, f"{name}.{key}" if name else key)


def _section_in(kind: object) -> type[BaseModel] | None:
    """The table that a key is, whether it must be there or may be; None for a value."""
    for one in (kind, *get_args(kind)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
    return None


def _table(model: type[BaseModel]) -> Iterator[str]:
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for name, schema in model.model_json_schema()["properties"].items():
        if _section_in(model.model_fields[name].annotation) is None:
            yield f"| `{name}` | {_cells(name, model, schema)} |"


def _cells(key: str, model: type[BaseModel], schema: Mapping[str, Any]) -> str:
    default = model.model_fields[key].get_default(call_default_factory=True)
    shown = "none" if default is None else _code(toml(default))
    meaning = schema.get("description", "").replace("|", "\\|")
    return f"{values(schema)} | {shown} | {meaning}"


def _options() -> Iterator[str]:
    yield "| key | task | value | default | meaning |"
    yield "|---|---|---|---|---|"
    for task in tasks.TASKS:
        for name, schema in task.options.model_json_schema()["properties"].items():
            yield f"| `{name}` | {task.name} | {_cells(name, task.options, schema)} |"


def _rewards() -> Iterator[str]:
    yield "| reward | task | weight | definition |"
    yield "|---|---|---|---|"
    for task in tasks.TASKS:
        for name, reward in task.rewards.items():
            weight = task.default_weights.get(name, 0.0)
            yield f"| `{name}` | {task.name} | {weight:g} | {_first_line(reward)} |"
    for name, reward in rewards.GENERAL.items():
        yield f"| `{name}` | any task | 0 | {_first_line(reward)} |"


def _first_line(function: object) -> str:
    return (function.__doc__ or "").split("\n", 1)[0].rstrip(".")


def values(schema: Mapping[str, Any]) -> str:
    """What a key may hold, in words: its choices, or its kind and range."""
    if "enum" in schema or "const" in schema:
        choices = schema.get("enum") or [schema["const"]]
        return ", ".join(f"`{json.dumps(choice)}`" for choice in choices)
    if "anyOf" in schema:
        kinds = [values(kind) for kind in schema["anyOf"] if kind.get("type") != "null"]
        return ", or ".join(kinds)
    match schema["type"]:
        case "array" if "prefixItems" not in schema:
            return f"a list of: {values(schema['items'])}"
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
