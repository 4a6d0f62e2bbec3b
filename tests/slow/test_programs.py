"""The programs in READMEs show a model that can think the prompt of its training."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import transformers
from rich.console import Console
from tiny_architectures import make
from transformers import AutoTokenizer

from rftkit.core import Style
from rftkit.data.examples import load_examples
from rftkit.export.card import exported_card
from rftkit.export.markup import markup_of
from rftkit.export.modelfile import SERVE, THINKING
from rftkit.export.request import ExportRequest
from rftkit.export.run import export
from rftkit.models.policy import prompt_of, rendered
from rftkit.models.processing.load import load_processor
from rftkit.recipe.toml import load_recipe
from rftkit.tasks import get_task
from rftkit.training.request import TrainRequest
from rftkit.training.run import train

pytestmark = pytest.mark.slow
RECIPE = """
style = "{style}"
[model]
name = {name}
load_in_4bit = false
[data]
source = "digits"
shots = 1
[method]
kind = "sft"
steps = 1
batch_size = 2
max_new_tokens = 4
[eval]
limit = 2
decode = "generate"
"""


class RenderedError(Exception):
    """What a program has its processor read ends it."""


class AsPublished:
    """As much of a processor as renders the chat template of a folder as it lies there."""

    def __init__(self, name: str) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(name)

    def apply_chat_template(self, messages: Any, **given: Any) -> str:
        return str(self.tokenizer.apply_chat_template(messages, **given))

    def __call__(self, text: list[str], **_: Any) -> Any:
        raise RenderedError(*text)


def read_by(program: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The text that a README's program hands to its processor."""
    idle = SimpleNamespace(from_pretrained=lambda *_, **__: SimpleNamespace(eval=lambda: None))
    given = SimpleNamespace(from_pretrained=AsPublished)
    with monkeypatch.context() as patched:
        patched.setattr(transformers, "AutoProcessor", given)
        patched.setattr(transformers, "AutoModelForImageTextToText", idle)
        patched.setattr("peft.PeftModel", idle)
        with pytest.raises(RenderedError) as end:
            exec(program, {})
    return str(end.value)


def program_in(folder: Path) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    return str(code)


@pytest.mark.parametrize("style", ["direct", "think"])
def test_the_programs_of_a_model_that_can_think_render_the_prompt_of_training(
    style: Style, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = make(tmp_path / "model", "qwen3_5"), tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(style=style, name=json.dumps(str(model))), "utf-8")
    console = Console(file=io.StringIO())
    run = train(TrainRequest(recipe=path, out=tmp_path / "run"), console)
    recipe, processor = load_recipe(path), load_processor(str(model))
    example = load_examples(recipe, "train").examples[0]
    example.image.open().save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    prompt = prompt_of(get_task(recipe.task), example, style)
    trained = rendered(processor, prompt)
    assert trained.partition("assistant\n")[2] == {
        "direct": "<think>\n\n</think>\n\n", "think": "", "empty-think": "<think>\n\n</think>\n",
    }[style]  # fmt: skip
    assert read_by(program_in(run.adapter), monkeypatch) == trained

    folder = export(run.folder, ExportRequest(kind="vllm", images=0), console)
    monkeypatch.chdir(folder)
    example.image.open().save(folder / "photo.jpg")
    assert read_by(program_in(folder), monkeypatch) == trained
    assert exported_card(folder).template == {"enable_thinking": style != "direct"}
    served = (folder / SERVE).read_text()
    assert (f'--chat-template "$(dirname "$0")/{THINKING}"' in served) == (style != "direct")
    assert (folder / THINKING).is_file() == (style != "direct")
    by_vllm = AsPublished(str(folder))
    if style != "direct":
        by_vllm.tokenizer.chat_template = (folder / THINKING).read_text()
    content = [{"type": "image"}, {"type": "text", "text": prompt.text}]
    asked = by_vllm.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False,
        **exported_card(folder).template,
    )  # fmt: skip
    assert asked + prompt.prefill == trained
    markup = markup_of(processor, thinks=style != "direct")  # what Ollama's Modelfile is made of
    assert markup.before + markup.image + prompt.text + markup.after + prompt.prefill == trained
