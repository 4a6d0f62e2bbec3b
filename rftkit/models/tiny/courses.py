"""The courses by the name of the model that they make: one line each."""

from rftkit.models.tiny import drawings as tiny_drawings
from rftkit.models.tiny import quiz as tiny_quiz
from rftkit.models.tiny import scenes as tiny_scenes
from rftkit.models.tiny.course import Course
from rftkit.tasks import detection, grounding

COURSES: dict[str, Course] = {
    "tiny": tiny_drawings.course_of("digits"),
    "tiny-hangar": tiny_drawings.course_of("hangar"),
    "tiny-scenes": tiny_scenes.course_of({detection.TASK.name: 0.55, grounding.TASK.name: 0.45}),
    "tiny-quiz": tiny_quiz.COURSE,
}
