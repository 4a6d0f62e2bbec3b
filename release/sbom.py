"""Write build/sbom.json: what a release is made of, in CycloneDX's format.

cyclonedx-py describes an installed environment whole. Here that is cut down to what rftkit imports
and what those packages pull in, each with its version and licence.

Run: make sbom
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from email.message import Message
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
MAIN = "root-component"  # what cyclonedx-py calls the package itself
FILES = {"faster-coco-eval": "Apache-2.0"}  # licences that stand in a file of the package alone


Needs = Mapping[str, Sequence[str]]  # canonical name of an installed package -> what it asks for


def reached(asked: Iterable[str], needs: Needs) -> set[str]:
    """The canonical names of what these requirements bring in, with the extras they name.

    Raises KeyError for a package that is not installed.
    """
    done, left = set[tuple[str, str]](), [(one, "") for one in asked]
    while left:
        text, extra = left.pop()
        wanted = Requirement(text)
        if wanted.marker and not wanted.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(wanted.name)
        for pair in [(name, ""), *((name, each) for each in wanted.extras)]:
            if pair not in done:
                done.add(pair)
                left += [(need, pair[1]) for need in needs[name]]
    return {name for name, _ in done}


def cut_down(whole: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """The record of an environment with these packages only."""
    kept = [part for part in whole["components"] if canonicalize_name(part["name"]) in names]
    refs = {MAIN, *(part["bom-ref"] for part in kept)}
    graph = [
        {**one, "dependsOn": [ref for ref in one.get("dependsOn", []) if ref in refs]}
        for one in whole["dependencies"]
        if one["ref"] in refs
    ]
    return {**whole, "components": kept, "dependencies": graph}


def licence(held: Message) -> str:
    """The licence that a package's metadata name. Raises SystemExit where they name none."""
    classified = [c for c in held.get_all("Classifier") or [] if c.startswith("License ::")]
    words = [held["License-Expression"], held["License"], *classified, FILES.get(held["Name"])]
    word = next((word for word in words if word), None)
    if word is None:
        raise SystemExit(f"{held['Name']}: its metadata name no licence; look it up and add it")
    return str(word).splitlines()[0].rpartition(":: ")[2]


def described(environment: Path) -> dict[str, Any]:
    """What rftkit runs with in an environment, as CycloneDX has it."""
    program = Path(sys.executable).with_name("cyclonedx-py")
    words = ["--pyproject", "pyproject.toml", "--output-reproducible", "--mc-type", "library"]
    done = subprocess.run(
        [program, "environment", *words, environment.resolve()],
        cwd=ROOT, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    (packages,) = environment.glob("lib/python3*/site-packages")
    held = {canonicalize_name(d.name): d for d in distributions(path=[str(packages)])}
    needs = {name: d.requires or [] for name, d in held.items()}
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    record = cut_down(json.loads(done.stdout), reached(asked, needs))
    for part in record["components"]:
        if not part.get("licenses"):
            word = licence(held[canonicalize_name(part["name"])].metadata)
            part["licenses"] = [{"license": {"name": word}}]
    source = (ROOT / "rftkit/__init__.py").read_text("utf-8")
    version = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    assert version is not None
    record["metadata"]["component"]["version"] = version[1]
    return record


def main(environment: Path, out: Path) -> None:
    """Write the record, checked against CycloneDX's schema; print how many packages it has."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    record = described(environment)
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    schema = SchemaVersion.from_version(record["specVersion"])
    if fault := JsonStrictValidator(schema).validate_str(text):
        raise SystemExit(f"{out}: not valid CycloneDX ({fault})")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, "utf-8")
    print(f"{out}: rftkit and {len(record['components'])} packages")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
