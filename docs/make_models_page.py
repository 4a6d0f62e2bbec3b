"""Writes models.md from the declarations in rftkit/model_info and the memory plan.

Run it after a change of either: python docs/make_models_page.py
"""

from __future__ import annotations

from pathlib import Path

from rftkit.hardware.backends import FAST
from rftkit.hardware.gpus import GIB
from rftkit.hardware.memory_plan import need, smallest
from rftkit.model_info.families import FAMILIES, SHARED, Family, family_of
from rftkit.model_info.shapes import Shape
from rftkit.model_info.sizes import KNOWN
from rftkit.model_info.support import SUPPORT, TODAY
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import parse_recipe

PAGE = Path(__file__).with_name("models.md")
RECIPE = 'style = "{}"\n[model]\nname = "{}"\nload_in_4bit = {}\n[data]\npath = "pets"\n'
INTRO = """\
<!-- Written by make_models_page.py from rftkit/model_info and the memory plan. -->
# Models

`model.name` takes a hub id or a local folder of any model that transformers {transformers} loads
as image-text-to-text. Those below are declared: their boxes are converted, their sizes planned,
their processors load without torchvision, and a test trains a tiny random model of each
architecture for two steps of GRPO, SFT and exact, evaluates it, and holds its label scores
against a forward of the whole text. Their real weights were not loaded by those tests.

## Which to take

A recipe that `rftkit init` writes names the model for your GPU:

| GPU | model |
|---|---|
{today}

The largest that fits by plan with the defaults, of the newest family of which everything that
makes a run fast is known to work: shared prefixes, 4 bit, Unsloth with its vLLM. A recipe without
`model.name` keeps Qwen2.5-VL-3B, which the papers' recipes use. [Fit 8 to 24 GB](howto_memory.md)
says what else helps.

## Families

"Shared" is whether each prompt and image is computed [once a group](shared_prefix.md); where not,
every completion and every label is a row of its own, by TRL's path, and `exact` works all the
same. Unsloth and vLLM: what they say of themselves.

| family | boxes | images | thinking | shared | exact | Unsloth | vLLM | 4 bit | licence |
|---|---|---|---|---|---|---|---|---|---|
{families}

## Sizes and memory

By `rftkit plan`, GRPO with the defaults in the style direct, an image of 401,408 pixels; an
estimate, see [measured](measured.md). Parameters are those that transformers builds: the hub
counts 2 to 3 % more for Qwen3.5 (a second head that guesses ahead) and up to 0.7 % more for Gemma
4 (weights that are not used).

| model | parameters | 4 bit | fits | 16 bit | fits |
|---|---|---|---|---|---|
{sizes}

Where much of it is evaluation (tiles are read for 16 images at once), `--set eval.batch_size=4`
lowers it: `rftkit plan` says so.

## Other models

- **Not declared**: boxes are taken to be in 0–1000, x first; prompts are not shared; the
  processor is the model's own, which may need torchvision; the plan counts the parameters of a
  local folder. `rftkit check` says what is unknown.
- **Gemma 4 12B** needs torchvision: transformers cuts its images with it alone.
- **Mixtures of experts** (Gemma 4 26B-A4B): experts stay in 16 bit and get no adapter.
- **Qwen3.5** and **LFM2-VL** keep a state beside keys and values, **Gemma** attends to a sliding
  window and to images in both directions: a mask cannot set completions of one row apart, so
  their prompts are not shared.
- Models that bring their own Python code (`auto_map`) are refused: [data and
  models](troubleshooting.md).
"""


def family_row(family: Family) -> str:
    """A family's cells."""
    about = SUPPORT[family.name]
    shared = "yes" if set(family.model_types) & {*SHARED} else "no"
    return (
        f"| {family.name} | {about.boxes} | {about.images} | {about.thinking} | {shared} | yes | "
        f"{about.unsloth} | {about.vllm} | {about.four_bit} | {about.licence} |"
    )


def size_row(shape: Shape) -> str:
    """A model's cells."""
    cells = [cell for four_bit in ("true", "false") for cell in _memory(shape, four_bit)]
    return f"| `{shape.hub}` | {shape.size / 1e9:.2f} billion | {' | '.join(cells)} |"


def _memory(shape: Shape, four_bit: str) -> tuple[str, str]:
    recipe: Recipe = parse_recipe(RECIPE.format("direct", shape.hub, four_bit), "models.md")
    return f"{need(recipe).bytes / GIB:.1f} GiB", smallest(recipe) or "none"


def page() -> str:
    """The whole page."""
    import transformers

    declared = [family for family in FAMILIES if family.name != "tiny"]
    assert {*FAST} <= {kind for family in declared for kind in family.model_types}
    by_family = sorted(
        KNOWN, key=lambda s: [f.name for f in declared].index(_family_name(s)) * 10**13 + s.size
    )
    return INTRO.format(
        transformers=".".join(transformers.__version__.split(".")[:2]),
        today="\n".join(f"| {one.gigabytes} GB | `{one.hub}` |" for one in TODAY),
        families="\n".join(map(family_row, declared)),
        sizes="\n".join(map(size_row, by_family)),
    )


def _family_name(shape: Shape) -> str:
    return family_of(parse_recipe(RECIPE.format("direct", shape.hub, "true"), "x").model).name


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
