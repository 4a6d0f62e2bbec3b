"""A policy through plain transformers and PEFT: any device, the reference for other backends."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import GenerationConfig, StoppingCriteriaList, set_seed

from rftkit.core import Completion
from rftkit.errors import ModelError
from rftkit.hardware.phases import Generation as Engine
from rftkit.messages import first_line
from rftkit.models import adapters, loading, out_of_memory
from rftkit.models.answer_scores import AnswerScores
from rftkit.models.clock import Clock
from rftkit.models.finite import fault, finite_logits
from rftkit.models.policy import (
    Decoding,
    Generation,
    ModelFacts,
    ProbeFeatures,
    Prompt,
    Watch,
    rendered,
)
from rftkit.models.probe_features import probe_features
from rftkit.models.processing.template import special_tokens
from rftkit.recipe.sections import Model
from rftkit.shared_prefix.decoding import shared_prefill
from rftkit.shared_prefix.difference import FAILURES
from rftkit.shared_prefix.feature_cache import FeatureCache
from rftkit.shared_prefix.forward import LogpOptions
from rftkit.shared_prefix.groups import PromptKey, prompt_keys, without_padding
from rftkit.shared_prefix.logps import answer_logps, plain_answer_logps
from rftkit.shared_prefix.supported import unsupported


def open_transformers(settings: Model, adapter: Path | None = None) -> TransformersPolicy:
    """The recipe's model, with a trained adapter on it if one is given."""
    if adapter:
        adapters.check_adapter(adapter)
    source = loading.resolve(settings.name)
    model = loading.load_model(source, settings)
    if adapter:
        model = adapters.put_adapter(model, adapter)
    return TransformersPolicy(
        settings, source, model, loading.load_processor_of(source, settings), "transformers"
    )


