"""The three arms of `grpo_step.py`: a random Qwen2.5-VL, its prompts, and the trainer of an arm."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from peft import LoraConfig
from PIL import Image
from transformers import Qwen2_5_VLConfig, set_seed
from transformers import Qwen2_5_VLForConditionalGeneration as Qwen
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from rftkit.models.processing.still import StillQwen25VLProcessor
from rftkit.models.tiny.tokenizer import SPECIALS, token_ids, train_tokenizer
from rftkit.shared_prefix.trainer import obstacle, shared_prefix_trainer
from rftkit.training.paths.merged_rollouts import writing_merged

NEW_TOKENS = {"direct": 16, "think": 128}
PATCH, MERGE = 14, 2
LORA_ON = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"


@dataclass(frozen=True)
class Case:
    """What one measurement is of."""

    style: str
    prompt: int  # tokens
    group: int
    prompts: int = 2  # a step
    image: int = 64  # tokens, of the prompt's
    kl: float = 0.0
    width: int = 512
    layers: int = 6

    @property
    def name(self) -> str:
        """Style, prompt tokens and group size."""
        return f"{self.style}-{self.prompt}-{self.group}"


def trainer_of(case: Case, arm: str) -> Any:
    """TRL's trainer, or ours ("shared", "merged"), on a model of its own with the same weights."""
    from trl import GRPOConfig, GRPOTrainer

    set_seed(0)
    model, processor = model_of(case)
    if arm != "stock" and (why := obstacle(model)):
        sys.exit(f"prefixes cannot be shared: {why}")
    kind = GRPOTrainer if arm == "stock" else shared_prefix_trainer()
    kind = writing_merged(kind) if arm == "merged" else kind
    config = GRPOConfig(
        output_dir=tempfile.gettempdir(),
        per_device_train_batch_size=case.prompts * case.group,
        gradient_accumulation_steps=1,
        num_generations=case.group,
        max_completion_length=NEW_TOKENS[case.style],
        beta=case.kl,
        loss_type="dapo",
        learning_rate=1e-4,
        max_steps=1,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        generation_kwargs={"suppress_tokens": token_ids(processor.tokenizer, SPECIALS)},
        gradient_checkpointing=False,
        bf16=False,
        report_to=[],
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
        remove_unused_columns=False,
    )
    return kind(
        model=model,
        reward_funcs=_reward,
        args=config,
        train_dataset=dataset_of(case, processor),
        processing_class=processor,
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules=LORA_ON),
    )


def _reward(completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
    return [float(sum(ids) % 7) for ids in completion_ids]


def model_of(case: Case) -> tuple[Any, Any]:
    """A random Qwen2.5-VL and its processor; nothing is downloaded."""
    tokenizer = train_tokenizer(["how many wheels has it"], 300)
    side = round(case.image**0.5) * PATCH * MERGE
    area = {"shortest_edge": side**2, "longest_edge": side**2}
    images = Qwen2VLImageProcessorPil(size=area, patch_size=PATCH, merge_size=MERGE)
    processor = StillQwen25VLProcessor(images, tokenizer, chat_template=tokenizer.chat_template)
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": case.width,
        "intermediate_size": 3 * case.width,
        "num_hidden_layers": case.layers,
        "num_attention_heads": case.width // 64,
        "num_key_value_heads": max(1, case.width // 256),
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e6,
            "mrope_section": [12, 10, 10],
        },
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "depth": 4,
        "hidden_size": case.width // 2,
        "out_hidden_size": case.width,
        "intermediate_size": case.width,
        "num_heads": 4,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "fullatt_block_indexes": [3],
    }
    names = ("image_pad", "video_pad", "vision_start", "vision_end")
    ids = token_ids(tokenizer, (f"<|{name}|>" for name in names))
    kinds = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=True,
        **dict(zip(kinds, ids, strict=True)),
    )
    return Qwen(config).to("cuda" if torch.cuda.is_available() else "cpu"), processor


def dataset_of(case: Case, processor: Any) -> Any:
    """Prompts of exactly so many tokens, each with an image of its own."""
    from datasets import Dataset

    side = round(case.image**0.5) * PATCH * MERGE
    made = np.random.default_rng(0)
    frame = _length(processor, "", Image.new("RGB", (side, side)))
    text = "7" * (case.prompt - frame)  # every digit is a token
    images = [
        Image.fromarray(made.integers(0, 255, (side, side, 3), dtype=np.uint8))
        for _ in range(4 * case.prompts)
    ]
    assert _length(processor, text, images[0]) == case.prompt
    rows = [{"prompt": [{"role": "user", "content": text}], "images": [p]} for p in images]
    return Dataset.from_list([{"number": n} for n in range(len(rows))]).with_transform(
        lambda batch: {name: [rows[number][name] for number in batch["number"]] for name in rows[0]}
    )


def _length(processor: Any, text: str, image: Image.Image) -> int:
    """Tokens of a prompt."""
    content = [{"type": "image", "image": image}, {"type": "text", "text": text}]
    shown = processor.apply_chat_template(
        [[{"role": "user", "content": content}]],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
    )
    return len(shown["input_ids"][0])


def rows_of(case: Case, dataset: Any, number: int) -> list[dict[str, Any]]:
    """A step's batch as TRL's sampler gives it: every prompt once per completion."""
    chosen = [(number * case.prompts + i) % len(dataset) for i in range(case.prompts)]
    rows = dataset[chosen]
    every = [{name: values[i] for name, values in rows.items()} for i in range(case.prompts)]
    return [row for row in every for _ in range(case.group)]
