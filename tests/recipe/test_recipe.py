"""Recipes: strict, round as they were written, and one line for whatever is wrong."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from rftkit.data import SOURCES
from rftkit.errors import RecipeError
from rftkit.recipe.schema import SOURCES_OF, Recipe
from rftkit.recipe.sections import Data, Eval, Method, Model, Update
from rftkit.recipe.toml import LARGEST_BYTES, dump_recipe, leaf_keys, load_recipe, parse_recipe
from rftkit.rewards.length import Length
from rftkit.tasks import TASKS
from rftkit.tasks.task import Task

DIGITS = '[data]\nsource = "digits"\n'
SECTIONS = (Recipe, Model, Data, Method, Update, Length, Eval, *(task.options for task in TASKS))
PLAIN = st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t")
text = st.text(PLAIN, max_size=12)
question = text.filter(lambda said: "{" not in said)  # what stands in braces must be known
name = st.text(PLAIN, min_size=1, max_size=12)


def ratio(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, exclude_min=low == 0)


MODEL = {
    "name": name,
    "backend": st.sampled_from(["auto", "transformers", "unsloth"]),
    "generation": st.sampled_from(["auto", "transformers", "vllm"]),
    "load_in_4bit": st.booleans(),
    "max_pixels": st.integers(784, 16_777_216),
    "lora_rank": st.integers(1, 512),
}
DATA = {
    "source": st.sampled_from(["hub", "folder", "csv", "jsonl", "digits", "hangar"]),
    "shots": st.integers(0, 100_000),
    "splits": st.tuples(text, name).filter(lambda pair: pair[0] != pair[1]).map(list),
    "columns": st.dictionaries(st.sampled_from(["image", "label", "rationale"]), text),
    "choices": st.sampled_from(["all", "paper"]),
    "question": question,
}
UPDATE = {
    "clip": st.tuples(ratio(0, 1), ratio(0, 1)).map(list),
    "mask_truncated": st.booleans(),
}
METHOD = {
    "kind": st.sampled_from(["grpo", "sft"]),
    "steps": st.integers(1, 1_000_000),
    "learning_rate": ratio(0, 1),
    "kl": st.floats(0, 10),
    "max_new_tokens": st.integers(1, 32768),
    "update": st.fixed_dictionaries({}, optional=UPDATE),
}


def of_a_table(data: dict[str, object]) -> dict[str, object]:
    """The same, as a table where columns are named: other sources have none."""
    return {**data, "source": "csv"} if data.get("columns") else data


TABLES = st.fixed_dictionaries(
    {"data": st.fixed_dictionaries({"path": name}, optional=DATA).map(of_a_table)},
    optional={
        "style": st.sampled_from(["think", "direct", "answer-first", "adaptive"]),
        "rules": st.sampled_from(["strict", "paper"]),
        "seed": st.integers(0, 2**31 - 1),
        "model": st.fixed_dictionaries({}, optional=MODEL),
        "method": st.fixed_dictionaries({}, optional=METHOD),
        "rewards": st.fixed_dictionaries({"accuracy": ratio(0, 1000)}, optional={
            "format": st.floats(0, 1000), "no_repetition": st.integers(0, 9)}),
    },
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(TABLES)
def test_a_dumped_recipe_loads_as_it_was(table: dict[str, object]) -> None:
    recipe = Recipe.model_validate(table)
    assert parse_recipe(dump_recipe(recipe), "dumped") == recipe


@settings(max_examples=100, deadline=None)
@given(
    st.fixed_dictionaries({}, optional={"model": MODEL["name"], "path": name, "question": question})
)
def test_overrides_are_as_if_they_stood_in_the_file(values: dict[str, str]) -> None:
    keys = {"model": "model.name", "path": "data.path", "question": "data.question"}
    table: dict[str, dict[str, str]] = {"data": {"source": "digits"}}
    overrides = []
    for short, value in values.items():
        section, key = keys[short].split(".")
        table.setdefault(section, {})[key] = value
        overrides.append(tomli_w.dumps({"x": value}).strip().replace("x = ", f"{keys[short]}=", 1))
    edited = parse_recipe(tomli_w.dumps(table), "edited")
    assert parse_recipe(DIGITS, "given", overrides) == edited


def in_one_line(value: object) -> str:
    """A value as TOML has it within a line, tables too."""
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)} = {in_one_line(held)}" for key, held in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(in_one_line, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else toml_of(value)


def toml_of(value: object) -> str:
    return tomli_w.dumps({"x": value}).removeprefix("x = ").rstrip("\n")


@settings(max_examples=100, deadline=None)
@given(TABLES, st.integers(0, 1))
def test_any_recipe_may_be_given_as_overrides(table: dict[str, object], depth: int) -> None:
    """depth 0: a table in one word; 1: each of its keys by itself."""
    overrides = list[str]()
    for name, value in table.items():
        parts = value if depth and isinstance(value, dict) and name != "rewards" else {"": value}
        overrides += [f"{name}{key and '.'}{key}={in_one_line(one)}" for key, one in parts.items()]
    assert parse_recipe("", "r", overrides) == parse_recipe(tomli_w.dumps(table), "r")


@pytest.mark.parametrize(("override", "line"), [
    ("method.steps=50", "[method]\nsteps = 50"),
    (" method.steps = 50 ", "[method]\nsteps = 50"),
    ("method.learning_rate=1e-3", "[method]\nlearning_rate = 1e-3"),
    ("model.name=tiny", '[model]\nname = "tiny"'),
    ("model.name='a=b'", '[model]\nname = "a=b"'),
    ("model.name=C:\\new", "[model]\nname = 'C:\\new'"),
    ("method.update.clip=[0.1, 0.3]", "[method.update]\nclip = [0.1, 0.3]"),
    ("rewards.no_repetition=0.5", "[rewards]\nno_repetition = 0.5"),
    ("model.load_in_4bit=false", "[model]\nload_in_4bit = false"),
])  # fmt: skip
def test_an_override_is_toml_or_plain_text(override: str, line: str) -> None:
    edited = parse_recipe(DIGITS + line, "edited")
    assert parse_recipe(DIGITS, "given", [override]) == edited
    assert parse_recipe(DIGITS, "given") != edited


def test_the_last_override_of_a_key_wins_over_the_file() -> None:
    overrides = ["seed=2", "seed=3"]
    assert parse_recipe(f"seed = 1\n{DIGITS}", "given", overrides).seed == 3


@pytest.mark.parametrize(("style", "given", "tokens"), [
    ("direct", "", 32), ("think", "", 256), ("direct", "max_new_tokens = 9", 9),
])  # fmt: skip
def test_the_budget_follows_the_style_unless_given(style: str, given: str, tokens: int) -> None:
    recipe = parse_recipe(f'style = "{style}"\n[method]\n{given}\n{DIGITS}', "given")
    assert recipe.method.max_new_tokens == tokens


def test_a_style_that_is_overridden_changes_the_budget_too() -> None:
    assert parse_recipe(DIGITS, "given", ["style=direct"]).method.max_new_tokens == 32


def test_a_recipe_stays_small() -> None:
    keys = leaf_keys()
    assert len(keys) <= 52
    own = [key for key in keys if key != "method.length"]  # a table, in the form of a key
    for table, count in Counter(key.rpartition(".")[0] for key in own).items():
        assert count < 12, table


def test_every_key_says_what_it_is_for() -> None:
    for section in SECTIONS:
        for key, field in section.model_fields.items():
            assert field.description or hasattr(field.annotation, "model_fields"), key


@pytest.mark.parametrize(("task", "source", "weights"), [
    ("classification", "folder", {"accuracy": 1.0, "format": 1.0}),
    ("detection", "coco", {"iou": 1.0, "confidence": 1.0, "format": 1.0}),
    ("grounding", "refs", {"iou": 1.0, "format": 1.0}),
    ("choice", "csv", {"accuracy": 1.0, "format": 1.0}),
    ("number", "csv", {"accuracy": 1.0, "format": 1.0}),
])  # fmt: skip
def test_the_rewards_follow_the_task_unless_given(
    task: str, source: str, weights: dict[str, float]
) -> None:
    text = f'task = "{task}"\n[data]\nsource = "{source}"\npath = "x"\n'
    assert parse_recipe(text, "given").rewards == weights
    assert parse_recipe(text, "given", ["rewards={format=2.0}"]).rewards == {"format": 2.0}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_recipe_without_rewards_pays_the_headline(task: Task) -> None:
    text = f'task = "{task.name}"\n[data]\nsource = "{task.sources[0]}"\npath = "x"\n'
    assert parse_recipe(text, "given").rewards[task.headline] > 0


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_rules_of_papers_are_for_tasks_that_a_paper_has(task: Task) -> None:
    text = f'task = "{task.name}"\nrules = "paper"\n[data]\nsource = "csv"\npath = "x"\n'
    text += f"[rewards]\n{task.headline} = 1\n"
    if task.paper_rewards:
        assert parse_recipe(text, "given").rules == "paper"
    else:
        with pytest.raises(RecipeError, match=f"rules: no paper .* task '{task.name}'; .*strict"):
            parse_recipe(text, "given")


def test_every_source_is_of_some_task_and_can_be_read() -> None:
    assert {*SOURCES_OF} == {task.name for task in TASKS}
    assert {name for names in SOURCES_OF.values() for name in names} == {*SOURCES}


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_recipe(DIGITS, "given").seed = 3  # type: ignore[misc]


ACCEPTED = {
    "byte order mark": b"\xef\xbb\xbf" + DIGITS.encode(),
    "Windows line ends": DIGITS.replace("\n", "\r\n").encode(),
    "no last newline": DIGITS.strip().encode(),
    "whole number for a weight": f"{DIGITS}[rewards]\naccuracy = 1\n".encode(),
}


@pytest.mark.parametrize("raw", ACCEPTED.values(), ids=list(ACCEPTED))
def test_a_recipe_may_come_from_any_editor(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(raw)
    assert load_recipe(tmp_path / "x.toml").data.source == "digits"


REFUSED = {  # text of the recipe -> what its one line holds
    "empty": ("", "data.path: missing; source 'folder' needs one"),
    "NUL": ("seed = 1\x00", "not valid TOML"),
    "half a line": ("seed =", "not valid TOML"),
    "duplicate key": ("seed = 1\nseed = 2", "not valid TOML: Cannot overwrite a value (at "),
    "duplicate table": ("[data]\n[data]", "not valid TOML: Cannot declare ('data',) twice"),
    "deep key": ("a." * 5000 + "b = 1", "a key has more than 8 parts"),
    "deep list": ("seed = " + "[" * 5000, "not a recipe: RecursionError"),
    "endless number": ("seed = " + "9" * 5000, "not a recipe: ValueError"),
    "unknown key": ("sede = 1", "sede: unknown key; did you mean 'seed'?"),
    "unknown key inside": ("[eval]\nlimt = 4", "eval.limt: unknown key; did you mean 'limit'?"),
    "key of a table": ("steps = 4", "steps: unknown key; did you mean 'method.steps'?"),
    "unknown table": ("[modle]\nname = 'x'", "modle: unknown key; did you mean 'model'?"),
    "no likely key": ("[eval]\nzzz = 1", "eval.zzz: unknown key; known here: batch_size, dec"),
    "table that is no more": ("[run]\nsave_every = 5", "run: unknown key"),
    "key that became a loss": ("[method.update]\nimportance = 'token'", "update.importance: unkn"),
    "key that is no more": ("[data]\ncoop_split = 'x'", "data.coop_split: unknown key"),
    "another tool's key": ("[method]\ntop_p = 1.5", "method.top_p: unknown key"),
    "table for a value": ("[model.name]\nx = 1", "model.name: should be a valid string, not {'x'"),
    "value for a table": ("model = 3", "model: should be a table, not 3"),
    "text for a number": ("[method]\nsteps = '9'", "method.steps: should be a valid integer, not"),
    "number for text": ("[model]\nname = 3", "model.name: should be a valid string, not 3"),
    "number for a switch": ("[model]\nload_in_4bit = 1", "load_in_4bit: should be a valid boolean"),
    "switch for a number": ("seed = true", "seed: should be a valid integer, not True"),
    "fraction for a count": ("[method]\nsteps = 1.5", "steps: should be a valid integer, "),
    "not a number": ("[method]\nkl = nan", "method.kl: should be a finite number, not nan"),
    "infinite": ("[method]\nlearning_rate = inf", "learning_rate: should be a finite number, not"),
    "infinite weight": ("[rewards]\naccuracy = inf", "rewards.accuracy: should be a finite"),
    "huge": ("[method]\nsteps = 99999999999999999999", "should be less than or equal to 1000000"),
    "huge float": ("[method]\nkl = 1e999", "method.kl: should be a finite number, not inf"),
    "no steps": ("[method]\nsteps = 0", "method.steps: should be greater than or equal to 1, not"),
    "negative steps": ("[method]\nsteps = -4", "greater than or equal to 1, not -4"),
    "one completion": ("[method]\ngroup_size = 1", "greater than or equal to 2, not 1"),
    "no temperature": ("[method]\ntemperature = 0.0", "should be greater than 0, not 0.0"),
    "no learning rate": ("[method]\nlearning_rate = 0.0", "should be greater than 0"),
    "rank 0": ("[model]\nlora_rank = 0", "model.lora_rank: should be greater than or equal to 1"),
    "negative seed": ("seed = -1", "seed: should be greater than or equal to 0, not -1"),
    "clip of one": ("[method.update]\nclip = [0.2]", "method.update.clip: should be two numbers"),
    "clip above 1": ("[method.update]\nclip = [0.2, 7]", "clip.1: should be less than or equal to"),
    "weights all 0": ("[rewards]\naccuracy = 0", "rewards: every weight is 0; give at least one"),
    "no weights": ("rewards = {}", "rewards: every weight is 0"),
    "format alone in direct": ("style = 'direct'\n[rewards]\nformat = 1", "every weight is 0"),
    "negative weight": ("[rewards]\naccuracy = -1", "rewards.accuracy: should be greater than or"),
    "unknown reward": ("[rewards]\nacuracy = 1", "rewards.acuracy: unknown reward; task 'classi"),
    "unknown style": ("style = 'thnk'", "style: should be 'think', 'direct', 'answer-first' or"),
    "unknown task": ("task = 'poetry'", "task: should be 'classification'"),
    "unknown source": ("[data]\nsource = 'ftp'", "data.source: should be 'hub', 'folder'"),
    "unknown column": ("[data.columns]\npicture = 'x'", "data.columns.picture: should be 'image'"),
    "columns of none": ("task='detection'\n[data]\nsource='coco'\npath='x'\n[data.columns]\n"
                        "label='kind'", "data.columns.label: source 'coco' has no columns; leave"),
    "columns of phrases": ("task='grounding'\n[data]\nsource='refs'\npath='x'\n[data.columns]\n"
                           "label='a'", "data.columns.label: source 'refs' takes image, phrase, "),
    "columns of talks": ("[data]\nsource='llava'\npath='x'\n[data.columns]\nimage='a'",
                         "data.columns.image: source 'llava' takes label, question, answer"),
    "no model": ("[model]\nname = ''", "model.name: string should have at least 1 character"),
    "split of one": ("[data]\nsplits = ['train']", "data.splits"),
    "one split twice": ("[data]\npath='x'\nsplits = ['a', 'a']", "data.splits: both are 'a'; test"),
    "choices of none": ("[data]\npath='x'\nchoices='none'\n[eval]\ndecode='choices'",
                        "eval.decode: 'choices' needs a list of answers: task"),
    "choices of boxes": ("task='detection'\n[data]\nsource='coco'\npath='x'\n[eval]\n"
                         "decode='choices'", "eval.decode: 'choices' needs a list of answers"),
    "source of another task": ("task='number'\n[data]\nsource='coco'\npath='x'",
                               "data.source: 'coco' has nothing for task 'number'; it takes hub,"),
    "question without a kind": ("task='detection'\n[data]\nsource='coco'\npath='x'\n"
                                "question='Where?'", "data.question: 'Where?' does not say what"),
    "placeholder that is none": ("[data]\npath='x'\nquestion='Is it a {kind} or {label}?'",
                                 "data.question: nothing is filled in for {kind}; there are "
                                 "{question}, {label}, {phrase}"),
    "question without a phrase": ("task='grounding'\n[data]\nsource='refs'\npath='x'\n"
                                  "question='Box {label}'", "put {phrase} or {question} into it"),
    "scenes without a kind": ("task='number'\n[data]\nsource='scenes'",
                              "data.path: missing; source 'scenes' needs one"),
    "reward of another task": ("task='choice'\n[data]\nsource='csv'\npath='x'\n[rewards]\niou=1",
                               "rewards.iou: unknown reward; task 'choice' has accuracy, "),
    "reward of the other rules": ("task='detection'\nrules='paper'\n[data]\nsource='coco'\n"
                                  "path='x'\n[rewards]\nf1=1", "rewards.f1: unknown reward; task"),
    "length of no reasoning": ("style='direct'\n[data]\npath='x'\n[method.length]\nweight=1",
                               "method.length: style 'direct' has no reasoning to measure"),
    "key of length": ("[method.length]\nwieght=1", "method.length.wieght: unknown key"),
    "value for length": ("[method]\nlength=3", "method.length: should be a table, not 3"),
}  # fmt: skip


@pytest.mark.parametrize(("written", "said"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_run_is_refused_in_one_line(written: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(written, "utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert said in line
    assert "\n" not in line
    assert len(line) < 400


BYTES = {
    "Latin-1": ("# é".encode("latin-1"), "byte 2 is not UTF-8; save the file as UTF-8"),
    "UTF-16": (DIGITS.encode("utf-16"), "byte 0 is not UTF-8"),
    "too large": (b"#" * (LARGEST_BYTES + 1), f"at most {LARGEST_BYTES} bytes"),
}


@pytest.mark.parametrize(("raw", "said"), BYTES.values(), ids=list(BYTES))
def test_bytes_that_are_no_recipe_are_refused(raw: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(raw)
    with pytest.raises(RecipeError, match=said):
        load_recipe(tmp_path / "mine.toml")


def test_a_file_that_is_not_there_is_guessed_at(tmp_path: Path) -> None:
    (tmp_path / "pets.toml").touch()
    with pytest.raises(RecipeError, match=r"pest.toml: not found; did you mean .*pets\.toml\?"):
        load_recipe(tmp_path / "pest.toml")
    with pytest.raises(RecipeError, match="not found; its folder does not exist"):
        load_recipe(tmp_path / "none" / "pets.toml")
    with pytest.raises(RecipeError, match=r"is a folder; name a recipe file such as .*recipe.toml"):
        load_recipe(tmp_path)


def test_a_device_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(RecipeError, match="is no file; save the recipe"):
        load_recipe(Path("/dev/zero"))


@pytest.mark.parametrize(("override", "said"), [
    ("steps", "--set steps: not of the form key=value, e.g. method.steps=50"),
    ("=4", "not of the form key=value"),
    ("method..steps=4", "not of the form key=value"),
    (".steps=4", "not of the form key=value"),
    ("a.b.c.d.e.f.g.h.i=1", "not of the form key=value"),
    ("seed.x=4", "--set seed.x=4: 'seed' is not a table"),
    ("method.stepz=4", "method.stepz: unknown key; did you mean 'steps'?"),
    ("method.steps=", "method.steps: should be a valid integer, not ''"),
    ("method.steps=4 5", "method.steps: should be a valid integer, not '4 5'"),
    ("method.steps=4\nseed = 9", "method.steps: should be a valid integer"),
    ("method=4", "method: should be a table, not 4"),
])  # fmt: skip
def test_overrides_that_cannot_be_meant_are_refused(override: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(f"seed = 1\n{DIGITS}", "mine.toml", [override])
    assert said in str(caught.value)


def test_a_value_that_is_shown_is_short() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(f"style = '{'x' * 5000}'", "mine.toml")
    assert len(str(caught.value)) < 200


def test_a_comment_may_have_any_number_of_dots() -> None:
    text = '# 1.0 2.0 3.0 4.0 5.0 6.0 7.0 8.0 9.0 10.0\n[data]\nsource = "digits"\n'
    assert parse_recipe(text, "test").data.source == "digits"


def test_the_two_splits_have_names() -> None:
    data = parse_recipe('[data]\npath = "x"\nsplits = ["", "val"]', "test").data
    assert (data.train_split, data.test_split) == ("", "val")


def test_paths_count_from_the_folder_of_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "mine"
    for folder in (home / "pets" / "cat", tmp_path / "elsewhere" / "birds", home / "boxes"):
        folder.mkdir(parents=True)
    (home / "boxes" / "train.json").touch()
    (home / "all.zip").touch()
    (home / "own.py").touch()
    monkeypatch.chdir(tmp_path / "elsewhere")
    recipe = home / "r.toml"

    def path_of(written: str, *overrides: str, source: str = "folder") -> str:
        recipe.write_text(f'data = {{ source = "{source}", path = "{written}" }}')
        return load_recipe(recipe, overrides).data.path

    assert path_of("pets") == f"{home}/pets"
    assert path_of("./pets/cat") == f"{home}/pets/cat"
    assert path_of("../elsewhere/birds") == f"{home}/../elsewhere/birds"
    assert path_of("all.zip/inside/pets") == f"{home}/all.zip/inside/pets"
    assert path_of("boxes/{split}.json") == f"{home}/boxes/{{split}}.json"
    assert path_of("birds") == "birds"  # only the current folder has it
    assert path_of("none", f"data.path={home}/pets") == f"{home}/pets"
    assert path_of("pets", "data.path=pets") == "pets"
    assert path_of("pets", source="hub") == "pets"
    recipe.write_text('data = { source = "digits" }\nrewards = { "own.py:brief" = 1.0 }')
    assert [*load_recipe(recipe).rewards] == [f"{home}/own.py:brief"]


@pytest.mark.parametrize(("override", "line"), [
    ("data.question=a\udcffb", r"r: data.question: holds a character that is no text; remove it"),
    ("data.ques\udcff=a", r"r: data.ques\udcff: holds a character that is no text; remove it"),
    ("data.question='a\x1bb'", "r: data.question: holds a control character; remove it"),
    ("a\x1b.b=1", r"r: a\x1b: holds a control character; remove it"),
    ("a\nb" + "c" * 5000, "--set a b" + "c" * 786 + " […] " + "c" * 151
     + ": not of the form key=value, e.g. method.steps=50"),
])  # fmt: skip
def test_bytes_of_the_command_line_that_are_no_text_are_refused(override: str, line: str) -> None:
    """Python hands them over as halves of surrogate pairs, which nothing can write."""
    with pytest.raises(RecipeError) as caught:
        parse_recipe(DIGITS, "r", [override])
    assert str(caught.value) == line