class TransformersPolicy:
    """Implements `Policy` for any model that generates and computes as transformers' do.

    `model` is bare until a trainer or an adapter puts LoRA on it. `features` is the one cache of
    its image features; None if the adapter changes the vision encoder, and with it the features.
    """

    def __init__(
        self,
        settings: Model,
        source: loading.Source,
        model: Any,
        processor: Any,
        backend: str,
    ) -> None:
        self.settings, self.source, self.backend = settings, source, backend
        self.model, self.processor = model, processor
        self.features = None if settings.lora_vision else FeatureCache()
        self.generation: Engine = "transformers"
        self.shares = True  # whether equal prompts may be computed once
        self.base_apart = False  # whether the base is loaded beside the model with the adapter
        half = loading.dtype_here() != torch.float32
        self._scores = AnswerScores(self.answer_logps, self._share_no_more, half=half)

    def generate(
        self, prompts: Sequence[Prompt], decoding: Decoding, watch: Watch | None = None
    ) -> Generation:
        """One completion per prompt, all in one batch. watch: of the first one.

        Raises ModelError, naming base model or adapter, if logits are not finite.
        """
        with loading.answering(self.source):
            try:
                return self._generate(prompts, decoding, watch)
            except FAILURES as error:
                if out_of_memory.ran_out(error) or not self._shares_prefixes():
                    raise
                self._share_no_more(error)
            return self._generate(prompts, decoding, watch)

    @torch.inference_mode()
    def _generate(
        self, prompts: Sequence[Prompt], decoding: Decoding, watch: Watch | None
    ) -> Generation:
        inputs, keys = self._inputs(prompts)
        inputs, start = inputs.to(self.model.device), inputs["input_ids"].shape[1]
        clock = Clock(watch and (lambda ids: watch(self._completion(ids[0, start:].tolist()))))
        set_seed(decoding.seed)
        with self._ready() as model, self._shared_prefill(model, keys), finite_logits(model):
            ids = model.generate(
                **inputs,
                generation_config=self._generation_config(decoding),
                stopping_criteria=StoppingCriteriaList([clock]),
            )
        seconds = clock.seconds()
        made = [self._completion(row) for row in ids[:, start:].tolist()]
        # not every family's configuration names its image token
        images = inputs["input_ids"] == getattr(self.model.config, "image_token_id", -1)
        lengths = tuple(inputs["attention_mask"].sum(1).tolist())
        return Generation(made, seconds, clock.first, start, int(images.sum(1).max()), lengths)

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]], *, ended: bool = True
    ) -> list[list[float]]:
        """Log-probability, in nats, of each answer. ended: followed by the end of the turn.

        Raises ModelError, naming base model or adapter, if one is not finite.
        """
        ids = [[self.answer_ids(answer, ended=ended) for answer in row] for row in answers]
        with torch.inference_mode(), self._ready(), loading.answering(self.source):
            shared = self._shares_prefixes() and any(ids)
            scores = self._scores.shared(prompts, ids) if shared else None
            scores = self._scores.plain(prompts, ids) if scores is None else scores
        if not all(math.isfinite(value) for values in scores for value in values):
            raise ModelError(fault(self.model))
        return scores

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Length of a whole prompt in the model's tokens, those of its images among them."""
        return int(self._inputs([prompt])[0]["input_ids"].shape[1])

    def answer_ids(self, answer: str, *, ended: bool = True) -> torch.Tensor:
        """(T,) The tokens of an answer, on the CPU. ended: and of the end of the turn."""
        tokenizer = self.processor.tokenizer
        text = answer + (tokenizer.eos_token if ended else "")
        ids: torch.Tensor = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        return ids[0]

    def answer_logps(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[Sequence[torch.Tensor]],
        *,
        temperature: float = 1.0,
        shared: bool = True,
    ) -> list[torch.Tensor]:
        """Log-probability, in nats, of each prompt's answers: for each prompt (answers,), float32.

        With a gradient where gradients are enabled, in the mode that the model is in. answers: of
        each prompt, as `answer_ids` gives them. shared: compute prompts once, where this model
        allows it; else each answer is a row with a prompt of its own.
        """
        if shared and self._shares_prefixes():
            inputs, keys = self._inputs(prompts)
            options = LogpOptions(temperature, features=self.features)
            return answer_logps(self.model, inputs, keys, answers, options)
        rows = [prompt for prompt, row in zip(prompts, answers, strict=True) for _ in row]
        flat = self._plain_logps(rows, [ids for row in answers for ids in row], temperature)
        return list(torch.split(flat, [len(row) for row in answers]))

    @torch.inference_mode()
    def probe_features(self, prompts: Sequence[Prompt]) -> ProbeFeatures:
        """What the model makes of each prompt, all in one batch, for a classifier on top."""
        with self._ready() as model, loading.answering(self.source):
            return probe_features(
                model, prompts, lambda some: self._inputs(some)[0].to(model.device)
            )

    def count_tokens(self, text: str) -> int:
        """Length of a text in this model's tokens."""
        return len(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"])

    def add_adapter(self, adapter: Path) -> str:
        """Load another adapter beside the first; the name by which `using` knows it."""
        return adapters.add(self.model, adapter)

    def using(self, name: str) -> AbstractContextManager[None]:
        """Within it an adapter that was added answers in place of the first."""
        return adapters.using(self.model, name)

    @contextmanager
    def base(self) -> Iterator[None]:
        """Within it the adapter is off: the model answers as it was before training."""
        tuned = self.model
        if not isinstance(tuned, PeftModel):
            yield
        elif self.base_apart:
            self.model = loading.load_model(self.source, self.settings)
            try:
                yield
            finally:
                self.model = tuned
        else:
            with tuned.disable_adapter():
                yield

    def new_adapter(self) -> Any:
        """The configuration of the adapter that a trainer is to add; None if one is there."""
        return None if isinstance(self.model, PeftModel) else loading.lora(self.settings)

    def save(self, folder: Path) -> None:
        """Write the adapter as plain PEFT."""
        self.model.save_pretrained(folder, selected_adapters=["default"])

    def fingerprint(self) -> str:
        """A hash by which a resumed run knows its base weights again."""
        return loading.fingerprint(self.source)

    def facts(self) -> ModelFacts:
        """Model, revision, dtype, quantisation, device: what a report must name."""
        cuda = torch.cuda.is_available()
        return ModelFacts(
            model=self.settings.name,
            revision=self.source.revision or "",
            backend=self.backend,
            dtype=str(loading.dtype_here()).removeprefix("torch."),
            quantisation="nf4" if self.settings.load_in_4bit else "none",
            max_pixels=self.settings.max_pixels,
            device=torch.cuda.get_device_name(0) if cuda else f"cpu × {torch.get_num_threads()}",
        )

    def _inputs(self, prompts: Sequence[Prompt]) -> tuple[Any, list[PromptKey]]:
        """The model's inputs, on the CPU, and what tells the prompts apart if that is of use."""
        texts = [self.render(prompt) for prompt in prompts]
        images = [[p.open() for p in (prompt.image, *prompt.others)] for prompt in prompts]
        with loading.answering(self.source):
            inputs = self.processor(
                text=texts,
                images=images,
                padding=True,
                padding_side="left",  # Unsloth's trainers turn the tokenizer's own to the right
                return_tensors="pt",
            )
        if not self._shares_prefixes():
            return inputs, []
        ids = without_padding(inputs["input_ids"], inputs["attention_mask"])
        return inputs, prompt_keys(ids, images)

    def _share_no_more(self, error: Exception) -> None:
        self.shares = False
        why = first_line(error, 120)
        logging.getLogger(__name__).warning("prompts are not shared: %s", why)

    def _shares_prefixes(self) -> bool:
        return self.shares and unsupported(self.model) is None

    def render(self, prompt: Prompt) -> str:
        """The whole text the model reads, chat template and prefill included."""
        return rendered(self.processor, prompt)

    def _plain_logps(
        self, prompts: Sequence[Prompt], answers: Sequence[torch.Tensor], temperature: float = 1.0
    ) -> torch.Tensor:
        """(rows,) sums over the tokens of each row's answer. prompts, answers: (rows,)."""
        inputs = self._inputs(prompts)[0].to(self.model.device)
        pad = self.processor.tokenizer.pad_token_id
        return plain_answer_logps(self.model, inputs, answers, (pad, temperature))

    @contextmanager
    def _ready(self) -> Iterator[Any]:
        """The model in evaluation mode with its cache on, put back afterwards."""
        training = self.model.training
        self.model.eval()
        try:
            yield self.model
        finally:
            self.model.train(training)

    def _shared_prefill(
        self, model: Any, keys: Sequence[PromptKey]
    ) -> AbstractContextManager[None]:
        """Prefills equal prompts and encodes equal images once, if this model can."""
        if not self._shares_prefixes():
            return nullcontext()
        return shared_prefill(model, keys, self.features)

    def _generation_config(self, decoding: Decoding) -> GenerationConfig:
        sampled = decoding.temperature > 0
        return GenerationConfig(
            max_new_tokens=decoding.max_new_tokens,
            do_sample=sampled,
            temperature=decoding.temperature if sampled else None,
            top_k=0 if sampled else None,
            top_p=decoding.top_p if sampled else None,
            eos_token_id=self.stop_ids(),
            pad_token_id=self.processor.tokenizer.pad_token_id,
            suppress_tokens=self.banned_ids(),
        )

    def stop_ids(self) -> list[int]:
        """Tokens that end a completion."""
        declared = self.model.generation_config.eos_token_id
        declared = declared if isinstance(declared, list) else [declared]
        return sorted({self.processor.tokenizer.eos_token_id, *declared} - {None})

    def banned_ids(self) -> list[int]:
        """Special tokens that must not be sampled: an image token would crash the next forward."""
        image = getattr(self.model.config, "image_token_id", None)  # not every family names it
        specials = {*special_tokens(self.processor.tokenizer).values()}
        specials |= set() if image is None else {int(image)}
        return sorted(specials - {*self.stop_ids()})

    def _completion(self, ids: list[int]) -> Completion:
        ends = {*self.stop_ids()}
        stops = [location for location, token in enumerate(ids) if token in ends]
        end = stops[0] if stops else len(ids)
        text = self.processor.tokenizer.decode(ids[:end], skip_special_tokens=True)
        return Completion(text, end, finished=bool(stops))
