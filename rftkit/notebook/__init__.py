"""What the notebooks are made of: commands that stop them, and pictures beside the answers."""

from rftkit.notebook.commands import newest, require_gpu, run, train
from rftkit.notebook.pictures import picture_files, picture_folder, save_pictures
from rftkit.notebook.shown import Html, examples, page, predictions, replies, versus

__all__ = [
    "Html",
    "examples",
    "newest",
    "page",
    "picture_files",
    "picture_folder",
    "predictions",
    "replies",
    "require_gpu",
    "run",
    "save_pictures",
    "train",
    "versus",
]
