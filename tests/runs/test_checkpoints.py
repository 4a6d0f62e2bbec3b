"""Checkpoints are whole or absent, and `--ckpt` finds the one that is meant, or says why not."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace

import fakes
import pytest
import torch
from safetensors.torch import save_file

from rftkit import files
from rftkit.errors import ModelError, UserError
from rftkit.recipe.toml import dump_recipe
from rftkit.runs import checkpoints
from rftkit.runs.adapter import CARD, EXPORT_CARD, find, read_card, renew_card, write_card
from rftkit.runs.run import RunFolder

EMPTY = (2).to_bytes(8, "little") + b"{}"  # of safetensors: the length of a header, no tensors
CONTENT = {"adapter_model.safetensors": EMPTY, "adapter_config.json": b"{}", "a/rng": b"42"}


def settled(folder: Path, step: int) -> Path:
    """A checkpoint in the checkpoints folder of a run."""
    staged = folder / ".staging" / f"checkpoint-{step}"
    for name, content in CONTENT.items():
        (staged / name).parent.mkdir(parents=True, exist_ok=True)
        (staged / name).write_bytes(content)
    return checkpoints.settle(staged, folder / f"step-{step:06d}")


def trained(folder: Path, age: int = 0, finished: bool = True) -> RunFolder:
    """A run with checkpoints of steps 1 and 2 and, if it is finished, an adapter."""
    run, recipe = RunFolder(folder), fakes.recipe(seed=7)
    folder.mkdir(parents=True)
    run.resolved.write_text(dump_recipe(recipe))
    settled(run.checkpoints, 1)
    settled(run.checkpoints, 2)
    if finished:
        adapter(run.adapter)
    run.set_status("finished" if finished else "stopped", labels=["cat", "dog"])
    os.utime(run.status_file, ns=(age, age))
    return run


def adapter(folder: Path) -> Path:
    fakes.FakePolicy(answer=fakes.never).save(folder)
    write_card(folder, fakes.recipe(seed=7), ["cat", "dog"])
    return folder


def refusal(location: Path) -> str:
    with pytest.raises(ModelError) as caught:
        find(location)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_checkpoint_is_moved_into_place_whole(tmp_path: Path) -> None:
    location = settled(tmp_path, 3)
    assert location == tmp_path / "step-000003"
    assert {p.relative_to(location).as_posix() for p in location.rglob("*") if p.is_file()} == {
        *CONTENT,
        checkpoints.MANIFEST,
    }
    assert checkpoints.damage(location) is None
    assert checkpoints.step_of(location) == 3


@pytest.mark.parametrize("name", CONTENT)
def test_damage_is_named(tmp_path: Path, name: str) -> None:
    location = settled(tmp_path, 1)
    content = CONTENT[name]
    (location / name).write_bytes(content[:-1])
    assert checkpoints.damage(location) == f"{name} has {len(content) - 1} bytes instead of " + str(
        len(content)
    )
    (location / name).write_bytes(b"")
    assert checkpoints.damage(location) == f"{name} has 0 bytes instead of {len(content)}"
    (location / name).unlink()
    assert checkpoints.damage(location) == f"{name} is missing"
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        (location / name).write_bytes(flipped)
        assert checkpoints.damage(location) == f"{name} has changed since it was written"
    (location / name).write_bytes(content)
    assert checkpoints.damage(location) is None


def test_no_flip_or_cut_of_the_manifest_goes_unseen(tmp_path: Path) -> None:
    location = settled(tmp_path, 1)
    manifest = location / checkpoints.MANIFEST
    whole = manifest.read_bytes()
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        manifest.write_bytes(flipped)
        assert checkpoints.damage(location), bytes(flipped)
    for length in range(len(whole)):
        manifest.write_bytes(whole[:length])
        assert checkpoints.damage(location) == "has no readable manifest"


@pytest.mark.parametrize("text", ["[]", "3", "null", '{"a": 1}', '{"a": [1]}', '{"a": null}'])
def test_a_manifest_of_another_shape_is_damage(tmp_path: Path, text: str) -> None:
    (tmp_path / checkpoints.MANIFEST).write_text(text)
    assert checkpoints.damage(tmp_path) == "has no readable manifest"


@pytest.mark.parametrize("moment", ["sync", "sha256"])
def test_a_checkpoint_cut_off_while_it_settles_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    settled(tmp_path, 1)

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, moment, full)
    with pytest.raises(OSError, match="No space"):
        settled(tmp_path, 2)
    assert checkpoints.in_order(tmp_path) == [tmp_path / "step-000001"]


@pytest.mark.parametrize("name", ["adapter_model.bin", "pytorch_model.bin", "rng.pth", "x.json"])
def test_a_file_that_was_not_saved_is_damage(tmp_path: Path, name: str) -> None:
    location = settled(tmp_path, 1)
    (location / name).touch()
    assert checkpoints.damage(location) == f"{name} is not in its manifest"


@pytest.mark.parametrize("text", ["{}", '{"a/rng": [2, "x"]}'])
def test_a_manifest_without_weights_is_damage(tmp_path: Path, text: str) -> None:
    location = settled(tmp_path, 1)
    (location / checkpoints.MANIFEST).write_text(text)
    assert checkpoints.damage(location) == "its manifest does not name adapter_model.safetensors"


def test_a_link_in_place_of_a_checkpoint_is_taken_away_and_not_followed(tmp_path: Path) -> None:
    elsewhere = settled(tmp_path / "elsewhere", 1)
    linked = tmp_path / "run" / "step-000001"
    linked.parent.mkdir()
    linked.symlink_to(elsewhere)
    checkpoints.keep_only(linked.parent, [])
    assert not linked.is_symlink()
    linked.symlink_to(elsewhere)
    assert settled(tmp_path / "run", 1) == linked
    assert not linked.is_symlink()
    assert checkpoints.damage(elsewhere) is None


def test_a_link_in_place_of_a_file_is_damage(tmp_path: Path) -> None:
    location = settled(tmp_path, 1)
    (location / "a" / "rng").rename(tmp_path / "rng")
    (location / "a" / "rng").symlink_to(tmp_path / "rng")
    assert checkpoints.damage(location) == "a/rng is missing"


def test_names_are_on_the_disk_when_a_checkpoint_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file, each folder in it, and last the folders that hold its name and theirs."""
    order = list[Path]()
    monkeypatch.setattr(checkpoints, "sync", order.append)
    final = settled(tmp_path, 1)
    staged = tmp_path / ".staging" / "checkpoint-1"
    files_synced = [staged / name for name in sorted(CONTENT)]
    assert set(order[:3]) == set(files_synced)
    assert order[3] == staged / checkpoints.MANIFEST
    assert set(order[4:6]) == {staged, staged / "a"}
    assert order[6:] == [final.parent, final.parent.parent]


