"""What the notebooks are made of: commands that stop them, and images beside the answers."""

from rftkit.notebook.commands import newest, require_gpu, run, train
from rftkit.notebook.images import image_files, image_folder, save_images
from rftkit.notebook.shown import Html, examples, page, predictions, replies, versus

__all__ = [
    "Html",
    "examples",
    "image_files",
    "image_folder",
    "newest",
    "page",
    "predictions",
    "replies",
    "require_gpu",
    "run",
    "save_images",
    "train",
    "versus",
]
