"""Test a run's adapter on the held-out images of another: `python -m rftkit.study.cross_test`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from rftkit import exits
from rftkit.data.examples import load_examples
from rftkit.data.read_cache import ReadCache
from rftkit.evaluation.overlap import read_shots
from rftkit.evaluation.run import EvalRequest, EvalSubject, run_evaluation
from rftkit.models import open_for_inference
from rftkit.runs.adapter import Checkpoint, recipe_of
from rftkit.runs.run import RunFolder


def evaluate_elsewhere(trained: RunFolder, other: RunFolder, home: Path, console: Console) -> None:
    """Evaluate the adapter alone: the base model's replies are in the other run already."""
    recipe, own = recipe_of(other), recipe_of(trained)
    cache = ReadCache()
    test = recipe.data.test_split
    held_out = load_examples(recipe, test, limit=recipe.eval.limit, cache=cache)
    shots = read_shots(own, cache)
    del cache  # what it holds is not needed while the model answers
    policy = open_for_inference(recipe.model, trained.adapter)
    request = EvalRequest(base=False, command=shlex.join(sys.argv))
    ckpt = Checkpoint(trained.adapter, recipe, home)
    run_evaluation(EvalSubject(ckpt, recipe, held_out, policy, shots), request, console)


def main(words: Sequence[str]) -> None:
    """The three folders: the run that was trained, the one whose images are used, the result."""
    trained, other, home = (Path(word) for word in words)
    evaluate_elsewhere(
        RunFolder(trained), RunFolder(other), home, Console(stderr=True, emoji=False)
    )


if __name__ == "__main__":
    exits.run(lambda: main(sys.argv[1:]))
