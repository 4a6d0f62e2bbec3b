"""Reading fields: rows, options, prompts, metrics, and the whole path on drawn receipts."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from rftkit.answers.field_schema import Field, dump_fields
from rftkit.cli.main import main
from rftkit.core import Attempt, Completion, NoImage, Row
from rftkit.data.images import FileImage
from rftkit.errors import DataError, RecipeError, UserError
from rftkit.inference.form import Setup, ask
from rftkit.inference.truth import TruthError
from rftkit.metrics.files import read_summary
from rftkit.models.policy import prompt_of
from rftkit.recipe.toml import dump_recipe, load_recipe, parse_recipe
from rftkit.tasks import fields
from rftkit.tasks.options import FieldOptions
from rftkit.tasks.question import Question, Trained
from rftkit.tasks.reading import Reading
from rftkit.tasks.task import Scored

TASK = fields.TASK
SHORT = {"shop": "string", "total": "number", "paid": "boolean?", "currency": ["EUR", "USD"]}
OPTIONS = FieldOptions.model_validate({"fields": SHORT})
GOLD = {"shop": "Old Mill", "total": 12.5, "paid": None, "currency": "EUR"}
RECIPE = """
task = "fields"
style = "direct"
data = { source = "csv", path = "receipts.csv", shots = 0 }
model = { name = "tiny" }
method = { steps = 1, batch_size = 2, group_size = 2, max_new_tokens = 64, learning_rate = 1e-3 }
[options]
structured = true
[options.fields]
shop = "string"
total = "number"
paid = "boolean?"
currency = ["EUR", "USD"]
"""


def read(values: dict[str, object], **columns: str) -> dict[str, object]:
    (example,) = TASK.read(Row("t:1", NoImage(), values), Reading(OPTIONS, columns))
    gold = json.loads(example.gold)
    assert isinstance(gold, dict)
    return gold


def attempt(answer: str, gold: object = GOLD, options: FieldOptions = OPTIONS) -> Attempt:
    (example,) = TASK.read(Row("t:1", NoImage(), {"answer": gold}), Reading(options))
    return TASK.attempt(example, "direct", Completion(answer))


@pytest.mark.parametrize(
    "values",
    [
        {"answer": GOLD},
        {"answer": json.dumps(GOLD)},
        {"answer": {"shop": "Old Mill", "total": "12.50", "currency": "eur"}},
        {"shop": "Old Mill", "total": "12.50", "paid": "", "currency": "EUR", "note": "x"},
    ],
)
def test_an_object_a_text_and_columns_are_the_same_answer(values: dict[str, object]) -> None:
    assert read(values) == GOLD
    assert list(read(values)) == list(SHORT)


def test_the_column_of_the_object_may_have_another_name() -> None:
    assert read({"truth": GOLD}, answer="truth") == GOLD


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"answer": {**GOLD, "totl": 1}}, "'totl' is no field of the recipe; did you mean 'total'"),
        ({"answer": {**GOLD, "total": "many"}}, "total: 'many' is not a number"),
        ({"answer": {"shop": "x", "currency": "EUR"}}, "total: no value, and it is not optional"),
        ({"answer": '{"shop": 1, "shop": 2}'}, "is not one JSON object"),
        ({"answer": "Old Mill"}, "answer 'Old Mill' is not a JSON object"),
        ({"answr": GOLD}, "no column 'answer'; did you mean 'answr'?"),
        ({"shop": "x"}, "total: no value"),
    ],
)
def test_a_bad_row_is_refused_by_place(values: dict[str, object], said: str) -> None:
    with pytest.raises(DataError) as error:
        read(values)
    assert str(error.value).startswith("t:1: ")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ('fields = { a = "strng" }', "options.fields.a: no type 'strng'; did you mean 'string'"),
        ('fields = { a = "string" }\nexact = ["b"]', "options.exact: no field 'b'"),
        ('fields = { a = "number" }\nexact = ["a"]', "options.exact: 'a' is no string"),
        ('fields = { a = "string" }\nweights = { b = 2.0 }', "options.weights: no field 'b'"),
        ('fields = { a = "string" }\nschema_file = "x.json"', "leave one out"),
        ('schema_file = "no/such.json"', "options.schema_file: no/such.json: No such file"),
        ('fields = { a = "string" }\ndates = "mdy"', "options.dates"),
        ("tolerance = -1.0", "options.tolerance"),
        ("tolrance = 1.0", "options.tolrance: unknown key; did you mean 'tolerance'"),
    ],
)
def test_bad_options_are_refused_in_a_line(options: str, said: str) -> None:
    with pytest.raises(RecipeError) as error:
        parse_recipe(f'task = "fields"\n[options]\n{options}\n', "r.toml")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_recipe_without_fields_is_refused_where_data_are_read(folder: Path) -> None:
    text = RECIPE.partition("[options.fields]")[0]
    (folder / "receipts.toml").write_text(text, "utf-8")
    with pytest.raises(DataError, match=r"options\.fields: missing; name what is to be read"):
        fields_of_recipe(folder)


def fields_of_recipe(folder: Path) -> object:
    from rftkit.data.examples import load_examples

    return load_examples(load_recipe(folder / "receipts.toml"), "train").examples


def test_a_schema_file_is_read_into_the_recipe(folder: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"shop": {"type": "string"}, "total": {"type": "number"}},
        "required": ["shop"],
    }
    (folder / "receipt.json").write_text(json.dumps(schema), "utf-8")
    text = RECIPE.partition("[options.fields]")[0] + 'schema_file = "receipt.json"\n'
    (folder / "receipts.toml").write_text(text, "utf-8")
    recipe = load_recipe(folder / "receipts.toml")
    assert isinstance(recipe.options, FieldOptions)
    assert recipe.options.fields == {
        "shop": {"type": "string"},
        "total": {"type": "number", "optional": True},
    }
    (folder / "receipt.json").unlink()
    assert parse_recipe(dump_recipe(recipe), "again") == recipe
    for content, said in (("[", "not JSON"), ("[]", "is no JSON Schema")):
        (folder / "receipt.json").write_text(content, "utf-8")
        with pytest.raises(RecipeError, match=rf"options\.schema_file: .*receipt\.json: .*{said}"):
            load_recipe(folder / "receipts.toml")


def test_every_form_of_a_recipe_is_written_out_and_read_back() -> None:
    recipe = parse_recipe(RECIPE, "r.toml")
    assert parse_recipe(dump_recipe(recipe), "again") == recipe


def test_the_prompt_names_each_field_and_its_type() -> None:
    described = {"fields": {**SHORT, "no": {"type": "string", "description": "of the receipt"}}}
    options = FieldOptions.model_validate(described)
    example = attempt("", {**GOLD, "no": "7"}, options).example
    assert fields.prompt(example, "direct").splitlines() == [
        "Read the fields of this document.",
        "Answer with one JSON object that has these keys:",
        '- "shop": a text',
        '- "total": a number',
        '- "paid": true or false, or null',
        '- "currency": one of "EUR", "USD"',
        '- "no": a text (of the receipt)',
        "Write null for what is not there.",
        "Reply with the answer only.",
    ]


@pytest.mark.parametrize(
    ("answer", "score", "exact", "valid"),
    [
        (GOLD, 1.0, 1.0, 1.0),
        ({**GOLD, "shop": "Old Mil"}, (7 / 8 + 2) / 3, 0.0, 1.0),
        ({**GOLD, "total": 13}, 2 / 3, 0.0, 1.0),
        ({**GOLD, "total": "12.5"}, 2 / 3, 0.0, 0.0),
        ({**GOLD, "paid": True}, 3 / 4, 0.0, 1.0),
        ({**GOLD, "tip": 1}, 3 / 4, 0.0, 0.0),
        ({"shop": "Old Mill", "total": 12.5, "currency": "EUR"}, 1.0, 1.0, 0.0),
        ({}, 0.0, 0.0, 0.0),
    ],
)
def test_an_object_is_graded_field_by_field(
    answer: dict[str, object], score: float, exact: float, valid: float
) -> None:
    made = attempt(json.dumps(answer))
    assert fields.field_score(made) == pytest.approx(score)
    assert fields.all_exact(made) == exact
    assert fields.valid(made) == valid
    assert fields.parsed(made) == answer


def test_options_say_how_near_and_how_heavy() -> None:
    more = {"tolerance": 0.5, "exact": ["shop"], "weights": {"shop": 2.0}}
    options = FieldOptions.model_validate({"fields": SHORT, **more})
    near = json.dumps({**GOLD, "total": 13, "shop": "Old Mil"})
    assert fields.field_score(attempt(near, GOLD, options)) == pytest.approx(2 / 4)


def test_metrics_count_fields_and_documents() -> None:
    answers = [GOLD, {**GOLD, "total": 1}, {**GOLD, "paid": True, "shop": "x"}]
    scored = [Scored(attempt(json.dumps(one)), 0.0) for one in answers]
    found = {m.key: m for m in TASK.metrics([*scored, Scored(attempt("?"), 0.0)])}
    values = {key: measure.value for key, measure in found.items()}
    assert values == {
        ("all_fields_exact", ""): 1 / 4,
        ("valid_json", ""): 3 / 4,
        ("valid_schema", ""): 3 / 4,
        # right 3 + 2 + 2 of 4 × 3 fields in the documents and 3 + 3 + 4 in the replies
        ("field_f1", ""): pytest.approx(2 * 7 / (12 + 10)),
        ("field_accuracy", "shop"): 2 / 4,
        ("field_accuracy", "total"): 2 / 4,
        ("field_accuracy", "paid"): 2 / 4,
        ("field_accuracy", "currency"): 3 / 4,
    }


def test_a_reply_is_held_to_the_schema_in_style_direct_alone() -> None:
    held = FieldOptions.model_validate({"fields": SHORT, "structured": True})
    example = attempt("", GOLD, held).example
    schema = json.loads(prompt_of(TASK, example, "direct").schema)
    assert schema["required"] == list(SHORT)
    assert schema["properties"]["currency"] == {"enum": ["EUR", "USD"]}
    assert prompt_of(TASK, example, "think").schema == ""
    assert prompt_of(TASK, attempt("").example, "direct").schema == ""


def test_a_model_of_another_task_has_no_fields_to_ask_for() -> None:
    with pytest.raises(UserError, match=r"options\.fields: none here"):
        TASK.form.prompts(Trained(FieldOptions()), Question())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """receipts.csv with 10 images, each field in its column, and a recipe beside it."""
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "receipts.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "shop", "total", "paid", "currency"])
        for number in range(10):
            Image.new("RGB", (56, 56), (25 * number, 0, 90)).save(tmp_path / f"{number}.png")
            shop, paid = ("Old Mill", "Blue Cup")[number % 2], ("", "yes")[number % 2]
            rows.writerow([f"{number}.png", shop, f"{number}.50", paid, "EUR"])
    (tmp_path / "receipts.toml").write_text(RECIPE, "utf-8")
    return tmp_path


def rftkit(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["rftkit", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_documents_are_checked_and_nothing_cheap_earns_what_gold_earns(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rftkit(monkeypatch, "check", "receipts.toml") == 0
    told = capsys.readouterr().out
    assert '- "currency": one of "EUR", "USD"' in told
    assert "8 training + 2 held-out images" in told
    assert "every gold answer earns full marks in style 'direct'" in told
    assert rftkit(monkeypatch, "score", "--attack", "receipts.toml") == 0
    assert "every key twice" in capsys.readouterr().out


def test_a_completion_is_scored_by_the_types_of_its_gold(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = json.dumps(
        {"completion": '{"shop": "Old Mil", "total": 2}', "gold": {"shop": "Old Mill", "total": 2}}
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(line + "\n"))
    assert rftkit(monkeypatch, "score", "--task", "fields", "--style", "direct") == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["answer"] == {"shop": "Old Mil", "total": 2}
    assert scored["rewards"] == {"field_score": 15 / 16, "all_exact": 0.0, "valid": 1.0}


@pytest.mark.parametrize("form", ["as a recipe", "as rftkit writes it down"])
def test_a_line_may_say_itself_which_fields_it_has(
    form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: object = {"currency": ["EUR", "USD", "?"], "total": {"type": "number"}}
    if form != "as a recipe":
        given = dump_fields(
            [Field("currency", "enum", ("EUR", "USD"), True), Field("total", "number", weight=9)]
        )
    line = {
        "completion": '{"currency": "USD", "total": 2}',
        "gold": {"total": 2, "currency": "eur"},
    }
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(line | {"fields": given}) + "\n"))
    assert rftkit(monkeypatch, "score", "--task", "fields", "--style", "direct") == 0
    share = 1 / 2 if form == "as a recipe" else 9 / 10
    rewards = json.loads(capsys.readouterr().out)["rewards"]
    assert rewards == {"field_score": share, "all_exact": 0.0, "valid": 1.0}


@pytest.mark.parametrize(("meta", "reason"), [
    ({}, "KeyError: 'fields'"),
    ({"fields": "5"}, "ValueError: 5 is no list of fields"),
    ({"fields": "[" * 100_000}, "ValueError: nested too deep"),
])  # fmt: skip
def test_a_sample_without_its_fields_is_one_line(meta: dict[str, str], reason: str) -> None:
    made = replace(attempt("{}").example, meta=meta)
    with pytest.raises(DataError) as caught:
        fields.field_score(TASK.attempt(made, "direct", Completion("{}")))
    assert str(caught.value) == f"t:1: its fields cannot be read ({reason}); evaluate it again"


def test_the_app_takes_the_right_answer_by_the_recipes_types(folder: Path) -> None:
    setup = Setup(load_recipe(folder / "receipts.toml"), ())
    image = FileImage(folder / "0.png", "0.png")
    form = replace(
        setup.form("fields"), truth='{"shop": "Old Mill", "total": "1,200", "currency": "eur"}'
    )
    asked = ask(form, setup, image)
    assert '- "total": a number' in asked.prompt
    assert json.loads(asked.example.gold)["total"] == 1200
    with pytest.raises(TruthError, match=r"^the answer you gave: total: no value"):
        ask(replace(form, truth='{"shop": "Old Mill"}'), setup, image)


@pytest.mark.slow
def test_a_run_on_documents(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rftkit(monkeypatch, "train", "receipts.toml", "--out", "run") == 0
    assert "options.structured: this engine writes freely" in capsys.readouterr().err
    summary = read_summary(folder / "run" / "eval" / "test")
    assert summary.tuned
    assert {m.name for m in summary.tuned.metrics} == {
        *("all_fields_exact", "valid_json", "valid_schema", "field_f1", "field_accuracy")
    }
    page = (folder / "run" / "report.html").read_text("utf-8")
    assert "Mean field score" in page
    assert "currency right" in page
    assert rftkit(monkeypatch, "predict", "0.png", "--ckpt", "run", "--json") == 0
    assert "answer" in json.loads(capsys.readouterr().out)
