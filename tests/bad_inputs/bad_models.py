"""Base models that are damaged, incomplete, or something else."""

from __future__ import annotations

import shutil
from pathlib import Path

from bad_recipes import TRAIN
from bad_rows import Row, recipe
from bad_runs import CHANGES, Change, cut, fields, gone, moved, text

from rftkit.models.tiny.cache import ensure_tiny


def model(name: str, change: Change) -> Row:
    """A copy of a built-in model in `base`, changed, that is to be trained."""

    def make(place: Path) -> None:
        shutil.copytree(ensure_tiny("tiny"), place / "base")
        change(place)

    changes = {**CHANGES, "model.name": "base", "model.load_in_4bit": False}
    return Row(name, TRAIN, {"r.toml": recipe(changes)}, make, loads=True)


def linked(path: str) -> Change:
    """What lies there lies outside of the model's folder, and a link to it is in its place."""

    def change(place: Path) -> None:
        outside = place / "outside"
        if (place / path).exists():
            (place / path).rename(outside)
        else:
            outside.mkdir()
        (place / path).symlink_to(outside)

    return change


DAMAGED = {"empty": "", "a list": "[]", "deep": "[" * 100_000, "NUL": "\0"}
TEMPLATE = "base/chat_template.jinja"
ROWS = [
    *(model(f"{name} gone", gone(f"base/{name}")) for name in (
        "config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json",
        "chat_template.jinja")),
    *(model(f"{name} {kind}", text(f"base/{name}", content))
      for name in ("config.json", "tokenizer.json", "tokenizer_config.json",
                   "preprocessor_config.json")
      for kind, content in DAMAGED.items()),
    model("config of another kind", text("base/config.json", '{"model_type": "bert"}')),
    model("config that needs code", text("base/config.json",
          '{"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}}')),
    model("config of a billion labels", fields("base/config.json", num_labels=10**9)),
    model("config with a kernel", fields("base/config.json", _attn_implementation="evil/kernel")),
    model("config of 4 bit, plain weights", fields("base/config.json",
          quantization_config={"quant_method": "gptq", "load_in_4bit": True})),
    model("config with a file elsewhere", fields("base/config.json", transformers_weights="x.bin")),
    model("processor that names a model", text("base/processor_config.json",
          '{"audio_tokenizer": {"audio_tokenizer_class": "AutoModel",'
          ' "audio_tokenizer_name_or_path": "evil/codec"}}')),
    model("tokenizer of another file", fields("base/tokenizer_config.json", vocab="/a/id_ed25519")),
    model("tokenizer files elsewhere", fields("base/tokenizer_config.json",
          fast_tokenizer_files=["../tokenizer.5.0.0.json"])),
    model("tokenizer of other inputs", fields("base/tokenizer_config.json", init_inputs=["/a/b"])),
    model("special tokens of a file", text("base/special_tokens_map.json",
          '{"tokenizer_file": "/a/tokenizer.json"}')),
    model("images of another repository", fields("base/preprocessor_config.json",
          image_processor_type="OneFormerImageProcessor", repo_path="evil/x")),
    *(model(f"{name} linked", linked(f"base/{name}")) for name in (
        "chat_template.jinja", "tokenizer.json", "additional_chat_templates")),
    model("end that is no token", text("base/generation_config.json", '{"eos_token_id": "x"}')),
    model("index of pickles", text("base/model.safetensors.index.json",
          '{"metadata": {}, "weight_map": {"a": "x.bin"}}')),
    model("index of files elsewhere", text("base/model.safetensors.index.json",
          '{"metadata": {}, "weight_map": {"a": "../o.safetensors"}}')),
    model("weights cut off", cut("base/model.safetensors", 9999)),
    model("weights empty", text("base/model.safetensors", "")),
    model("weights pickled", moved("base/model.safetensors", "base/pytorch_model.bin")),
    model("another token for images", fields("base/config.json", image_token_id=3)),
    *(model(f"images with {key} {value}", fields("base/preprocessor_config.json", **{key: value}))
      for key, value in {"patch_size": 0, "merge_size": 0, "image_mean": [0.5]}.items()),
    model("patches of another size", fields("base/preprocessor_config.json", patch_size=7)),
    model("template that prints Python", text(TEMPLATE, "{{ messages }}")),
    model("template that is none", text(TEMPLATE, "{% for")),
    model("template that raises", text(TEMPLATE, "{{ raise_exception('no') }}")),
    model("template that reaches for Python", text(TEMPLATE, "{{ ''.__class__.__mro__ }}")),
    model("template without image", text(TEMPLATE, "{{ messages[0].content[-1].text }}")),
    model("template without question", text(TEMPLATE, "{{ messages[0].content | length }}")),
]  # fmt: skip
