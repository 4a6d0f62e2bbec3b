"""The table of targets: what reads bytes of strangers, and inputs to begin with."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import NamedTuple

import fuzz_files
import fuzz_requests
import fuzz_texts
from fuzz_guard import Run

WORD = re.compile(rb"[A-Za-z_][A-Za-z_0-9.]{1,30}")
ODD = (
    *(
        b"",
        b"\0",
        b"\n",
        b"\r\n",
        b"\x1b[31m",
        b"\xff",
        b"\xed\xa0\x80",
        b"9" * 400,
        b"-1",
        b"1e999",
    ),
    *(
        b"nan",
        b"[" * 300,
        b"{" * 300,
        b'"',
        b"'",
        b"=",
        b".",
        b"..",
        b"../",
        b"/",
        b"\\",
        b"a" * 3000,
    ),
    *("\u2028 \u202e \u0130 ß é \U0001f600".encode(), b"true", b"null", b"[]", b"{}", b"<answer>"),
)


class Target(NamedTuple):
    """run(data, folder) reads an input. seeds() gives those that a search begins with."""

    run: Run
    seeds: Callable[[], list[bytes]]


TARGETS: dict[str, Target] = {
    "recipe": Target(fuzz_texts.recipe, fuzz_texts.recipe_seeds),
    "reply": Target(fuzz_texts.reply, fuzz_texts.reply_seeds),
    "answer": Target(fuzz_texts.answer, fuzz_texts.answer_seeds),
    "archive": Target(fuzz_files.archive, fuzz_files.archive_seeds),
    "adapter": Target(fuzz_files.adapter, fuzz_files.adapter_seeds),
    "table": Target(fuzz_files.table, fuzz_files.table_seeds),
    "request": Target(fuzz_requests.request, fuzz_requests.request_seeds),
}


def words(seeds: list[bytes]) -> list[bytes]:
    """The words of the seeds and odd pieces: what a change of an input puts in."""
    found = {word for seed in seeds for word in WORD.findall(seed)}
    return [*sorted(found), *ODD]


def mutated(seed: bytes, pieces: list[bytes], chance: random.Random) -> bytes:
    """The seed with one to four changes: bytes taken out, doubled, flipped, or a piece put in."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.choice((0, 1, 1, 2, 8, 64)))
        match chance.randrange(4):
            case 0:
                del data[start:end]
            case 1:
                data[start:start] = data[start:end] * chance.choice((1, 2, 40))
            case 2 if start < len(data):
                data[start] ^= 1 << chance.randrange(8)
            case _:
                data[start:end] = chance.choice(pieces)
    return bytes(data[:65_536])
