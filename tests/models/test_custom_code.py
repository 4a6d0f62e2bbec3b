"""A model's own Python is never run, whatever its folder says and whoever sits at the terminal."""

from __future__ import annotations

import ast
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
from transformers import ProcessorMixin
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from rftkit.errors import ModelError
from rftkit.models import loading, open_for_inference
from rftkit.models.tiny.cache import ensure_tiny
from rftkit.recipe.sections import Model

PACKAGE = Path(loading.__file__).parents[1]
CLASSES = ("AutoConfig", "AutoProcessor", "AutoTokenizer", "AutoModelForImageTextToText")
AUDIO = {"audio_tokenizer_class": "AutoModel", "audio_tokenizer_name_or_path": "FOLDER/aud"}
CODE = """
import os
open(os.environ["MARKER"], "w").close()
from transformers import PretrainedConfig
class Config(PretrainedConfig):
    model_type = "evil"
"""


def model_with_code(folder: Path, model_type: str) -> Path:
    """A model folder whose files all name classes in a Python file that writes `$MARKER`."""
    folder.mkdir()
    (folder / "evil.py").write_text(CODE, "utf-8")
    own = {"auto_map": dict.fromkeys(CLASSES, "evil.Config")}
    own["auto_map"]["AutoTokenizer"] = ["evil.Config", "evil.Config"]  # type: ignore[assignment]
    for name in ("config", "processor_config", "tokenizer_config", "preprocessor_config"):
        text = json.dumps(own | {"model_type": model_type})
        (folder / f"{name}.json").write_text(text, "utf-8")
    return folder


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a model's code would write; questions are answered with yes."""
    monkeypatch.setenv("MARKER", str(tmp_path / "ran"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("builtins.input", lambda _: "y")
    return tmp_path / "ran"


@pytest.mark.parametrize("model_type", ["evil", "llama"])
def test_a_model_that_needs_its_own_code_is_refused(
    tmp_path: Path, marker: Path, model_type: str
) -> None:
    folder = model_with_code(tmp_path / "model", model_type)
    refused = (
        rf"^model\.name: {folder}: model_type '{model_type}' needs Python code of its own "
        r"\(auto_map\), which rftkit never runs; name a model that transformers \S+ knows, "
        r"such as Qwen/Qwen2\.5-VL-3B-Instruct$"
    )
    with pytest.raises(ModelError, match=refused):
        open_for_inference(Model(name=str(folder), backend="transformers"))
    for load in (loading.load_model, loading.load_processor_of):
        with pytest.raises(ModelError, match=refused):
            load(loading.resolve(str(folder)), Model(name=str(folder)))
    assert not marker.exists()


def test_an_unknown_model_without_code_is_refused_too(tmp_path: Path, marker: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "evil"}', "utf-8")
    with pytest.raises(ModelError, match=r"model_type 'evil' is no image-text model; name a"):
        open_for_inference(Model(name=str(tmp_path), backend="transformers"))


def test_code_beside_a_known_model_is_passed_over(tmp_path: Path, marker: Path) -> None:
    folder = model_with_code(tmp_path / "model", "qwen2_5_vl")
    loading.check_architecture(loading.resolve(str(folder)))
    assert loading.longest(loading.resolve(str(folder))) > 0
    with pytest.raises(ModelError, match=r"cannot be loaded"):  # it has no weights
        loading.load_model(loading.resolve(str(folder)), Model(name=str(folder)))
    (folder / "chat_template.jinja").write_text(
        "{% for c in messages[0].content %}{{ c.text or c.type }}{% endfor %}", "utf-8"
    )
    processor = loading.load_processor_of(loading.resolve(str(folder)), Model(name=str(folder)))
    for part in (processor.tokenizer, processor.image_processor):
        assert type(part).__module__.startswith("transformers.models.")
    assert not marker.exists()


@pytest.mark.parametrize("asked", [
    {"_attn_implementation": "evil/kernel"},
    {"attn_implementation": {"": "sdpa", "vision_config": "evil/kernel@v1:forward"}},
    {"_attn_implementation_internal": "paged|evil/kernel"},
    {"experts_implementation": "evil/kernel"},
    {"text_config": {"_experts_implementation": "deepgemm-evil/kernel"}},
    {"text_config": {"_attn_implementation": "evil/kernel"}},
])  # fmt: skip
def test_a_kernel_of_the_hub_is_code_too(
    tmp_path: Path, marker: Path, asked: dict[str, object]
) -> None:
    folder = model_with_code(tmp_path / "model", "qwen2_5_vl")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | asked), "utf-8")
    settings = Model(name=str(folder), backend="transformers")
    for load in (loading.load_model, loading.load_processor_of):
        with pytest.raises(ModelError, match=r"asks for the kernel '.*evil/kernel.*' of the hub"):
            load(loading.resolve(str(folder)), settings)
    (folder / "config.json").write_text(json.dumps(config | {"_attn_implementation": "sdpa"}))
    loading.check_architecture(loading.resolve(str(folder)))


