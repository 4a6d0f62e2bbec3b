"""XML of unknown origin, part by part: no entities, no doctype, bounded in size and depth."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from xml.parsers import expat

from rftkit.data.paths import DataPath
from rftkit.data.sources.annotated import shown
from rftkit.errors import DataError

MAX_BYTES = 1_500_000_000
CHUNK = 1 << 20
DEEPEST = 20  # elements in one another
LARGEST = 1_000_000  # elements of one part
LINE = " line"  # of an element, among its attributes: no attribute can have a space in its name

Part = Callable[[ET.Element], None]


class _Parts:
    """Builds each child of the root by itself, hands it over and forgets it."""

    def __init__(self, path: DataPath, root: str, part: Part) -> None:
        self.path, self.root, self.part = path, root, part
        self.depth, self.count = 0, 0
        self.builder = ET.TreeBuilder()
        self.parser = expat.ParserCreate("utf-8")
        self.parser.StartElementHandler, self.parser.EndElementHandler = self.start, self.end
        self.parser.CharacterDataHandler = self.text
        self.parser.StartDoctypeDeclHandler = self.doctype

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        line = self.parser.CurrentLineNumber
        if not self.depth and tag != self.root:
            raise DataError(f"{self.path}: <{shown(tag)[1:-1]}>, not <{self.root}>; take it out")
        if self.depth == 1:
            self.builder, self.count = ET.TreeBuilder(), 0
        self.depth, self.count = self.depth + 1, self.count + 1
        if self.depth > DEEPEST or self.count > LARGEST:
            raise DataError(f"{self.path}:{line}: elements too deep, or too many; get it again")
        if self.depth > 1:
            self.builder.start(tag, {**attributes, LINE: str(line)})

    def end(self, tag: str) -> None:
        self.depth -= 1
        if self.depth:
            self.builder.end(tag)
        if self.depth == 1:
            self.part(self.builder.close())

    def text(self, text: str) -> None:
        if self.depth > 1:
            self.builder.data(text)

    def doctype(self, *_: object) -> None:
        line = self.parser.CurrentLineNumber
        raise DataError(f"{self.path}:{line}: a DOCTYPE, which {self.root} has not; remove it")


def read_parts(path: DataPath, root: str, part: Part) -> None:
    """Hand every child of the root element to `part`, one after another.

    Each element knows its line, under LINE. Raises DataError for what is not XML in UTF-8, has
    another root or a doctype, by which entities would come in, and for a file of unusual size.
    """
    if Path(path).stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: above {MAX_BYTES / 1e6:.0f} MB; divide it")
    parts = _Parts(path, root, part)
    try:
        with Path(path).open("rb") as file:
            while chunk := file.read(CHUNK):
                parts.parser.Parse(chunk, False)
        parts.parser.Parse(b"", True)
    except (expat.ExpatError, ET.ParseError) as error:
        raise DataError(f"{path}: not XML in UTF-8 ({error}); fix it") from error
