"""Panes as HTML. Every text from outside passes through `escape`: none is ever mark-up."""

from __future__ import annotations

from html import escape

from rftkit.inference.panes import ENDED, Comparison, Pane
from rftkit.inference.panes import State as PaneState
from rftkit.metrics.samples import Side

NAMES: dict[Side, str] = {"base": "Base model", "tuned": "Fine-tuned model"}
STATES: dict[PaneState, str] = {
    "waiting": "waiting",
    "reading image": "reading the image …",
    "thinking": "thinking …",
    "answering": "answering …",
    "done": "done",
    "stopped": "stopped",
    "failed": "failed",
}
VERDICTS = {
    "fixed": ("✓", "Fixed by training", "The base model was wrong, the fine-tuned one is right."),
    "broke": ("✗", "Broken by training", "The base model was right, the fine-tuned one is wrong."),
    "both right": ("✓", "Both right", "Training changed nothing here."),
    "both wrong": ("✗", "Both wrong", "Neither found the right answer."),
    "same answer": ("=", "Same answer", "Give the right answer on the left to see whether it is."),
    "different answer": (
        "≠",
        "Different answers",
        "Give the right answer on the left, and you see which is right.",
    ),
}
LONG_ANSWER = 60  # characters from which an answer is set smaller
BARS = 5  # labels shown of a list of probabilities
WIDEST_LABEL = 18  # characters beside a bar


def pane_html(pane: Pane, name: str) -> str:
    """One side: the answer large, the reasoning open under it, then the numbers, small."""
    parts = [
        f'<header><h3>{escape(name)}</h3><span class="state {_slug(pane.state)}">'
        f"{STATES[pane.state]}</span></header>",
        _answer(pane),
        *(f'<p class="hint">⚠ {escape(hint)}</p>' for hint in pane.hints),
        _reasoning(pane, name),
        _unthought(pane),
        _probabilities(pane),
        _rewards(pane),
        _figures(pane),
        _raw(pane),
    ]
    blind = name.lower() if name in ("Left", "Right") else pane.side
    return f'<section class="rft-pane {blind}">{"".join(parts)}</section>'


def status_text(both: Comparison, names: tuple[str, str]) -> str:
    """One line for the live region: what either side is doing."""
    first, second = both.base, both.tuned
    if both.ended:
        return f"{names[0]} {STATES[first.state]}, {names[1]} {STATES[second.state]}."
    return f"{names[0]}: {STATES[first.state]} · {names[1]}: {STATES[second.state]}"


def verdict_html(both: Comparison) -> str:
    """The banner over both panes; empty while there is no verdict."""
    if both.verdict is None:
        return ""
    sign, title, words = VERDICTS[both.verdict]
    gold = ""
    if both.asked.has_truth and "grid" not in both.asked.example.meta:
        gold = f' <span class="gold">Right answer: <b>{escape(both.asked.example.gold)}</b></span>'
    return (
        f'<div class="rft-verdict {_slug(both.verdict)}" role="status">'
        f'<span class="sign" aria-hidden="true">{sign}</span>'
        f"<div><strong>{title}</strong><span>{words}</span></div>{gold}</div>"
    )


def message_html(text: str, kind: str = "note") -> str:
    """A sentence for a person, as a box, an error read aloud at once; "" stays empty."""
    role = ' role="alert"' if kind == "error" else ""
    return f'<p class="rft-message {kind}"{role}>{escape(text)}</p>' if text else ""


def _answer(pane: Pane) -> str:
    if pane.state == "failed":
        return f'<p class="rft-message error">{escape(pane.error)}</p>'
    if pane.answer is None:
        if pane.state == "stopped" and not pane.piece.completion.text:
            return '<p class="answer soft">stopped before it began</p>'
        if pane.state in ENDED:
            text = pane.piece.completion.text
            raw = f"<pre>{escape(text)}</pre>" if text else ""
            return f'<p class="answer none">could not read an answer</p>{raw}'
        written = pane.piece.completion.text if pane.state == "answering" else ""
        return f'<p class="answer soft">{escape(written[-200:]) or "…"}</p>'
    size = " long" if len(pane.answer) > LONG_ANSWER else ""
    large = f'<p class="answer{size}">{escape(pane.answer)}{_mark(pane)}</p>'
    how = f'<p class="quiet by-list">{escape(_by_list(pane))}</p>' if pane.by_list else ""
    return large + how


