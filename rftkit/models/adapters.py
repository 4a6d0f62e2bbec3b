"""Trained adapters on a model: what a folder may hold, one put on, several on one copy of it.

A folder may be a stranger's. Its configuration may name LoRA and nothing else, and its weights have
to be those that the configuration names: PEFT would draw a missing tensor at random, leave a
foreign one out, and follow any pattern and any switch, all without a word.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import regex
import torch

from rftkit.errors import ModelError
from rftkit.messages import first_line
from rftkit.runs.checkpoints import WEIGHTS, too_large

FIRST = "default"  # what PEFT calls the adapter that a model was opened with
CONFIG = "adapter_config.json"
LARGEST_CONFIG = 2**20  # bytes
MATCHING = 0.05  # seconds that a pattern may take for one name of a module
HEAD = "base_model.model."  # before the names of modules, in the names of tensors
PAIR = ("lora_A", "lora_B")
SWITCHES = (  # of LoRA as PEFT has it: each makes another model of the same weights
    *("use_dora", "use_rslora", "use_qalora", "use_bdlora", "lora_bias", "fan_in_fan_out"),
    *("modules_to_save", "layers_to_transform", "layers_pattern", "layer_replication"),
    *("rank_pattern", "alpha_pattern", "target_parameters", "trainable_token_indices"),
    *("loftq_config", "eva_config", "corda_config", "lora_ga_config", "arrow_config"),
    *("kasa_config", "monteclora_config", "velora_config", "alora_invocation_tokens"),
    *("megatron_config", "ensure_weight_tying"),
)


class Found(NamedTuple):
    """What an adapter's folder holds. modules: the names of those that it adapts."""

    config: Mapping[str, Any]
    modules: frozenset[str]


def check_adapter(folder: Path) -> Found:
    """Raises ModelError if a folder holds no adapter that can be loaded safely.

    Looks at nothing but the folder: whether its modules are those of a model is seen when it is
    put on.
    """
    if not (folder / CONFIG).is_file():
        raise ModelError(f"{folder}: no {CONFIG}; name a run or an adapter folder")
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise ModelError(f"{folder}: no {WEIGHTS}; pickled weights are not read")
    if harm := too_large(folder):
        raise ModelError(f"{folder}: {harm}; train again")
    try:
        config = _config(folder / CONFIG)
        return Found(config, _modules(weights, config["r"]))
    except ValueError as error:
        reason = first_line(error, 200)
        raise ModelError(f"{folder}: damaged adapter ({reason}); train again") from None


def put_adapter(model: Any, adapter: Path) -> Any:
    """The model with a trained adapter on it. Raises ModelError if they do not fit."""
    from peft import PeftModel

    config = _fitting(model, adapter)
    with _fits(adapter):
        return PeftModel.from_pretrained(
            model, str(adapter), config=config, trust_remote_code=False
        )


def add(model: Any, adapter: Path) -> str:
    """Load an adapter beside the first, once; the name by which `using` knows it.

    Raises ModelError if it does not fit the model.
    """
    name = hashlib.sha256(str(adapter.resolve()).encode()).hexdigest()[:16]
    if name in model.peft_config:
        check_adapter(adapter)
        return name
    config = _fitting(model.get_base_model(), adapter)
    with _fits(adapter):
        model.add_adapter(name, config)
        model.load_adapter(str(adapter), adapter_name=name, is_trainable=False)
    return name


@contextmanager
def using(model: Any, name: str) -> Iterator[None]:
    """Within it an adapter that was added answers in place of the first."""
    model.set_adapter(name, inference_mode=True)
    try:
        yield
    finally:
        model.set_adapter(FIRST, inference_mode=True)


@contextmanager
def _fits(adapter: Path) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise _unfit(adapter, first_line(error, 200)) from None


def _unfit(adapter: Path, reason: str) -> ModelError:
    return ModelError(
        f"{adapter}: does not fit the model ({reason}); was it trained on another one?"
    )


def _fitting(model: Any, adapter: Path) -> Any:
    """The adapter's configuration for PEFT, with the modules of its weights named one by one.

    Raises ModelError if these are not the modules of the model that the configuration means.
    """
    from peft import LoraConfig

    found = check_adapter(adapter)
    names = {name.replace(".base_layer", "") for name, _ in model.named_modules() if name}
    try:
        wanted, left_out = (
            _matching(found.config, key, names) for key in ("target_modules", "exclude_modules")
        )
    except ValueError as error:
        raise ModelError(f"{adapter / CONFIG}: {error}; train again") from None
    wanted -= left_out
    for kind, modules in (("no", wanted - found.modules), ("a foreign", found.modules - wanted)):
        if modules:
            more = f", nor {len(modules) - 1} more" if kind == "no" and len(modules) > 1 else ""
            raise _unfit(adapter, f"it holds {kind} tensor for {min(modules)}{more}")
    return LoraConfig(  # nothing else of the file's reaches PEFT
        r=found.config["r"],
        lora_alpha=found.config["lora_alpha"],
        target_modules=sorted(found.modules),
        task_type="CAUSAL_LM",
        inference_mode=True,
    )


