"""What a source says of the data beside its rows."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class SourceNotes:
    """Lines for a person that no error says, such as how many files were skipped.

    held_out: the one of them that says that the data name no split, so that a fixed seed made it;
    "" where they name one.
    """

    lines: list[str] = field(default_factory=list)
    held_out: str = ""

    def __call__(self, line: str) -> None:
        """Note a line."""
        self.lines.append(line)

    def note_held_out(self, line: str) -> None:
        """Note that the data name no split."""
        self(line)
        self.held_out = line
