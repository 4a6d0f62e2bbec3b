"""The tasks: one file each, one line each here."""

from rftkit.tasks import classification, detection, grounding
from rftkit.tasks.task import Task

TASKS: tuple[Task, ...] = (classification.TASK, detection.TASK, grounding.TASK)
TRAINABLE: tuple[str, ...] = ("classification",)  # what a recipe may train; all can be scored


def by_name(name: str) -> Task:
    """The task of that name. Raises KeyError; the recipe has checked it before."""
    return {task.name: task for task in TASKS}[name]
