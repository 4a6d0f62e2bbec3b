"""Some rows of a batch, as TRL's trainers keep it between the rollout and the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rftkit.shared_prefix.trainer import reordered


def rows_of(batch: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """These rows alone, with their images. Numbers of the whole batch are passed through.

    batch: one entry a row under every name, but pixel values and grids: flat over all images.
    """
    from trl.trainer.utils import split_pixel_values_by_grid, unsplit_pixel_values_by_grid

    split = split_pixel_values_by_grid(dict(batch))
    chosen = {name: reordered(values, rows) for name, values in split.items()}
    return dict(unsplit_pixel_values_by_grid(chosen))
