"""A cache of keys and values with room for tokens to come.

transformers' own copies every key and value there is for each new token. Where a group of
completions stands on a prompt of some hundred tokens, that is as much work as the model itself.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicLayer

ROOM = 64  # tokens: copied once in so many, and at most so many are held for nothing


class RoomyLayer(DynamicLayer):
    """transformers' growing layer, but a new token is written beside the others.

    keys, values: (rows, heads, tokens, width), views of what was set aside. Whatever else puts
    tensors of its own there (a selection of rows, a crop) is followed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._space: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> Any:
        """All keys and values, with the new ones last."""
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if not start:
            self.dtype, self.device = key_states.dtype, key_states.device
            self.is_initialized = True
            self.keys, self.values = key_states, value_states
            return self.keys, self.values
        self._space = keys, values = self._space_up_to(end)
        keys[..., start:end, :] = key_states
        values[..., start:end, :] = value_states
        self.keys, self.values = keys[..., :end, :], values[..., :end, :]
        return self.keys, self.values

    def _space_up_to(self, end: int) -> tuple[Tensor, Tensor]:
        """The space, or a new one if it is too small or keys and values lie elsewhere by now."""
        if self._space is not None:
            keys, values = self._space
            here = keys.data_ptr(), values.data_ptr()
            if end <= keys.shape[-2] and here == (self.keys.data_ptr(), self.values.data_ptr()):
                return self._space
        return _wider(self.keys, end + ROOM), _wider(self.values, end + ROOM)


def make_roomy(cache: Any) -> None:
    """Give an empty cache layers with room; sliding windows and others stay as they are."""
    cache.layers = [RoomyLayer() if type(one) is DynamicLayer else one for one in cache.layers]
    if cache.layer_class_to_replicate is DynamicLayer:
        cache.layer_class_to_replicate = RoomyLayer


def _wider(held: Tensor, tokens: int) -> Tensor:
    space = held.new_empty((*held.shape[:-2], tokens, held.shape[-1]))
    space[..., : held.shape[-2], :] = held
    return space
