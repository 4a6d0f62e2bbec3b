"""The course of `tiny-quiz`: scenes of printed digits, what stands where, and how many of them."""

from __future__ import annotations

from functools import partial

from rftkit.data.synthetic.scenes import SIDE
from rftkit.models.tiny.course import Course, Plan
from rftkit.models.tiny.quiz_lessons import PHRASES, corpus, lesson, reading_lesson
from rftkit.models.tiny.scenes import VOCABULARY, draw_scenes

PLAN = Plan(drawings=12000, eye_steps=500, eye_batch=64, word_steps=2400, word_batch=32)
COURSE = Course(
    SIDE,
    partial(draw_scenes, lesson),
    corpus,
    VOCABULARY,
    PHRASES,
    PLAN,
    eyes_rest=0.85,
    spread=0.08,  # with 0.02 the embeddings are too faint to find a digit in a list by
    reading=reading_lesson,
    reading_steps=350,
    seconds=600,
)
