"""A local folder read as a hub data set: no file outside it, no address, no small file that fills
the memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rftkit.data.sources import hub
from rftkit.data.sources.local_hub import card, unpacking
from rftkit.data.sources.local_hub.arrow import check_arrow
from rftkit.errors import DataError
from rftkit.recipe.sections import Data

datasets = pytest.importorskip("datasets")
pyarrow = pytest.importorskip("pyarrow")


def png(shade: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (16, 16), (shade, shade, shade)).save(file, "PNG")
    return file.getvalue()


def table(*labels: str) -> Any:
    cells = [{"bytes": png(9 * number), "path": None} for number, _ in enumerate(labels)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    rows = [{"image": cell, "label": label} for cell, label in zip(cells, labels, strict=True)]
    return pyarrow.Table.from_pylist(rows, features.arrow_schema)


def write(content: Any, path: Path, **options: Any) -> None:
    from pyarrow.parquet import write_table

    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(content, path, **options)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of two splits; beside it a table that is none of its own."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write(table("secret"), tmp_path / "outside/train.parquet")
    for split in ("train", "test"):
        write(table("cat", "dog"), tmp_path / f"set/data/{split}.parquet")
    return tmp_path / "set"


def labels(folder: Path | str, split: str = "train") -> list[object]:
    return [row.values["label"] for row in hub.rows(Data(source="hub", path=str(folder)), split)]


def refusal(folder: Path | str) -> str:
    """The line of reading a split; listing the splits is refused at the same place."""
    with pytest.raises(DataError) as read:
        labels(folder)
    with pytest.raises(DataError) as listed:
        hub.described(str(folder))
    line = str(read.value)
    assert "\n" not in line
    assert str(listed.value).partition(": ")[0] == line.partition(": ")[0]
    return line


def readme(pattern: str, key: str = "data_files") -> str:
    return f"---\nconfigs:\n- config_name: default\n  {key}: {json.dumps(pattern)}\n---\n"


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """The address of a server, and what was asked of it."""
    requests = list[str]()

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.requestline)
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", requests
        server.shutdown()
        thread.join()


# Which files


@pytest.mark.parametrize("place", ["README.md", ".huggingface.yaml"])
@pytest.mark.parametrize(
    "pattern",
    [
        "../outside/train.parquet",
        "data/../../outside/*.parquet",
        "{outside}/train.parquet",
        "~/train.parquet",
        "{url}/train.parquet",
        "zip://train.parquet::{url}/a.zip",
        "hf://datasets/a/b/train.parquet",
        "file://{outside}/train.parquet",
    ],
)
def test_a_readme_names_no_file_outside_its_folder(
    folder: Path, asked: tuple[str, list[str]], pattern: str, place: str
) -> None:
    url, requests = asked
    name = pattern.format(outside=folder.parent / "outside", url=url)
    text = readme(name)
    (folder / place).write_text(text if place == "README.md" else text.strip("-\n"))
    line = refusal(folder)
    assert line.startswith(f"{folder}/{place}: data_files {name[:80]!r} leads out of the folder;")
    assert requests == []


@pytest.mark.parametrize("directory", ["..", "/", "../outside"])
def test_a_readme_names_no_other_directory(folder: Path, directory: str) -> None:
    (folder / "README.md").write_text(readme(directory, "data_dir"))
    assert f"README.md: data_dir {directory!r} leads out of the folder" in refusal(folder)


@pytest.mark.parametrize("linked", ["data/train.parquet", "data", "README.md"])
def test_links_that_leave_the_folder_are_refused(folder: Path, linked: str) -> None:
    outside, link = folder.parent / "outside", folder / linked
    (outside / "README.md").write_text("---\nlicense: mit\n---\n")
    (outside / "test.parquet").write_bytes((outside / "train.parquet").read_bytes())
    if link.is_dir():
        link.rename(folder.parent / "gone")
        (folder / "README.md").write_text(readme("data/*.parquet"))
    link.unlink(missing_ok=True)
    link.symlink_to(outside if linked == "data" else outside / link.name)
    assert "lies outside this folder, or is a link that leaves it; copy" in refusal(folder)


def test_a_column_of_other_media_is_not_opened(folder: Path, asked: tuple[str, list[str]]) -> None:
    url, requests = asked
    image = datasets.Image()
    features = datasets.Features(
        {"image": image, "label": datasets.Value("string"), "objects": {"picture": image}}
    )
    cell = {"bytes": png(5), "path": None}
    away = {"picture": {"bytes": None, "path": f"{url}/a.png"}}
    rows = [{"image": cell, "label": "cat", "objects": away}]
    content = pyarrow.Table.from_pylist(rows, features.arrow_schema)
    for split in ("train", "test"):
        write(content, folder / f"data/{split}.parquet")
    (row,) = hub.rows(Data(source="hub", path=str(folder)), "train")
    assert row.values == {"label": "cat"}
    assert requests == []


def test_relative_patterns_of_a_readme_are_read(folder: Path) -> None:
    (folder / "README.md").write_text(
        "---\nlicense: mit\nconfigs:\n- config_name: default\n  data_files:\n"
        "  - {split: train, path: data/test*}\n  - {split: later, path: [data/train.parquet]}\n"
        "dataset_info:\n  features:\n  - {name: image, dtype: image}\n"
        "  - {name: label, dtype: string}\n---\nSee https://example.org :: ../x\n"
    )
    write(table("cat", "cat", "cat"), folder / "data/test.parquet")
    assert labels(folder) == ["cat"] * 3
    assert labels(folder, "later") == ["cat", "dog"]
    splits, columns, shown = hub.described(str(folder))
    assert (splits, columns) == (["train", "later"], ["image", "label"])
    assert shown == [{"label": "cat"}] * 3


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl", "arrow"])
def test_other_tables_are_read(folder: Path, kind: str) -> None:
    content = table("cat", "dog")
    for split in ("train", "test"):
        (folder / f"data/{split}.parquet").unlink()
        path = folder / f"data/{split}.{kind}"
        if kind == "arrow":
            with pyarrow.ipc.new_stream(str(path), content.schema) as writer:
                writer.write_table(content)
        elif kind == "csv":
            path.write_text("image,label\n1.png,cat\n2.png,dog\n")
        else:
            cells = [{"image": f"{n}.png", "label": label} for n, label in enumerate("ab")]
            path.write_text("".join(json.dumps(cell) + "\n" for cell in cells))
    if kind == "arrow":
        assert labels(folder) == ["cat", "dog"]
    else:  # paths are text there, which `source = "csv"` and "jsonl" are for
        with pytest.raises(DataError, match="column 'image' holds Value, not images"):
            labels(folder)


def test_a_snapshot_in_the_hubs_cache_is_read(folder: Path) -> None:
    repository = folder.parent / "datasets--a--b"
    snapshot = repository / "snapshots/1f2e"
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for split in ("train", "test"):
        (folder / f"data/{split}.parquet").rename(repository / f"blobs/{split}0")
        (snapshot / f"{split}.parquet").symlink_to(f"../../blobs/{split}0")
    assert labels(snapshot) == ["cat", "dog"]
    (snapshot / "train.parquet").unlink()
    (snapshot / "train.parquet").symlink_to(folder.parent / "outside/train.parquet")
    assert "is a link that leaves it" in refusal(snapshot)


# Metadata that cannot be read


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("---\na:\n- !!python/name:os.system\n---\n", "its YAML cannot be read (could not determ"),
        ("---\na: [\n---\n", "its YAML cannot be read (while parsing"),
        ("---\n" + "[" * 20_000 + "\n---\n", "its YAML cannot be read (nested too deep)"),
        ("---\n- a\n---\n", "its YAML is no mapping of keys"),
        ("---\na: !!int ''\n---\n", "its YAML cannot be read (string index"),
        ("---\na: !!timestamp x\n---\n", "its YAML cannot be read ('NoneType' object"),
        ("---\na: &a [*a]\n---\n", "its YAML stands for more than 200,000 values"),
    ],
)
def test_a_broken_readme_is_one_line(folder: Path, text: str, reason: str) -> None:
    (folder / "README.md").write_text(text)
    assert refusal(folder).startswith(f"{folder}/README.md: {reason}")


def test_a_readme_that_is_no_text_is_one_line(folder: Path) -> None:
    (folder / "README.md").write_bytes(b"\xff\xfe")
    assert refusal(folder) == f"{folder}/README.md: no UTF-8 text; save it as UTF-8, or remove it"


def test_a_readme_of_many_megabytes_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card, "MAX_BYTES", 10)
    (folder / "README.md").write_text("---\na: b\n---\n")
    assert refusal(folder) == f"{folder}/README.md: 13 bytes, above 10; shorten it"


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[]", '{"default": 3}'])
def test_broken_infos_are_one_line(folder: Path, text: str) -> None:
    (folder / "dataset_infos.json").write_text(text)
    line = refusal(folder)
    assert line.startswith(f"{folder}/dataset_infos.json: no")
    assert line.endswith("mend it or remove it")


@pytest.mark.parametrize("value", [{"features": {"image": 7}}, {"splits": 3}, {"features": [3]}])
def test_odd_infos_are_one_line(folder: Path, value: object) -> None:
    (folder / "dataset_infos.json").write_text(json.dumps({"default": value}))
    with pytest.raises(DataError) as refused:
        labels(folder)
    assert f"{folder}: split 'train' cannot be read" in str(refused.value)


# Small files that are large


@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("column", ["label", "more"])
def test_a_parquet_file_that_unpacks_to_far_more_is_refused(
    folder: Path, column: str, dictionary: bool
) -> None:
    content = table(*"ab" * 200)
    long = pyarrow.array([["x" * 60_000]] * 400 if column == "more" else ["x" * 60_000] * 400)
    content = content.drop_columns(["label"]).append_column(column, long)
    path = folder / "data/train.parquet"
    write(content, path, compression="zstd", use_dictionary=dictionary)
    size = path.stat().st_size
    assert 100 * size + 1_000_000 < 24_000_000
    line = refusal(folder)
    assert line.startswith(f"{path}: {size:,} bytes that unpack to ")
    told = int(line.split("unpack to ")[1].split(" ")[0].replace(",", ""))
    assert 100 * size + 1_000_000 < told < 25_000_000


def test_rows_without_content_count(tmp_path: Path) -> None:
    path = tmp_path / "nothing.parquet"
    write(pyarrow.table({"label": pyarrow.array([7] * 1_000_000)}), path, compression="zstd")
    with pytest.raises(DataError, match=r"unpack to 8,000,000 or more, above 100 times"):
        unpacking.check_unpacked(str(path), "nothing.parquet")


def stream(content: Any, path: Path, compression: str | None) -> None:
    options = pyarrow.ipc.IpcWriteOptions(compression=compression)
    with pyarrow.ipc.new_stream(str(path), content.schema, options=options) as writer:
        writer.write_table(content)


@pytest.mark.parametrize("dictionary", [False, True])
@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_packed_arrow_file_is_refused(folder: Path, compression: str, dictionary: bool) -> None:
    (folder / "data/train.parquet").unlink()
    (folder / "data/test.parquet").unlink()
    content = table("cat", "dog")
    label = content["label"].dictionary_encode() if dictionary else content["label"]
    content = content.set_column(1, "label", label)
    stream(content, folder / "data/train.arrow", compression)
    assert refusal(folder) == (
        f"{folder}/data/train.arrow: holds compressed tables; write it without, or as parquet"
    )


def test_arrow_rows_of_nothing_and_the_other_format_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.arrow"
    empty = pyarrow.table({"nothing": pyarrow.nulls(10_000_000)})
    stream(empty, path, None)
    with pytest.raises(DataError, match=r"that unpack to 80,000,000 or more"):
        check_arrow(str(path), "t.arrow")
    with pyarrow.ipc.new_file(str(path), empty.schema) as writer:
        writer.write_table(empty)
    for content in (path.read_bytes(), b"a" * 64, b"\xff\xff\xff\xff\x10\0\0\0" + b"a" * 16):
        path.write_bytes(content)
        with pytest.raises(
            DataError, match=r"^t.arrow: no stream of arrow tables; make it parquet"
        ):
            check_arrow(str(path), "t.arrow")


def test_an_arrow_file_that_is_damaged_is_whole_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.arrow"
    stream(table("cat", "dog"), path, "zstd")
    whole = path.read_bytes()
    for place in range(min(len(whole), 900)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with suppress(DataError):
            check_arrow(str(path), "t.arrow")


def test_labels_that_repeat_are_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "many.parquet"
    names = [f"species {number % 1000} of a thousand" for number in range(20_000)]
    write(pyarrow.table({"label": names}), path)
    unpacking.check_unpacked(str(path), "many.parquet")


def test_a_text_above_the_limit_is_refused_with_its_row(folder: Path) -> None:
    write(table("cat", "x" * 100_000), folder / "data/train.parquet", compression=None)
    assert len(labels(folder)) == 2
    write(table("cat", "x" * 100_001), folder / "data/train.parquet", compression=None)
    with pytest.raises(DataError) as refused:
        labels(folder)
    assert str(refused.value).startswith(
        f"{folder}:train:1: column 'label' has a text of 100,001 characters, above 100,000;"
    )


@pytest.mark.parametrize("name", ["data.json.gz", "data.csv", "a.zip"])
def test_a_packed_file_is_not_unpacked(folder: Path, name: str) -> None:
    import gzip
    import zipfile

    for split in ("train", "test"):
        path = folder / f"data/{split}.parquet"
        path.unlink()
        path = path.with_name(f"{split}-{name}")
        if name == "a.zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("1.png", png(1))
        else:
            path.write_bytes(gzip.compress(b'{"label": "cat"}'))
    assert "packed (" in refusal(folder)


@pytest.mark.parametrize("kind", ["h5", "xml", "tar", "pdf"])
def test_formats_that_name_other_files_or_run_decoders_are_refused(folder: Path, kind: str) -> None:
    for path in [*folder.glob("data/*.parquet")]:
        path.rename(path.with_suffix(f".{kind}"))
    assert "are not read; make them parquet, or images in folders" in refusal(folder)


# Names


@pytest.mark.parametrize(
    "name", ["json", "text", "csv@main", "parquet", "imagefolder", "hf://datasets/lance"]
)
def test_a_kind_of_file_is_no_data_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(folder)
    line = refusal(name)
    assert line.startswith(f"data.path {name!r}: no data set, but a kind of file; set data.path")


def test_a_folder_may_have_such_a_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    folder.rename(folder.parent / "json")
    assert labels(Path("json")) == ["cat", "dog"]


def test_a_set_of_the_hub_names_no_file_of_this_machine(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = datasets.load_dataset_builder
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda name, revision: load(str(folder)))
    line = refusal(Path("someone/pets"))
    assert line.startswith(f"someone/pets: its README names '{folder}/data/")


def test_the_readme_of_a_set_of_the_hub_is_checked_before_its_files_are_looked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, list[str]]
) -> None:
    import huggingface_hub

    url, requests = asked
    path = folder / "README.md"
    path.write_text(readme(f"{url}/a.csv"))
    wanted = list[object]()

    def download(name: str, file: str, **options: object) -> str:
        wanted.append((name, file, options["repo_type"], options["revision"]))
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    line = refusal(Path("someone/pets@abc"))
    assert line.startswith("someone/pets/README.md: data_files 'http://127.0.0.1:")
    assert wanted == [("someone/pets", "README.md", "dataset", "abc")] * 2
    assert requests == []
