"""What a data set's README.md and the files like it may say: no file outside the folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml

from rftkit.errors import DataError

CARD, YAML = "README.md", ".huggingface.yaml"
MAX_BYTES = 5_000_000  # ten thousand names of classes take a tenth of it
MAX_VALUES = 200_000  # aliases counted as often as they stand for something
NAMING_FILES = ("data_files", "data_dir")  # keys of a config
UNREADABLE = (  # the last ones: `!!int ""`, `!!timestamp x`, which PyYAML does not expect
    *(yaml.YAMLError, ValueError, RecursionError),
    *(LookupError, AttributeError),
)
ADDRESS = re.compile("://|::")


def check_card(path: Path, shown: str) -> None:
    """Raises DataError if a README's YAML head is broken or names a file outside its folder.

    The head is found and parsed as huggingface_hub does it, so that both see the same.
    """
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    head = REGEX_YAML_BLOCK.search(_text(path, shown))
    if head:
        _check_yaml(head.group(2), shown)


def check_yaml_file(path: Path, shown: str) -> None:
    """The same for a file that is YAML as a whole."""
    _check_yaml(_text(path, shown), shown)


def check_infos(path: Path, shown: str) -> None:
    """Raises DataError if `dataset_infos.json` is too large or holds no JSON object of objects."""
    try:
        infos = json.loads(_text(path, shown))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{shown}: no JSON ({_short(error)}); mend it or remove it") from error
    if not isinstance(infos, dict) or not all(isinstance(info, dict) for info in infos.values()):
        raise DataError(f"{shown}: not an object for each config; mend it or remove it")


def check_card_on_the_hub(name: str, revision: str | None) -> None:
    """`check_card` for a data set of the hub, before `datasets` follows what the README names.

    Where the README cannot be had nothing is checked: `datasets` says why.
    """
    from datasets import config
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    if config.HF_HUB_OFFLINE:
        return  # `datasets` then reads its own cache of tables, and no README
    for file, check in ((CARD, check_card), (YAML, check_yaml_file)):
        try:
            path = hf_hub_download(name, file, repo_type="dataset", revision=revision)
        except (HfHubHTTPError, OSError, ValueError):
            continue
        check(Path(path), f"{name}/{file}")


def leads_out(pattern: str) -> bool:
    """Whether a file pattern may leave its folder or is an address."""
    parts = PurePosixPath(pattern.replace("\\", "/")).parts
    absolute = pattern.startswith(("/", "\\", "~")) or bool(PureWindowsPath(pattern).drive)
    return absolute or ".." in parts or bool(ADDRESS.search(pattern))


def read_yaml(text: str, shown: str) -> Mapping[str, Any]:
    """The keys of a text of YAML; {} for an empty one.

    Raises DataError if it cannot be read, is no mapping, or stands for too many values.
    """
    try:
        document = yaml.safe_load(text)
    except UNREADABLE as error:
        raise DataError(
            f"{shown}: its YAML cannot be read ({_short(error)}); mend it or remove the file"
        ) from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise DataError(f"{shown}: its YAML is no mapping of keys; mend it or remove the file")
    for _ in _strings(document, shown):  # counts its values
        pass
    return document


def _check_yaml(text: str, shown: str) -> None:
    document = read_yaml(text, shown)
    configs = document.get("configs")
    for config in configs if isinstance(configs, list) else []:
        for key in NAMING_FILES:
            for pattern in _strings(config.get(key) if isinstance(config, dict) else None, shown):
                if leads_out(pattern):
                    raise DataError(
                        f"{shown}: {key} {pattern[:80]!r} leads out of the folder; name files "
                        "inside it, relative to it"
                    )


def _strings(value: object, shown: str) -> Iterator[str]:
    """All texts within a value, keys too. Raises DataError if it holds too many values."""
    waiting, seen = [value], 0
    while waiting:
        one = waiting.pop()
        seen += 1
        if seen > MAX_VALUES:
            raise DataError(
                f"{shown}: its YAML stands for more than {MAX_VALUES:,} values; shorten it, or "
                "remove the file"
            )
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting += [*one, *one.values()]
        elif isinstance(one, list | tuple | set):
            waiting += one


def _text(path: Path, shown: str) -> str:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise DataError(f"{shown}: {size:,} bytes, above {MAX_BYTES:,}; shorten it")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise DataError(f"{shown}: no UTF-8 text; save it as UTF-8, or remove it") from error


def _short(error: Exception) -> str:
    if isinstance(error, RecursionError):  # whose text depends on where it came
        return "nested too deep"
    return " ".join(str(error).split())[:160]
