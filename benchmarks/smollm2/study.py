"""Imitation, sampled and exact reinforcement on a model whose language side is really pretrained.

    python benchmarks/smollm2/study.py choose --model out/smollm2 --out out/smollm2-study
    python benchmarks/smollm2/study.py train --model out/smollm2 --out out/smollm2-study --seeds 0
    python benchmarks/smollm2/study.py show --out out/smollm2-study

Handwritten digits, 16 of each. `choose` finds learning rates on examples held out of the training
images; the test split is not read for it. A result file stands for each run, and what is there is
not repeated, so each can be stopped and started; `--ways` picks some. Seconds are those that the
process got on the processor while it trained, without evaluations.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

RECIPE = Path(__file__).parents[2] / "recipes" / "tiny_direct.toml"
CHOOSING = (100,)  # seeds
RATES = (3e-4, 1e-3)
GROUP = ("method.update.scale_rewards=group",)  # the limit of which is the exact objective "grpo"
DIRECT = ("method.steps=30", "method.batch_size=4", "method.max_new_tokens=4")
# the rationales of the data have 4 to 8 tokens, a whole reply in think 19 to 23
THINK = ("style=think", "method.steps=40", "method.batch_size=4", "method.max_new_tokens=32")
WARM = (*THINK, *GROUP, "method.warmup.steps=20")
LONGER = ("method.length.kind=sigmoid", "method.length.target=8", "method.length.scale=3")
WAYS: dict[str, tuple[str, ...]] = {
    "direct, imitation": (*DIRECT, "method.kind=sft"),
    "direct, exact": (*DIRECT, "method.kind=exact"),
    "direct, sampled": (*DIRECT, *GROUP),
    "think, imitation": (*THINK, "method.kind=sft"),
    "think, warm-up, sampled": WARM,
    "think, warm-up, summed": (*WARM, "method.answers=summed"),
    "think, warm-up, sampled, longer": (*WARM, *LONGER),
    "think, sampled": (*THINK, *GROUP),
}
# a way whose learning rate is that of another, the cheapest one that follows the same gradient
RATE_OF = {way: "direct, exact" if way.startswith("direct") else "think, imitation" for way in WAYS}


class Cell(NamedTuple):
    """One run."""

    way: str
    seed: int
    rate: float

    @property
    def name(self) -> str:
        """For folders and files."""
        return f"{self.way}-{self.seed}-{self.rate:g}".replace(",", "").replace(" ", "_")


def main() -> None:
    """Parse and do."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("task", choices=("choose", "train", "show"))
    parser.add_argument("--model", type=Path, default=Path("out/smollm2"))
    parser.add_argument("--out", type=Path, default=Path("out/smollm2-study"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--ways", nargs="+", choices=[*WAYS], default=[*WAYS])
    parser.add_argument("--limit", type=int, default=200, help="test images")
    given = parser.parse_args()
    if given.task == "show":
        return print("\n".join(table(read(given.out / "train"))))
    cells = choosing(given.ways) if given.task == "choose" else training(given)
    for cell in cells:
        file = given.out / given.task / f"{cell.name}.json"
        if not done(file, cell):
            found = validated(cell, given) if given.task == "choose" else tested(cell, given)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(
                json.dumps({**cell._asdict(), "settings": WAYS[cell.way], **found}) + "\n", "utf-8"
            )
            print(f"{cell.name}: {found}", file=sys.stderr, flush=True)
    return None


def done(file: Path, cell: Cell) -> bool:
    """Whether the run is there, and of the settings that its way has now."""
    return file.exists() and json.loads(file.read_text("utf-8"))["settings"] == [*WAYS[cell.way]]


def choosing(ways: Sequence[str]) -> Iterator[Cell]:
    """Runs by which learning rates are chosen."""
    for way in dict.fromkeys(RATE_OF[way] for way in ways):
        yield from (Cell(way, seed, rate) for seed in CHOOSING for rate in RATES)


def training(given: argparse.Namespace) -> Iterator[Cell]:
    """Runs that are measured, at the learning rates that were chosen."""
    for seed in given.seeds:
        for way in given.ways:
            yield Cell(way, seed, rate_of(given.out, way))


def rate_of(out: Path, way: str) -> float:
    """The rate that was best on the held-out examples, the smallest of equal ones."""
    rows = [row for row in read(out / "choose") if row["way"] == RATE_OF[way]]
    if len(rows) < len(CHOOSING) * len(RATES):
        sys.exit(f"{way}: choose a learning rate first (choose)")
    scores = {rate: fmean(r["held_out"] for r in rows if r["rate"] == rate) for rate in RATES}
    return max(sorted(scores), key=lambda rate: scores[rate])


def validated(cell: Cell, given: argparse.Namespace) -> dict[str, float]:
    """Held-out value of a run's last step, on a fold of its training examples."""
    folder = given.out / "runs" / f"choose-{cell.name}"
    steps = request_of(cell, given, folder).load().method.steps
    more = (f"eval.during={steps}", "eval.limit=1")
    run, seconds = trained(request_of(cell, given, folder, more), folder)
    value = run.status()["validation"]["value"]
    shutil.rmtree(folder)
    return {"held_out": value, "seconds": round(seconds, 1)}


def tested(cell: Cell, given: argparse.Namespace) -> dict[str, Any]:
    """What a run reaches on the test split."""
    folder = given.out / "runs" / cell.name
    more = (f"eval.limit={given.limit}",)
    run, seconds = trained(request_of(cell, given, folder, more, given.out / "runs"), folder)
    summary = json.loads((run.folder / "eval" / "test" / "summary.json").read_text("utf-8"))
    lines = (run.folder / "metrics.jsonl").read_text("utf-8").splitlines()
    steps = [json.loads(line) for line in lines]
    found: dict[str, Any] = {"seconds": round(seconds, 1), "images": given.limit}
    silent = [step["silent_groups"] for step in steps if "silent_groups" in step]
    found["silent"] = fmean(silent) if silent else None
    for side in ("base", "tuned"):
        one = summary[side]
        found[side] = {
            "free": one["decodings"]["free"]["value"],
            "list": one["decodings"]["listed"]["value"],
            "ece": one["calibration"]["ece"],
            "tokens": one["lengths"]["total"]["mean"],
            "invalid": one["invalid"]["value"],
        }
    shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)
    return found


def request_of(
    cell: Cell,
    given: argparse.Namespace,
    folder: Path,
    more: tuple[str, ...] = (),
    base_from: Path | None = None,
) -> Any:
    """The recipe of the tiny model, changed as the cell wants it."""
    from rftkit.training.request import TrainRequest

    overrides = (
        f"model.name={given.model}", "model.load_in_4bit=false", *WAYS[cell.way],
        f"seed={cell.seed}", f"method.learning_rate={cell.rate:g}", "eval.batch_size=50", *more,
    )  # fmt: skip
    return TrainRequest(
        recipe=RECIPE, out=folder, overrides=overrides, save_every=10_000, base_from=base_from
    )


def trained(request: Any, folder: Path) -> tuple[Any, float]:
    """A finished run, and the processor's seconds of its training alone."""
    from rich.console import Console

    from rftkit.training import methods, run

    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    spent, own = [0.0], methods.train

    def timed(*given: Any) -> None:
        started = time.process_time()
        own(*given)
        spent[0] += time.process_time() - started

    vars(methods)["train"] = timed
    try:
        with folder.with_name(f"{folder.name}.log").open("w", encoding="utf-8") as log:
            return run.train(request, Console(file=log)), spent[0]
    finally:
        vars(methods)["train"] = own


def read(folder: Path) -> list[dict[str, Any]]:
    """All results in a folder."""
    return [json.loads(file.read_text("utf-8")) for file in sorted(folder.glob("*.json"))]


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A line for each base and way: means over the seeds."""
    heads = ("way", "seeds", "rate", "free, %", "list, %", "ECE", "tokens", "silent groups",
             "training, s")  # fmt: skip
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for style in ("direct", "think"):
        if of_style := [row for row in rows if row["way"].startswith(style)]:
            yield _line(f"{style}, base model", of_style[:1], "base")
        for way in WAYS:
            if of_way := [row for row in of_style if row["way"] == way]:
                yield _line(way, of_way, "tuned")


def _line(name: str, rows: Sequence[dict[str, Any]], side: str) -> str:
    sides = [row[side] for row in rows]
    cells = [name]
    trained = side == "tuned"
    cells += [str(len(rows)), f"{rows[0]['rate']:g}"] if trained else ["", ""]
    cells += [f"{100 * fmean(one[way] for one in sides):.1f}" for way in ("free", "list")]
    cells += [f"{fmean(one['ece'] for one in sides):.3f}"]
    cells += [f"{fmean(one['tokens'] for one in sides):.1f}"]
    silent = [row["silent"] for row in rows if row["silent"] is not None]
    cells += [f"{fmean(silent):.2f}" if silent and trained else ""]
    cells += [f"{fmean(row['seconds'] for row in rows):.0f}" if trained else ""]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
