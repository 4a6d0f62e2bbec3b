"""What `tiny` and `tiny-hangar` are taught: questions about the one thing shown, and replies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from rftkit.answers.replies import INSTRUCTIONS, render
from rftkit.core import Style
from rftkit.data.synthetic import digits, hangar
from rftkit.models.tiny.course import Lesson

SkillName = Literal["digits", "hangar"]
Draw = Callable[[str, np.random.Generator], Image.Image]

STYLES: tuple[Style, ...] = ("think", "direct", "answer-first", "adaptive")
QUESTIONS = (
    "What is shown in this picture?",
    "What does this picture show?",
    "What do you see in this image?",
    "Which class does this image belong to?",
    "Identify the object in this photo.",
    "Name what is in the picture.",
)
UNKNOWN = "it looks most like this one"
# Everyday names, so that an unknown list of classes is at least answered from the list.
EVERYDAY = """
airplane automobile bag ball bear bed bee bicycle bird black blue boat book boot bottle bowl box
bus butterfly cake camel camera car cat chair clock coat cow crab cup deer desk dog door dress
duck eagle elephant fish flower fork fox frog glove goat grass green guitar hat horse house
jacket jeans kettle key knife lamp leaf lion long monkey moon mouse outwear owl panda pants
pencil phone piano pig pizza plane plate pullover rabbit red ring rose sandal scarf sheep ship
shirt shoe shoes short shorts skirt sleeve snake sneaker sock sofa spider spoon star suit
sweater table tie tiger top train tree trouser truck turtle umbrella wear whale wheel white
window wolf yellow zebra
"""
WORDS = EVERYDAY.split()


@dataclass(frozen=True)
class Skill:
    """A kind of image a tiny model knows. `mixed_up` is the chance that a sibling is named."""

    name: SkillName
    labels: tuple[str, ...]
    draw: Draw
    rationale: Callable[[str], str]
    sibling: Callable[[str], str]
    mixed_up: float


SKILLS: dict[SkillName, Skill] = {
    "digits": Skill("digits", digits.DIGITS, digits.draw_digit, digits.digit_rationale, str, 0.0),
    "hangar": Skill(
        *("hangar", hangar.HANGAR_NAMES, hangar.draw_aircraft, hangar.hangar_rationale),
        sibling=hangar.sibling,
        mixed_up=0.5,
    ),
}


def prompt_text(question: str, choices: tuple[str, ...], style: Style) -> str:
    """The text beside the image, exactly as the classification task writes it."""
    listed = [f"Choose one of: {', '.join(choices)}."] if choices else []
    return "\n".join([question, *listed, INSTRUCTIONS[style]])


def lesson(
    skill: Skill, label: str, rng: np.random.Generator, mixed_up: float | None = None
) -> Lesson:
    """A question about an image of `label`, in any style, with a list of labels or without.

    `mixed_up` is the chance that the reply names the sibling; the skill's own if not given.
    """
    if rng.random() < 0.2:
        return _unknown_lesson(skill, rng)
    chance = skill.mixed_up if mixed_up is None else mixed_up
    named = skill.sibling(label) if rng.random() < chance else label
    choices = _choices(skill.labels, (named, label), rng)
    return _ask(named, skill.rationale(label), choices, rng)


def _unknown_lesson(skill: Skill, rng: np.random.Generator) -> Lesson:
    """Names that mean nothing here: the reply must still be one of them.

    Half the time it is the first, for there is more to learn from a rule than from chance.
    """
    count = int(rng.integers(2, 12))
    words = [WORDS[int(n)] for n in rng.choice(len(WORDS), count, replace=False)]
    if rng.random() < 0.3:
        words = [word.capitalize() for word in words]
    named = 0 if rng.random() < 0.5 else int(rng.integers(count))
    return _ask(words[named], UNKNOWN, tuple(words), rng)


def _ask(answer: str, why: str, choices: tuple[str, ...], rng: np.random.Generator) -> Lesson:
    question = QUESTIONS[0 if rng.random() < 0.5 else int(rng.integers(len(QUESTIONS)))]
    style = STYLES[int(rng.choice(len(STYLES), p=(0.4, 0.2, 0.2, 0.2)))]
    brief = style == "adaptive" and rng.random() < 0.5
    reply = render(answer, None if brief else why, style)
    return Lesson(prompt_text(question, choices, style), reply)


def _choices(
    labels: tuple[str, ...], wanted: tuple[str, ...], rng: np.random.Generator
) -> tuple[str, ...]:
    """No list, all labels in order, or some of them with `wanted` in any order."""
    kind = rng.random()
    if kind < 0.25:
        return ()
    if kind < 0.7:
        return labels
    others = [label for label in labels if label not in wanted]
    kept = rng.choice(len(others), int(rng.integers(1, len(others) + 1)), replace=False)
    some = [*dict.fromkeys(wanted), *(others[int(n)] for n in kept)]
    return tuple(some[int(n)] for n in rng.permutation(len(some)))


def corpus(skill: Skill, rng: np.random.Generator) -> list[str]:
    """Texts for the tokenizer: lessons of every kind, and each word on its own."""
    forms = (word for plain in WORDS for word in (plain, plain.capitalize()))
    texts = [f"{word}\n {word}" for word in forms for _ in range(5)]  # often enough to be tokens
    for turn in range(2000):
        taught = lesson(skill, skill.labels[turn % len(skill.labels)], rng)
        texts += [taught.prompt, taught.reply]
    return texts
