"""The papers' figures as data, and which of them stand beside a run of the user's."""

from rftkit.report.published.figures import Figure, Transfer, figures, free_lunch
from rftkit.report.published.match import matching
from rftkit.report.published.names import data_set_of
from rftkit.report.published.protocol import CAVEATS, differences, protocol_note

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