@pytest.mark.parametrize(("file", "said"), [
    ("processor_config.json", {"audio_tokenizer": AUDIO}),
    ("processor_config.json", {"image_processor": {"audio_tokenizer": AUDIO}}),
    ("processor_config.json", {"codec_name_or_path": "evil/codec"}),
    ("audio_tokenizer_config.json", AUDIO),
])  # fmt: skip
def test_a_processor_names_no_other_model(
    tmp_path: Path, marker: Path, file: str, said: dict[str, object]
) -> None:
    folder = model_with_code(tmp_path / "model", "qwen2_5_vl")
    model_with_code(folder / "aud", "evil")
    text = json.dumps(said).replace("FOLDER", str(folder))
    (folder / file).write_text(text, "utf-8")
    settings = Model(name=str(folder), backend="transformers")
    for load in (loading.load_model, loading.load_processor_of):
        with pytest.raises(ModelError, match=rf"its {file} names another model \(\w+\), which"):
            load(loading.resolve(str(folder)), settings)
    assert not marker.exists()


@pytest.mark.parametrize(("file", "held", "said"), [
    ("processor_config.json", {"audio_tokenizer": AUDIO}, "names another model"),
    ("model.safetensors.index.json", {"weight_map": {"a": "x.bin"}}, "names 'x.bin' as weights"),
])  # fmt: skip
def test_a_model_of_the_hub_asks_for_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, held: object, said: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # whatever came before
    cached = tmp_path / "models--evil--model"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("abc")
    folder = cached / "snapshots" / "abc"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "qwen2_5_vl"}', "utf-8")
    loading.check_architecture(loading.Source("evil/model", None))
    (folder / file).write_text(json.dumps(held), "utf-8")
    with pytest.raises(ModelError, match=f"^model.name: evil/model: its {file} {said}"):
        loading.check_architecture(loading.Source("evil/model", None))


def test_what_transformers_loads_by_itself_is_not_asked_about_either(
    tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No argument of rftkit's reaches the model that a processor names."""
    folder = model_with_code(tmp_path / "model", "qwen2_5_vl")
    model_with_code(folder / "aud", "evil")
    text = json.dumps({"audio_tokenizer": AUDIO}).replace("FOLDER", str(folder))
    (folder / "processor_config.json").write_text(text, "utf-8")
    asked = list[str]()
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "y")
    with pytest.raises(ValueError, match="custom code"):
        ProcessorMixin.get_processor_dict(str(folder))
    with pytest.raises(ValueError, match="needs Python code of its own, which rftkit never runs"):
        ProcessorMixin.get_processor_dict(str(folder), trust_remote_code=True)
    with pytest.raises(ValueError, match="needs Python code of its own, which rftkit never runs"):
        get_class_from_dynamic_module("evil.Config", str(folder))
    assert asked == []
    assert not marker.exists()


