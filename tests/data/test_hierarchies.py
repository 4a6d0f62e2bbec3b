"""Coarser classes and other names of labels: what ships is whole, what does not fit is refused."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from rftkit.answers.labels import match_label
from rftkit.data.hierarchies import read_hierarchy
from rftkit.errors import DataError

NAMES = Path(__file__).parents[3] / "shared/data/meta_splits/classnames.json"


def written(folder: Path, *lines: str) -> str:
    path = folder / "names.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return str(path)


def test_fgvc_aircraft_has_the_classes_of_the_data_set() -> None:
    hierarchy = read_hierarchy("fgvc-aircraft")
    assert list(hierarchy.levels) == ["family", "manufacturer"]
    assert len(hierarchy.aliases) == 100
    for level, classes in (("family", 70), ("manufacturer", 30)):
        assert hierarchy.levels[level].keys() == hierarchy.aliases.keys()
        assert len(set(hierarchy.levels[level].values())) == classes


@pytest.mark.parametrize(
    ("label", "family", "manufacturer"),
    [
        ("707-320", "Boeing 707", "Boeing"),
        ("A318", "A320", "Airbus"),
        ("C-130", "C-130", "Lockheed Corporation"),
        ("C-47", "C-47", "Douglas Aircraft Company"),
        ("CRJ-900", "CRJ-700", "Canadair"),
        ("Cessna 560", "Cessna Citation", "Cessna"),
        ("DC-9-30", "DC-9", "McDonnell Douglas"),
        ("DHC-8-300", "Dash 8", "de Havilland"),
        ("E-195", "Embraer E-Jet", "Embraer"),
        ("ERJ 135", "Embraer ERJ 145", "Embraer"),
        ("F-16A/B", "F-16", "Lockheed Martin"),
        ("F/A-18", "F/A-18", "McDonnell Douglas"),
        ("Hawk T1", "Hawk T1", "British Aerospace"),
        ("MD-87", "MD-80", "McDonnell Douglas"),
        ("Model B200", "King Air", "Beechcraft"),
    ],
)
def test_an_aircraft_has_its_family_and_manufacturer(
    label: str, family: str, manufacturer: str
) -> None:
    levels = read_hierarchy("fgvc-aircraft").levels
    assert (levels["family"][label], levels["manufacturer"][label]) == (family, manufacturer)


def test_manufacturers_have_the_number_of_variants_that_the_data_set_gives_them() -> None:
    makers = list(read_hierarchy("fgvc-aircraft").levels["manufacturer"].values())
    sizes = {maker: makers.count(maker) for maker in makers if makers.count(maker) > 2}
    assert sizes == {
        "Boeing": 22,
        "Airbus": 13,
        "McDonnell Douglas": 7,
        "Embraer": 7,
        "de Havilland": 5,
        "British Aerospace": 4,
        "Douglas Aircraft Company": 4,
        "Canadair": 4,
        "Cessna": 4,
        "Fokker": 3,
    }


def test_a_family_is_of_one_manufacturer() -> None:
    levels = read_hierarchy("fgvc-aircraft").levels
    makers = defaultdict(set)
    for label, family in levels["family"].items():
        makers[family].add(levels["manufacturer"][label])
    assert {family: found for family, found in makers.items() if len(found) > 1} == {}


@pytest.mark.skipif(not NAMES.is_file(), reason="the shared class names are not here")
def test_the_labels_are_those_of_the_coop_splits() -> None:
    known = json.loads(NAMES.read_text("utf-8"))["fgvc_aircraft"]
    assert list(read_hierarchy("fgvc-aircraft").aliases) == known


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("Boeing 737-300", "737-300"),
        ("tiger moth", "DH-82"),
        ("F-16 Fighting Falcon", "F-16A/B"),
        ("Boeing 737", None),  # a family, not a variant
        ("Embraer 175", None),
    ],
)
def test_other_names_lead_to_one_label(answer: str, label: str | None) -> None:
    hierarchy = read_hierarchy("fgvc-aircraft")
    assert match_label(answer, tuple(hierarchy.aliases), hierarchy.spellings) == label


def test_a_file_of_the_users_is_read(tmp_path: Path) -> None:
    hierarchy = read_hierarchy(
        written(tmp_path, "kind,label,aliases", "pet,cat, tabby ;house  cat;", "wild,lynx,")
    )
    assert hierarchy.levels == {"kind": {"cat": "pet", "lynx": "wild"}}
    assert hierarchy.aliases == {"cat": ("tabby", "house cat"), "lynx": ()}
    assert hierarchy.spellings == {"tabby": "cat", "house cat": "cat"}


def test_a_file_of_labels_alone_has_no_levels(tmp_path: Path) -> None:
    hierarchy = read_hierarchy(written(tmp_path, "label", "cat"))
    assert (hierarchy.levels, hierarchy.aliases) == ({}, {"cat": ()})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["name,kind", "cat,pet"], "names.csv:1: no column 'label' (there are: name, kind)"),
        (["label,kind"], "names.csv:1: no rows"),
        (["label,kind", "cat,pet", "cat,wild"], "names.csv:3: label 'cat' is there already"),
        (["label,kind", "cat,pet", "lynx, "], "names.csv:3: column 'kind' is empty"),
        (["label,kind", ",pet"], "names.csv:2: column 'label' is empty"),
        (
            ["label", "Sea-Lion", "sea lion"],
            "names.csv:3: 'sea lion' of 'sea lion' reads like a na",
        ),
        (["label,aliases", "cat,tabby", "lynx,Cat"], "names.csv:3: 'Cat' of 'lynx' reads like"),
        (["label,aliases", "cat,lynx", "lynx,"], "names.csv:3: 'lynx' of 'lynx' reads like a name"),
        (["label,aliases", "cat,tom;puss", "lynx,Puss"], "names.csv:3: 'Puss' of 'lynx' reads"),
        (["label,aliases", "cat,--"], "names.csv:2: '--' holds no letter or digit"),
        (["label,kind", "cat"], "names.csv:2: 1 cells under 2 column names"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_line(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(DataError) as refused:
        read_hierarchy(written(tmp_path, *lines))
    assert message in str(refused.value)
    assert "; " in str(refused.value)  # says how to fix it


def test_an_unknown_name_is_refused_with_those_that_ship() -> None:
    with pytest.raises(DataError, match=r"^fgvc_aircraft: no such file; .*'fgvc-aircraft'"):
        read_hierarchy("fgvc_aircraft")
