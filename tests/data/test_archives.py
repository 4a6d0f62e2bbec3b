"""Archives: unpacked once, atomically, and never what could do harm."""

from __future__ import annotations

import gzip
import io
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rftkit.data.archives import members
from rftkit.data.archives import unpack as archives
from rftkit.data.archives.unpack import unpacked
from rftkit.data.locate import locate
from rftkit.data.paths import DataPath
from rftkit.errors import DataError

Files = dict[str, bytes]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RFTKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def zipped(path: Path, files: Files, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


def tarred(path: Path, files: Files) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as packed:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return path


def special(path: Path, name: str, kind: bytes) -> Path:
    with tarfile.open(path, "w") as packed:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        packed.addfile(info)
    return path


def refusal(path: Path) -> str:
    """The one line of the error; nothing of the archive, not even half of it, is kept."""
    with pytest.raises(DataError) as caught:
        unpacked(path)
    shelf = path.parent / "cache/archives"
    assert not shelf.exists() or list(shelf.iterdir()) == []
    line = str(caught.value)
    assert line.startswith(str(path)), line
    assert "\n" not in line
    return line


MAKERS: dict[str, Callable[[Path, Files], Path]] = {
    "a.zip": zipped,
    "A.ZIP": zipped,
    "a.tar": tarred,
    "a.tar.gz": tarred,
    "a.tgz": tarred,
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_path_into_an_archive_leads_into_the_cache(
    tmp_path: Path, cache: Path, name: str
) -> None:
    files = {"top/": b"", "top/a.json": b"{}", "top/p/1.jpg": b"x" * 3_000_000, "b": b""}
    if not name.lower().endswith("zip"):
        files.pop("top/")
    path = MAKERS[name](tmp_path / name, files)
    named = unpacked(path / "top/a.json")
    found = named.real
    assert str(named) == f"{path}/top/a.json"
    assert found.read_bytes() == b"{}"
    assert (found.parent / "p/1.jpg").read_bytes() == b"x" * 3_000_000
    assert found.parents[2] == cache / "archives"
    assert len(found.parents[1].name) == 16
    assert unpacked(path).real == found.parents[1]
    assert [entry.name for entry in (cache / "archives").iterdir()] == [found.parents[1].name]


def test_an_archive_of_one_folder_stands_for_it_but_a_path_inside_is_taken_as_it_is(
    tmp_path: Path, cache: Path
) -> None:
    path = zipped(tmp_path / "a.zip", {"top/train/cat/1.jpg": b"x", "top/test/cat/2.jpg": b"x"})
    assert locate(str(path), "train") == unpacked(path) / "top"
    assert locate(f"{path}/top/{{split}}", "train") == unpacked(path) / "top/train"


def test_an_archive_is_unpacked_once_and_a_changed_one_again(tmp_path: Path) -> None:
    notes: list[str] = []
    path = zipped(tmp_path / "a.zip", {"x": b"1"})
    first = unpacked(path / "x", notes.append).real
    assert unpacked(path / "x", notes.append).real == first
    assert notes == [f"{path}: unpacked into {first.parent}/"]
    zipped(path, {"x": b"22"})
    assert unpacked(path / "x").real.read_bytes() == b"22"
    assert first.read_bytes() == b"1"


def test_a_path_without_an_archive_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "folder.zip").mkdir()
    for path in (tmp_path / "folder.zip/a", tmp_path / "none.zip", tmp_path / "x.json"):
        assert unpacked(path) == DataPath(path, path)


def test_litter_is_not_unpacked(tmp_path: Path) -> None:
    files = {"a/1": b"", "__MACOSX/a/._1": b"", "a/.DS_Store": b"", "a/._1": b""}
    for path in (zipped(tmp_path / "a.zip", files), tarred(tmp_path / "a.tar", files)):
        root = unpacked(path).real
        assert sorted(p.relative_to(root).as_posix() for p in root.rglob("*")) == ["a", "a/1"]


ESCAPES = [
    ("../x", "leaves the folder"),
    ("a/../../x", "leaves the folder"),
    ("..\\x", "leaves the folder"),
    ("/etc/x", "absolute path"),
    ("\\\\server\\share\\x", "absolute path"),
    ("C:\\x", "absolute path"),
    ("C:x", "absolute path"),
    ("a/file:stream", "absolute path"),
    ("a\nb", "unreadable characters"),
    ("x" * 256, "a name above 255 bytes"),
    ("d/" * 33 + "x", "34 folders deep"),
]


@pytest.mark.parametrize(("name", "what"), ESCAPES)
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str, what: str) -> None:
    assert what in refusal(zipped(tmp_path / "a.zip", {"fine": b"1", name: b"2"}))
    assert what in refusal(tarred(tmp_path / "a.tgz", {"fine": b"1", name: b"2"}))
    assert not (tmp_path / "cache/x").exists()
    assert not (tmp_path / "cache/archives/x").exists()


def test_the_path_itself_does_not_leave_the_archive(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"x": b"1", "b.zip": b"2"})
    assert "leads out of a.zip" in refusal(path / "../x")
    assert "into another archive" in refusal(path / "b.zip/x")


