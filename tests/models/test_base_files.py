"""No file of a base model leads to a file, or to a repository, outside of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants
from transformers import AutoTokenizer

from rftkit.errors import ModelError
from rftkit.models import loading
from rftkit.models.base_files import check_named
from rftkit.models.tiny.cache import ensure_tiny
from rftkit.recipe.sections import TINY, Model

TOKENIZER, SPECIALS = "tokenizer_config.json", "special_tokens_map.json"
IMAGES, PROCESSOR = "preprocessor_config.json", "processor_config.json"
VIDEO = "video_preprocessor_config.json"
KEY = "/home/you/.ssh/id_ed25519"


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("private")
    return Path(shutil.copytree(ensure_tiny("tiny"), tmp_path / "base"))


def add(path: Path, held: dict[str, object]) -> None:
    before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(before | held), "utf-8")


def opened(base: Path) -> None:
    """As every backend does, and everything that exports."""
    loading.load_processor_of(loading.resolve(str(base)), Model(name=str(base)))


def refusal(base: Path) -> str:
    lines = set()
    for load in (loading.load_processor_of, loading.load_model):
        with pytest.raises(ModelError) as caught:
            load(loading.resolve(str(base)), Model(name=str(base), load_in_4bit=False))
        lines.add(str(caught.value).removeprefix(f"model.name: {base}: "))
    (line,) = lines
    assert "\n" not in line
    return line


@pytest.mark.parametrize(("file", "key", "value"), [
    (TOKENIZER, "vocab", KEY),
    (TOKENIZER, "merges", KEY),
    (TOKENIZER, "merges", [KEY]),
    (TOKENIZER, "entity_vocab", KEY),
    (TOKENIZER, "vocab_file", KEY),
    (TOKENIZER, "vocab_file", "../notes.txt"),
    (TOKENIZER, "vocab_file", "notes.txt"),  # not in its folder, but in the current one
    (TOKENIZER, "vocab_file", ".."),
    (TOKENIZER, "vocab_file", [KEY]),
    (TOKENIZER, "vocab_file", 0),  # standard input
    (TOKENIZER, "gguf_file", "model.safetensors"),
    (TOKENIZER, "init_inputs", [KEY]),
    (TOKENIZER, "init_inputs", [{"vocab": 0}]),
    (TOKENIZER, "fast_tokenizer_files", ["/a/tokenizer.5.0.0.json"]),
    (TOKENIZER, "fast_tokenizer_files", ["tokenizer.json", "../../tokenizer.5.0.0.json"]),
    (TOKENIZER, "fast_tokenizer_files", {"/a/tokenizer.5.0.0.json": 1}),
    (TOKENIZER, "fast_tokenizer_files", "/a/tokenizer.5.0.0.json"),
    (SPECIALS, "tokenizer_file", "/a/tokenizer.json"),
    (SPECIALS, "vocab_file", "tokenizer.json"),  # of the current folder, if there is one
    (SPECIALS, "vocab", KEY),
    (SPECIALS, "source_spm", KEY),
    (SPECIALS, "special_tokens_map_file", KEY),
    ("qformer_tokenizer/tokenizer_config.json", "vocab", KEY),
    (IMAGES, "class_info_file", "/a/secret.json"),
    (VIDEO, "font", "../font.ttf"),
])  # fmt: skip
def test_what_names_a_file_outside_is_refused_by_name(
    base: Path, file: str, key: str, value: object
) -> None:
    add(base / file, {key: value})
    assert refusal(base) == (
        f"its {file} names a file that is not the model's own: {str(value)!r} as {key!r}; remove "
        "that key there"
    )


def test_a_table_within_a_table_is_looked_into(base: Path) -> None:
    add(base / TOKENIZER, {"sp_model_kwargs": {"model_file": KEY}})
    assert f"{KEY!r} as 'model_file'" in refusal(base)


@pytest.mark.parametrize(("file", "held"), [
    (IMAGES, {"repo_path": "evil/x"}),
    (VIDEO, {"repo_path": "evil/x"}),
    (PROCESSOR, {"repo_path": "evil/x"}),
    (PROCESSOR, {"image_processor": {"repo_path": "evil/x"}}),
    (PROCESSOR, {"parts": [{"repo_path": "evil/x"}]}),
])  # fmt: skip
def test_a_processor_names_no_other_repository(
    base: Path, file: str, held: dict[str, object]
) -> None:
    add(base / file, held)
    assert refusal(base) == (
        f"its {file} names another repository: 'evil/x' as 'repo_path'; remove that key there"
    )


def test_what_models_say_in_these_files_is_no_fault(base: Path) -> None:
    null = ("vocab_file", "merges_file", "tokenizer_file", "vocab", "merges")
    (base / "vocab.json").write_text("{}")
    (base / "tokenizer.4.0.0.json").write_bytes((base / "tokenizer.json").read_bytes())
    add(base / TOKENIZER, dict.fromkeys(null))
    add(base / TOKENIZER, {
        "vocab_file": "vocab.json", "init_inputs": [], "name_or_path": "Qwen/Qwen2.5-VL-3B",
        "fast_tokenizer_files": ["tokenizer.4.0.0.json", "tokenizer.json"],
        "special_tokens_map_file": "/root/.cache/special_tokens_map.json",  # nothing opens it
        "sp_model_kwargs": {}, "vocab_size": 3, "processor_class": "Qwen2_5_VLProcessor",
    })  # fmt: skip
    add(base / SPECIALS, {"eos_token": "<|im_end|>", "additional_special_tokens": ["<a>"]})
    add(base / IMAGES, {"repo_path": None})
    opened(base)


@pytest.mark.parametrize("name", TINY)
def test_built_in_models_pass(name: str) -> None:
    source = loading.resolve(name)
    check_named(source.name, source.revision)


def linked(path: Path, to: Path) -> None:
    if path.exists():
        path.rename(to)
    else:
        to.write_text("{}")
    path.symlink_to(to)


@pytest.mark.parametrize("name", [
    "chat_template.jinja", "tokenizer.json", "tokenizer_config.json", "config.json",
    "generation_config.json", "special_tokens_map.json", "vocab.txt", "tokenizer.model",
    "additional_chat_templates/x.jinja", "tokenizer.9.json.key",
])  # fmt: skip
def test_a_link_out_of_the_folder_is_refused(base: Path, name: str) -> None:
    (base / "additional_chat_templates").mkdir()
    linked(base / name, base.parent / "elsewhere")
    assert refusal(base) == (
        f"{name!r} there is a link that leaves the folder; copy into the folder what it leads to"
    )


def test_a_link_to_a_folder_outside_is_refused(base: Path) -> None:
    (base / "additional_chat_templates").symlink_to(base.parent)
    assert refusal(base).startswith("'additional_chat_templates' there is a link that leaves")
    (base / "additional_chat_templates").rename(base / "weights.safetensors")
    assert refusal(base).startswith("'weights.safetensors' there is a link that leaves")


def test_weights_may_be_linked_and_files_within(base: Path) -> None:
    linked(base / "model.safetensors", base.parent / "weights")
    linked(base / "chat_template.jinja", base / "template.jinja")
    (base.parent / "by").symlink_to(base)
    opened(base.parent / "by")


def test_a_snapshot_of_the_hubs_cache_is_links(base: Path) -> None:
    cached = base.parent / "models--a--b"
    (cached / "blobs").mkdir(parents=True)
    folder = cached / "snapshots" / "1f2e"
    folder.parent.mkdir()
    base.rename(folder)
    for n, path in enumerate(sorted(folder.iterdir())):
        path.rename(cached / "blobs" / str(n))
        path.symlink_to(Path("../../blobs", str(n)))
    opened(folder)
    (folder / "x.txt").symlink_to("../../../notes.txt")
    assert refusal(folder).startswith("'x.txt' there is a link that leaves the folder")


def test_a_local_model_has_nothing_fetched(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its processor's class may be one that loads another model."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with loading.reading(loading.Source("a/b", None)):
        assert not constants.HF_HUB_OFFLINE
    seen = []
    own = AutoTokenizer.from_pretrained

    def load(*given: object, **more: object) -> object:
        seen.append(constants.is_offline_mode())
        return own(*given, **more)

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", load)
    opened(base)
    assert seen
    assert all(seen)
    with pytest.raises(ModelError), loading.reading(loading.Source(str(base), None)):
        raise ValueError("no")
    assert not constants.HF_HUB_OFFLINE


def test_a_model_of_the_hub_names_no_file_of_yours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "models--evil--model" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    (folder.parents[1] / "refs").mkdir()
    (folder.parents[1] / "refs" / "main").write_text("abc")
    add(folder / "config.json", {"model_type": "qwen2_5_vl"})
    add(folder / TOKENIZER, {"vocab_file": "vocab.json"})
    loading.check_architecture(loading.Source("evil/model", None))
    add(folder / TOKENIZER, {"vocab": KEY})
    with pytest.raises(ModelError, match=r"^model\.name: evil/model: its tokenizer_config\.json "):
        loading.check_architecture(loading.Source("evil/model", None))
