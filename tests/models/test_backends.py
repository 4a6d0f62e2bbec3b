"""Models through Unsloth and vLLM: what those are asked, on stand-ins of both."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import fakes
import pytest
import torch
import transformers
from PIL import Image

from rftkit import models
from rftkit.errors import ModelError, RecipeError, TrainingError
from rftkit.hardware import backends
from rftkit.hardware.backends import Here
from rftkit.models import adapters, loading
from rftkit.models.policy import Decoding, Prompt
from rftkit.recipe.schema import Recipe
from rftkit.recipe.sections import Model
from rftkit.recipe.toml import parse_recipe

AMPERE = Here(8.6, 23.7, unsloth=True, vllm=True)


def recipe(*overrides: str) -> Recipe:
    return parse_recipe('seed = 5\n[data]\nsource = "digits"\n', "test", overrides)


UNSLOTHS_ENGINE = {"language_model_only": False, "limit_mm_per_prompt": {"image": 1, "video": 0}}
LIMITS = {"shortest_edge": 3136, "longest_edge": 401408}
OURS = SimpleNamespace(image_processor=SimpleNamespace(size=LIMITS))


class Quantisation:
    """What Unsloth has vLLM quantise by; keeps what it is told."""

    def __init__(self, llm_int8_skip_modules: list[str] | None = None, **more: Any) -> None:
        self.spared = llm_int8_skip_modules


UNSLOTHS_ENVIRONMENT = ("UNSLOTH_DISABLE_STATISTICS", "UNSLOTH_COMPILE_LOCATION")


class Named(str):
    """A model, as far as it is looked at."""

    config = SimpleNamespace(model_type="qwen2_5_vl")
    generation_config = SimpleNamespace(num_beams=5, eos_token_id=[7, 8])


@dataclass
class FastVisionModel:
    """Unsloth's loader, as far as it is used: notes what it is asked."""

    loaded: dict[str, Any] = field(default_factory=dict)
    adapted: dict[str, Any] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    spared: list[Any] = field(default_factory=list)
    made: Any = None

    def from_pretrained(self, name: str, **options: Any) -> tuple[str, str]:
        print("loading")
        self.loaded = {"name": name, **options}
        zoo = sys.modules["unsloth_zoo.vllm_utils"]
        self.engine = zoo._get_multimodal_engine_args(None, True)
        made = (Quantisation(), Quantisation(llm_int8_skip_modules=["lm_head"]))
        self.spared = [quantisation.spared for quantisation in made]
        self.made = Named("a model")
        return self.made, "its own processor"

    def get_peft_model(self, model: str, **options: Any) -> str:
        print("adapting")
        self.adapted = options
        return f"{model} with a new adapter"