def test_a_step_that_is_saved_again_replaces_its_checkpoint(tmp_path: Path) -> None:
    (settled(tmp_path, 1) / "stale").touch()
    location = settled(tmp_path, 1)
    assert not (location / "stale").exists()
    assert checkpoints.damage(location) is None


def test_checkpoints_are_ordered_by_step_not_by_name(tmp_path: Path) -> None:
    for name in ("step-9", "step-000010", "step-1000000", "step-x", "step-²", "other", "step-"):
        (tmp_path / name).mkdir()
    names = [path.name for path in checkpoints.in_order(tmp_path)]
    assert names == ["step-1000000", "step-000010", "step-9"]
    assert checkpoints.in_order(tmp_path / "none") == []


def test_only_those_that_are_named_are_kept(tmp_path: Path) -> None:
    paths = [settled(tmp_path, step) for step in (5, 10, 15)]
    checkpoints.keep_only(tmp_path, [paths[0], paths[2]])
    assert checkpoints.in_order(tmp_path) == [paths[2], paths[0]]


def stored(folder: Path, weight: float = 1.0, moment: float = 1.0) -> Path:
    """A checkpoint of one weight and its moments, put into place as it is."""
    staged = folder / ".staging" / "checkpoint-1"
    staged.mkdir(parents=True)
    save_file({"lora_A": torch.tensor([1.0, weight])}, staged / checkpoints.WEIGHTS)
    state = {"step": torch.tensor(1.0), "exp_avg": torch.tensor([moment])}
    torch.save({"state": {7: state}, "param_groups": []}, staged / checkpoints.OPTIMIZER)
    return checkpoints.settle(staged, folder / "step-000001")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_damage(tmp_path: Path, value: float) -> None:
    assert checkpoints.damage(stored(tmp_path / "whole")) is None
    assert checkpoints.damage(stored(tmp_path / "weight", weight=value)) == (
        "adapter_model.safetensors: lora_A holds NaN or infinity"
    )
    assert checkpoints.damage(stored(tmp_path / "moment", moment=value)) == (
        "optimizer.pt: exp_avg of parameter 7 holds NaN or infinity"
    )


@pytest.mark.parametrize("name", [checkpoints.WEIGHTS, checkpoints.OPTIMIZER])
@pytest.mark.parametrize(
    "content",
    [b"", b"no tensors", pickle.dumps(print, 2), pickle.dumps([1], 2)],
    ids=["empty", "text", "code", "list"],
)
def test_files_that_cannot_be_read_are_damage(tmp_path: Path, name: str, content: bytes) -> None:
    staged = stored(tmp_path).rename(tmp_path / "staged")
    (staged / checkpoints.MANIFEST).unlink()
    (staged / name).write_bytes(content)
    location = checkpoints.settle(staged, tmp_path / "step-000001")
    assert checkpoints.damage(location) == f"{name} cannot be read"


