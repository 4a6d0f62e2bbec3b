"""Commands that are refused before a model is loaded: what they name is not there, or cannot be."""

from __future__ import annotations

import json

from bad_data import picture
from bad_rows import Row, recipe

GOOD = {"r.toml": recipe({})}
STUDY = "s/study__json"
ELSEWHERE = "203.0.113.7"  # an address that is no machine's: RFC 5737


def command(name: str, *words: str, code: int = 1, **files: str | bytes) -> Row:
    """`files`: by name, with `__` for the dot."""
    held = {path.replace("__", "."): content for path, content in files.items()}
    return Row(f"{words[0]}: {name}", words, {**GOOD, **held}, code=code)


def samples(*lines: object) -> str:
    return "".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines)


SERVE = [
    command("no run here", "serve"),
    command("a run that is not there", "serve", "--ckpt", "out/pets"),
    command("a file for a run", "serve", "--ckpt", "r.toml"),
    command("a public host without a key", "serve", "--host", "0.0.0.0"),
    command("every host without a key", "serve", "--host", "::"),
    command("a host of another machine", "serve", "--host", ELSEWHERE, "--api-key", "k"),
    command("a key with a space", "serve", "--api-key", " k"),
    command("a key that is no ASCII", "serve", "--api-key", "schlüssel"),
    command("a key with a line end", "serve", "--api-key", "a\nb"),
    command("more images than wait", "serve", "--queue", "2", "--max-images", "3"),
    command("a port above all", "serve", "--port", "70000", code=2),
    command("a port below all", "serve", "--port", "-1", code=2),
    command("a port of text", "serve", "--port", "http", code=2),
    command("a queue of nothing", "serve", "--queue", "0", code=2),
    command("no time", "serve", "--timeout", "0", code=2),
    command("an endless error", "serve", "--abstain-at-error", "1", code=2),
    command("another engine", "serve", "--engine", "ollama", code=2),
    command("no number of megabytes", "serve", "--max-mb", "nan", code=2),
]
DEMO = [
    command("no samples", "demo", "--recorded", "none.jsonl"),
    command("a folder without samples", "demo", "--recorded", "."),
    command("samples of text", "demo", "--recorded", "s.jsonl", s__jsonl="hello\n"),
    command("no samples in the file", "demo", "--recorded", "s.jsonl", s__jsonl=""),
    command("samples without header", "demo", "--recorded", "s.jsonl", s__jsonl=samples({"a": 1})),
    command("deep samples", "demo", "--recorded", "s.jsonl", s__jsonl="[" * 100_000),
    command("a model and a record", "demo", "--recorded", "s.jsonl", "--ckpt", "out"),
    command("a run that is not there", "demo", "--ckpt", "out/pets"),
    command("a public host without a password", "demo", "--host", "0.0.0.0"),
    command("shared without a password", "demo", "--share"),
    command("a password without a user", "demo", "--auth", ":secret"),
    command("a user without a password", "demo", "--auth", "me"),
    command("a port above all", "demo", "--port", "70000", code=2),
]
OUT = [
    command("no run", "export", "out/pets"),
    command("a file for a run", "export", "r.toml"),
    command("another kind", "export", "out", "--to", "onnx", code=2),
    command("no held-out prompts", "export", "out", "--images", "0", code=2),
    command("no run", "push", "out/pets", "pets"),
    command("a name with a space", "push", "out", "my pets"),
    command("a name of three parts", "push", "out", "a/b/c"),
    command("an empty name", "push", "out", ""),
    command("a path for a name", "push", "out", "../pets"),
    command("no repository", "push", "out", code=2),
]
BESIDE = [
    command("no run", "compare", "out/a", "out/b"),
    command("one run alone", "compare", "out/a"),
    command("nothing", "compare", code=2),
    command("files for runs", "compare", "r.toml", "r.toml"),
    command("no study", "study", "none.toml"),
    command("near a built-in one", "study", "thinkin"),
    command("a recipe for a study", "study", "r.toml"),
    command("not TOML", "study", "s.toml", s__toml="[[["),
    command("an unknown key", "study", "s.toml", s__toml="colour = 3\n"),
    command("no recipe in it", "study", "s.toml", s__toml='recipes = ["none.toml"]\nseeds = [0]\n'),
    command("no run", "report", "out/pets"),
    command("a study of a number", "report", "s", **{STUDY: "5"}),
    command("a study of a list", "report", "s", **{STUDY: "[1]"}),
    command("a study of nothing", "report", "s", **{STUDY: "null"}),
    command("a study of text", "report", "s", **{STUDY: '"x"'}),
    command("a study without its keys", "report", "s", **{STUDY: '{"runs": 5}'}),
    command("a deep study", "report", "s", **{STUDY: "[" * 100_000}),
    command("a study of no UTF-8", "report", "s", **{STUDY: b"\xff"}),
    command("a study of old metrics that are none", "report", "s",
            **{STUDY: '{"rows": [{"figures": 5}, {"figures": {"mAP": 5}}]}'}),
    command("no runs", "runs", "nowhere"),
    command("a file for runs", "runs", "r.toml"),
]  # fmt: skip
SCORED = [
    command("neither recipe nor run", "baseline", code=2),
    command("no recipe", "baseline", "none.toml"),
    command("no run", "baseline", "--ckpt", "out/pets"),
    command("both", "baseline", "r.toml", "--ckpt", "out", code=2),
    command("rescore no evaluation", "eval", "--rescore", "out/pets"),
    command("rescore text", "eval", "--rescore", "s.jsonl", s__jsonl="hello\n"),
    command("rescore a folder without samples", "eval", "--rescore", "."),
    command("no run", "eval", "--ckpt", "out/pets"),
    command("of no recipe", "score", "--attack", "none.toml"),
    command("another task", "score", "--task", "cooking", code=2),
    command("no paper", "score", "--task", "clock", "--rules", "paper"),
    command("--tiny alone", "bench", "r.toml", "--tiny"),
    command("a chart of another kind", "bench", "r.toml", "--plot", "x.jpg"),
    command("a chart in no folder", "bench", "r.toml", "--plot", "no/x.svg"),
    command("no steps", "bench", "r.toml", "--steps", "0", code=2),
    command("no recipe", "bench", "none.toml"),
    command("no recipe", "plan", "none.toml"),
    command("no recipe", "rationales", "none.toml"),
    command("no replies", "rationales", "r.toml", "--samples", "0", code=2),
]
PETS: dict[str, str | bytes] = {
    f"{label}{n}__png": picture(colour=n) for label in "ab" for n in range(2)
}
PETS["t__csv"] = "image,label\na0.png,a\na1.png,a\nb0.png,b\nb1.png,b\n"
STARTED = [
    command("no data", "init", "nowhere"),
    command("an empty table", "init", "t.csv", t__csv=""),
    command("an image", "init", "a.png", a__png=picture()),
    command("over a file", "init", "t.csv", "--out", "r.toml", **PETS),
    command("not built in", "recipes", "quickstrat"),
    command("a copy of nothing", "recipes", "--copy", "x.toml", code=2),
    command("no such command", "trane", code=2),
    command("no such option", "check", "r.toml", "--quik", code=2),
]