@pytest.fixture(autouse=True)
def _every_hub_has_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is loaded here is no model of a hub, and is not looked for there."""
    monkeypatch.setattr(models, "require_model", lambda settings: None)


@pytest.fixture
def unsloth(monkeypatch: pytest.MonkeyPatch) -> Iterator[FastVisionModel]:
    fake = FastVisionModel()
    module = ModuleType("unsloth")
    module.__dict__["FastVisionModel"] = fake
    monkeypatch.setitem(sys.modules, "unsloth", module)
    zoo, tools = ModuleType("unsloth_zoo"), ModuleType("unsloth_zoo.vllm_utils")
    tools.__dict__["_get_multimodal_engine_args"] = lambda *_: UNSLOTHS_ENGINE
    tools.__dict__["BitsAndBytesConfig"] = Quantisation
    zoo.__dict__["vllm_utils"] = tools
    monkeypatch.setitem(sys.modules, "unsloth_zoo", zoo)
    monkeypatch.setitem(sys.modules, "unsloth_zoo.vllm_utils", tools)
    monkeypatch.delitem(sys.modules, "rftkit.models.unsloth", raising=False)
    for name in UNSLOTHS_ENVIRONMENT:
        monkeypatch.setenv(name, "set before")
    monkeypatch.setattr(backends, "here", lambda: AMPERE)
    monkeypatch.setattr(loading, "load_processor_of", lambda source, settings: OURS)
    monkeypatch.setattr(loading, "longest", lambda source: 128_000)
    monkeypatch.setattr(adapters, "check_adapter", lambda folder: None)
    monkeypatch.setattr(adapters, "put_adapter", lambda model, folder: f"{model} with {folder}")
    yield fake
    sys.modules.pop("rftkit.models.unsloth", None)


def test_a_learner_gets_a_new_adapter_drawn_from_the_recipes_seed(unsloth: FastVisionModel) -> None:
    policy = models.open_for_training(recipe("model.generation=transformers", "model.lora_rank=8"))
    assert (policy.model, policy.processor) == ("a model with a new adapter", OURS)
    assert policy.facts().backend == "unsloth"
    assert unsloth.loaded.pop("quantization_config").to_dict() == loading.nf4().to_dict()
    assert unsloth.loaded == {
        "name": "Qwen/Qwen2.5-VL-3B-Instruct", "revision": None, "dtype": loading.dtype_here(),
        "load_in_4bit": True, "max_seq_length": 32_768,
        "use_safetensors": True,
        "use_exact_model_name": True, "attn_implementation": "sdpa",
        "use_gradient_checkpointing": "unsloth", "trust_remote_code": False,
    }  # fmt: skip
    generates = unsloth.made.generation_config
    assert (generates.num_beams, generates.eos_token_id) == (None, [7, 8])
    assert unsloth.adapted == {
        "r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "bias": "none", "random_state": 5,
        "finetune_vision_layers": False, "finetune_language_layers": True,
        "finetune_attention_modules": True, "finetune_mlp_modules": True,
        "use_gradient_checkpointing": "unsloth",
    }  # fmt: skip


def test_vllm_shares_the_weights_and_takes_what_the_plan_gives_it(
    unsloth: FastVisionModel,
) -> None:
    wanted = recipe("model.generation=vllm")
    models.open_for_training(wanted)
    assert unsloth.loaded["fast_inference"] is True
    room = backends.engine_room(wanted, AMPERE)
    assert unsloth.loaded["gpu_memory_utilization"] == room.share
    assert unsloth.loaded["max_seq_length"] == room.longest
    assert unsloth.loaded["max_num_seqs"] == 32, "every completion of a step at once"
    assert "quantization_config" not in unsloth.loaded
    assert unsloth.loaded["max_lora_rank"] == 16
    assert unsloth.engine == {
        "language_model_only": False,
        "limit_mm_per_prompt": {"image": 8, "video": 0},
        "mm_processor_kwargs": {"size": {"shortest_edge": 3136, "longest_edge": 401408}},
    }
    encoder_too = [*loading.UNQUANTISED]
    assert unsloth.spared == [encoder_too, ["lm_head"]], "a checkpoint's own list stays"
    models.open_for_training(recipe("model.generation=transformers"))
    assert unsloth.engine == UNSLOTHS_ENGINE, "put back"
    assert unsloth.spared == [None, ["lm_head"]], "put back"


def test_positions_are_never_scaled(
    unsloth: FastVisionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "longest", lambda source: 2048)
    models.open_for_inference(Model())
    assert unsloth.loaded["max_seq_length"] == 2048


def test_what_is_refused_is_refused_before_unsloth_loads_anything(
    unsloth: FastVisionModel,
) -> None:
    with pytest.raises(RecipeError, match="lora_vision"):
        models.open_for_training(recipe("model.generation=vllm", "model.lora_vision=true"))
    assert unsloth.loaded == {}


def test_a_trained_adapter_is_put_on_without_a_new_one(unsloth: FastVisionModel) -> None:
    policy = models.open_for_inference(Model(name="a/b@v2"), Path("adapter"))
    assert policy.model == "a model with adapter"
    assert unsloth.adapted == {}
    assert (unsloth.loaded["name"], unsloth.loaded["revision"]) == ("a/b", "v2")
    assert unsloth.loaded["use_gradient_checkpointing"] is False
    assert "fast_inference" not in unsloth.loaded


@pytest.mark.parametrize("error", [
    RuntimeError("Engine core initialization failed"), torch.OutOfMemoryError("CUDA out of memory"),
])  # fmt: skip
def test_an_engine_that_does_not_start_gives_way_where_it_was_left_to_us(
    unsloth: FastVisionModel, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, said = unsloth.from_pretrained, list[str]()

    def broken(name: str, **options: Any) -> Any:
        if options.get("fast_inference"):
            raise error
        return loaded(name, **options)

    monkeypatch.setattr(unsloth, "from_pretrained", broken)
    policy = models.open_for_training(recipe(), None, said.append)
    assert policy.generation == "merged"
    assert "fast_inference" not in unsloth.loaded
    assert len(said) == 1
    assert said[0].startswith("vLLM does not start (")
    assert said[0].endswith("; completions are written without it")
    with pytest.raises((ModelError, TrainingError)):
        models.open_for_training(recipe("model.generation=vllm"))


def test_the_engine_that_starts_is_the_policys(unsloth: FastVisionModel) -> None:
    assert models.open_for_training(recipe()).generation == "vllm"
    assert models.open_for_training(recipe("style=direct")).generation == "merged"


@pytest.mark.parametrize("error", [
    OSError("We couldn't connect to the hub\nand more"), ValueError("No available memory"),
    RuntimeError("vLLM >= 0.28 moved bitsandbytes out of tree."), NotImplementedError(),
])  # fmt: skip
def test_what_unsloth_cannot_load_is_one_line(
    unsloth: FastVisionModel, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(name: str, **_: Any) -> None:
        raise error

    monkeypatch.setattr(unsloth, "from_pretrained", refuse)
    with pytest.raises(ModelError, match=r"^model.name: a/b: cannot be loaded \(.+\); check"):
        models.open_for_inference(Model(name="a/b"))


@pytest.mark.parametrize("error", [
    torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA driver error: out of memory"),
])  # fmt: skip
def test_memory_that_runs_out_while_unsloth_loads_is_still_called_that(
    unsloth: FastVisionModel, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(name: str, **_: Any) -> None:
        raise error

    monkeypatch.setattr(unsloth, "from_pretrained", refuse)
    with pytest.raises(TrainingError, match="ran out of memory while loading the model"):
        models.open_for_inference(Model())


def test_an_unsloth_that_does_not_load_is_one_line(
    unsloth: FastVisionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "unsloth", None)
    with pytest.raises(ModelError, match=r"unsloth does not load .*backend = .transformers."):
        models.open_for_training(recipe())


def test_what_unsloth_prints_as_it_loads_is_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prints.py").write_text("print('a banner')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RFTKIT_CACHE", str(tmp_path / "cache"))
    for name in UNSLOTHS_ENVIRONMENT:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    with models.importing_unsloth():
        importlib.import_module("prints")
    assert capsys.readouterr() == ("", "a banner\n")
    assert os.environ["UNSLOTH_DISABLE_STATISTICS"] == "1"
    folder = Path(os.environ["UNSLOTH_COMPILE_LOCATION"])
    assert folder.parent == tmp_path / "cache"  # not where the command was typed
    assert transformers.__version__ in folder.name  # whose sources it holds
    monkeypatch.setenv("UNSLOTH_COMPILE_LOCATION", "elsewhere")
    with models.importing_unsloth():
        assert os.environ["UNSLOTH_COMPILE_LOCATION"] == "elsewhere"


def test_what_unsloth_prints_as_it_loads_a_model_is_no_result(
    unsloth: FastVisionModel, capsys: pytest.CaptureFixture[str]
) -> None:
    models.open_for_training(recipe())
    assert capsys.readouterr() == ("", "loading\nadapting\n")


def test_transformers_is_taken_where_unsloth_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    transformers = importlib.import_module("rftkit.models.transformers")
    monkeypatch.setattr(backends, "here", Here)

    def opened(*given: Any) -> Any:
        asked.append(given)
        return SimpleNamespace()

    monkeypatch.setattr(transformers, "open_transformers", opened)
    wanted = recipe()
    models.open_for_training(wanted)
    models.open_for_inference(wanted.model, Path("x"))
    assert asked == [(wanted.model, None), (wanted.model, Path("x"))]
    assert "unsloth" not in sys.modules


class Tokenizer:
    """A token for each letter; `#` is special and `.` ends the turn."""

    eos_token, eos_token_id, all_special_ids = ".", 46, [35, 46]
    all_special_tokens = ("#", ".")
    added_tokens_decoder: ClassVar[dict[int, Any]] = {}

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [ord(letter) for letter in text]}

    def decode(self, ids: list[int], **_: Any) -> str:
        return "".join(map(chr, ids))


class Declared:
    """A generation configuration, and how often it was read."""

    read, eos_token_id = 0, 46

    @classmethod
    def from_pretrained(
        cls, name: str, revision: str | None, trust_remote_code: bool
    ) -> type[Declared]:
        cls.read += 1
        return cls


class Processor:
    chat_template = ""
    tokenizer = Tokenizer()
    image_processor = SimpleNamespace(size={"shortest_edge": 784, "longest_edge": 3136})

    def apply_chat_template(self, talk: list[dict[str, Any]], **_: Any) -> str:
        shown = ["#" if part["type"] == "image" else part["text"] for part in talk[0]["content"]]
        return "".join(shown) + ":"


@dataclass
class Told:
    logprob: float


class LLM:
    """vLLM's engine, as far as it is used: says the name of the adapter that was asked for."""

    def __init__(self, **options: Any) -> None:
        self.options, self.asked = options, list[dict[str, Any]]()

    def generate(
        self, inputs: list[dict[str, Any]], sampling: Any, lora_request: Any, use_tqdm: bool
    ) -> list[Any]:
        self.asked += inputs
        self.sampling = sampling
        name = lora_request.name if lora_request else "base"
        return [self._answer(one, name) for one in inputs]

    def _answer(self, one: dict[str, Any], name: str) -> Any:
        prompt = one.get("prompt_token_ids") or [ord(letter) for letter in one["prompt"]]
        text = name if "cut" in one.get("prompt", "") else f"{name}."
        factor = -0.5 if name == "tuned" else -1.0
        told = [
            None,
            *({token: Told(factor * location)} for location, token in enumerate(prompt[1:], 1)),
        ]
        made = SimpleNamespace(token_ids=tuple(map(ord, text)))
        return SimpleNamespace(outputs=[made], prompt_token_ids=prompt, prompt_logprobs=told)


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    module, lora, request = (ModuleType(n) for n in ("vllm", "vllm.lora", "vllm.lora.request"))
    module.__dict__.update(LLM=LLM, SamplingParams=SimpleNamespace, __version__="0.30.0")
    request.__dict__["LoRARequest"] = lambda name, number, path: SimpleNamespace(name=name)
    for name, fake in (("vllm", module), ("vllm.lora", lora), ("vllm.lora.request", request)):
        monkeypatch.setitem(sys.modules, name, fake)
    ours = importlib.import_module("rftkit.models.vllm")
    for name in backends.ENVIRONMENT:
        monkeypatch.setenv(name, "set before")
    monkeypatch.setattr(loading, "load_processor_of", lambda source, settings: Processor())
    monkeypatch.setattr(adapters, "check_adapter", lambda folder: None)
    monkeypatch.setattr(loading, "longest", lambda source: 4096)
    monkeypatch.setattr(Declared, "read", 0)
    monkeypatch.setattr(ours, "GenerationConfig", Declared)


