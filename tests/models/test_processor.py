"""Processors of Idefics3 and SmolVLM where there is no torchvision."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor

from rftkit.models.processing import load as processor

SPECIALS = ("<pad>", "<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>")
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}{% for c in m.content %}"
    "{{ '<image>' if c.type == 'image' else c.text }}{% endfor %}{% endfor %}"
)


def saved(folder: Path, kind: str) -> Path:
    """A model folder without weights: images of 28 pixels, 3 tokens each."""
    words = Tokenizer(models.WordLevel({"what": 0, "[UNK]": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        additional_special_tokens=list(SPECIALS),
        chat_template=TEMPLATE,
        padding_side="right",
    )
    edge = {"longest_edge": 28}
    images = Idefics3ImageProcessorPil(size=edge, max_image_size=edge, do_image_splitting=False)
    made = Idefics3Processor(images, tokenizer, image_seq_len=3, chat_template=TEMPLATE)
    made.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": kind}), "utf-8")
    return folder


@pytest.mark.parametrize("kind", ["idefics3", "smolvlm"])
def test_a_tiled_processor_loads_without_torchvision(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "find_spec", lambda name: None)
    loaded = processor.load_processor(str(saved(tmp_path / "model", kind)), max_pixels=784)
    asked = [{"role": "user", "content": [{"type": "image"}]}]
    assert loaded.apply_chat_template(asked) == "user<image>"
    shown = [[Image.new("RGB", (56, 28), "white")]] * 2
    inputs = loaded(
        text=["<image>what", "<image>what what"], images=shown, padding=True, return_tensors="pt"
    )
    fake, image, whole = loaded.tokenizer.convert_tokens_to_ids([*SPECIALS[1:3], SPECIALS[4]])
    row = [fake, whole, image, image, image, fake]
    assert inputs["input_ids"].tolist() == [[loaded.tokenizer.pad_token_id, *row, 0], [*row, 0, 0]]
    assert inputs["pixel_values"].shape == (2, 1, 3, 28, 28)
