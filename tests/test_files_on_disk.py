"""What is on the disk, not only in memory, when a function of `files` returns."""

from __future__ import annotations

from pathlib import Path

import pytest

from rftkit import files


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What the system was told to write to the disk, in order."""
    order = list[Path]()
    monkeypatch.setattr(files, "sync", order.append)
    return order


def test_a_folder_is_made_with_its_names_on_the_disk(tmp_path: Path, synced: list[Path]) -> None:
    files.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert synced == [tmp_path, tmp_path / "a"]
    files.make_folder(tmp_path / "a" / "b")
    assert len(synced) == 2


def test_a_folder_is_synced_with_all_in_it_and_its_name(tmp_path: Path, synced: list[Path]) -> None:
    folder = tmp_path / "adapter"
    (folder / "inside").mkdir(parents=True)
    (folder / "inside" / "weights").touch()
    (folder / "link").symlink_to("elsewhere")
    files.sync_tree(folder)
    inside = folder / "inside"
    assert sorted(synced[:-2]) == [inside, inside / "weights"]
    assert synced[-2:] == [folder, tmp_path]
