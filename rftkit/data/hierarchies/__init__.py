"""Coarser classes of labels, and their other names: a CSV of the user's, or one that ships."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rftkit.answers.labels import normalise
from rftkit.data.paths import DataPath
from rftkit.data.sources.tables import Record, read_csv
from rftkit.errors import DataError
from rftkit.messages import did_you_mean

HERE = Path(__file__).parent
SHIPPED = {"fgvc-aircraft": HERE / "fgvc_aircraft.csv"}


@dataclass(frozen=True)
class Hierarchy:
    """levels: name of the level -> label -> its class there, in the order of the file's columns.

    aliases: label -> its other names. Every label has an entry in each of them.
    """

    levels: Mapping[str, Mapping[str, str]]
    aliases: Mapping[str, tuple[str, ...]]

    @property
    def spellings(self) -> dict[str, str]:
        """Other name -> label, as `labels.match_label` takes them."""
        return {name: label for label, names in self.aliases.items() for name in names}


def read_hierarchy(name_or_path: str) -> Hierarchy:
    """The hierarchy that ships under this name ("fgvc-aircraft"), or that a CSV file holds.

    The file has a column `label`, if wanted `aliases` (separated by `;`), and a column for each
    coarser level. Raises DataError, with the line, if a label is missing or given twice, a level
    is empty, or a name reads like another label or its alias.
    """
    path = SHIPPED.get(name_or_path, Path(name_or_path).expanduser())
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; name a CSV file; {did_you_mean(str(path), SHIPPED)}"
        )
    levels: dict[str, dict[str, str]] = {}
    aliases: dict[str, tuple[str, ...]] = {}
    owners: dict[str, str] = {}
    for location, row in _rows(path):
        label, others = row.pop("label"), row.pop("aliases", "").split(";")
        if label in aliases:
            raise DataError(f"{location}: label {label!r} is there already; keep one of its rows")
        aliases[label] = tuple(name for other in others if (name := " ".join(other.split())))
        for name in (label, *aliases[label]):
            _claim(name, label, owners, location)
        for level, value in row.items():
            levels.setdefault(level, {})[label] = value
    return Hierarchy(levels, aliases)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The place and the cells of each row, every one but `aliases` filled."""
    number = 0
    for number, record in enumerate(read_csv(DataPath.of(path)), start=1):  # noqa: B007  counted below
        if "label" not in record.values:
            there = ", ".join(record.values)
            raise DataError(f"{path}:1: no column 'label' (there are: {there}); rename one to it")
        yield record.location, _cells(record)
    if not number:
        raise DataError(f"{path}:1: no rows; add one for each label")


def _cells(record: Record) -> dict[str, str]:
    cells = {name: " ".join(str(value).split()) for name, value in record.values.items()}
    for name, value in cells.items():
        if name != "aliases" and not value:
            raise DataError(f"{record.location}: column {name!r} is empty; fill it in every row")
    return cells


def _claim(name: str, label: str, owners: dict[str, str], location: str) -> None:
    """Notes whose name this is. Raises DataError if it is another label's already, or no name."""
    if not (key := normalise(name)):
        raise DataError(f"{location}: {name!r} holds no letter or digit; give it a name")
    if (owner := owners.setdefault(key, label)) != label:
        raise DataError(
            f"{location}: {name!r} of {label!r} reads like a name of {owner!r}; change one of them"
        )