def test_a_full_disk_is_noticed_before_it_is_written_to(tmp_path: Path) -> None:
    files.require_space(tmp_path, 1)
    with pytest.raises(UserError, match=r"needs 1099511627776\.0 MB and \d+\.\d MB are free") as e:
        files.require_space(tmp_path, 2**60)
    assert e.value.exit_code == 1


def test_a_run_is_found_by_its_folder(tmp_path: Path) -> None:
    run = trained(tmp_path / "pets")
    found = find(run.folder)
    assert (found.adapter, found.home, found.run) == (run.adapter, run.evaluations, run)
    assert (found.recipe.seed, found.name, found.note) == (7, "", "")


def test_an_unfinished_run_gives_its_newest_whole_checkpoint(tmp_path: Path) -> None:
    run = trained(tmp_path / "pets", finished=False)
    assert find(run.folder).name == "step-000002"
    (run.checkpoints / "step-000002" / "a/rng").unlink()
    found = find(run.folder)
    assert (found.name, found.note) == (
        "step-000001",
        "not finished, so its newest checkpoint: step-000001",
    )
    shutil.rmtree(run.checkpoints)
    assert "nothing trained here yet; `rftkit train --resume` continues" in refusal(run.folder)


def test_an_adapter_that_was_cut_off_while_it_was_saved_is_not_taken(tmp_path: Path) -> None:
    run = trained(tmp_path / "pets")
    (run.adapter / CARD).unlink()  # written last
    assert find(run.folder).name == "step-000002"


def test_a_checkpoint_inside_a_run_is_found(tmp_path: Path) -> None:
    run = trained(tmp_path / "pets")
    found = find(run.checkpoints / "step-000001")
    assert (found.name, found.run, found.home) == ("step-000001", run, run.evaluations)
    (found.adapter / "adapter_model.safetensors").write_bytes(EMPTY.replace(b"}", b")"))
    line = refusal(found.adapter)
    assert "adapter_model.safetensors has changed since it was written; name another" in line


def test_the_adapter_of_a_run_is_the_run(tmp_path: Path) -> None:
    run = trained(tmp_path / "pets")
    found = find(run.adapter)
    assert (found.name, found.run, found.home) == ("", run, run.evaluations)


def test_an_adapter_that_was_moved_stands_alone(tmp_path: Path) -> None:
    location = adapter(tmp_path / "mine")
    found = find(location)
    assert (found.run, found.home, found.recipe.seed) == (None, location / "eval", 7)
    assert read_card(location).labels == ("cat", "dog")


def test_a_folder_of_runs_gives_the_newest_that_has_trained(tmp_path: Path) -> None:
    trained(tmp_path / "old", age=1)
    trained(tmp_path / "new", age=2)
    shutil.rmtree(trained(tmp_path / "newest", age=3, finished=False).checkpoints)
    found = find(tmp_path)
    assert found.run == RunFolder(tmp_path / "new")
    assert found.note == f"newest run: {tmp_path / 'new'}"


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "no such folder on this machine; name a run" in refusal(tmp_path / "none")
    assert "no such folder on this machine" in refusal(Path("Qwen/Qwen2.5-VL-3B-Instruct"))
    assert "a file, not a folder" in refusal(tmp_path / "file")
    said = refusal(tmp_path)
    assert "neither a run nor an adapter, and no trained run inside; name a run such as" in said


