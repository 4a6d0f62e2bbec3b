"""What a recipe needs of a card, whether it fits, and the cheapest change that makes it fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rftkit.hardware import memory_parts
from rftkit.hardware.gpus import SIZES, Card, card_of
from rftkit.hardware.phases import Backend, Load, Part, Setup, Trainer, phases
from rftkit.hardware.prompt_size import PromptSize, assumed_prompt
from rftkit.model_info.families import SHARED, architecture_of, family_of
from rftkit.model_info.shapes import Shape
from rftkit.model_info.sizes import shape_of, smaller
from rftkit.recipe.schema import Recipe

ROOM = 0.1  # of the card that stays free where a recipe "fits"; less is tight

Verdict = Literal["fits", "tight", "no"]


@dataclass(frozen=True)
class Change:
    """One change that makes a recipe fit. key, value: for `--set`."""

    key: str
    value: str
    bytes: float
    verdict: Verdict

    @property
    def words(self) -> str:
        """As it is typed."""
        return f"--set {self.key}={self.value}"


@dataclass(frozen=True)
class Need:
    """What a recipe needs. Of the parts that have a phase only those of one are there at a time.

    prompt_tokens: of the largest prompt, its images among them; image_tokens: of one image.
    """

    shape: Shape
    setup: Setup
    parts: tuple[Part, ...]
    prompt: PromptSize
    prompt_tokens: int
    image_tokens: int
    share: float = 0.0  # of the card that vLLM is to take, weights among it; 0 without it

    @property
    def bytes(self) -> float:
        """At the peak of the run."""
        always = sum(part.bytes for part in self.parts if not part.phase)
        return always + max((part.bytes for part in self.parts if part.phase), default=0.0)

    @property
    def writes(self) -> bool:
        """Whether completions are written while it trains."""
        return self.setup.generation == "vllm" or any(p.phase == "rollout" for p in self.parts)

    @property
    def peak_phase(self) -> str:
        """The phase that needs most."""
        phases = [part for part in self.parts if part.phase]
        return max(phases, key=lambda part: part.bytes).phase

    def record(self) -> dict[str, Any]:
        """For `--json`: bytes as whole numbers."""
        return {
            "model": self.shape.name,
            "parameters": self.shape.size,
            **asdict(self.setup),
            "shared": self.setup.shared,
            "prompt_tokens": self.prompt_tokens,
            "text_tokens": self.prompt.text_tokens,
            "images": self.prompt.images,
            "prompt_source": self.prompt.source,
            "image_tokens": self.image_tokens,
            "parts": [{**asdict(part), "bytes": round(part.bytes)} for part in self.parts],
            "peak_bytes": round(self.bytes),
            "at": self.peak_phase,
            "vllm_share": round(self.share, 3),
        }


def setup_of(recipe: Recipe) -> Setup:
    """How a recipe is run with Unsloth and without vLLM, unless it names others."""
    backend: Backend = "transformers" if recipe.model.backend == "transformers" else "unsloth"
    own: Trainer = "unsloth" if backend == "unsloth" else "trl"
    if recipe.method.kind == "sft":
        return Setup(backend, "transformers", own)
    asked, writes = recipe.method.trainer, recipe.model.generation
    if asked != "auto":
        own = asked
    elif architecture_of(recipe.model) in (*SHARED, ""):  # "" is not known
        own = "shared"
    if writes == "auto" or recipe.method.kind == "exact":
        writes = "transformers"
    return Setup(backend, writes, own)


def need(
    recipe: Recipe,
    card: Card | None = None,
    setup: Setup | None = None,
    prompt: PromptSize | None = None,
) -> Need:
    """What the recipe needs. card: for the share of its memory that vLLM is to take.

    Images are as large as the budget allows, and completions as long as they may be. setup: see
    `setup_of` if None. prompt: the largest one; assumed if None.
    Raises ModelError for a model of unknown sizes.
    """
    shape, setup = shape_of(recipe.model), setup or setup_of(recipe)
    prompt = prompt or assumed_prompt(recipe)
    pixels = min(recipe.model.max_pixels, family_of(recipe.model).max_pixels or 2**40)
    image = shape.image_tokens(pixels)
    load = Load(recipe, shape, setup, prompt, image)
    base = memory_parts.weights(shape, recipe.model.load_in_4bit)
    lora = memory_parts.adapter_size(shape, recipe.model.lora_rank, recipe.model.lora_vision)
    # weights and optimizer stay in 32 bit whatever the base is in
    twice = 2.0 * memory_parts.FULL * lora
    always = [
        Part("weights, 4 bit" if recipe.model.load_in_4bit else "weights", base.matrices,
             f"{shape.matrices / 1e9:.2f} billion"),
        Part("weights, 16 bit", base.rest, "embedding, head, norms"),
        Part("vision encoder", base.vision, f"{shape.vision_size / 1e9:.2f} billion, 16 bit"),
        Part("adapter", twice, f"{lora / 1e6:.0f} million, and their gradients"),
        Part("optimizer", twice, "AdamW's two moments"),
    ]  # fmt: skip
    reserved = 0.0
    if setup.generation == "vllm":
        copied = 0.0 if setup.backend == "unsloth" else base.total
        tokens = load.prompt + load.new
        reserved = memory_parts.engine(shape, load.rows, tokens, load.image_patches, copied)
        detail = f"{load.rows} × {tokens} tokens in its KV cache"
        always.append(Part("vLLM", reserved, detail))
    if setup.generation == "merged":
        copied = memory_parts.HALF * float(shape.matrices)
        always.append(Part("copy for rollouts", copied, "matrices in 16 bit, adapter merged"))
    moving = list(phases(load))
    most = max(phase.bytes for phase in moving)
    extra = memory_parts.overhead(shape, recipe.model.load_in_4bit, most)
    always.append(Part("CUDA and fragments", extra))
    taken = reserved + (base.total if setup.backend == "unsloth" else 0.0)
    share = taken / card.bytes if card and reserved else 0.0
    return Need(shape, setup, (*always, *moving), prompt, load.prompt, image, share)


def verdict(needed: Need, card: Card) -> Verdict:
    """Whether it fits the card: with a tenth to spare, just so, or not."""
    if needed.bytes <= (1 - ROOM) * card.bytes:
        return "fits"
    return "tight" if needed.bytes <= card.bytes else "no"


def cheapest(
    recipe: Recipe,
    card: Card,
    prompt: PromptSize | None = None,
    setup: Callable[[Recipe], Setup] = setup_of,
) -> Change | None:
    """The first single change that makes the recipe fit, else the one that comes nearest to it.

    Those that leave the result as it is come first, then those that change it little; None where
    no change helps. setup: how a recipe is run on that card.
    """
    now, changes = need(recipe, card, setup(recipe), prompt), list[Change]()
    for key, value, changed in _changes(recipe):
        after = need(changed, card, setup(changed), now.prompt)
        changes.append(Change(key, value, after.bytes, verdict(after, card)))
        if changes[-1].verdict == "fits":
            return changes[-1]
    helpful = [change for change in changes if change.bytes < now.bytes and change.verdict != "no"]
    return min(helpful, key=lambda change: change.bytes, default=None)


def smallest(recipe: Recipe, prompt: PromptSize | None = None) -> str | None:
    """The smallest of the usual sizes that the recipe fits; None where none is large enough."""
    for size in SIZES:
        card = card_of(size)
        if verdict(need(recipe, card, prompt=prompt), card) == "fits":
            return size
    return None


def _changes(recipe: Recipe) -> Iterator[tuple[str, str, Recipe]]:
    """Single changes, cheapest first: key, value, and the recipe with it."""
    model, method, shape = recipe.model, recipe.method, shape_of(recipe.model)

    def with_(table: str, key: str, value: object) -> tuple[str, str, Recipe]:
        inner = getattr(recipe, table).model_copy(update={key: value})
        written = str(value).lower() if isinstance(value, bool) else str(value)
        return f"{table}.{key}", written, recipe.model_copy(update={table: inner})

    yield from (with_("eval", "batch_size", size) for size in _halves(recipe.eval.batch_size, 1))
    if model.generation in ("vllm", "merged"):
        yield with_("model", "generation", "transformers")
    if not model.load_in_4bit:
        yield with_("model", "load_in_4bit", True)
    yield from (with_("model", "max_pixels", size) for size in _halves(model.max_pixels, 50_176))
    if method.kind == "grpo":
        yield from (with_("method", "group_size", size) for size in _halves(method.group_size, 4))
        yield from (with_("method", "batch_size", size) for size in _halves(method.batch_size, 1))
        yield from (
            with_("method", "max_new_tokens", size) for size in _halves(method.max_new_tokens, 64)
        )
    if model.lora_vision:
        yield with_("model", "lora_vision", False)
    if below := smaller(shape):
        yield with_("model", "name", below.hub)


def _halves(value: int, least: int) -> Iterator[int]:
    while (value := value // 2) >= least:
        yield value
