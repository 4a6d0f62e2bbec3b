"""What is on the disk, not only in memory, when a function of `files` returns."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rftkit import files
from rftkit.errors import UserError
from rftkit.metrics.samples import repair
from rftkit.runs.run import WRITABLE, new_run


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


# Links in a stranger's folder, to a file of the user's


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    (tmp_path / "run").mkdir()
    return mine


def test_no_link_is_where_the_new_text_goes(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name beside the file is drawn, and a link that has it all the same is not followed."""
    path = elsewhere.parent / "run" / "a.csv"
    (path.parent / f".a.csv.{os.getpid()}").symlink_to(elsewhere)
    files.write_atomically(path, "new")
    assert (path.read_text(), elsewhere.read_text()) == ("new", "mine")
    monkeypatch.setattr(files.secrets, "token_hex", lambda count: "drawn")
    (path.parent / f".a.csv.drawn.{os.getpid()}").symlink_to(elsewhere)
    with pytest.raises(FileExistsError):
        files.write_atomically(path, "newer")
    assert (path.read_text(), elsewhere.read_text()) == ("new", "mine")


def test_a_link_is_replaced_and_not_written_through(elsewhere: Path) -> None:
    path = elsewhere.parent / "run" / "a.json"
    path.symlink_to(elsewhere)
    files.write_atomically(path, "new")
    assert not path.is_symlink()
    assert (path.read_text(), elsewhere.read_text()) == ("new", "mine")


def test_nothing_is_appended_through_a_link(elsewhere: Path) -> None:
    path = elsewhere.parent / "run" / "metrics.jsonl"
    path.symlink_to(elsewhere)
    for write in (
        lambda: files.append_line(path, {"step": 1}),
        lambda: files.append(path, "x"),
        lambda: repair(path),
    ):
        with pytest.raises(UserError, match=r"metrics.jsonl: is a link; a run writes to its own"):
            write()
    assert elsewhere.read_text() == "mine"


def test_a_place_is_tried_without_following_a_link(elsewhere: Path) -> None:
    folder = elsewhere.parent / "run"
    (folder / WRITABLE).symlink_to(folder.parent / "made.txt")
    new_run(folder)
    assert not (folder.parent / "made.txt").exists()
    assert not any(folder.iterdir())