def test_an_exported_model_is_told_from_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(tmp_path / "out" / "pets", age=1)
    for folder in (run.folder / "export" / "merged", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
        (folder / EXPORT_CARD).touch()
    monkeypatch.chdir(tmp_path)
    said = refusal(Path("out/pets/export/merged"))
    assert "--ckpt out/pets/export/merged: is an exported model, for other programs" in said
    assert said.endswith("Name its run, out/pets")
    assert refusal(Path("elsewhere")).endswith("Name the run that it is from")


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    location = adapter(tmp_path / "mine")
    (location / checkpoints.WEIGHTS).rename(location / "adapter_model.bin")
    assert "no adapter_model.safetensors; pickled weights are not read" in refusal(location)


def test_an_adapter_that_does_not_say_its_recipe_is_refused(tmp_path: Path) -> None:
    location = adapter(tmp_path / "mine")
    card = location / CARD
    card.unlink()
    assert "no rftkit.json beside the adapter; name the run it is from" in refusal(location)
    for text in ("", "{", "[]", "{}", '{"recipe": "x"}', '{"recipe": "x", "labels": 3}', "\xff"):
        card.write_text(text, "latin-1")
        assert "rftkit.json: damaged" in refusal(location)


def damage_final(folder: Path, name: str) -> None:
    path = folder / name
    if name == checkpoints.WEIGHTS:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    else:
        path.write_text('{"lora_alpha": 33}')


@pytest.mark.parametrize("name", [checkpoints.WEIGHTS, "adapter_config.json"])
def test_a_final_adapter_that_has_changed_is_refused(tmp_path: Path, name: str) -> None:
    run = trained(tmp_path / "pets")
    (run.adapter / checkpoints.WEIGHTS).write_bytes(EMPTY)
    (run.adapter / "adapter_config.json").write_text('{"lora_alpha": 32}')
    write_card(run.adapter, fakes.recipe(seed=7), ["cat", "dog"])
    copy = Path(shutil.copytree(run.adapter, tmp_path / "copy"))
    assert find(run.folder).adapter == run.adapter
    damage_final(run.adapter, name)
    renew_card(run.adapter, fakes.recipe(seed=8))
    damage_final(copy, name)
    says = f"{name} has changed since it was saved; take it from a copy"
    for location in (run.folder, run.adapter, copy):
        assert says in refusal(location)
    held = json.loads((copy / CARD).read_text())
    (copy / CARD).write_text(json.dumps({k: held[k] for k in ("recipe", "labels")}))
    assert find(copy).adapter == copy, "of an older rftkit, which kept no hash"


def test_a_run_of_a_newer_rftkit_is_refused(tmp_path: Path) -> None:
    run = trained(tmp_path / "pets")
    run.status_file.write_text('{"format": 99, "rftkit": "9.9"}')
    with pytest.raises(UserError, match="written by a newer rftkit"):
        find(run.folder)


STATE = {"global_step": 2, "log_history": [], "stateful_callbacks": {"TrainerControl": {}}}


@pytest.mark.parametrize(("state", "fits"), [
    (STATE, True),
    ({**STATE, "global_step": 1}, True),  # of the second part of a run
    ({**STATE, "global_step": 3}, False),
    ({**STATE, "global_step": 0}, False),
    ({**STATE, "global_step": "2"}, False),
    ({**STATE, "log_history": "x"}, False),
    ({**STATE, "logging_steps": 1, "save_steps": 0.5, "eval_steps": None}, True),
    *(({**STATE, name: value}, False)
      for name in ("logging_steps", "save_steps", "eval_steps") for value in (0, -1, "1", True)),
    ({**STATE, "stateful_callbacks": {"A": {}}}, False),
    ({**STATE, "stateful_callbacks": 5}, False),
    ([], False),
    ({}, False),
])  # fmt: skip
def test_a_checkpoint_that_a_trainer_would_go_on_from_wrongly_is_not_taken(
    tmp_path: Path, state: object, fits: bool
) -> None:
    location = tmp_path / "step-000002"
    location.mkdir()
    for name in checkpoints.RESUMED_FROM:
        assert checkpoints.unfit(location) == f"{name} is missing"
        (location / name).write_text(json.dumps(state))
    told = None if fits else "trainer_state.json is not what a trainer writes"
    assert checkpoints.unfit(location) == told


def test_what_a_library_says_of_a_failed_write_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "adapter"
    line = (
        f"{place}: cannot be written (unexpected pos 64 vs 12); look after the disk, then "
        "continue with --resume"
    )
    with pytest.raises(UserError) as caught, checkpoints.written(place):
        raise RuntimeError("unexpected pos 64 vs 12\nin a file")
    assert str(caught.value) == line
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(UserError, match="make room"), checkpoints.written(place):
        raise RuntimeError("unexpected pos 64 vs 12")


def test_weights_that_no_lora_has_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sparse file of any size costs nothing to make, and hours to hash."""
    run = trained(tmp_path / "run")
    alone = adapter(tmp_path / "alone")

    def read(path: Path) -> str:
        raise AssertionError(path)

    monkeypatch.setattr(files, "sha256", read)
    monkeypatch.setattr(checkpoints, "sha256", read)
    step = run.checkpoints / "step-000002"
    for folder in (run.adapter, alone, step):
        with (folder / checkpoints.WEIGHTS).open("wb") as file:
            file.truncate(2**41)
    for location in (run.folder, run.adapter, alone):
        assert refusal(location).endswith(
            "adapter_model.safetensors has 2,199,023,255,552 bytes, and no LoRA has more than "
            "17,179,869,184; take it from a copy, or train again"
        )
    manifest = step / checkpoints.MANIFEST
    listing = json.loads(manifest.read_text())
    manifest.write_text(
        json.dumps(
            {
                checkpoints.WEIGHTS: [2**41, ""],
                **{name: one for name, one in listing.items() if name != checkpoints.WEIGHTS},
            }
        )
    )
    assert checkpoints.damage(step) == (
        "adapter_model.safetensors has 2,199,023,255,552 bytes, more than a checkpoint's file has"
    )
