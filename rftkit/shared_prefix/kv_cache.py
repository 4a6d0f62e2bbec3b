"""KV cache that grows in blocks of 64 tokens.

transformers' own cache copies all keys and values for every new token. With a group of completions
behind a prompt of some hundred tokens, that is as much work as the model itself.

    prompt of 300 tokens         keys: 300 tokens, exactly as prefilled
    1st new token                copied once into a block of 301 + 64, of which 301 are in use
    2nd to 65th new token        written into the block in place: nothing is copied
    66th new token               the block is full: copied into one of 366 + 64
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicLayer

BLOCK = 64  # tokens: copied once in so many, and at most so many are allocated in vain


class BlockLayer(DynamicLayer):
    """One layer of transformers' DynamicCache, which writes new tokens in place.

    keys, values: (rows, heads, tokens, head size), views of the first tokens of a block. Code that
    assigns other tensors to them (a selection of rows, a crop) is noticed: the next update copies.
    """

    def __init__(self) -> None:
        super().__init__()
        self._block: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> Any:
        """Append key_states and value_states, (rows, heads, new tokens, head size).

        Returns all keys and all values.
        """
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if not start:
            self.dtype, self.device = key_states.dtype, key_states.device
            self.is_initialized = True
            self.keys, self.values = key_states, value_states
            return self.keys, self.values
        self._block = keys, values = self._block_for(end)
        keys[..., start:end, :] = key_states
        values[..., start:end, :] = value_states
        self.keys, self.values = keys[..., :end, :], values[..., :end, :]
        return self.keys, self.values

    def _block_for(self, tokens: int) -> tuple[Tensor, Tensor]:
        """The present block; a larger one if it is too small, or keys and values left it."""
        if self._block is not None:
            keys, values = self._block
            same_storage = (keys.data_ptr(), values.data_ptr()) == (
                self.keys.data_ptr(),
                self.values.data_ptr(),
            )
            if tokens <= keys.shape[-2] and same_storage:
                return self._block
        return _longer(self.keys, tokens + BLOCK), _longer(self.values, tokens + BLOCK)


def grow_in_blocks(cache: Any) -> None:
    """Give an empty DynamicCache `BlockLayer`s; layers of other kinds stay as they are."""
    cache.layers = [
        BlockLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    if cache.layer_class_to_replicate is DynamicLayer:
        cache.layer_class_to_replicate = BlockLayer


def _longer(states: Tensor, tokens: int) -> Tensor:
    """A tensor with room for so many tokens that starts with a copy of `states`."""
    block = states.new_empty((*states.shape[:-2], tokens, states.shape[-1]))
    block[..., : states.shape[-2], :] = states
    return block