def _by_list(pane: Pane) -> str:
    """How an answer by list came about, and what the reply says where that is something else."""
    said = pane.free_answer
    free = "could not be read" if said is None else f"says: {said[:200]}"
    same = "says the same" if said == pane.answer else free
    return f"By list: the likeliest of {len(pane.probabilities)}. The free reply {same}."


def _mark(pane: Pane) -> str:
    if pane.right is None:
        return ""
    word = "right" if pane.right else "wrong"
    degree = "" if pane.correct in (0.0, 1.0) else f" · {pane.correct:.2f}"
    return f'<span class="mark {word}">{"✓" if pane.right else "✗"} {word}{degree}</span>'


def _reasoning(pane: Pane, name: str) -> str:
    """Open, in a box that scrolls where it is long; keys.js keeps a fold as its reader left it."""
    reasoning = pane.reply.reasoning
    if not reasoning:
        return '<p class="quiet">No reasoning.</p>' if pane.state in ENDED else ""
    count = pane.reasoning_tokens
    tokens = f" · {count} token{'s' if count != 1 else ''}" if count else ""
    seconds = f" · {pane.think_seconds:.1f} s" if pane.think_seconds else ""
    return (
        f'<details open><summary>Reasoning<span class="quiet">{tokens}{seconds}</span></summary>'
        '<div class="rft-reasoning" tabindex="0" role="region" '
        f'aria-label="Reasoning, {escape(name)}">{escape(reasoning)}</div></details>'
    )


def _unthought(pane: Pane) -> str:
    """The answer after an empty thought, and whether the thought changed it."""
    if pane.unthought is None:
        return ""
    answer, right = pane.unthought
    said = "no answer" if answer is None else answer[:LONG_ANSWER]
    changed = "the same" if answer == pane.answer else "thinking changed it"
    mark = "" if right is None else (" ✓" if right else " ✗")
    return f'<p class="unthought">Without its thought: <b>{escape(said)}</b>{mark}, {changed}.</p>'


def _probabilities(pane: Pane) -> str:
    if not pane.probabilities:
        return ""
    best = sorted(pane.probabilities.items(), key=lambda item: -item[1])
    rows = "".join(
        f'<li><span class="name">{escape(label)}</span><span class="bar" aria-hidden="true">'
        f'<i style="width:{share:.1%}"></i></span><span class="share">{share:.0%}</span></li>'
        for label, share in best[:BARS]
    )
    widest = min(max(len(label) for label, _ in best[:BARS]), WIDEST_LABEL)
    more = f'<p class="quiet">and {len(best) - BARS} more</p>' if len(best) > BARS else ""
    return (
        f"<details open><summary>Model probability, {escape(pane.calibration or 'not calibrated')}"
        f'<span class="quiet"> · {escape(best[0][0][:40])} {best[0][1]:.0%}</span></summary>'
        f'<ul class="bars" style="--name:{widest + 1}ch">{rows}</ul>{more}</details>'
    )


def _rewards(pane: Pane) -> str:
    if not pane.rewards:
        return ""
    parts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{value:.2f}</dd></div>"
        for name, value in pane.rewards.items()
    )
    return f'<p class="quiet label">Reward</p><dl class="figures">{parts}</dl>'


def _figures(pane: Pane) -> str:
    piece = pane.piece
    if pane.state not in ENDED or not piece.completion.text:
        return ""
    rate = piece.completion.tokens / piece.seconds if piece.seconds else 0.0
    entries = [
        ("first token", f"{piece.first_token_seconds:.2f} s" if piece.first_token_seconds else ""),
        ("total", f"{piece.seconds:.2f} s" if piece.seconds else ""),
        ("thought", f"{pane.reasoning_tokens} tok" if pane.reasoning_tokens else ""),
        ("answer", f"{pane.answer_tokens} tok"),
        ("prompt", f"{piece.prompt_tokens} tok" if piece.prompt_tokens else ""),
        ("image", f"{piece.image_tokens} tok" if piece.image_tokens else ""),
        ("speed", f"{rate:.0f} tok/s" if rate else ""),
        ("ended", "by itself" if piece.completion.finished else "truncated"),
    ]
    cells = "".join(f"<div><dt>{n}</dt><dd>{v}</dd></div>" for n, v in entries if v)
    return f'<dl class="figures">{cells}</dl>'


def _raw(pane: Pane) -> str:
    text = pane.piece.completion.text
    if not text or pane.state not in ENDED:
        return ""
    return f"<details><summary>Raw text</summary><pre>{escape(text)}</pre></details>"


def _slug(name: str) -> str:
    return name.lower().replace(" ", "-")
