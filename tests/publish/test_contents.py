"""An allow-list decides what travels; recipes and configurations travel without their places."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rftkit.errors import ModelError
from rftkit.publish import contents
from rftkit.publish.card import card_text
from rftkit.recipe.resolve import portable
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import parse_recipe
from rftkit.runs.run import RunFolder

ADAPTER_TRAVELS = [
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "calibration.json",
    "rftkit.json",
]


def text_of(parcel: contents.Parcel) -> str:
    content = parcel.content
    return content.decode() if isinstance(content, bytes) else content.read_text("utf-8")


def test_of_an_adapter_only_its_own_five_files_travel(pets: RunFolder) -> None:
    source = contents.find(pets.folder)
    parcels = contents.parcels(source, "# card")
    assert [parcel.name for parcel in parcels] == ADAPTER_TRAVELS
    assert contents.left_out(source) == ["optimizer.pt", "photo.png", "samples.jsonl"]
    by_name = {parcel.name: parcel for parcel in parcels}
    weights = pets.adapter / "adapter_model.safetensors"
    assert by_name["adapter_model.safetensors"].content == weights
    assert by_name["README.md"].size == len("# card")


@pytest.mark.parametrize(
    "name",
    ["photo.png", "photo.JPG", "x.webp", "samples.jsonl", "rollouts.jsonl", "report.html",
     "example.png", "summary.json", "confusion.csv", "predictions.csv", "notes.md", "token",
     "optimizer.pt", "training_args.bin", "sub/README.md", "Modelfile.png", "x.safetensors.png"],
)  # fmt: skip
def test_what_is_on_no_list_stays(exported: Path, name: str) -> None:
    (exported / name).parent.mkdir(exist_ok=True)
    (exported / name).write_bytes(b"x")
    source = contents.find(exported)
    assert name in contents.left_out(source)
    assert name not in {parcel.name for parcel in contents.parcels(source, "")}


def test_an_export_that_failed_its_proof_stays(exported: Path, pets: RunFolder) -> None:
    card = exported / "rftkit_export.json"
    card.write_text('{"proved": true}')
    assert contents.find(exported).exported == exported
    card.write_text('{"proved": false}')
    with pytest.raises(ModelError, match="exported: failed its proof, see proof"):
        contents.find(exported)
    with pytest.raises(ModelError, match="failed its proof"):
        contents.find(pets.folder, exported)


def test_no_file_of_a_pushed_adapter_names_a_folder_of_this_machine(pets: RunFolder) -> None:
    parcels = contents.parcels(contents.find(pets.folder), "BASE = '/home/anna/weights'")
    texts = {p.name: text_of(p) for p in parcels if p.name != "adapter_model.safetensors"}
    assert {name for name, text in texts.items() if "anna" in text or "secret" in text} == set()
    assert json.loads(texts["adapter_config.json"]) == {
        "base_model_name_or_path": "weights", "r": 8, "peft_type": "LORA",
    }  # fmt: skip
    assert texts["README.md"] == "BASE = 'weights'"


def test_the_recipe_that_travels_still_says_what_was_trained(pets: RunFolder) -> None:
    recipe = parse_recipe(_pushed_recipe(pets), "pushed")
    assert (recipe.data.path, recipe.data.images) == ("pets.csv", "scans")
    assert recipe.rewards == {"accuracy": 1.0, "rewards.py:neat": 0.5}
    assert recipe.model.name == "Acme/Tiny-VL@v1"
    assert recipe.data.shots == 2


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ({"model": {"name": "/models/qwen-vl"}}, {"model": "qwen-vl"}),
        ({"model": {"name": "~/qwen-vl"}}, {"model": "qwen-vl"}),
        ({"data": {"source": "folder", "path": "../private/{split}"}}, {"path": "{split}"}),
        ({"data": {"source": "hub", "path": "/gone/away"}}, {"path": "away"}),
        ({"data": {"source": "hub", "path": "acme/pets@v2"}}, {"path": "acme/pets@v2"}),
        ({"data": {"source": "folder", "path": "/"}}, {"path": "data"}),
    ],
)
def test_of_places_the_names_are_left(tables: dict[str, object], expected: dict[str, str]) -> None:
    data = {"data": {"source": "digits"}}
    found = portable(Recipe.model_validate({**data, **tables}))
    places = {"model": found.model.name, "path": found.data.path}
    assert {name: places[name] for name in expected} == expected


def test_an_exported_model_travels_whole(exported: Path) -> None:
    parcels = contents.parcels(contents.find(exported), "# card")
    assert [parcel.name for parcel in parcels] == [
        "Modelfile", "README.md", "config.json", "model.safetensors", "pets-q8_0.gguf",
        "tokenizer.json",
    ]  # fmt: skip
    texts = {p.name: text_of(p) for p in parcels if not p.name.endswith(("gguf", "safetensors"))}
    assert texts["Modelfile"] == "FROM pets-q8_0.gguf\n"
    assert json.loads(texts["config.json"])["_name_or_path"] == "weights"
    assert texts["tokenizer.json"] == '{"model": {"vocab": {"/usr/bin": 1}}}'


def test_the_export_of_a_built_in_model_says_which_it_was(exported: Path) -> None:
    """Its rftkit.json is the base's, without a recipe."""
    mark = '{"name": "tiny", "version": "1", "sha256": {"config.json": "abc"}}'
    (exported / "rftkit.json").write_text(mark)
    parcels = {one.name: one for one in contents.parcels(contents.find(exported), "# card")}
    assert parcels["rftkit.json"].content == exported / "rftkit.json"
    (exported / "rftkit.json").write_text("{}")
    with pytest.raises(ModelError, match="damaged"):
        contents.parcels(contents.find(exported), "# card")


def test_an_export_travels_in_place_of_its_runs_adapter(pets: RunFolder, exported: Path) -> None:
    source = contents.find(pets.folder, exported)
    assert source.folder == exported
    assert source.checkpoint is not None
    assert source.checkpoint.adapter == pets.adapter


def test_what_is_nothing_to_push_is_refused_in_a_line(
    tmp_path: Path, pets: RunFolder, exported: Path
) -> None:
    with pytest.raises(ModelError, match=r"nix: no such folder; name a run such as out/pets"):
        contents.find(tmp_path / "nix")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"^\S+empty: neither a run nor an adapter"):
        contents.find(tmp_path / "empty")
    with pytest.raises(ModelError, match=r"--export \S+empty: no config.json with"):
        contents.find(pets.folder, tmp_path / "empty")
    with pytest.raises(ModelError, match="is an exported model itself; leave out --export"):
        contents.find(exported, exported)


def test_a_damaged_configuration_is_named(pets: RunFolder) -> None:
    (pets.adapter / "adapter_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"adapter_config.json: cannot be read \(Expecting"):
        contents.parcels(contents.find(pets.folder), "")


def _pushed_recipe(run: RunFolder) -> str:
    parcels = contents.parcels(contents.find(run.folder), "")
    (card,) = [parcel for parcel in parcels if parcel.name == "rftkit.json"]
    return str(json.loads(text_of(card))["recipe"])


def test_a_link_brings_nothing_along(pets: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2", "utf-8")
    (pets.adapter / "README.md").unlink(missing_ok=True)
    (pets.adapter / "README.md").symlink_to(tmp_path / "secret")
    source = contents.find(pets.folder)
    assert "hunter2" not in card_text(source, "anna/pets")
    with pytest.raises(ModelError, match="is a link, perhaps to what is to stay here"):
        contents.parcels(source, "# card")
