"""Whether a model of the hub can be had now: asked once, in two seconds, before anything begins."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

from rftkit.data.online import reachable
from rftkit.errors import HubError, ModelError
from rftkit.recipe.sections import TINY, Model

CONFIG = "config.json"


def require_model(settings: Model) -> None:
    """Raises HubError if the recipe's model is neither on this machine nor to be had, ModelError if
    its name is nearly that of a built-in one.

    Without a network, a model that was downloaded before is read from its cache without asking: the
    libraries would ask again and again for a minute first.
    """
    name, _, revision = settings.name.partition("@")
    local = name in TINY or Path(name).expanduser().exists() or name.startswith((".", "/", "~"))
    if local:
        return
    if close := get_close_matches(name, TINY):
        raise ModelError(f"model.name: {name}: no built-in model; did you mean {close[0]!r}?")
    from huggingface_hub import constants, try_to_load_from_cache

    if not constants.HF_HUB_OFFLINE and reachable(constants.ENDPOINT):
        return
    if not isinstance(try_to_load_from_cache(name, CONFIG, revision=revision or None), str):
        raise HubError(
            f"model.name: {settings.name}: the hub cannot be reached, and this model was not "
            "downloaded before; go online once, or name a local folder"
        )
    constants.HF_HUB_OFFLINE = True
    os.environ["HF_HUB_OFFLINE"] = "1"  # of the processes that are started
