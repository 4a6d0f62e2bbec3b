"""Chat templates: the switch for thinking, and the token that ends a turn."""

from __future__ import annotations

from typing import Any

import jinja2
import jinja2.meta
import pytest

from rftkit.errors import ModelError
from rftkit.models.processing.template import decided, prompt_text, settle, thinking, undecided

SHOWN = "{% for c in m.content if c.type == 'image' %}<img>{% endfor %}{{ m.content[-1].text }}"
QWEN = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n" + SHOWN + "<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% else %}<think>\n{% endif %}{% endif %}"
)
PLAIN = "{% for m in messages %}[{{ m.role }}]" + SHOWN + "</s>{% endfor %}"


class Tokenizer:
    """As much of a tokenizer as knows its special tokens."""

    chat_template, eos_token = None, "<eos>"

    def __init__(self, specials: list[str]) -> None:
        self.all_special_tokens = specials
        self.all_special_ids = [*range(len(specials))]
        self.added_tokens_decoder = dict[int, Any]()


class Processor:
    """As much of a processor as renders its template."""

    def __init__(self, template: str, specials: list[str] | None = None) -> None:
        self.chat_template, self.tokenizer = template, Tokenizer(specials or ["<|im_end|>"])

    def apply_chat_template(self, messages: Any, tokenize: bool, **given: Any) -> str:
        assert not tokenize
        return jinja2.Template(self.chat_template).render(messages=messages, **given)


@pytest.mark.parametrize(("kind", "thinks", "end"), [
    ("qwen3_5", False, "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
    ("qwen3_5", True, "<|im_start|>assistant\n"),
    ("gemma4", True, "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
    ("unknown", False, "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
])  # fmt: skip
def test_thinking_is_decided_by_the_style_where_thoughts_stand_in_tags(
    kind: str, thinks: bool, end: str
) -> None:
    processor = Processor(QWEN)
    settle(processor, kind, "m")
    text = prompt_text(processor, "what?", 1, thinks)
    assert text.startswith("<|im_start|>user\n<img>what?<|im_end|>\n")
    assert text.endswith(end)
    assert thinking(processor, thinks) == ({"enable_thinking": thinks} if kind == "qwen3_5" else {})


@pytest.mark.parametrize(("kind", "thinks", "given"), [
    ("qwen3_5", False, {"enable_thinking": False}),
    ("qwen3_5", True, {"enable_thinking": True}),
    ("gemma4", True, {"enable_thinking": False}),
])  # fmt: skip
def test_the_template_as_published_writes_the_same_prompt(
    kind: str, thinks: bool, given: dict[str, bool]
) -> None:
    processor = Processor(QWEN)
    settle(processor, kind, "m")
    assert undecided(processor, thinks) == given
    content = [{"type": "image"}, {"type": "text", "text": "what?"}]
    text = Processor(QWEN).apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True, **given
    )
    text = text.removesuffix("<think>\n") if given["enable_thinking"] else text
    assert text == prompt_text(processor, "what?", 1, thinks)


def test_vllm_sees_that_the_decided_template_takes_the_switch() -> None:
    """It hands a template only the variables that jinja2 finds in it."""
    parsed = jinja2.Environment().parse(decided(QWEN, "qwen3_5"))
    assert "enable_thinking" in jinja2.meta.find_undeclared_variables(parsed)


def test_a_template_without_a_switch_stays_as_it_is() -> None:
    assert decided(PLAIN, "qwen3_5") == PLAIN
    assert thinking(Processor(PLAIN), True) == {}
    assert undecided(Processor(PLAIN), True) == {}


def test_a_turn_ends_where_the_template_ends_it() -> None:
    processor = Processor(PLAIN, ["<eos>", "</s>"])
    settle(processor, "m", "m")
    assert processor.tokenizer.eos_token == "</s>"
    other = Processor(PLAIN.replace("</s>", "."), ["<eos>", "</s>"])
    settle(other, "m", "m")
    assert other.tokenizer.eos_token == "<eos>"


def test_a_model_without_a_chat_template_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^model.name: base/model: has no chat template; name"):
        settle(Processor(""), "m", "base/model")


ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}x"


@pytest.mark.parametrize(("template", "says"), [
    ("{% for", "cannot be used (TemplateSyntaxError: "),
    ("{{ nothing.of.this }}", "cannot be used (UndefinedError: 'nothing' is undefined)"),
    ("{{ 1 / 0 }}", "cannot be used (ZeroDivisionError: division by zero); name another model"),
    ("always the same", "leaves out the image; name an image-text model"),
    ("{{ messages[0].content[-1].text }}", "leaves out the image; name an image-text model"),
    ("{{ messages[0].content | length }}", "leaves out the question; name an image-text model"),
    (ENDLESS, "takes more than 0.2 s"),
])  # fmt: skip
def test_a_template_that_makes_no_prompt_is_refused(
    monkeypatch: pytest.MonkeyPatch, template: str, says: str
) -> None:
    monkeypatch.setattr("rftkit.models.processing.template.RENDERED_WITHIN", 0.2)
    with pytest.raises(ModelError) as caught:
        settle(Processor(template), "m", "base/model")
    assert str(caught.value).startswith("model.name: base/model: its chat template ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
