"""The parts that configurations of all families have, by transformers' names."""

from __future__ import annotations

from typing import Any, NamedTuple

Configuration = dict[str, Any]


class Decoder(NamedTuple):
    """width, inner: of the hidden states and of the MLP. key_heads: of keys and values."""

    width: int
    inner: int
    layers: int
    heads: int
    key_heads: int

    @property
    def keys(self) -> Configuration:
        """By transformers' names."""
        return {
            "hidden_size": self.width,
            "intermediate_size": self.inner,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_heads,
        }


def encoder(width: int, inner: int, layers: int, heads: int) -> Configuration:
    """A vision encoder of the ViT kind."""
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
    }
