"""GPUs by name, with the memory that a program can use of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rftkit.errors import RecipeError

GIB = 2**30
USABLE = 0.97  # of the gigabytes on the box: the rest is the driver's and the error correction's
CAPABILITY_OF_VLLM = 8.0  # Ampere; on a T4 it runs in half precision only, and crashes in standby
LARGEST = 640  # GB: one card


@dataclass(frozen=True)
class Card:
    """A GPU. gib: what torch reports as its memory. capability: 0 if not known."""

    name: str
    gib: float
    capability: float = 0.0

    @property
    def bytes(self) -> float:
        """Its memory."""
        return self.gib * GIB


# memory as programs on such cards report it
CARDS = {
    card.name.lower(): card
    for card in (
        Card("T4", 14.75, 7.5),
        Card("V100", 15.77, 7.0),
        Card("RTX-3060", 11.76, 8.6),
        Card("RTX-4070", 11.73, 8.9),
        Card("RTX-4080", 15.73, 8.9),
        Card("RTX-3090", 23.69, 8.6),
        Card("RTX-4090", 23.65, 8.9),
        Card("A10G", 22.20, 8.6),
        Card("L4", 22.17, 8.9),
        Card("A100", 39.56, 8.0),
        Card("L40S", 44.40, 8.9),
        Card("A100-80", 79.15, 8.0),
        Card("H100", 79.10, 9.0),
        Card("H200", 139.80, 9.0),
    )
}
SIZES = ("8GB", "12GB", "16GB", "24GB", "40GB", "80GB")  # tried to find the smallest that fits


def card_of(name: str) -> Card:
    """The card of a name (`t4`, `rtx 4090`), or a size (`12GB`), any case.

    Raises RecipeError for another word.
    """
    wanted = re.sub(r"[\s_]+", "-", name.strip().lower()).removeprefix("nvidia-")
    for candidate in (wanted, f"rtx-{wanted}", wanted.replace("rtx", "rtx-")):
        if candidate in CARDS:
            return CARDS[candidate]
    size = re.fullmatch(r"(\d{1,3}(?:\.\d)?)-?(?:gb|gib|g)?", wanted)
    if size is None or not 1 <= float(size[1]) <= LARGEST:
        raise RecipeError(
            f"--gpu {name[:40]!r}: neither a size such as 12GB nor a known card: {', '.join(CARDS)}"
        )
    return Card(f"{float(size[1]):g}GB", float(size[1]) * USABLE)