def served(adapter: Path | None = Path("adapter"), **model: Any) -> Any:
    return models.open_for_inference(
        Model.model_validate({"name": "a/b", **model}), adapter, "vllm"
    )


def prompt(text: str, others: int = 0) -> Prompt:
    return Prompt(fakes.BlankImage("p"), text, others=(fakes.BlankImage("q"),) * others)


def test_the_engine_is_told_everything(vllm: None) -> None:
    assert served(lora_rank=24).llm.options == {
        "model": "a/b", "revision": None, "trust_remote_code": False,
        "generation_config": "vllm", "dtype": "float32",
        "max_model_len": 4096,
        "limit_mm_per_prompt": {"image": 8, "video": 0},
        "mm_processor_kwargs": {"size": {"shortest_edge": 784, "longest_edge": 3136}},
        "enforce_eager": True, "seed": 0, "disable_log_stats": True,
        "quantization": "bitsandbytes", "enable_lora": True, "max_lora_rank": 32,
    }  # fmt: skip
    plain = served(None, load_in_4bit=False).llm.options
    assert {"quantization", "enable_lora"} & {*plain} == set()


def test_base_and_tuned_are_two_names_of_one_engine(vllm: None) -> None:
    policy, greedy = served(), Decoding(8)
    asked = [prompt("one"), prompt("two, cut", others=1)]
    made = policy.generate(asked, greedy).completions
    assert [(c.text, c.tokens, c.finished) for c in made] == [
        ("tuned", 5, True), ("tuned", 5, False),
    ]  # fmt: skip
    with policy.base():
        assert policy.generate(asked[:1], greedy).completions[0].text == "base"
    assert policy.generate(asked[:1], greedy).completions[0].text == "tuned"
    assert served(None).generate(asked[:1], greedy).completions[0].text == "base"


