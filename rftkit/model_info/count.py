"""The sizes of any model that transformers builds, counted on its modules: no weights are made.

For the architectures that `sizes` has no formula for. The counts of the models of today are kept
in `counted`, so that a plan of one of them loads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

# module names of what sees and hears, and of what joins that to the language model
SENSES = re.compile(r"visual|vision|connector|merger|multi_modal|audio|image_newline")


class Counts(NamedTuple):
    """Parameters by what becomes of them.

    matrices: linear layers of the language model, which 4 bit makes small. rest: its embeddings,
    head, norms and what else is not a linear layer. vision: encoders and what joins them to the
    language model. adapted, adapted_vision: inputs and outputs of the linear layers, of which a
    LoRA adapter has rank times as many parameters. largest: weights of the largest matrix.
    """

    matrices: int
    rest: int
    vision: int
    adapted: int
    adapted_vision: int
    largest: int

    @property
    def size(self) -> int:
        """All parameters."""
        return self.matrices + self.rest + self.vision


def count(configuration: Mapping[str, Any]) -> Counts:
    """Of the model that transformers builds from a configuration, as its config.json holds it.

    Tied weights count once. Raises ValueError for a configuration that transformers cannot build an
    image-text model from.
    """
    import torch
    from torch import nn
    from transformers import AutoConfig, AutoModelForImageTextToText

    keys = dict(configuration)
    config = AutoConfig.for_model(keys.pop("model_type"), **keys)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(  # no kernel is looked for to count
            config, attn_implementation="eager", trust_remote_code=False
        )
    model.tie_weights()
    head = model.get_output_embeddings()
    linear = {
        name: (layer.in_features, layer.out_features)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and layer is not head
    }
    text = [sides for name, sides in linear.items() if not SENSES.search(name)]
    seen = [sides for name, sides in linear.items() if SENSES.search(name)]
    parameters = list(model.named_parameters())
    vision = sum(weight.numel() for name, weight in parameters if SENSES.search(name))
    matrices = sum(inputs * outputs for inputs, outputs in text)
    return Counts(
        matrices=matrices,
        rest=sum(weight.numel() for _, weight in parameters) - vision - matrices,
        vision=vision,
        adapted=sum(map(sum, text)),
        adapted_vision=sum(map(sum, seen)),
        largest=max(inputs * outputs for inputs, outputs in text),
    )
