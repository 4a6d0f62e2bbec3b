"""An export appears whole or not at all, and replaces nothing unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from rftkit.errors import UserError
from rftkit.export.publish import ProofError, failed_folder, in_place_of
from rftkit.runs.locks import LOCK


def written(out: Path, text: str, force: bool = False) -> None:
    with in_place_of(out, force) as folder:
        (folder / "weights").write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_is_there_before_the_end_and_all_after_it(tmp_path: Path) -> None:
    out = tmp_path / "export" / "merged"
    with in_place_of(out) as folder:
        (folder / "weights").write_text("new")
        assert not out.exists()
    assert (out / "weights").read_text() == "new"
    assert names(out) == ["weights"]
    assert names(tmp_path / "export") == ["merged"]


def cut_off(out: Path, error: type[BaseException]) -> None:
    with in_place_of(out) as folder:
        (folder / "weights").write_text("half")
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_one_that_is_cut_off_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    out = tmp_path / "merged"
    with pytest.raises(error):
        cut_off(out, error)
    assert names(tmp_path) == []


def test_what_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    out = tmp_path / "merged"
    written(out, "old")
    with pytest.raises(UserError, match="exists already; --force replaces it"):
        written(out, "new")
    assert (out / "weights").read_text() == "old"
    written(out, "new", force=True)
    assert (out / "weights").read_text() == "new"
    assert names(tmp_path) == ["merged"]


def test_a_file_is_no_place_for_an_export(tmp_path: Path) -> None:
    (tmp_path / "merged").write_text("a file of the user's")
    with pytest.raises(UserError, match="is a file"):
        written(tmp_path / "merged", "new", force=True)


@pytest.mark.parametrize(
    "place", [".merged.building", ".merged.building/files", ".merged.building/before"]
)
def test_links_where_it_is_made_are_refused(tmp_path: Path, place: str) -> None:
    """A stranger's archive of a run may bring them."""
    link, thesis = tmp_path / "run" / place, tmp_path / "thesis"
    (thesis / "files").mkdir(parents=True)
    link.parent.mkdir(parents=True)
    link.symlink_to(thesis)
    with pytest.raises(UserError) as refused:
        written(tmp_path / "run" / "merged", "new")
    assert str(refused.value).startswith(f"{link}: is a link; ")
    assert names(thesis) == ["files"]


@pytest.mark.parametrize("place", ["merged", "merged-failed"])
def test_a_link_that_it_replaces_goes_and_what_it_leads_to_stays(
    tmp_path: Path, place: str
) -> None:
    thesis, out = tmp_path / "thesis", tmp_path / "run" / "merged"
    written(thesis, "old")
    out.parent.mkdir()
    (out.parent / place).symlink_to(thesis)
    written(out, "new", force=True)
    assert (out / "weights").read_text() == "new"
    assert (thesis / "weights").read_text() == "old"
    assert names(out.parent) == ["merged"]


def fail(out: Path, force: bool = False) -> None:
    with in_place_of(out, force) as folder:
        (folder / "weights").write_text("broken")
        raise ProofError("another reply")


def test_one_that_fails_its_proof_lies_beside_and_replaces_nothing(tmp_path: Path) -> None:
    out = tmp_path / "merged"
    written(out, "old")
    with pytest.raises(ProofError):
        fail(out, force=True)
    assert (out / "weights").read_text() == "old"
    assert (failed_folder(out) / "weights").read_text() == "broken"
    with pytest.raises(ProofError):  # again: the newer one is kept
        fail(out, force=True)
    assert names(tmp_path) == ["merged", "merged-failed"]
    written(out, "new", force=True)
    assert names(tmp_path) == ["merged"]


def test_what_a_kill_left_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / ".merged.building" / "files"
    left.mkdir(parents=True)
    (left / "half").write_text("half")
    (left.parent / LOCK).write_text("999999999 nowhere")
    with pytest.raises(UserError, match="in use by process 999999999 on nowhere"):
        written(tmp_path / "merged", "new")  # another machine's process may be alive
    (left.parent / LOCK).unlink()
    written(tmp_path / "merged", "new")
    assert names(tmp_path / "merged") == ["weights"]
    assert names(tmp_path) == ["merged"]


def test_two_at_a_time_are_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "merged"
    with in_place_of(out) as folder:
        (folder / "weights").write_text("first")
        with pytest.raises(UserError, match="in use by process"):
            written(out, "second")
    assert (out / "weights").read_text() == "first"
