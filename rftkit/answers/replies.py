"""Reply styles: the instruction for each style, and the parser of its replies.

The same instruction and the same parser serve SFT, GRPO, evaluation, the app and `rftkit score`,
so training and evaluation cannot drift apart.
"""

from __future__ import annotations

import re
from dataclasses import replace

from rftkit.core import Completion, Problem, Reply, Style

INSTRUCTIONS: dict[Style, str] = {
    "think": "Reason about what you see inside <think> </think>, "
    "then give only the final answer inside <answer> </answer>.",
    "direct": "Reply with the answer only.",
    "answer-first": "Give only the final answer inside <answer> </answer>, "
    "then one short reason for it inside <reason> </reason>.",
    "adaptive": "If the answer is plain to see, give it at once inside <answer> </answer>. "
    "If it is not, reason inside <think> </think> before the answer.",
}
INSTRUCTIONS["empty-think"] = INSTRUCTIONS["think"]

EMPTY_THOUGHT = "<think>\n\n</think>\n"
STAND_IN = "The picture shows it."  # reasoning of an ideal reply when the data has none written

TAG = re.compile(r"</?(?:think|answer|reason)>", re.IGNORECASE)


def prefill(style: Style) -> str:
    """The assistant prefix of a style, which the model continues: an empty thought, or ""."""
    return EMPTY_THOUGHT if style == "empty-think" else ""


def thinks(style: Style) -> bool:
    """Whether a reply in this style may begin with reasoning, its own or an empty one."""
    return style in ("think", "adaptive", "empty-think")


def with_prefill(written: Completion, style: Style) -> Completion:
    """The whole reply: the assistant prefix and what the model wrote after it."""
    return replace(written, text=prefill(style) + written.text)


def continuation(answer: str, style: Style) -> str:
    """What a model writes to give `answer` without reasoning: `render` without the prefix.

    >>> continuation("cat", "empty-think")
    '<answer>cat</answer>'
    """
    return render(answer, None, style).removeprefix(prefill(style))


def render(answer: str, reasoning: str | None, style: Style) -> str:
    """The reply that gives `answer` in `style`; without reasoning, only the answer part."""
    if style == "direct":
        return answer
    block = f"<answer>{answer}</answer>"
    if not reasoning:
        return prefill(style) + block
    if style == "answer-first":
        return f"{block}\n<reason>{reasoning}</reason>"
    return f"<think>{reasoning}</think>\n{block}"


def read(completion: Completion, style: Style) -> Reply:
    """The answer and the reasoning in a completion. Never raises, whatever the text holds.

    In every style but `direct` the answer is the content of the one answer block, which must be
    outside the reasoning. Two blocks, a block inside the reasoning or an empty one give no answer;
    there is no fallback to the whole text. A `direct` reply is the answer, unless it is truncated.
    """
    if style == "direct":
        return _read_bare(completion)
    text = completion.text
    shape = [(m.group().lower(), m) for m in TAG.finditer(text)]
    names = [name for name, _ in shape]
    reasoning = _reasoning(text, shape)
    missing: Problem = "no answer" if completion.finished else "truncated"
    if "<answer>" not in names:
        return Reply(None, reasoning, missing)
    if names.count("<answer>") > 1 or names.count("</answer>") > 1:
        return Reply(None, reasoning, "several answers")
    if "</answer>" not in names:
        return Reply(None, reasoning, "unparseable" if completion.finished else "truncated")
    start, end = names.index("<answer>"), names.index("</answer>")
    if end != start + 1 or _inside_reasoning(names, start):
        return Reply(None, reasoning, "unparseable")
    answer = text[shape[start][1].end() : shape[end][1].start()].strip()
    return Reply(answer, reasoning) if answer else Reply(None, reasoning, "no answer")


def well_formed(text: str, style: Style) -> bool:
    """Whether the whole reply has the format of its style, white space aside.

    A thought or reason must contain a word: a literal "..." does not count.
    """
    shapes = [m.group().lower() for m in TAG.finditer(text)]
    parts = [part.strip() for part in TAG.split(text)]
    answer, reason = ["<answer>", "</answer>"], ["<reason>", "</reason>"]
    thought = ["<think>", "</think>"]
    if style == "direct":
        return not shapes and bool(text.strip())
    if style == "answer-first":
        return shapes == answer + reason and _filled(parts, word=3, full=1)
    if style == "adaptive" and shapes == answer:
        return _filled(parts, word=None, full=1)
    if style == "empty-think":
        return shapes == thought + answer and _filled(parts, word=None, full=3)
    return shapes == thought + answer and _filled(parts, word=1, full=3)


def _read_bare(completion: Completion) -> Reply:
    text = completion.text.strip()
    if not completion.finished:
        return Reply(None, None, "truncated")  # what would have followed is unknown
    return Reply(text) if text else Reply(None, None, "no answer")


def _filled(parts: list[str], word: int | None, full: int) -> bool:
    """parts: the text before, between and after the tags; those outside a block have even indices.

    True if part `word` holds a word, part `full` is not empty, and the outside parts are empty.
    """
    has_word = word is None or re.search(r"[^\W_]", parts[word]) is not None
    return has_word and bool(parts[full]) and not any(parts[::2])


def _inside_reasoning(names: list[str], answer: int) -> bool:
    before, after = names[:answer], names[answer:]
    return "</think>" in after or "<reason>" in before or _unclosed_thought(before)


def _unclosed_thought(before: list[str]) -> bool:
    thoughts = [name for name in before if name in ("<think>", "</think>")]
    return bool(thoughts) and thoughts[-1] == "<think>"


def _reasoning(text: str, tags: list[tuple[str, re.Match[str]]]) -> str | None:
    """The text of the last thought or reason, truncated or not; None if there is none."""
    for index in range(len(tags) - 1, -1, -1):
        name, tag = tags[index]
        if name in ("<think>", "<reason>"):
            closing = "</" + name[1:]
            end = next((m.start() for n, m in tags[index + 1 :] if n == closing), len(text))
            return text[tag.end() : end].strip() or None
    return None
