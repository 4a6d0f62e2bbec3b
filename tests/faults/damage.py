"""Files cut, emptied, deleted or with one bit changed, then --resume."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from forked import run
from same_run import RUN, Wanted, complaints, go_on
from trials import Trial

Harm = Callable[[Path], object]


def cut(path: Path) -> None:
    """Half of it is gone."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def empty(path: Path) -> None:
    """All of it is gone."""
    path.write_bytes(b"")


def flip(path: Path) -> None:
    """One bit in the middle is another one."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1 << 4
    path.write_bytes(content)


HARMS: Mapping[str, Harm] = {"cut": cut, "emptied": empty, "deleted": Path.unlink, "flipped": flip}
# Damage that is not seen, of files without a hash and a second copy: they can be read as before.
# What the adapter answers and what was measured is as wanted all the same
RECORDS: Mapping[str, Collection[str]] = {
    "metrics.jsonl": ("flipped",),
    "rollouts.jsonl": ("cut", "flipped"),
    "samples.jsonl": ("flipped",),
    "effective.json": ("flipped",),
    "run.json": ("flipped",),
}
# What is said of a file that stays as the damage left it
SAID = {
    "metrics.jsonl": "does not hold step",
    "rollouts.jsonl": "rollouts.jsonl: is gone, or empty",
    "README.md": "README.md: is not as the run wrote it",
}


def trials(stopped: Mapping[str, Path], wanted: Wanted) -> list[Trial]:
    """stopped: copies of a run that was killed in training, and in evaluation."""
    return [*_checkpoint(stopped["training"], wanted), *_others(stopped, wanted)]


def _checkpoint(stopped: Path, wanted: Wanted) -> Iterator[Trial]:
    newest, before = sorted((stopped / RUN / "checkpoints").glob("step-*"), reverse=True)[:2]
    for file in sorted(newest.iterdir()):
        for name, harm in HARMS.items():
            where = file.relative_to(stopped)

            def attempt(folder: Path, where: Path = where, harm: Harm = harm) -> list[str]:
                shutil.copytree(stopped, folder)
                harm(folder / where)
                ended = go_on(folder, wanted)
                said = (f"{newest.name} is damaged", f"continuing from step {_number(before)}")
                missing = [f"it does not say {line!r}" for line in said if line not in ended.said]
                return missing + _after(ended.code, ended.said, folder, wanted)

            yield Trial("checkpoint", f"{file.name} of the newest checkpoint {name}", attempt)
    for name, harm in HARMS.items():

        def both(folder: Path, harm: Harm = harm) -> list[str]:
            shutil.copytree(stopped, folder)
            for checkpoint in (newest, before):
                harm(folder / checkpoint.relative_to(stopped) / "adapter_model.safetensors")
            ended = go_on(folder, wanted)
            return _after(ended.code, ended.said, folder, wanted)

        yield Trial("checkpoint", f"the weights of all checkpoints {name}", both)


def _others(stopped: Mapping[str, Path], wanted: Wanted) -> Iterator[Trial]:
    for moment, place in stopped.items():
        run = place / RUN
        files = [*sorted(run.iterdir()), *sorted(run.glob("adapter/*")), *run.glob("eval/*/*")]
        for file in files:
            if not file.is_file() or file.name.startswith("."):
                continue
            for name, harm in HARMS.items():
                yield _other(moment, place, file.relative_to(place), (name, harm), wanted)


def _other(
    moment: str, stopped: Path, where: Path, harm: tuple[str, Harm], wanted: Wanted
) -> Trial:
    name, change = harm

    def attempt(folder: Path) -> list[str]:
        shutil.copytree(stopped, folder)
        change(folder / where)
        ended = go_on(folder, wanted)
        if ended.code == 1 and "Traceback" not in ended.said:
            names_it = where.name in ended.line or str(where.parent) in ended.line
            return [] if names_it else [f"refused without naming it: {ended.line}"]
        told = SAID.get(where.name, "nothing") in ended.said
        left = told or name in RECORDS.get(where.name, ())
        return [
            line
            for line in _after(ended.code, ended.said, folder, wanted)
            if not (left and _is_about(line, where.name))
        ]

    return Trial(moment, f"{where.name} {name}, of a run killed in {moment}", attempt)


def _is_about(line: str, name: str) -> bool:
    """Whether a difference is in the damaged file itself."""
    own = {"samples.jsonl": ("sample ", "summary.json", "header", "confusion.csv")}
    return line.startswith((name, f"adapter/{name}", "files:", *own.get(name, ())))


def _after(code: int, said: str, folder: Path, wanted: Wanted) -> list[str]:
    if code or "Traceback" in said:
        return [f"exit code {code}: {said.rstrip().splitlines()[-1:]}"]
    return complaints(folder, wanted)


def _number(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))


def finished_adapter(folder: Path, finished: Path, wanted: Wanted, harm: Harm) -> list[str]:
    """The final adapter of a finished run is damaged, then the run is resumed.

    `eval` refuses a damaged one. Of a deleted one it takes the newest checkpoint, and says so.
    """
    shutil.copytree(finished, folder)
    weights = folder / RUN / "adapter" / "adapter_model.safetensors"
    harm(weights)
    ended = run(["eval", "--ckpt", str(RUN)], folder)
    sign = f"{weights.name} has changed" if weights.exists() else "its newest checkpoint: step-"
    if ended.code != weights.exists() or sign not in ended.said or "Traceback" in ended.said:
        return [f"eval: exit code {ended.code}: {ended.line}"]
    for made in (folder / RUN / "eval").glob("test-step-*"):
        shutil.rmtree(made)
    ended = go_on(folder, wanted)
    said = [] if "made again from the last checkpoint" in ended.said else ["it does not say so"]
    return said + _after(ended.code, ended.said, folder, wanted)