def scored(name: str, line: str | bytes, *words: str) -> Row:
    """A line on standard input."""
    given = line if isinstance(line, bytes) else line.encode()
    return Row(f"score: {name}", ("score", *words), stdin=given + b"\n")


GOLD = ', "gold": "cat"}'
BOX = ("--task", "detection", "--style", "direct")
HELD: dict[str, object] = {"name": "a", "kind": "string", "values": []}
DOCUMENT = ("--task", "fields", "--style", "direct")


def typed(name: str, fields: str) -> Row:
    """A line that says itself which fields its document has."""
    line = f'{{"completion": "x", "gold": {{"a": "b"}}, "fields": {fields}}}'
    return scored(f"fields: {name}", line, *DOCUMENT)


LINES = [
    scored("no JSON", "hello"),
    scored("a list", "[1]"),
    scored("deep", "[" * 100_000),
    scored("no UTF-8", b'{"completion": "\xff"' + GOLD.encode()),
    scored("no gold", '{"completion": "cat"}'),
    scored("a completion of numbers", '{"completion": 3' + GOLD),
    scored("a lone surrogate", '{"completion": "x", "gold": "\\ud800"}'),
    scored("a label that is no choice", '{"completion": "x", "choices": ["dog"]' + GOLD),
    scored("choices that are text", '{"completion": "x", "choices": "cat"' + GOLD),
    scored("a box of three", '{"completion": "[]", "gold": [[1, 2, 3]]}', *BOX),
    scored("an endless box", '{"completion": "[]", "gold": [[1, 2, 1e999, 3]]}', *BOX),
    scored("pixels of no size",
           '{"completion": "[]", "gold": [[1, 2, 3, 4]], "coords": "pixels"}', *BOX),
    typed("a number", "5"),
    typed("a yes", "true"),
    typed("a list", '["a"]'),
    typed("a text that is no JSON", '"x"'),
    typed("a text of NaN", '"NaN"'),
    typed("a text of a list of numbers", '"[1]"'),
    typed("a text of an empty table", '"[{}]"'),
    typed("a text of nothing", '"[]"'),
    typed("a deep text", f'"{"[" * 100_000}"'),
    typed("no type", '{"a": "zzz"}'),
    typed("a type of a list", '{"a": {"type": []}}'),
    typed("none", "{}"),
    typed("a weight of text", json.dumps(json.dumps([HELD | {"weight": "x"}]))),
    typed("an endless tolerance", json.dumps(json.dumps([HELD | {"tolerance": 1e999}]))),
    typed("exact by a number", json.dumps(json.dumps([HELD | {"exact": 1}]))),
    typed("another key", json.dumps(json.dumps([HELD | {"colour": 1}]))),
    typed("twice the same", json.dumps(json.dumps([HELD, HELD]))),
    typed("too many", json.dumps({f"f{n}": "string" for n in range(65)})),
]  # fmt: skip


ROWS = [*SERVE, *DEMO, *OUT, *BESIDE, *SCORED, *STARTED, *LINES]
