"""What is installed and released: pins with hashes, and the record of what a release is made of."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from email.message import Message
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_make_targets import made

ROOT = next(folder for folder in Path(__file__).parents if (folder / "Makefile").exists())
PINS = ("constraints.txt", "constraints-vllm.txt")
PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+)")
HASH = re.compile(r" {4}--hash=sha256:[0-9a-f]{64}(?: \\)?")


def pinned(name: str) -> dict[str, str]:
    """Canonical name -> version. Fails for a line that is no pin: nothing would look it up."""
    lines = (ROOT / name).read_text("utf-8").splitlines()
    pins = [PIN.fullmatch(line) for line in lines if line and not line.startswith("#")]
    assert None not in pins
    found = {canonicalize_name(pin[1]): pin[2] for pin in pins if pin}
    assert len(found) == len(pins)
    return found


def hashed() -> dict[str, tuple[str, int]]:
    """Canonical name -> version and number of hashes, of the pins with hashes."""
    found: dict[str, tuple[str, int]] = {}
    for line in (ROOT / "requirements-hashed.txt").read_text("utf-8").splitlines():
        if pin := PIN.fullmatch(line.removesuffix(" \\")):
            last = canonicalize_name(pin[1])
            assert last not in found
            found[last] = (pin[2], 0)
        else:
            assert HASH.fullmatch(line), line  # no address, no option, no path
            version, count = found[last]
            found[last] = (version, count + 1)
    return found


@pytest.mark.parametrize("name", PINS)
def test_every_line_of_constraints_is_one_pin(name: str) -> None:
    assert len(pinned(name)) >= 25


def test_the_pins_with_hashes_are_those_of_constraints() -> None:
    pins, held = pinned("constraints.txt"), hashed()
    both = pins.keys() & held.keys()
    assert len(both) >= 45
    assert {name: held[name][0] for name in both} == {name: pins[name] for name in both}
    assert all(count for _, count in held.values())


def test_what_rftkit_asks_for_has_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = [Requirement(text) for text in project["dependencies"]]
    held = hashed()
    assert [one.name for one in asked if canonicalize_name(one.name) not in held] == []
    assert all(held[canonicalize_name(one.name)][0] in one.specifier for one in asked)


def test_the_audit_reads_all_pins_and_takes_no_silence_for_an_answer() -> None:
    (line,) = [line for line in made("--dry-run", "audit").split("\n") if "-r " in line]
    assert all(f"-r {name}" in line for name in (*PINS, "requirements-hashed.txt"))
    assert "pip-audit --strict " in made("--dry-run", "audit")
    assert "exit 1" in made("--dry-run", "audit")


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "release" / "sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NEEDS = {
    "a": ["B[fast]>=1", "z; extra == 'slow'"],
    "b": ["c", "d; extra == 'fast'", "e; sys_platform == 'nowhere'"],
    "c": ["a"],
    "d": [],
    "z": [],
}


def test_a_release_is_made_of_what_it_reaches(sbom: ModuleType) -> None:
    assert sbom.reached(["A"], NEEDS) == {"a", "b", "c", "d"}
    assert sbom.reached(["a[slow]", "q; sys_platform == 'nowhere'"], NEEDS) == {*"abcdz"}
    with pytest.raises(KeyError, match="missing"):
        sbom.reached(["missing"], NEEDS)


def test_the_record_of_an_environment_is_cut_down(sbom: ModuleType) -> None:
    whole: dict[str, Any] = {
        "specVersion": "1.6",
        "components": [{"name": "A_x", "bom-ref": "1"}, {"name": "pytest", "bom-ref": "2"}],
        "dependencies": [{"ref": "root-component", "dependsOn": ["1", "2"]}, {"ref": "1"},
                         {"ref": "2", "dependsOn": ["1"]}],
    }  # fmt: skip
    cut = sbom.cut_down(whole, {"a-x"})
    assert cut["components"] == [{"name": "A_x", "bom-ref": "1"}]
    assert cut["dependencies"] == [
        {"ref": "root-component", "dependsOn": ["1"]},
        {"ref": "1", "dependsOn": []},
    ]


@pytest.mark.parametrize(("fields", "word"), [
    ({"License-Expression": "MIT", "License": "see file"}, "MIT"),
    ({"License": "BSD\nRedistribution and use"}, "BSD"),
    ({"Classifier": "License :: OSI Approved :: MIT License"}, "MIT License"),
    ({"Name": "faster-coco-eval"}, "Apache-2.0"),
])  # fmt: skip
def test_a_licence_is_what_the_metadata_say(
    sbom: ModuleType, fields: dict[str, str], word: str
) -> None:
    held = Message()
    for name, value in {"Name": "a", **fields}.items():
        held[name] = value
    assert sbom.licence(held) == word


def test_a_package_without_a_licence_stops_the_record(sbom: ModuleType) -> None:
    held = Message()
    held["Name"] = "a"
    with pytest.raises(SystemExit, match="a: its metadata name no licence"):
        sbom.licence(held)


def test_the_hashes_reach_as_far_as_the_environment(sbom: ModuleType) -> None:
    """Of the packages with a pin; the others' own needs may differ from one day to the next."""
    held = {canonicalize_name(d.name): d for d in distributions()}
    needs = {name: d.requires or [] for name, d in held.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = sbom.reached(project["dependencies"], needs)
    ours = names & pinned("constraints.txt").keys()
    assert len(ours) >= 45
    assert ours <= hashed().keys()
    assert all(sbom.licence(held[name].metadata) for name in ours)
