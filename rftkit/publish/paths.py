"""Taking the places of a machine out of what leaves it: of an absolute path only its name stays."""

from __future__ import annotations

import json
import re
from pathlib import PurePath

# a path of two steps or more that begins a word; what follows a scheme, a letter or a dot is none
ABSOLUTE = re.compile(r"(?<![\w:/.~<-])~?(?:/[\w.+@-]+){2,}/?")
NAMES = ("_name_or_path", "name_or_path")  # ends of keys whose text is a hub id or a path


def in_text(text: str) -> str:
    """A text with the absolute paths in it cut to their names; addresses of the web stay.

    >>> in_text('FROM /home/anna/pets/model.gguf  # see https://ollama.com/docs/a')
    'FROM model.gguf  # see https://ollama.com/docs/a'
    """
    return ABSOLUTE.sub(lambda found: PurePath(found.group()).name, text)


def in_json(text: str) -> str:
    """A JSON file's text with absolute paths among its values cut to their names.

    Where there are none it is the very text. Raises ValueError if it is no JSON.
    """
    value = json.loads(text)
    changed = _cut(value, "")
    return text if changed == value else json.dumps(changed, ensure_ascii=False, indent=2) + "\n"


def _cut(value: object, key: str) -> object:
    if isinstance(value, dict):
        return {name: _cut(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_cut(inner, key) for inner in value]
    if not isinstance(value, str):
        return value
    local = key.endswith(NAMES) and value.startswith(("/", "~", "."))
    return PurePath(value).name if local or ABSOLUTE.fullmatch(value) else value
