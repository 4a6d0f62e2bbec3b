"""Questions and answers as LLaVA and ShareGPT write them: turns of a talk about images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from rftkit.core import Row
from rftkit.data.locate import SPLIT
from rftkit.data.paths import DataPath, Note, image_in, silent
from rftkit.data.read_cache import ReadCache
from rftkit.data.source_notes import SourceNotes
from rftkit.data.sources.annotated import located, of_split, read_records, read_shared, shown
from rftkit.data.sources.fields import list_of, value_of
from rftkit.data.sources.tables import Record
from rftkit.errors import DataError
from rftkit.recipe.sections import Data

IMAGE_TAG = re.compile(r"[ \t]*<image>[ \t]*\n?")
ASKS, REPLIES, RULES = "user", "assistant", "system"
ROLES = {
    **dict.fromkeys(("human", "user"), ASKS),
    **dict.fromkeys(("gpt", "assistant"), REPLIES),
    "system": RULES,
}
MAX_IMAGES = 64
MAX_TEXT = 100_000  # characters of a question or an answer


class Turn(NamedTuple):
    """What one side says; tags: places in it where an image stands."""

    role: str
    text: str
    tags: int


class Talk(NamedTuple):
    """One conversation: the images that it is about, and the values of its row."""

    location: str
    names: tuple[str, ...]
    values: dict[str, object]
    split: str = ""

    @property
    def name(self) -> str:
        """The first image, by which conversations are divided."""
        return self.names[0]


def rows(data: Data, split: str, note: SourceNotes, cache: ReadCache) -> Iterator[Row]:
    """One row for each conversation about an image; those without one are counted in a note.

    Values: "question" and "answer", the last reply; what was said before is part of the question.
    Further images are the row's `others`. Images are named from `data.images` or the file's
    folder. Conversations that have a `split` say themselves what they are for.
    """
    where = located(data, split, note)
    read = partial(read_annotations, where.annotations)
    talks = read_shared(read, where, data, note, cache)
    for item in talks if SPLIT in data.path else of_split(talks, data, split, note):
        first, *others = (image_in(where.images, name, item.location) for name in item.names)
        yield Row(item.location, first, item.values, tuple(others))


def read_annotations(path: DataPath, note: Note = silent) -> list[Talk]:
    """What a JSON list, or JSON lines, of conversations says; no image is looked for.

    Raises DataError, with the place, for whatever is missing or of another type.
    """
    read = [_read(record) for record in read_records(path)]
    talks = [talk for talk in read if talk.names]
    if not talks:
        raise DataError(f"{path}: no conversation has an 'image'; these are texts only")
    if len(talks) < len(read):
        note(f"{path}: {len(read) - len(talks)} conversations without an image; left out")
    return talks


def _read(record: Record) -> Talk:
    location, values = record
    turns = _turns(record)
    names = _names(record)
    tags = sum(turn.tags for turn in turns)
    if tags not in (0, len(names)):
        raise DataError(f"{location}: {tags} times <image>, but {len(names)} images; fix one")
    *before, last = turns
    answer, question = last.text, _question(before)
    for what, text in (("question", question), ("answer", answer)):
        if not text or len(text) > MAX_TEXT:
            raise DataError(
                f"{location}: {what} of {len(text)} characters; 1 to {MAX_TEXT} are read"
            )
    split = values.get("split", "")
    if not isinstance(split, str):
        raise DataError(f"{location}: split {shown(split)} is not the name of one; fix it")
    return Talk(location, names, {"question": question, "answer": answer}, split.strip())


def _question(turns: list[Turn]) -> str:
    """The one question as it is; before a later one, who said what."""
    if sum(turn.role == ASKS for turn in turns) == 1:
        return "\n".join(turn.text for turn in turns).strip()
    marks = {ASKS: "User: ", REPLIES: "Assistant: ", RULES: ""}
    return "\n".join(marks[turn.role] + turn.text for turn in turns).strip()


def _turns(record: Record) -> list[Turn]:
    """The turns, which alternate; the last one is a reply."""
    location, values = record
    key, role, text = ("messages", "role", "content")
    if "conversations" in values or "messages" not in values:
        key, role, text = ("conversations", "from", "value")
    turns = []
    for number, entry in enumerate(list_of(values, key, location)):
        inside = f"{location}: {key}[{number}]"
        who = value_of(entry, role, inside)
        if not isinstance(who, str) or who not in ROLES:
            raise DataError(f"{inside}: {role} {shown(who)} is none of {', '.join(ROLES)}")
        turns.append(_turn(ROLES[who], value_of(entry, text, inside), inside))
    spoken = [turn.role for turn in turns if turn.role != RULES]
    if not spoken or spoken != [ASKS, REPLIES] * (len(spoken) // 2):
        speakers = ", ".join(spoken[:6]) or "none"
        raise DataError(
            f"{location}: the turns are {speakers}; they must be user, assistant, …, assistant"
        )
    if any(turn.role == RULES for turn in turns[1:]):
        raise DataError(f"{location}: a system turn that is not the first; move or remove it")
    return turns


def _turn(role: str, value: object, location: str) -> Turn:
    """A turn whose content is a text, or a list of parts that are texts and images."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, list):
        text = "".join(_part(part, f"{location}: part {n}") for n, part in enumerate(value))
    else:
        raise DataError(f"{location}: {shown(value)} is not a text; fix it")
    return Turn(role, IMAGE_TAG.sub("", text).strip(), len(IMAGE_TAG.findall(text)))


def _part(part: object, location: str) -> str:
    match part:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": "image"}:
            return "<image>\n"
    raise DataError(f"{location}: {shown(part)} is neither a text nor an image; fix it")


def _names(record: Record) -> tuple[str, ...]:
    """The images of a conversation, by the paths that `image` or `images` give."""
    location, values = record
    value = values.get("image", values.get("images"))
    if value is None or value == []:
        return ()
    names = value if isinstance(value, list) else [value]
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{location}: image {shown(name)} is not the path of an image; fix it")
    if len(names) > MAX_IMAGES:
        raise DataError(f"{location}: {len(names)} images; at most {MAX_IMAGES} are read")
    return tuple(names)
