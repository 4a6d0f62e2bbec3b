"""The ways in which a recipe can be trained here, the default first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rftkit.errors import UserError
from rftkit.hardware.backends import Here, backend_of, check_here, planned
from rftkit.hardware.phases import Setup
from rftkit.recipe.schema import Recipe


def name_of(setup: Setup) -> str:
    """For the table: `unsloth, shared, vllm`."""
    return f"{setup.backend}, {setup.trainer}, {setup.generation}"


def possible(recipe: Recipe, machine: Here) -> list[Setup]:
    """What `rftkit train` would take, then each slow twin of it, then stock TRL.

    Raises UserError for a recipe that cannot run there.
    """
    check_here(recipe, machine)
    default = replace(planned(recipe, machine), backend=backend_of(recipe.model, machine))
    found = [default]
    for setup in _variants(default, recipe):
        if setup not in found and _runs(with_setup(recipe, setup), machine):
            found.append(setup)
    return found


def with_setup(recipe: Recipe, setup: Setup) -> Recipe:
    """The recipe, to be run in that way."""
    model = recipe.model.model_copy(
        update={"backend": setup.backend, "generation": setup.generation}
    )
    method = recipe.method.model_copy(update={"trainer": setup.trainer})
    return recipe.model_copy(update={"model": model, "method": method})


def _variants(default: Setup, recipe: Recipe) -> Iterator[Setup]:
    if recipe.method.kind == "exact":
        for backend in (default.backend, "transformers"):
            yield Setup(backend, "transformers", "shared")
            yield Setup(backend, "transformers", "trl")
        return
    if recipe.method.kind == "sft":
        yield Setup("unsloth", "transformers", "unsloth")
        yield Setup("transformers", "transformers", "trl")
        return
    for generation in ("vllm", "merged", "transformers"):
        yield replace(default, generation=generation)
    plain = replace(default, generation="transformers")
    if default.backend == "unsloth":
        yield replace(plain, trainer="unsloth")
        yield replace(plain, backend="transformers")
    yield Setup("transformers", "transformers", "trl")


def _runs(recipe: Recipe, machine: Here) -> bool:
    try:
        check_here(recipe, machine)
    except UserError:
        return False
    return True
