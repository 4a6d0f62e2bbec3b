"""Chat templates: the switch that lets some models think, and the token that ends a turn.

A template with a switch for thinking (`enable_thinking`) has another default in every size of
Qwen3.5. Here it is always decided: off, where a style has no reasoning or the model writes its
thoughts in a form of its own; else on, with one change. Qwen's template then begins the reply with
"<think>", which a reply in one of rftkit's styles writes itself:

    off     <|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n     the reply: cat
    on      <|im_start|>assistant\\n                            the reply: <think>…</think>…
"""

from __future__ import annotations

from typing import Any

from rftkit.errors import ModelError, TookTooLong, time_limit
from rftkit.messages import in_short

SWITCH = "enable_thinking"
OPENING = "<think>\\n"  # as Jinja reads it
OFF = f"{{% set {SWITCH} = false %}}"
BY_STYLE = f"{{% set {SWITCH} = {SWITCH} is defined and {SWITCH} %}}{{% set whole_prompt %}}"
BY_STYLE_END = (
    f"{{% endset %}}{{% if {SWITCH} and whole_prompt.endswith('{OPENING}') %}}"
    "{{ whole_prompt[:-8] }}{% else %}{{ whole_prompt }}{% endif %}"
)
# architectures that think between <think> and </think>, as rftkit's styles do
THINKS_IN_TAGS = ("qwen3_5", "qwen3_5_moe")
ASKED, SAID = "rftkit-asks-this", "rftkit-says-this"
RENDERED_WITHIN = 20.0  # seconds, for a few short prompts


def decided(template: str, kind: str) -> str:
    """The template with its switch decided; as it is if it has none. kind: the architecture."""
    if SWITCH not in template:
        return template
    return BY_STYLE + template + BY_STYLE_END if kind in THINKS_IN_TAGS else OFF + template


def thinking(processor: Any, thinks: bool) -> dict[str, bool]:
    """What to give the template beside the messages. thinks: whether the style has reasoning."""
    return {SWITCH: thinks} if (processor.chat_template or "").startswith(BY_STYLE) else {}


def undecided(processor: Any, thinks: bool) -> dict[str, bool]:
    """What the template as it was published has to be given for the same prompt.

    Told to think, it begins the reply with "<think>\\n", which is then to be taken away.
    """
    if (processor.chat_template or "").startswith(OFF):
        return {SWITCH: False}
    return thinking(processor, thinks)


def prompt_text(processor: Any, text: str, images: int, thinks: bool) -> str:
    """The whole prompt that a model reads, up to where its reply begins."""
    content = [*({"type": "image"} for _ in range(images)), {"type": "text", "text": text}]
    asked = [{"role": "user", "content": content}]
    return _rendered(processor, asked, add_generation_prompt=True, **thinking(processor, thinks))


def _rendered(processor: Any, messages: list[Any], **options: Any) -> str:
    """Raises ModelError for whatever a template does that cannot be rendered."""
    try:
        rendered: str = processor.apply_chat_template(messages, tokenize=False, **options)
    except Exception as error:  # a template is a program: it may raise anything
        raise ModelError(f"its chat template cannot be used ({in_short(error, 120)})") from error
    return rendered


def end_of_turn(processor: Any) -> str | None:
    """The special token that the chat template writes after a reply; None if there is none."""
    messages = [
        {"role": "user", "content": [{"type": "text", "text": ASKED}]},
        {"role": "assistant", "content": [{"type": "text", "text": SAID}]},
    ]
    rendered = _rendered(processor, messages)
    after = rendered.rpartition(SAID)[2].lstrip()
    return next(
        (text for text in special_tokens(processor.tokenizer) if after.startswith(text)), None
    )


def special_tokens(tokenizer: Any) -> dict[str, int]:
    """Text -> id of every token that marks something and is no text, longest first.

    `all_special_tokens` has those with a role only: Gemma's end of a turn is not among them.
    """
    marks = {str(t): n for n, t in tokenizer.added_tokens_decoder.items() if t.special}
    roles = zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)
    return dict(sorted((marks | dict(roles)).items(), key=lambda one: -len(one[0])))


def settle(processor: Any, kind: str, name: str) -> None:
    """Decide the switch, and let a turn end where the template ends it.

    Gemma's tokenizers name the end of a document as their end, not the end of a turn. kind: the
    architecture; name: of the model, for errors. Raises ModelError if there is no chat template.
    """
    template = processor.chat_template or processor.tokenizer.chat_template
    if not template:
        raise ModelError(
            f"model.name: {name}: has no chat template; name the instruction-tuned model, whose id "
            "usually ends in -Instruct or -it"
        )
    processor.chat_template = decided(template, kind)
    try:
        with time_limit(RENDERED_WITHIN):
            end = end_of_turn(processor)
            with_image, without = (prompt_text(processor, ASKED, n, False) for n in (1, 0))
    except TookTooLong:
        raise ModelError(
            f"model.name: {name}: its chat template takes more than {RENDERED_WITHIN:g} s"
        ) from None
    except ModelError as error:
        raise ModelError(f"model.name: {name}: {error}; name another model") from None
    if with_image == without or ASKED not in with_image:
        what = "image" if with_image == without else "question"
        raise ModelError(
            f"model.name: {name}: its chat template leaves out the {what}; name an image-text model"
        )
    if end and end != processor.tokenizer.eos_token:
        processor.tokenizer.eos_token = end
