"""The tasks: one file each, one line each here."""

from rftkit.tasks import choice, classification, clock, detection, fields, grounding, number
from rftkit.tasks.task import Task

TASKS: tuple[Task, ...] = (
    classification.TASK,
    detection.TASK,
    grounding.TASK,
    choice.TASK,
    number.TASK,
    clock.TASK,
    fields.TASK,
)


DEFAULT = TASKS[0]


def get_task(name: str) -> Task:
    """The task of that name. Raises KeyError; the recipe has checked it before."""
    return {task.name: task for task in TASKS}[name]
