"""Modelfile and vLLM's command say what training said: template, stops, limits."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest

from rftkit.errors import ModelError
from rftkit.export.llama_cpp.convert import GgufFiles
from rftkit.export.markup import Markup, markup_of
from rftkit.export.modelfile import SERVE, THINKING, Serving, modelfile, serve_script
from rftkit.models.tiny.tokenizer import CHAT_TEMPLATE

SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant."
    "<|im_end|>\n{% endif %}"
)
IDEFICS = (
    "<|im_start|>{% for m in messages %}{{ m['role'] | capitalize }}{% if m['content'][0]['type'] "
    "== 'image' %}:{% else %}: {% endif %}{% for c in m['content'] %}{% if c['type'] == 'text' %}"
    "{{ c['text'] }}{% else %}<image>{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
SERVING = Serving("pets", 4096, 32, ("<|im_end|>", '"'), 2, {})


class FakeProcessor:
    """A chat template, and the limits of an image processor."""

    def __init__(self, template: str, size: dict[str, int]) -> None:
        self.chat_template, self.image_processor = template, SimpleNamespace(size=size)

    def apply_chat_template(self, messages: Any, **more: Any) -> str:
        assert more.pop("tokenize") is False
        return jinja2.Template(self.chat_template).render(messages=messages, **more)


def processor(template: str) -> FakeProcessor:
    return FakeProcessor(template, {"shortest_edge": 3136, "longest_edge": 50176})


VISION = "<|vision_start|><|image_pad|><|vision_end|>"
AFTER = "<|im_end|>\n<|im_start|>assistant\n"
TEMPLATES = [
    (CHAT_TEMPLATE, Markup("<|im_start|>user\n", VISION, AFTER)),
    (SYSTEM + CHAT_TEMPLATE, Markup(
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n",
        VISION, AFTER)),
    (IDEFICS, Markup("<|im_start|>User:", "<image>", "<end_of_utterance>\nAssistant:")),
]  # fmt: skip


@pytest.mark.parametrize(("template", "expected"), TEMPLATES)
def test_the_markup_of_a_template(template: str, expected: Markup) -> None:
    assert markup_of(processor(template), thinks=False) == expected


def test_a_template_that_shows_no_image_is_refused() -> None:
    with pytest.raises(ModelError, match="writes nothing for an image"):
        markup_of(
            processor("{% for m in messages %}{{ m['content'][-1]['text'] }}{% endfor %}"),
            thinks=False,
        )


@pytest.mark.parametrize(("template", "markup"), TEMPLATES)
def test_the_modelfile_writes_the_prompt_of_training(template: str, markup: Markup) -> None:
    made = GgufFiles(Path("x/model-f16.gguf"), Path("x/mmproj-f16.gguf"))
    text = modelfile(made, markup, SERVING)
    lines = text.splitlines()
    assert lines[1:3] == ["FROM ./model-f16.gguf", "FROM ./mmproj-f16.gguf"]
    ollama = text.split('TEMPLATE """')[1].split('"""')[0]
    content = [{"type": "image"}, {"type": "text", "text": "Which pet?"}]
    expected = processor(template).apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    asked = ollama.replace("{{ .Prompt }}", markup.image + "Which pet?")
    assert asked.replace("{{ .Response }}", "") == expected
    assert lines[-5:] == [
        "PARAMETER temperature 0",
        "PARAMETER num_predict 32",
        "PARAMETER num_ctx 4096",
        'PARAMETER stop "<|im_end|>"',
        'PARAMETER stop "\\""',
    ]


def started(tmp_path: Path, serving: Serving) -> tuple[Path, dict[str, str]]:
    """The folder that the script serves, and the options that vLLM is given, by a vLLM of ours."""
    folder, programs = tmp_path / "my export", tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    programs.mkdir(exist_ok=True)
    vllm = programs / "vllm"
    vllm.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    vllm.chmod(0o755)
    (folder / SERVE).write_text(serve_script(processor(CHAT_TEMPLATE), serving, "bfloat16"))
    done = subprocess.run(
        ["sh", str(folder / SERVE), "--port", "81"],
        env={"PATH": f"{programs}:/usr/bin:/bin"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    words = done.stdout.splitlines()
    assert words[:2] == ["serve", str(folder)]
    return folder, dict(zip(words[2::2], words[3::2], strict=True))


def test_the_script_starts_vllm_with_the_limits_of_training(tmp_path: Path) -> None:
    _, options = started(tmp_path, SERVING)
    assert options["--dtype"] == "bfloat16"
    assert options["--max-model-len"] == "4096"
    assert json.loads(options["--limit-mm-per-prompt"]) == {"image": 2, "video": 0}
    size = {"shortest_edge": 3136, "longest_edge": 50176}
    assert json.loads(options["--mm-processor-kwargs"]) == {"size": size}
    assert options["--port"] == "81"
    assert "--default-chat-template-kwargs" not in options
    assert "--chat-template" not in options


def test_the_script_decides_the_switch_for_thinking(tmp_path: Path) -> None:
    off, on = {"enable_thinking": False}, {"enable_thinking": True}
    _, options = started(tmp_path, SERVING._replace(template=off))
    assert json.loads(options["--default-chat-template-kwargs"]) == off
    assert "--chat-template" not in options
    folder, options = started(tmp_path, SERVING._replace(template=on))
    assert json.loads(options["--default-chat-template-kwargs"]) == on
    assert options["--chat-template"] == str(folder / THINKING)
