"""Patches of transformers 5.17: generate's prefill and logits, image features, image processing,
what weights lack, a model's own Python.

Each replaces a method of one object, not of its class, and calls the class's own method for what
it does not do itself.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial, wraps
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NoReturn

import torch
import transformers
from packaging.version import Version
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    PretrainedConfig,
    dynamic_module_utils,
)
from transformers.generation import utils as generation_utils
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel

from rftkit.patches import parameters, replaced

TORCHVISION_ONLY = "transformers.models.gemma4.image_processing_gemma4"
WITHOUT = "transformers.models.gemma4.image_processing_pil_gemma4"
FOREIGN = ("get_cached_module_file", "get_class_in_module")  # fetches, and imports
PREFILL = "self input_ids generation_config model_kwargs is_first_iteration"
# get_image_features of Qwen-VL, of Idefics3 and SmolVLM, of InternVL, and of LLaVA-OneVision
FEATURES = (
    "self pixel_values image_grid_thw kwargs",
    "self pixel_values pixel_attention_mask kwargs",
    "self pixel_values vision_feature_layer vision_feature_select_strategy kwargs",
    "self pixel_values image_sizes vision_feature_layer vision_feature_select_strategy "
    "vision_aspect_ratio batch_num_images output_hidden_states kwargs",
)
# from here on generate encodes the images before the prefill, and keeps their features itself
GENERATE_ENCODES_IMAGES = Version(transformers.__version__) >= Version("5.19")


def changed(model: Any) -> str | None:
    """The first method replaced here that transformers has changed; None if it has changed none.

    model: without an adapter's wrapper.
    """
    if parameters(type(model)._prefill) != PREFILL:
        return "generate's _prefill"
    if parameters(type(model.base_model).get_image_features) not in FEATURES:
        return "get_image_features"
    return None


def no_foreign_code() -> None:
    """From now on transformers neither asks whether to run a model's own Python nor imports any.

    It stays. Where rftkit loads something it says so itself (`trust_remote_code=False`); what
    transformers loads because a model's file names it knows nothing of that.
    """
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0  # seconds it waits for an answer
    for module in (dynamic_module_utils, generation_utils):
        for name in FOREIGN:
            setattr(module, name, _refused)


def _refused(*given: Any, **more: Any) -> NoReturn:
    raise ValueError("it needs Python code of its own, which rftkit never runs")


class MissingWeightsError(Exception):
    """names: of the tensors that a model's files lack."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(", ".join(names[:3]))
        self.names = names


@contextmanager
def no_random_weights() -> Iterator[None]:
    """Within it a model whose files lack tensors is not loaded: MissingWeightsError is raised.

    transformers would draw them at random, and say so only in its log.
    """
    own = PreTrainedModel._move_missing_keys_from_meta_to_device

    def move(self: Any, missing_keys: Iterable[str], *more: Any) -> None:
        ignored = [re.compile(pattern) for pattern in self._keys_to_ignore_on_load_missing or ()]
        lacking = {*missing_keys} - self.all_tied_weights_keys.keys()
        names = [name for name in lacking if not any(known.search(name) for known in ignored)]
        if names:
            raise MissingWeightsError(sorted(names))
        own(self, missing_keys, *more)

    with replaced(PreTrainedModel, own.__name__, move):
        yield


def configurations_by(change: Callable[[Any], Any]) -> AbstractContextManager[None]:
    """Within it transformers takes `change(config)` for what a config.json holds."""
    own = PretrainedConfig.get_config_dict.__func__

    def read(kind: type[Any], *given: Any, **more: Any) -> tuple[Any, Any]:
        config, rest = own(kind, *given, **more)
        return change(config), rest

    return replaced(PretrainedConfig, own.__name__, classmethod(read))


@contextmanager
def gemma4_without_torchvision() -> Iterator[None]:
    """Within it the module of Gemma 4's processor can be imported without torchvision.

    It takes two names from the module of the image processor that needs torchvision; the module of
    the one that does not has both.
    """
    if find_spec("torchvision") is not None or TORCHVISION_ONLY in sys.modules:
        yield
        return
    sys.modules[TORCHVISION_ONLY] = import_module(WITHOUT)
    try:
        yield
    finally:
        del sys.modules[TORCHVISION_ONLY]


def prefilled_by(model: Any, prefill: Callable[..., Any]) -> AbstractContextManager[None]:
    """Within it generate calls `prefill(model, input_ids, generation_config, model_kwargs, …)`.

    generate has no hook between the expansion of its inputs and the first forward.
    """
    return replaced(model, "_prefill", partial(prefill, model))


def logits_processed_by(model: Any, processor: LogitsProcessor) -> AbstractContextManager[None]:
    """Within it generate passes logits through `processor` before it samples from them.

    model: without an adapter's wrapper. generate takes processors as an argument, but TRL's
    trainers, which call it, take none.
    """
    own = model.generate  # Unsloth puts one of its own on the model

    def generate(*given: Any, logits_processor: Sequence[Any] | None = None, **more: Any) -> Any:
        processors = LogitsProcessorList([*(logits_processor or ()), processor])
        return own(*given, logits_processor=processors, **more)

    return replaced(model, "generate", generate)


def attend_in_two_calls(attend: Callable[..., Any]) -> None:
    """From now on sdpa attention with a mask of integers is `attend(q, k, v, mask, scale)`.

    It stays, because a backward pass computes layers again after the forward has returned; no mask
    of transformers' own holds integers.
    """
    own = ALL_ATTENTION_FUNCTIONS["sdpa"]
    if getattr(own, "attends_in_two_calls", False):
        return

    @wraps(own)
    def attention(
        module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **more: Any
    ) -> Any:
        if attention_mask is None or attention_mask.dtype != torch.int32:
            return own(module, query, key, value, attention_mask, **more)
        return attend(query, key, value, attention_mask, more.get("scaling")), None

    vars(attention)["attends_in_two_calls"] = True
    ALL_ATTENTION_FUNCTIONS["sdpa"] = attention


def image_features_by(model: Any, features: Callable[..., Any]) -> AbstractContextManager[None]:
    """Within it the model asks `features(inner, pixels, grid or mask)` for its image features.

    inner: the part of the model below its output layer, which has the vision encoder.
    """
    inner = model.base_model
    return replaced(inner, "get_image_features", partial(features, inner))


def preprocessed_by(processor: Any, preprocess: Callable[..., Any]) -> AbstractContextManager[None]:
    """Within it an image processor's calls go to `preprocess(processor, images, **options)`."""
    return replaced(processor, "preprocess", partial(preprocess, processor))
