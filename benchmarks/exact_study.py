"""Imitation, sampled GRPO and exact objectives side by side on the built-in data, seed by seed.

    python benchmarks/exact_study.py choose --out out/exact
    python benchmarks/exact_study.py train --out out/exact --seeds 0 1 2 3 4
    python benchmarks/exact_study.py train --out out/exact --data base-to-new --rates 1 2
    python benchmarks/exact_study.py show --out out/exact

`choose` finds each way's learning rate on examples held out of the training images, with seeds of
its own; the test split is not read. `train` trains every way on every data set and measures it on
the test split, at the learning rate that was chosen or, with `--rates`, at others beside it; `show`
prints tables. What has been done is in the folder and is not repeated, so
each can be stopped and started; `--part 1/2` and `--part 2/2` divide the work between processes.
Seconds are those that the process got on the processor while it trained, without evaluations.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from exact_study_table import table

os.environ.setdefault("OMP_NUM_THREADS", "1")

RECIPES = Path(__file__).parent.parent / "recipes"
CHOOSING, CHOSEN_BY = (100, 101), (0.5, 1.0, 2.0)  # seeds; factors of the recipe's learning rate
DATA = {
    "digits": ("tiny_direct", ()),
    "aircraft": ("tiny_hangar", ("style=direct",)),
    "base-to-new": ("tiny_base_to_new", ("style=direct",)),
    "choice": ("tiny_choice", ("method.batch_size=16",)),
    "number": ("tiny_number", ("options.range=[0, 9]",)),
    "digits, think": ("quickstart", ()),
}
EXACT = ("method.kind=exact",)
WAYS: dict[str, tuple[str, ...]] = {
    "imitation": ("method.kind=sft",),
    "sampled": (),
    "exact grpo": (*EXACT, "method.exact.objective=grpo"),
    "exact reward": (*EXACT, "method.exact.objective=reward"),
    "exact likelihood": (*EXACT, "method.exact.objective=likelihood"),
    "exact tilted": (*EXACT, "method.exact.objective=tilted"),
    "grpo within the list": (*EXACT, "method.exact.within_list=true"),
    "likelihood within the list": (
        *EXACT, "method.exact.objective=likelihood", "method.exact.within_list=true",
    ),
}  # fmt: skip
THINKING: dict[str, tuple[str, ...]] = {
    "sampled answers": (),
    "summed answers": ("method.answers=summed",),
}
SHORT = "sampled, as long as exact"  # in processor time
# a way whose learning rate is that of another
RATE_OF = {way: "exact grpo" for way in WAYS if way.startswith("exact")} | {
    "likelihood within the list": "grpo within the list",
    SHORT: "sampled",
}


class Cell(NamedTuple):
    """One run. rate: factor of the recipe's learning rate. steps: fraction of the recipe's."""

    data: str
    way: str
    seed: int
    rate: float
    steps: float = 1.0

    @property
    def name(self) -> str:
        """For folders and files."""
        words = f"{self.data}-{self.way}-{self.seed}-{self.rate:g}-{self.steps:.2f}"
        return words.replace(",", "").replace(" ", "_")


def main() -> None:
    """Parse and do."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("task", choices=("choose", "train", "show"))
    parser.add_argument("--out", type=Path, default=Path("out/exact"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--data", nargs="+", choices=[*DATA], default=[*DATA])
    parser.add_argument("--ways", nargs="+", choices=[*WAYS, *THINKING], help="by default all")
    parser.add_argument("--rates", nargs="+", type=float, help="in place of the chosen ones")
    parser.add_argument("--part", default="1/1")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.task == "show":
        return show(given.out, given.data)
    part, parts = map(int, given.part.split("/"))
    todo = choosing(given.data) if given.task == "choose" else training(given)
    measure = validated if given.task == "choose" else tested
    for number, cell in enumerate(todo):
        file = given.out / given.task / f"{cell.name}.json"
        if number % parts == part - 1 and not file.exists():
            found = measure(cell, given.out)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({**cell._asdict(), **found}) + "\n", "utf-8")
            print(f"{cell.name}: {found}", file=sys.stderr, flush=True)
    return None


def ways_of(data: str) -> dict[str, tuple[str, ...]]:
    """Name -> what it changes in the recipe."""
    return THINKING if DATA[data][0] == "quickstart" else WAYS


def choosing(data: Sequence[str]) -> Iterator[Cell]:
    """Runs by which learning rates are chosen."""
    for name in data:
        for way in ways_of(name):
            if RATE_OF.get(way, way) == way:
                yield from (Cell(name, way, seed, rate) for rate in CHOSEN_BY for seed in CHOOSING)


def training(given: argparse.Namespace) -> Iterator[Cell]:
    """Runs that are measured, at the learning rates that were chosen or at those that are given."""
    for seed in given.seeds:
        for name in given.data:
            for way in ways_of(name):
                if way in (given.ways or [way]):
                    for rate in given.rates or [rate_of(given.out, name, way)]:
                        yield Cell(name, way, seed, rate)
    if given.ways or given.rates:
        return
    for seed in given.seeds:
        for name in given.data:
            if ways_of(name) is WAYS:
                yield Cell(name, SHORT, seed, rate_of(given.out, name, SHORT),
                           share_of_time(given.out, name))  # fmt: skip


def rate_of(out: Path, data: str, way: str) -> float:
    """The factor that was best on the held-out examples, the smallest of equal ones."""
    rows = [
        r for r in read(out / "choose") if (r["data"], r["way"]) == (data, RATE_OF.get(way, way))
    ]
    if len(rows) < len(CHOOSING) * len(CHOSEN_BY):
        sys.exit(f"{data}, {way}: choose a learning rate first (choose)")
    scores = {rate: fmean(r["held_out"] for r in rows if r["rate"] == rate) for rate in CHOSEN_BY}
    return max(sorted(scores), key=lambda rate: scores[rate])


def share_of_time(out: Path, data: str) -> float:
    """Exact seconds by sampled ones, of the runs that are there."""
    exact, sampled = (
        [r["seconds"] for r in read(out / "train") if (r["data"], r["way"]) == (data, way)]
        for way in ("exact grpo", "sampled")
    )
    if not exact or not sampled:
        sys.exit(f"{data}: train the other ways first")
    return round(fmean(exact) / fmean(sampled), 2)


def validated(cell: Cell, out: Path) -> dict[str, float]:
    """Held-out accuracy of a run's last step, on a fold of its training examples."""
    folder = out / "runs" / f"choose-{cell.name}"
    steps = request_of(cell, folder).load().method.steps
    run, seconds = trained(cell, folder, (f"eval.during={steps}", "eval.limit=1"))
    value = run.status()["validation"]["value"]
    shutil.rmtree(folder)
    return {"held_out": value, "seconds": seconds}


def tested(cell: Cell, out: Path) -> dict[str, Any]:
    """What a run reaches on the test split."""
    folder = out / "runs" / cell.name
    shutil.rmtree(folder, ignore_errors=True)
    run, seconds = trained(cell, folder, (), base_from=out / "runs")
    summary = json.loads((run.folder / "eval" / "test" / "summary.json").read_text("utf-8"))
    found: dict[str, Any] = {"seconds": round(seconds, 1)}
    for side in ("base", "tuned"):
        one = summary[side]
        both = one["decodings"]
        found[side] = {
            "free": both["free"]["value"],
            "list": both["listed"]["value"],
            "off_list": both["off_list"],
            "ece": one["calibration"]["ece"],
            "gap": [both["gap"], both["low"], both["high"]],
        }
        for way in ("free", "list"):
            if halves := both[f"{way}_halves"]:
                found[side][f"{way} halves"] = {k: halves[k]["value"] for k in halves}
    found["right"] = right_of(run.folder)
    for heavy in ("checkpoints", "adapter"):
        if cell.seed:  # those of the first seed stay, to be looked at
            shutil.rmtree(run.folder / heavy, ignore_errors=True)
    return found


def right_of(folder: Path) -> dict[str, list[float]]:
    """Of the fine-tuned model, by image: whether the free reply and the list are right."""
    from rftkit.metrics.samples import read_samples
    from rftkit.metrics.scoring import rescored

    file = rescored(read_samples(folder / "eval" / "test" / "samples.jsonl"))
    samples = sorted((s for s in file.samples if s.side == "tuned"), key=lambda s: s.id)
    return {
        "free": [float(s.free_correct or 0) for s in samples],
        "list": [float(s.list_correct or 0) for s in samples],
        "new": [float(s.half == "new") for s in samples],
    }


def request_of(cell: Cell, folder: Path, more: tuple[str, ...] = (), **rest: Any) -> Any:
    """The recipe of the data set, changed as the cell wants it."""
    from rftkit.recipe.toml import load_recipe
    from rftkit.training.request import TrainRequest

    name, changes = DATA[cell.data]
    recipe = RECIPES / f"{name}.toml"
    method = load_recipe(recipe).method
    way = {**WAYS, **THINKING, SHORT: ()}[cell.way]
    overrides = (
        *changes, *way, f"seed={cell.seed}",
        f"method.learning_rate={method.learning_rate * cell.rate:g}",
        f"method.steps={max(1, round(method.steps * cell.steps))}", *more,
    )  # fmt: skip
    return TrainRequest(recipe=recipe, out=folder, overrides=overrides, save_every=10_000, **rest)


def trained(cell: Cell, folder: Path, more: tuple[str, ...], **rest: Any) -> tuple[Any, float]:
    """A finished run, and the processor's seconds of its training alone."""
    from rich.console import Console

    from rftkit.training import methods, run

    shutil.rmtree(folder, ignore_errors=True)
    spent: list[float] = []
    kept = dict(methods.TRAIN)

    def timed(train: Callable[..., None]) -> Callable[..., None]:
        def inner(*given: Any) -> None:
            started = time.process_time()
            train(*given)
            spent.append(time.process_time() - started)

        return inner

    methods.TRAIN.update({kind: timed(train) for kind, train in kept.items()})
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as quiet:
            made = run.train(request_of(cell, folder, more, **rest), Console(file=quiet))
    finally:
        methods.TRAIN.update(kept)
    return made, sum(spent)


def read(folder: Path) -> list[dict[str, Any]]:
    """All results in a folder."""
    return [json.loads(file.read_text("utf-8")) for file in sorted(folder.glob("*.json"))]


def show(out: Path, data: Sequence[str]) -> None:
    """A table for each data set: means over the seeds, and intervals of paired differences."""
    for name in data:
        first = "sampled answers" if ways_of(name) is THINKING else "sampled"
        found = [row for row in read(out / "train") if row["data"] == name]
        chosen = [row for row in found if row["rate"] == rate_of(out, name, row["way"])]
        tables = {"": chosen}
        for rate in sorted({row["rate"] for row in found}):
            at_rate = [row for row in found if row["rate"] == rate]
            if any(row not in chosen for row in at_rate):
                tables[f", all at {rate:g} times the recipe's learning rate"] = at_rate
        for title, rows in tables.items():
            if rows:
                lines = table(rows, [*ways_of(name), SHORT], first)
                print(f"\n{name}{title}\n\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
