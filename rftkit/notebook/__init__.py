"""What the notebooks are made of: commands that stop them, and images beside the answers."""

from rftkit.notebook.commands import newest, require_gpu, run, train
from rftkit.notebook.images import (
    download,
    image_files,
    image_folder,
    save_boxes,
    save_images,
    upload,
)
from rftkit.notebook.proofs import proofs
from rftkit.notebook.shown import Html, examples, page, predictions, replies, versus

__all__ = [
    "Html",
    "download",
    "examples",
    "image_files",
    "image_folder",
    "newest",
    "page",
    "predictions",
    "proofs",
    "replies",
    "require_gpu",
    "run",
    "save_boxes",
    "save_images",
    "train",
    "upload",
    "versus",
]