@pytest.mark.parametrize("asked", [
    {"_attn_implementation": "flash_attention_2"},
    {"_attn_implementation_internal": "flash_attention_3"},
    {"attn_implementation": {"": "sdpa", "vision_config": "flash_attention_3"}},
    {"vision_config": {"_attn_implementation": "paged|flash_attention_2"}},
    {"text_config": {"_attn_implementation": "flex_attention"}},
])  # fmt: skip
def test_a_configuration_chooses_no_attention(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    """transformers fetches flash attention from the hub where it is not installed."""
    monkeypatch.setattr("transformers.integrations.hub_kernels.get_kernel", _fetched)
    monkeypatch.setattr("transformers.modeling_utils.lazy_import_flash_attention", _fetched)
    folder = Path(shutil.copytree(ensure_tiny("tiny"), tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    for key, value in asked.items():
        config[key] = config[key] | value if key in config else value
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    settings = Model(name=str(folder), backend="transformers", load_in_4bit=False)
    model = loading.load_model(loading.resolve(str(folder)), settings)
    for part in (model.config, model.config.text_config, model.config.vision_config):
        assert part._attn_implementation == "sdpa"


def _fetched(*given: object, **more: object) -> NoReturn:
    raise AssertionError(given)


def test_an_adapter_beside_a_model_does_not_name_another_base(tmp_path: Path) -> None:
    folder = model_with_code(tmp_path / "model", "qwen2_5_vl")
    own = {"peft_type": "LORA", "base_model_name_or_path": str(tmp_path / "other")}
    (folder / "adapter_config.json").write_text(json.dumps(own), "utf-8")
    with pytest.raises(ModelError, match=r"model: is an adapter, or holds one beside its weights"):
        open_for_inference(Model(name=str(folder), backend="transformers"))


@pytest.mark.slow
def test_at_a_terminal_nothing_is_asked_and_nothing_runs(tmp_path: Path) -> None:
    folder, ours = model_with_code(tmp_path / "model", "evil"), tmp_path / "ran"
    terminal, theirs = pty.openpty()
    os.write(terminal, b"y\n" * 3)
    code = "from rftkit.cli.main import main; main()"
    sets = [f"model.name={folder}", "model.backend=transformers", "model.load_in_4bit=false"]
    words = ["train", "quickstart", "--out", "run", *(w for s in sets for w in ("--set", s))]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        stdin=theirs,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "MARKER": str(ours), "HF_MODULES_CACHE": str(tmp_path / "hub")},
        check=False,
    )
    os.close(terminal)
    os.close(theirs)
    assert done.returncode == 1
    assert "run the custom code?" not in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1].startswith("rftkit: model.name: ")
    assert "Traceback" not in done.stderr
    assert not ours.exists()


def calls_without(word: str, text: str) -> list[int]:
    """The lines of a module that call a `from_pretrained` without `word=False`, or `**options`."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    loads = [c for c in calls if ast.unparse(c.func).endswith(("from_pretrained", ".from_config"))]
    return [c.lineno for c in loads if not any(_is_off(k, word) for k in c.keywords)]


def _is_off(keyword: ast.keyword, word: str) -> bool:
    return keyword.arg == word and ast.unparse(keyword.value) == "False"


def test_every_load_says_that_no_code_is_trusted() -> None:
    assert calls_without("trust_remote_code", "\nA.from_pretrained('a', b=1)") == [2]
    assert calls_without("trust_remote_code", "A.from_pretrained('a', **options)") == [1]
    assert calls_without("trust_remote_code", "f(trust_remote_code=True)") == []
    modules = list(PACKAGE.rglob("*.py"))
    open_ones = {
        path.relative_to(PACKAGE).as_posix(): lines
        for path in modules
        if (lines := calls_without("trust_remote_code", path.read_text("utf-8")))
    }
    assert len(modules) > 100
    assert open_ones == {}
