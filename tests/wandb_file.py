"""Reading a `.wandb` file back: the records that the real package has written."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK, HEAD = 32768, 7  # bytes: of LevelDB's log format, in which the file is
WHOLE, LAST = 1, 4  # kinds of a piece of a record that end one


@dataclass
class Logged:
    """One file. history: a dict for each call of `log`. artifacts: name -> its files, by path."""

    id: str = ""
    project: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, dict[str, Path]] = field(default_factory=dict)
    exit_code: int | None = None

    def table(self, name: str) -> dict[str, Any]:
        """The first table that was logged under a name."""
        files = next(f for title, f in self.artifacts.items() if title.endswith(f"-{name}"))
        found: dict[str, Any] = json.loads(files[f"{name}.table.json"].read_text("utf-8"))
        return found


def read(folder: Path) -> list[Logged]:
    """The offline runs of a run folder, in the order in which they were begun."""
    import wandb

    wandb.teardown()  # its process writes a file to the end only as it ends
    return [_read(path) for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))]


def _read(path: Path) -> Logged:
    from wandb.proto import wandb_internal_pb2

    found = Logged()
    for raw in _records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(raw)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found.id, found.project = record.run.run_id, record.run.project
            items = record.run.config.update
            found.config |= {item.key: json.loads(item.value_json) for item in items}
        elif kind == "history":
            found.history.append(_items(record.history.item))
        elif kind == "summary":
            found.summary |= _items(record.summary.update)
        elif kind == "artifact":
            contents = record.artifact.manifest.contents
            files = {entry.path: Path(entry.local_path) for entry in contents}
            found.artifacts.setdefault(record.artifact.name, files)
        elif kind == "exit":
            found.exit_code = record.exit.exit_code
    return found


def _items(items: Any) -> dict[str, Any]:
    names = ["/".join([item.key] if item.key else item.nested_key) for item in items]
    return {n: json.loads(i.value_json) for n, i in zip(names, items, strict=True) if i.value_json}


def _records(data: bytes) -> Iterator[bytes]:
    place, made = HEAD, b""
    while place + HEAD <= len(data):
        if BLOCK - place % BLOCK < HEAD:
            place += BLOCK - place % BLOCK
            continue
        _, size, kind = struct.unpack("<IHB", data[place : place + HEAD])
        made += data[place + HEAD : place + HEAD + size]
        place += HEAD + size
        if kind in (WHOLE, LAST):
            yield made
            made = b""
