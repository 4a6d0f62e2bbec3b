"""Writes the notebooks from their sources: `make notebooks`.

Each `NAME.py` beside this file, in jupytext's percent format, becomes `NAME.ipynb`. The empty cell
with the tag `setup` is filled from setup_cell.py, with the versions that constraints.txt pins.
Outputs are never kept, and cells are numbered instead of named at random: the same sources give
the same bytes, which tests/test_notebooks.py compares.
"""

from __future__ import annotations

import os
import re
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import jupytext
import nbformat

# account and name of the repository; a stand-in until it is published: make notebooks GITHUB=…
GITHUB = os.environ.get("GITHUB", "YOUR_ACCOUNT/rftkit")
NAMES = ("quickstart", "your_own_images", "your_own_boxes", "aircraft_think_or_direct", "export")
HERE = Path(__file__).parent
ROOT = HERE.parent
WIDTH = 92


def badge(name: str) -> str:
    """The Markdown of a button that opens the notebook in Colab."""
    button = "https://colab.research.google.com/assets/colab-badge.svg"
    page = f"https://colab.research.google.com/github/{GITHUB}/blob/main/notebooks/{name}.ipynb"
    return f"[![Open in Colab]({button})]({page})"


def notebook(name: str) -> str:
    """The text of `NAME.ipynb`."""
    made: Any = jupytext.read(HERE / f"{name}.py", fmt="py:percent")
    extras, always = made.metadata.pop("extras", ""), made.metadata.pop("always", "")
    made.metadata.pop("jupytext", None)
    made.metadata["language_info"] = {"name": "python"}
    for number, cell in enumerate(made.cells):
        cell.id = f"cell-{number}"
        cell.source = cell.source.replace("@BADGE@", badge(name))
        if "setup" in cell.metadata.get("tags", ()):
            cell.source = setup(extras, always)
            cell.metadata["cellView"] = "form"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    made.nbformat, made.nbformat_minor = 4, 5
    nbformat.validate(made)
    return str(nbformat.writes(made)).rstrip("\n") + "\n"


def setup(extras: str, always: str = "") -> str:
    """The source of the cell that installs.

    extras: of rftkit, separated by commas, wanted where there is a GPU. always: wanted everywhere.
    """
    pins, groups = _pins(), _groups()
    anywhere = [name for extra in ["", *_named(always)] for name in groups[extra]]
    on_gpu = [name for extra in _named(extras) for name in groups[extra]]
    on_gpu += ["unsloth-zoo"] if "unsloth" in on_gpu else []
    values = {
        "GITHUB": GITHUB,
        "EXTRAS": _bracketed([*_named(always), *_named(extras)]),
        "ALWAYS": _bracketed(_named(always)),
        "PINS": textwrap.fill(
            " ".join(pins[name] for name in anywhere), WIDTH, break_on_hyphens=False
        ),
        "GPU_PINS": " ".join(pins[name] for name in on_gpu),
        "TORCHVISION": pins["torchvision"],
        "TORCH": next(one for one in _project()["dependencies"] if _normal(one) == "torch"),
    }
    text = (HERE / "setup_cell.py").read_text("utf-8").rstrip("\n")
    return re.sub(r"@([A-Z_]+)@", lambda found: values[found[1]], text)


def _named(extras: str) -> list[str]:
    return [extra for extra in extras.split(",") if extra]


def _bracketed(extras: list[str]) -> str:
    return f"[{','.join(extras)}]" if extras else ""


def _pins() -> dict[str, str]:
    """Normal name of a package -> its line in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    found = [line.split("#")[0].strip() for line in lines]
    return {_normal(pin.partition("==")[0]): pin for pin in found if "==" in pin}


def _groups() -> dict[str, list[str]]:
    """Extra -> the normal names of what it adds; "" is what rftkit always needs."""
    project = _project()
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return {extra: [_normal(one) for one in wanted] for extra, wanted in groups.items()}


def _project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def _normal(requirement: str) -> str:
    name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Write every notebook."""
    for name in NAMES:
        (HERE / f"{name}.ipynb").write_text(notebook(name), "utf-8")


if __name__ == "__main__":
    main()