def _matching(config: Mapping[str, Any], key: str, names: Collection[str]) -> set[str]:
    """The modules that a key of the configuration means: a list of endings, or a pattern.

    The pattern is matched by a library that ends in time, unlike the one that PEFT uses.
    """
    asked = config.get(key)
    if asked is None:
        return set()
    matches: Callable[[str], object]
    if isinstance(asked, str):
        try:
            pattern = regex.compile(asked)
        except (regex.error, RecursionError, OverflowError) as error:
            raise ValueError(f"{key} is no pattern ({first_line(error, 80)})") from None

        def matches(name: str) -> object:
            return pattern.fullmatch(name, timeout=MATCHING)
    else:
        endings = frozenset(map(str, asked))

        def matches(name: str) -> object:
            parts = name.split(".")
            return any(".".join(parts[n:]) in endings for n in range(len(parts)))

    try:
        return {name for name in names if matches(name)}
    except TimeoutError:
        raise ValueError(f"{key} is a pattern that takes too long to match") from None


def _config(path: Path) -> dict[str, Any]:
    """Raises ValueError for anything but plain LoRA."""
    if path.stat().st_size > LARGEST_CONFIG:
        raise ValueError(f"{CONFIG} has more than {LARGEST_CONFIG} bytes")
    try:
        config = json.loads(path.read_text("utf-8"))
    except RecursionError:
        raise ValueError(f"{CONFIG} is nested too deeply") from None
    if not isinstance(config, dict):
        raise ValueError(f"{CONFIG} is no JSON object")
    if config.get("peft_type") != "LORA":
        raise ValueError(f"peft_type is {str(config.get('peft_type'))[:40]!r}, not 'LORA'")
    for name in SWITCHES:
        if config.get(name):
            raise ValueError(f"{name} is {str(config[name])[:40]}, which rftkit does not write")
    fixed = {"bias": ("none", None), "init_lora_weights": (True, False, None)}
    for name, allowed in fixed.items():
        if config.get(name) not in allowed:
            raise ValueError(f"{name} is {str(config[name])[:40]!r}, which rftkit does not write")
    if type(config.get("r")) is not int or config["r"] < 1:
        raise ValueError(f"r is {str(config.get('r'))[:40]}, not a rank")
    alpha = config.get("lora_alpha")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha <= 1e4:
        raise ValueError(f"lora_alpha is {str(alpha)[:40]}, not a number up to 10000")
    targets = config.get("target_modules")
    for name, value in (("target_modules", targets), ("exclude_modules", None)):
        value = config.get(name, value)
        listed = isinstance(value, list) and all(isinstance(one, str) for one in value)
        if not (listed or isinstance(value, str) or (value is None and name != "target_modules")):
            raise ValueError(f"{name} is neither a list of names nor a pattern")
    return config


def _modules(weights: Path, rank: int) -> frozenset[str]:
    """The modules that the weights adapt, each by a finite pair of matrices of that rank.

    Raises ValueError for anything else.
    """
    from safetensors import SafetensorError, safe_open

    pairs = dict[str, set[str]]()
    try:
        with safe_open(weights, "pt") as file:
            for name in file.keys():  # noqa: SIM118  not a dict
                module, _, kind = name.removeprefix(HEAD).removesuffix(".weight").rpartition(".")
                if kind not in PAIR or f"{HEAD}{module}.{kind}.weight" != name:
                    raise ValueError(f"{name} is no tensor of LoRA's")
                shape = file.get_slice(name).get_shape()
                if not shape or shape[0 if kind == "lora_A" else min(1, len(shape) - 1)] != rank:
                    raise ValueError(f"{name} has the shape {shape}, which is not of rank {rank}")
                if not torch.isfinite(file.get_tensor(name)).all():
                    raise ValueError(f"{name} holds numbers that are not finite")
                pairs.setdefault(module, set()).add(kind)
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    if not pairs:
        raise ValueError(f"{WEIGHTS} holds no tensors")
    for module, kinds in pairs.items():
        if missing := {*PAIR} - kinds:
            raise ValueError(f"{HEAD}{module}.{min(missing)}.weight is missing")
    return frozenset(pairs)
