"""Search for inputs of a target that break what holds for every input, guided by coverage.

Run: python tests/fuzz/run_fuzz.py TARGET SECONDS (make fuzz does, for each). What it finds is kept
in build/fuzz/TARGET: inputs that reach something new, and one that fails; the exit code is then
not 0. Another number than SECONDS is the file of an input, which is tried alone.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import atheris

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "fuzz"
LONGEST = 65_536  # bytes of an input
SECONDS = 2.0  # of processor time for one input
HANGS = 30  # seconds
MEGABYTES = 3000  # of memory for the process, half of which is what it imports

sys.path[:0] = [str(HERE), str(HERE.parent)]
with atheris.instrument_imports(include=["rftkit", "tomllib", "zipfile", "tarfile"]):
    import fuzz_guard
    import fuzz_targets


def main(name: str, seconds: str) -> None:
    """Search for so many seconds, or try the input in a file of that name."""
    target = fuzz_targets.TARGETS[name]
    logging.disable()
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))

    def one(data: bytes) -> None:
        fuzz_guard.ended(target.run, data, folder, SECONDS)

    if not seconds.isdecimal():
        one(Path(seconds).read_bytes())
        return
    home = BUILD / name
    corpus, words = home / "corpus", home / "words"
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = target.seeds()
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number:03}").write_bytes(seed)
        fuzz_guard.ended(target.run, seed, folder, HANGS)  # what is imported late takes its time
    pieces = [piece for piece in fuzz_targets.words(seeds) if 0 < len(piece) <= 60]
    lines = ("".join(f"\\x{byte:02x}" for byte in piece) for piece in pieces)
    words.write_text("".join(f'"{line}"\n' for line in lines), "utf-8")
    options = {
        "max_total_time": seconds, "max_len": LONGEST, "timeout": HANGS, "dict": words,
        "rss_limit_mb": MEGABYTES, "artifact_prefix": f"{home}/", "print_final_stats": 1,
        "print_funcs": 0, "verbosity": 1,
    }  # fmt: skip
    words_of_ours = [f"-{option}={value}" for option, value in options.items()]
    atheris.Setup([sys.argv[0], *words_of_ours, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
