"""Stand-ins: a policy that replays texts, an image that needs no file, a recipe of few words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from rftkit.core import Completion
from rftkit.models.policy import Decoding, Generation, ModelFacts, Prompt
from rftkit.recipe.schema import Recipe

Answer = Callable[[str, bool], Completion]


@dataclass(frozen=True)
class BlankImage:
    """A small image of one shade, by name."""

    name: str
    shade: int = 0

    def open(self) -> Image.Image:
        return Image.new("RGB", (8, 8), (self.shade, self.shade, self.shade))


@dataclass
class FakePolicy:
    """Answers as `answer(image name, tuned)` says; asked for more than `limit` it is killed."""

    answer: Answer
    limit: int = 1_000_000
    tuned: bool = True
    asked: list[tuple[str, bool]] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)
    scored: list[str] = field(default_factory=list)  # whole replies, with what was prefilled
    model: object = None
    processor: object = None
    features: None = None
    added: list[Path] = field(default_factory=list)  # further adapters
    used: str = ""  # the one that answers in place of the first

    def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> Generation:
        if len(self.asked) + len(prompts) > self.limit:
            raise KeyboardInterrupt
        self.prompts += prompts
        self.asked += [(prompt.image.name, self.tuned) for prompt in prompts]
        made = [self.answer(prompt.image.name, self.tuned) for prompt in prompts]
        return Generation(made, 0.5, 0.1)

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]], *, ended: bool = True
    ) -> list[list[float]]:
        """The label that `answer` holds is likeliest, the others fall off in their order."""
        for prompt, texts in zip(prompts, answers, strict=True):
            self.scored += [prompt.prefill + text for text in texts]
        return [
            [-0.1 if self.answer(prompt.image.name, self.tuned).text in text else -2.0 - location
             for location, text in enumerate(texts)]
            for prompt, texts in zip(prompts, answers, strict=True)
        ]  # fmt: skip

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def add_adapter(self, adapter: Path) -> str:
        self.added.append(adapter)
        return adapter.parent.name

    @contextmanager
    def using(self, name: str) -> Iterator[None]:
        self.used, before = name, self.used
        try:
            yield
        finally:
            self.used = before

    @contextmanager
    def base(self) -> Iterator[None]:
        self.tuned = False
        try:
            yield
        finally:
            self.tuned = True

    def new_adapter(self) -> None:
        return None

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "adapter_config.json").write_text("{}")
        (folder / "adapter_model.safetensors").write_bytes(b"weights")

    def stop_ids(self) -> list[int]:
        return [0]

    def banned_ids(self) -> list[int]:
        return []

    def fingerprint(self) -> str:
        return "fake"

    def facts(self) -> ModelFacts:
        return ModelFacts("fake", "", "transformers", "float32", "none", 784, "cpu")


def recipe(**more: object) -> Recipe:
    """A recipe for the built-in digits and the tiny model, with tables replaced as given."""
    base = {"model": {"name": "tiny"}, "data": {"source": "digits", "shots": 1}}
    return Recipe.model_validate({**base, **more})


def never(name: str, tuned: bool) -> Completion:
    """The answer of a policy that is not to be asked."""
    raise AssertionError(f"asked for {name}")
