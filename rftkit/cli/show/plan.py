"""The table of `rftkit plan`: what a recipe needs of a GPU, and whether it fits."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from rftkit.hardware.backends import Here, planned, refusals
from rftkit.hardware.gpus import GIB
from rftkit.hardware.memory_plan import Change, Need, cheapest, need, smallest, verdict
from rftkit.hardware.prompt_size import PromptSize
from rftkit.recipe.schema import Recipe

if TYPE_CHECKING:
    from rich.console import Console

TONES = {"fits": "bold green", "tight": "bold yellow", "no": "bold red"}


def show_plan(recipe: Recipe, machine: Here | None, prompt: PromptSize, console: Console) -> None:
    """Print the parts, the peak, and the verdict for a machine's GPU; without, the smallest size.

    prompt: the largest one of the recipe.
    """
    from rich.table import Table
    from rich.text import Text

    needed = _need(recipe, machine, prompt)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column(Text(needed.shape.name))
    table.add_column("GiB", justify="right")
    table.add_column("")
    for part in needed.parts:
        when = f"while in {part.phase}: " if part.phase else ""
        table.add_row(Text(part.name), _gib(part.bytes), Text(f"{when}{part.detail}"))
    table.add_row("at most", _gib(needed.bytes), Text(f"in {needed.peak_phase}"), style="bold")
    console.print(table)
    console.print(Text(_prompt(needed)), soft_wrap=True)
    if warmup := recipe.method.warmup.steps:
        rest = recipe.method.steps - warmup
        line = f"{recipe.method.steps} steps: {warmup} of imitation, then {rest} of reinforcement"
        console.print(Text(line), soft_wrap=True)
    where = "" if machine else "there is no GPU here; on one: "
    console.print(Text(where + _setup(needed)), soft_wrap=True)
    for line, tone in _verdict(recipe, needed, machine):
        console.print(Text(line, style=tone), soft_wrap=True)


def plan_record(recipe: Recipe, machine: Here | None, prompt: PromptSize) -> dict[str, Any]:
    """For `--json`: the parts, and for a GPU its memory, the verdict and a change."""
    needed = _need(recipe, machine, prompt)
    steps = {"steps": recipe.method.steps, "warmup_steps": recipe.method.warmup.steps}
    record: dict[str, Any] = {**needed.record(), **steps, "smallest": smallest(recipe, prompt)}
    if machine is None:
        return record
    card, change = machine.card, change_for(recipe, needed, machine)
    return record | {
        "gpu": card.name,
        "gpu_bytes": round(card.bytes),
        "verdict": verdict(needed, card),
        "change": change and {"set": f"{change.key}={change.value}", "peak_bytes": change.bytes},
    }


def change_for(recipe: Recipe, needed: Need, machine: Here) -> Change | None:
    """The cheapest change where one is wanted: None for a recipe that fits."""
    if verdict(needed, machine.card) == "fits":
        return None
    setup = partial(planned, machine=machine, prompt=needed.prompt)
    return cheapest(recipe, machine.card, needed.prompt, setup)


def refusal(recipe: Recipe, machine: Here, prompt: PromptSize) -> str | None:
    """One line for a recipe that cannot run on the GPU; None where it can, if only just."""
    needed, card = _need(recipe, machine, prompt), machine.card
    if needed.setup.generation == "vllm":
        served = refusals(recipe.model, needed.setup.backend, replace(machine, vllm=True))
        if why := next(served, None):
            return why
    if verdict(needed, card) != "no":
        return None
    change = change_for(recipe, needed, machine)
    advice = f"try {change.words}" if change else "no single change helps; take a smaller model"
    lacks = f"needs {_gib(needed.bytes)} GiB of {_gib(card.bytes)}"
    return f"--gpu {card.name}: {lacks}, in {needed.peak_phase}; {advice}"


def _need(recipe: Recipe, machine: Here | None, prompt: PromptSize) -> Need:
    if machine is None:
        return need(recipe, prompt=prompt)
    return need(recipe, machine.card, planned(recipe, machine, prompt), prompt)


def _verdict(recipe: Recipe, needed: Need, machine: Here | None) -> list[tuple[str, str]]:
    if machine is None:
        size = smallest(recipe, needed.prompt)
        return [(f"smallest card that it fits: {size or 'none of the usual'}", "bold")]
    card = machine.card
    fits = verdict(needed, card)
    free = (card.bytes - needed.bytes) / GIB
    room = f"{free:.1f} GiB stay free" if free >= 0 else f"{-free:.1f} GiB are missing"
    lines = [(f"{fits}: {card.name} has {_gib(card.bytes)} GiB, {room}", TONES[fits])]
    if needed.share:
        lines.append((f"vLLM takes {needed.share:.2f} of the card, weights among it", ""))
    if change := change_for(recipe, needed, machine):
        to = f"{_gib(change.bytes)} GiB, {change.verdict}"
        lines.append((f"cheapest change: {change.words} ({to})", ""))
    return lines


def _setup(needed: Need) -> str:
    names = {
        "transformers": "transformers", "unsloth": "Unsloth", "vllm": "vLLM", "trl": "TRL",
        "merged": "a merged 16-bit copy",
    }  # fmt: skip
    setup, said = needed.setup, [f"model loaded by {names[needed.setup.backend]}"]
    if needed.writes:
        said.append(f"completions written by {names[setup.generation]}")
        each = f"once per completion, by {names.get(setup.trainer, '')}'s trainer"
        said.append("each prompt computed " + ("once" if setup.shared else each))
    return ", ".join(said)


def _prompt(needed: Need) -> str:
    prompt = needed.prompt
    images = "1 image" if prompt.images == 1 else f"{prompt.images} images"
    return (
        f"prompt: {images} of {needed.image_tokens} tokens, about {prompt.text_tokens} of text "
        f"({prompt.source})"
    )


def _gib(count: float) -> str:
    return f"{count / GIB:.2f}"
