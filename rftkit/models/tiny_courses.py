"""The courses by the name of the model that they make: one line each."""

from rftkit.models import tiny_drawings, tiny_quiz, tiny_scenes
from rftkit.models.tiny_course import Course

COURSES: dict[str, Course] = {
    "tiny": tiny_drawings.course_of("digits"),
    "tiny-hangar": tiny_drawings.course_of("hangar"),
    "tiny-scenes": tiny_scenes.course_of({"detection": 0.55, "grounding": 0.45}),
    "tiny-quiz": tiny_quiz.COURSE,
}