@pytest.mark.parametrize(
    ("first", "second"),
    [("a/X", "a/x"), ("A/x", "a/y"), ("é", "e\u0301"), ("x", "x"), ("x", "x/y"), ("x/y", "x")],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_a_disk_could_confuse_are_refused(
    tmp_path: Path, first: str, second: str
) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(first, b"1")
        packed.writestr(second, b"2")
    assert "are one path" in refusal(path)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    assert "'deep/link' is a link or a device" in refusal(
        special(tmp_path / "a.tar", "deep/link", kind)
    )


@pytest.mark.parametrize("mode", [0o120777, 0o010644, 0o020644])
def test_links_and_devices_in_a_zip_are_refused(tmp_path: Path, mode: int) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = mode << 16
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(info, "/etc/passwd")
    assert "'link' is a link or a device" in refusal(path)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"x": b"secret"})
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    path.write_bytes(content)
    assert "'x' is encrypted" in refusal(path)


def test_a_bomb_is_refused_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1_000_000)
    files = {str(n): bytes(900_000) for n in range(9)}  # packed a thousand to one
    for path in (zipped(tmp_path / "a.zip", files), tarred(tmp_path / "a.tgz", files)):
        assert "unpacks to more than 200 times its size" in refusal(path)
    monkeypatch.setattr(archives, "MAX_BYTES", 8_000_000)
    monkeypatch.setattr(archives, "FREE_BYTES", 10_000_000)
    for path in (tmp_path / "a.zip", tmp_path / "a.tgz"):
        assert "unpacks to more than" in refusal(path)
    monkeypatch.setattr(archives, "MAX_BYTES", 8_100_000)
    assert len(list(unpacked(tmp_path / "a.zip").iterdir())) == 9


def test_what_an_archive_admits_is_not_even_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1_000)
    monkeypatch.setattr(members, "MAX_MEMBERS", 3)
    begun: list[object] = []
    monkeypatch.setattr(archives, "_copy", lambda *given: begun.append(given) or 0)
    many = zipped(tmp_path / "many.zip", {str(n): b"" for n in range(4)})
    for path in (
        zipped(tmp_path / "a.zip", {"small": b"", "big": bytes(900_000)}),
        tarred(tmp_path / "a.tgz", {"big": bytes(900_000)}),
        many,
    ):
        refusal(path)
    assert begun == []


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"x": bytes(1_000_000)})
    content = path.read_bytes().replace(struct.pack("<I", 1_000_000), struct.pack("<I", 100))
    path.write_bytes(content)
    assert "broken or cut off (Bad CRC-32" in refusal(path)


def test_bytes_are_counted_as_they_are_written(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file, pytest.raises(DataError, match="unpacks to more"):
        archives._copy(io.BytesIO(bytes(101)), file, 100, "a.zip")


def test_a_header_of_a_tar_is_never_read_whole_when_it_is_huge(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 50_000_000
    path = tmp_path / "a.tgz"
    with gzip.open(path, "wb") as file:
        file.write(info.tobuf(tarfile.USTAR_FORMAT) + bytes(9_000_000))
    assert "a header of 50000384 bytes" in refusal(path)


def test_a_skipped_member_is_not_unpacked_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1_000_000)
    path = tarred(tmp_path / "a.tgz", {"__MACOSX/x": bytes(3_000_000), "y": b""})
    assert "unpacks to far more than its size" in refusal(path)


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MAX_MEMBERS", 3)
    files = {str(n): b"" for n in range(4)}
    for path in (zipped(tmp_path / "a.zip", files), tarred(tmp_path / "a.tar", files)):
        assert "more than 3 members" in refusal(path)


@pytest.mark.parametrize("name", MAKERS)
def test_a_truncated_archive_is_refused_wherever_it_ends(tmp_path: Path, name: str) -> None:
    path = MAKERS[name](tmp_path / name, {"a": b"1" * 2000, "b": b"2" * 2000})
    whole = path.read_bytes()
    ends = (
        (0, 100, len(whole) // 2, len(whole) - 7) if "gz" in name or "zip" in name.lower() else ()
    )
    for length in ends or (0, 511, 2560, 3000, 5120):
        path.write_bytes(whole[:length])
        assert "broken or cut off" in refusal(path), length


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tarred(tmp_path / "a.tar", {"a": b"1" * 2000, "b": b"2" * 2000})
    content = bytearray(path.read_bytes())
    content[2560 + 148] ^= 0xFF  # the second header's checksum, which tarfile takes for the end
    path.write_bytes(content)
    assert "broken or cut off" in refusal(path)
    for name in MAKERS:
        (tmp_path / name).write_bytes(b"<html>not found</html>" * 40)
        assert "broken or cut off" in refusal(tmp_path / name)


def test_a_full_disk_is_seen_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=archives.SPARE_BYTES + 1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    files = {"a": bytes(600_000), "b": bytes(600_000)}
    assert "needs 1 MB more" in refusal(zipped(tmp_path / "a.zip", files))
    assert unpacked(zipped(tmp_path / "b.zip", {"a": bytes(600_000)})).is_dir()


def test_another_process_may_be_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.zip", {"x": b"1"})
    write = archives._unpack

    def overtaken(archive: Path, folder: Path) -> None:
        write(archive, folder)
        rival = folder.with_name(folder.name.split(".")[1])
        rival.mkdir()
        write(archive, rival)

    monkeypatch.setattr(archives, "_unpack", overtaken)
    found = unpacked(path / "x").real
    assert found.read_bytes() == b"1"
    assert len(list(found.parents[1].iterdir())) == 1


def test_a_folder_that_cannot_be_moved_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: Path, target: Path) -> Path:
        raise PermissionError(f"not {target.parent.name}")

    monkeypatch.setattr(Path, "rename", failing)
    assert "cannot be unpacked" in refusal(zipped(tmp_path / "a.zip", {"x": b"1"}))


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(DataError, match=r"cannot be unpacked into .* set RFTKIT_CACHE"):
        unpacked(zipped(tmp_path / "a.zip", {"x": b"1"}))
