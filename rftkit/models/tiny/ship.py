"""Builds the built-in models anew and puts them into the package, as 16-bit weights.

    python -m rftkit.models.tiny.ship                 all of them: about half an hour of one core
    python -m rftkit.models.tiny.ship tiny tiny-quiz

A model is trained in 32 bit by the plan and the seed of its course, and rounded to float16 once.
`rftkit.json` beside it records the version of the course and the hash of every file.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import torch

from rftkit.models.tiny.cache import SHIPPED, build_whole, tell, version_of, write_card
from rftkit.models.tiny.courses import COURSES

WEIGHTS = "model.safetensors"


def main() -> None:
    """Build the models that are named, all by default."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(COURSES))
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder of the models")
    given = parser.parse_args()
    for name in given.names or COURSES:
        with tempfile.TemporaryDirectory() as scratch:
            built = Path(scratch) / name
            build_whole(built, name, COURSES[name].plan)
            ship(built, given.out / name)
        tell(f"{given.out / name}: {(given.out / name / WEIGHTS).stat().st_size / 1e6:.1f} MB")


def ship(built: Path, target: Path) -> None:
    """Copy a built model, its weights rounded to float16, and record the hashes of its files.

    Its configuration goes on to say float32, in which it is loaded.
    """
    from safetensors.torch import load_file, save_file

    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(built, target)
    weights = load_file(built / WEIGHTS)
    halves = {key: value.to(torch.float16) for key, value in weights.items()}
    save_file(halves, target / WEIGHTS, metadata={"format": "pt"})
    write_card(target, target.name, version_of(target.name))


if __name__ == "__main__":
    main()
