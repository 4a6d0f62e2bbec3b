"""The papers' figures as data, and which of them stand beside a run of the user's."""

from rftkit.published.figures import Figure, Transfer, figures, free_lunch
from rftkit.published.match import matching
from rftkit.published.names import data_set_of
from rftkit.published.protocol import CAVEATS, differences, protocol_note

__all__ = [
    "CAVEATS",
    "Figure",
    "Transfer",
    "data_set_of",
    "differences",
    "figures",
    "free_lunch",
    "matching",
    "protocol_note",
]
