"""A pipe or a device where a file of a run or a data set should be is said, not read for ever."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rftkit.data.sources import yolo_layout
from rftkit.errors import UserError
from rftkit.files import plain, read_lines
from rftkit.metrics.baselines import read_baselines
from rftkit.metrics.files import SUMMARY, read_summary
from rftkit.metrics.samples import read_samples
from rftkit.runs import checkpoints
from rftkit.runs.run import RunFolder

READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "lines": ("metrics.jsonl", read_lines),
    "status": ("run.json", lambda path: RunFolder(path.parent).status()),
    "settings": ("effective.json", lambda path: RunFolder(path.parent).settings_in_force()),
    "summary": (SUMMARY, lambda path: read_summary(path.parent)),
    "samples": ("samples.jsonl", read_samples),
    "baselines": ("baselines.json", read_baselines),
    "data.yaml": ("data.yaml", yolo_layout._load),
}


@pytest.fixture(params=["pipe", "device"])
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Path]:
    """Puts a pipe, or a link to what never ends, in the place of a file."""

    def put(name: str) -> Path:
        path = tmp_path / name
        if request.param == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")
        return path

    return put


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("reader", READERS)
def test_it_is_refused_by_name(odd: Callable[[str], Path], reader: str) -> None:
    name, read = READERS[reader]
    with pytest.raises(UserError, match=rf"/{name}: no plain file, but a pipe"):
        read(odd(name))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_manifest_that_is_none_is_damage(odd: Callable[[str], Path], tmp_path: Path) -> None:
    odd(checkpoints.MANIFEST)
    assert checkpoints.damage(tmp_path) == "has no readable manifest"


def test_a_file_and_what_is_not_there_pass(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert plain(path) == path
    path.touch()
    assert plain(path) == path
    assert read_lines(path) == []
