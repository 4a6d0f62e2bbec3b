"""A policy that vLLM serves: base and adapter as two names of one engine. It answers only.

The only file that imports vllm.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from transformers import GenerationConfig

from rftkit.core import Completion
from rftkit.errors import ModelError
from rftkit.hardware import backends
from rftkit.messages import first_line
from rftkit.models import adapters, loading, out_of_memory
from rftkit.models.policy import Decoding, Generation, ModelFacts, Prompt, Watch, rendered
from rftkit.models.processing.template import special_tokens
from rftkit.models.vllm_options import engine_options
from rftkit.recipe.sections import Model

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # for which vLLM makes room
SHARE = 0.85  # of a GPU's memory: nothing else is on it while it answers
LONGEST = 8192  # tokens of a prompt, its images and the reply


def open_vllm(settings: Model, adapter: Path | None = None) -> VllmPolicy:
    """The recipe's model in vLLM, with a trained adapter beside it if one is given.

    Raises ModelError if vLLM is missing or cannot serve it.
    """
    backends.set_environment()
    try:
        from vllm import LLM
    except ImportError as error:
        first = first_line(error, 120)
        raise ModelError(f"--engine vllm: {first}; {backends.VLLM_INSTALL}") from None
    if adapter:
        adapters.check_adapter(adapter)
        if settings.lora_vision:
            raise ModelError(
                "--engine vllm: the adapter is on the vision encoder too (model.lora_vision), "
                "which vLLM does not serve; leave out --engine"
            )
    source = loading.resolve(settings.name)
    processor = loading.load_processor_of(source, settings)
    try:
        llm = LLM(**_options(settings, source, processor, adapter))
    except (OSError, RuntimeError, ValueError) as error:
        if out_of_memory.ran_out(error) or out_of_memory.lost(error):
            raise  # the caller puts it in words
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"model.name: {source.name}: vLLM cannot load it ({reason})") from None
    return VllmPolicy(settings, source, llm, processor, adapter)


def _options(
    settings: Model, source: loading.Source, processor: Any, adapter: Path | None
) -> dict[str, Any]:
    cuda = torch.cuda.is_available()
    options: dict[str, Any] = {
        "model": source.name,
        "revision": source.revision,
        "trust_remote_code": False,
        "generation_config": "vllm",  # its own: the model's would steer what is left open
        **engine_options(processor),
        "max_model_len": min(LONGEST, loading.longest(source)),
        "enforce_eager": True,  # recording graphs takes longer than they save on a few hundred
        "seed": 0,
        "disable_log_stats": True,
    }
    if cuda:
        options["gpu_memory_utilization"] = SHARE
    if settings.load_in_4bit:
        options["quantization"] = "bitsandbytes"
    if adapter:
        rank = next(size for size in RANKS if size >= settings.lora_rank)
        options |= {"enable_lora": True, "max_lora_rank": rank}
    return options


class VllmPolicy:
    """Implements `AnswerModel`: it answers, and trains nothing."""

    def __init__(
        self,
        settings: Model,
        source: loading.Source,
        llm: Any,
        processor: Any,
        adapter: Path | None,
    ) -> None:
        self.settings, self.source, self.llm = settings, source, llm
        self.processor, self.adapter, self.tuned = processor, adapter, adapter is not None
        self.base_apart = False

    def generate(
        self, prompts: Sequence[Prompt], decoding: Decoding, watch: Watch | None = None
    ) -> Generation:
        """One completion per prompt, all in one batch; the first before them if it is watched."""
        sampling = [self._sampling(decoding, prompt.schema) for prompt in prompts]
        start, first = time.perf_counter(), 0.0

        def seen(growing: Completion) -> bool:
            nonlocal first
            first = first or time.perf_counter() - start
            return watch is not None and watch(growing)

        with loading.answering(self.source):
            inputs, outputs = [self._input(prompt) for prompt in prompts], []
            if watch is not None:
                outputs, inputs = [self._streamed(inputs[0], sampling[0], seen)], inputs[1:]
            if inputs:
                outputs += self._run(inputs, sampling[-len(inputs) :])
        seconds = time.perf_counter() - start
        made = [self._completion(one.outputs[0]) for one in outputs]
        lengths = tuple(len(one.prompt_token_ids) for one in outputs)
        return Generation(made, seconds, first or seconds, max(lengths, default=0), 0, lengths)

    def score(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]], *, ended: bool = True
    ) -> list[list[float]]:
        """Log-probability, in nats, of each answer. ended: followed by the end of the turn."""
        from vllm import SamplingParams

        sampling = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0)
        tokenizer = self.processor.tokenizer
        inputs, sizes = list[dict[str, Any]](), list[int]()
        for prompt, labels in zip(prompts, answers, strict=True):
            shown = self._input(prompt)
            start = tokenizer(shown.pop("prompt"), add_special_tokens=False)["input_ids"]
            for answer in labels:
                text = answer + (tokenizer.eos_token if ended else "")
                ids = tokenizer(text, add_special_tokens=False)["input_ids"]
                inputs.append({**shown, "prompt_token_ids": [*start, *ids]})
                sizes.append(len(ids))
        with loading.answering(self.source):
            outputs = self._run(inputs, sampling)
        sums = iter([_sum(one, size) for one, size in zip(outputs, sizes, strict=True)])
        return [[next(sums) for _ in labels] for labels in answers]

    def count_tokens(self, text: str) -> int:
        """Length of a text in this model's tokens."""
        return len(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"])

    @contextmanager
    def base(self) -> Iterator[None]:
        """Within it the adapter is off: the model answers as it was before training."""
        tuned, self.tuned = self.tuned, False
        try:
            yield
        finally:
            self.tuned = tuned

    def add_adapter(self, adapter: Path) -> str:
        """Raises ModelError: the engine was started with one adapter."""
        raise ModelError(f"{adapter}: vLLM serves one adapter here; leave out --engine vllm")

    def using(self, name: str) -> AbstractContextManager[None]:
        """Nothing changes: there is no other adapter."""
        return nullcontext()

    def stop_ids(self) -> list[int]:
        """Tokens that end a completion."""
        return self._stop_ids

    @cached_property
    def _stop_ids(self) -> list[int]:
        source = self.source  # a file, or a page of the hub: read once, not for every token
        config = GenerationConfig.from_pretrained(
            source.name, revision=source.revision, trust_remote_code=False
        )
        declared = config.eos_token_id
        declared = declared if isinstance(declared, list) else [declared]
        return sorted({self.processor.tokenizer.eos_token_id, *declared} - {None})

    def banned_ids(self) -> list[int]:
        """Special tokens that must not be sampled."""
        return sorted({*special_tokens(self.processor.tokenizer).values()} - {*self.stop_ids()})

    def facts(self) -> ModelFacts:
        """Model, revision, dtype, quantisation, device: what a report must name."""
        import vllm

        cuda = torch.cuda.is_available()
        dtype = str(loading.dtype_here()).removeprefix("torch.")
        return ModelFacts(
            model=self.settings.name,
            revision=self.source.revision or "",
            backend="vllm",
            dtype=f"{dtype} by vLLM {vllm.__version__}",
            quantisation="nf4" if self.settings.load_in_4bit else "none",
            max_pixels=self.settings.max_pixels,
            device=torch.cuda.get_device_name(0) if cuda else f"cpu × {torch.get_num_threads()}",
        )

    def _sampling(self, decoding: Decoding, schema: str) -> Any:
        """How one reply is drawn; with a schema, and where that is wanted, held to it."""
        from vllm import SamplingParams

        held: dict[str, Any] = {}
        if decoding.structured and schema:
            from vllm.sampling_params import StructuredOutputsParams

            held = {"structured_outputs": StructuredOutputsParams(json=schema)}
        return SamplingParams(
            temperature=decoding.temperature,
            top_p=decoding.top_p if decoding.temperature > 0 else 1.0,
            max_tokens=decoding.max_new_tokens,
            stop_token_ids=self.stop_ids(),
            logit_bias=dict.fromkeys(self.banned_ids(), -100.0),
            seed=decoding.seed,
            **held,
        )

    def _run(self, inputs: list[dict[str, Any]], sampling: Any) -> list[Any]:
        asked = self._lora()
        outputs: list[Any] = self.llm.generate(inputs, sampling, lora_request=asked, use_tqdm=False)
        return outputs

    def _streamed(self, shown: dict[str, Any], sampling: Any, watch: Watch) -> Any:
        """One reply, watched at every step of the engine, which forgets it once `watch` says so."""
        engine, name, growing = self.llm.llm_engine, f"watched-{uuid4().hex}", None
        engine.add_request(name, shown, sampling, lora_request=self._lora())
        while engine.has_unfinished_requests():
            for growing in engine.step():
                if watch(self._completion(growing.outputs[0])) and not growing.finished:
                    engine.abort_request([name])
        return growing

    def _lora(self) -> Any:
        """The second name under which the engine answers; None for the base."""
        from vllm.lora.request import LoRARequest

        return LoRARequest("tuned", 1, str(self.adapter)) if self.tuned else None

    def _input(self, prompt: Prompt) -> dict[str, Any]:
        """The text that every backend reads, and the images."""
        images = [image.open() for image in (prompt.image, *prompt.others)]
        text = rendered(self.processor, prompt)
        return {"prompt": text, "multi_modal_data": {"image": images}}

    def _completion(self, made: Any) -> Completion:
        ids, stops = list(made.token_ids), self.stop_ids()
        finished = bool(ids) and ids[-1] in stops
        ids = ids[:-1] if finished else ids
        text = self.processor.tokenizer.decode(ids, skip_special_tokens=True)
        return Completion(text, len(ids), finished)


def _sum(output: Any, size: int) -> float:
    """Of the last `size` tokens of a prompt, the log-probability of each."""
    ids, logprobs = output.prompt_token_ids[-size:], output.prompt_logprobs[-size:]
    return sum(float(by_id[token].logprob) for token, by_id in zip(ids, logprobs, strict=True))