def test_it_reads_the_text_and_all_images(vllm: None) -> None:
    policy = served()
    policy.generate([Prompt(fakes.BlankImage("p"), "what?", "<answer>")], Decoding(8))
    policy.generate([prompt("which?", others=1)], Decoding(8, 0.7, seed=3, top_p=0.9))
    first, second = policy.llm.asked
    assert (first["prompt"], second["prompt"]) == ("#what?:<answer>", "##which?:")
    assert [len(one["multi_modal_data"]["image"]) for one in (first, second)] == [1, 2]
    assert isinstance(first["multi_modal_data"]["image"][0], Image.Image)
    (sampling,) = policy.llm.sampling
    assert vars(sampling) == {
        "temperature": 0.7, "top_p": 0.9, "max_tokens": 8, "stop_token_ids": [46],
        "logit_bias": {35: -100.0}, "seed": 3,
    }  # fmt: skip


def test_a_reply_is_held_to_its_schema_where_that_is_wanted(
    vllm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = ModuleType("vllm.sampling_params")
    params.__dict__["StructuredOutputsParams"] = SimpleNamespace
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", params)
    policy, asked = served(), [prompt("one"), replace(prompt("two"), schema='{"type": "object"}')]
    policy.generate(asked, Decoding(8, structured=True))
    free, held = policy.llm.sampling
    assert "structured_outputs" not in vars(free)
    assert vars(held.structured_outputs) == {"json": '{"type": "object"}'}
    policy.generate(asked, Decoding(8))
    assert all("structured_outputs" not in vars(one) for one in policy.llm.sampling)


def test_what_vllm_cannot_answer_is_one_line(vllm: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise ValueError("The decoder prompt is longer than the model")

    policy, line = served(), r"a/b: it cannot answer \(ValueError: The decoder prompt is longer"
    monkeypatch.setattr(policy.llm, "generate", refused)
    with pytest.raises(ModelError, match=line):
        policy.generate([prompt("one")], Decoding(8))
    with pytest.raises(ModelError, match=line):
        policy.score([prompt("one")], [["x"]])


def test_what_ends_a_reply_is_read_once(vllm: None) -> None:
    policy = served()
    for _ in range(2):
        policy.generate([prompt("one"), prompt("two")], Decoding(8))
    assert Declared.read == 1


def test_labels_are_scored_by_their_own_tokens_and_the_end(vllm: None) -> None:
    policy = served()
    found = policy.score([prompt("ab"), prompt("c")], [["x", "yz"], ["w"]])
    # "#ab:" is four tokens, so "x." stands at places 4 and 5, "yz." at 4 to 6; "w." at 3 and 4
    assert found == [[-4.5, -7.5], [-3.5]]
    with policy.base():
        assert policy.score([prompt("ab")], [["x"]]) == [[-9.0]]


def test_a_vision_adapter_is_refused_by_name(vllm: None) -> None:
    with pytest.raises(ModelError, match="the adapter is on the vision encoder too"):
        served(lora_vision=True)


def test_vllm_that_cannot_load_the_model_says_so_in_a_line(
    vllm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: LLM, **_: Any) -> None:
        raise ValueError("No supported architecture\nmore")

    monkeypatch.setattr(LLM, "__init__", refuse)
    with pytest.raises(ModelError, match=r"a/b: vLLM cannot load it \(No supported .* more"):
        served()


def test_without_vllm_the_way_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    monkeypatch.setattr(adapters, "check_adapter", lambda folder: None)
    for name in backends.ENVIRONMENT:
        monkeypatch.setenv(name, "set before")
    with pytest.raises(ModelError, match=r"--engine vllm: .*; pip install -c constraints-vllm"):
        served()


def test_a_report_names_the_engine(vllm: None) -> None:
    facts = served().facts()
    assert (facts.backend, facts.dtype) == ("vllm", "float32 by vLLM 0.30.0")


@contextmanager
def running_on(capability: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(torch.cuda, "is_available", lambda: True)
        patched.setattr(torch.cuda, "get_device_capability", lambda: capability)
        total = SimpleNamespace(total_memory=12 * 2**30)
        patched.setattr(torch.cuda, "get_device_properties", lambda number: total)
        patched.setattr(torch.cuda, "mem_get_info", lambda: (9 * 2**30, 12 * 2**30))
        yield


def test_this_machine_is_what_torch_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not backends.here().cuda
    with running_on((8, 9), monkeypatch):
        found = backends.here()
    assert (found.cuda, found.capability, found.gib, found.free) == (True, 8.9, 12.0, 9.0)
    assert (found.card.gib, found.room.gib) == (12.0, 9.0)
