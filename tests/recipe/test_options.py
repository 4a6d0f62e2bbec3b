"""`[options]` of a recipe: those of its task, and one line for whatever is wrong with them."""

from __future__ import annotations

import pytest

from rftkit.errors import RecipeError
from rftkit.recipe.toml import dump_recipe, leaf_keys, parse_recipe
from rftkit.tasks import TASKS, categories, options

DATA = 'source = "csv"\npath = "x"'  # which every task can read


def text(task: str, given: str = "") -> str:
    return f'task = "{task}"\n[options]\n{given}\n[data]\n{DATA}\n'


GIVEN = [
    ("classification", 'names = "fgvc-aircraft"', options.LabelOptions(names="fgvc-aircraft")),
    (
        "detection",
        'ask = "picture"\ncategories = ["cat", "dog"]\nnew = "coco-15"\nthreshold = [0.2, 0.6]',
        options.DetectionOptions(
            ask="picture", categories=("cat", "dog"), new="coco-15", threshold=(0.2, 0.6)
        ),
    ),
    ("detection", "threshold = 0", options.DetectionOptions(threshold=0)),
    ("grounding", "threshold = [0, 1]", options.GroundingOptions(threshold=(0, 1))),
    (
        "choice",
        "shuffle = false\ncircular = true",
        options.ChoiceOptions(shuffle=False, circular=True),
    ),
    ("number", "tolerance = 1.5", options.NumberOptions(tolerance=1.5)),
]


@pytest.mark.parametrize(("task", "given", "wanted"), GIVEN)
def test_each_task_has_options_of_its_own_which_a_dump_keeps(
    task: str, given: str, wanted: options.Options
) -> None:
    recipe = parse_recipe(text(task, given), "mine.toml")
    assert recipe.options == wanted
    again = parse_recipe(dump_recipe(recipe), "dumped")
    assert (again, type(again.options)) == (recipe, type(wanted))


@pytest.mark.parametrize("task", [task.name for task in TASKS])
def test_without_options_a_task_has_its_defaults(task: str) -> None:
    wanted = next(each.options() for each in TASKS if each.name == task)
    assert parse_recipe(text(task), "mine.toml").options == wanted


def test_options_may_be_overridden() -> None:
    recipe = parse_recipe(text("detection"), "mine.toml", ["options.threshold=[0.1, 0.9]"])
    assert recipe.options == options.DetectionOptions(threshold=(0.1, 0.9))


SHARE = "is neither a number from 0 to 1 nor two of them"
REFUSED = [
    ("detection", "thresold = 0.3", "options.thresold: unknown key; did you mean 'threshold'?"),
    ("detection", "shuffle = true", "options.shuffle: unknown key; there are: ask, absent, cat"),
    ("classification", "threshold = 0.5", "options.threshold: unknown key; there are: names"),
    ("choice", "shufle = true", "options.shufle: unknown key; did you mean 'shuffle'?"),
    ("number", "tolerence = 1", "options.tolerence: unknown key; did you mean 'tolerance'?"),
    ("detection", "threshold = 1.3", f"options.threshold: 1.3 {SHARE}"),
    ("detection", "threshold = nan", f"options.threshold: nan {SHARE}"),
    ("detection", "threshold = true", f"options.threshold: True {SHARE}"),
    ("detection", "threshold = 'half'", f"options.threshold: 'half' {SHARE}"),
    ("grounding", "threshold = [0.1]", f"options.threshold: [0.1] {SHARE}"),
    ("grounding", "threshold = [0.1, 0.2, 0.3]", f"options.threshold: [0.1, 0.2, 0.3] {SHARE}"),
    ("grounding", "threshold = [0.1, -0.2]", f"options.threshold: [0.1, -0.2] {SHARE}"),
    ("detection", "ask = 'both'", "options.ask: should be 'category' or 'picture', not 'both'"),
    ("detection", "absent = 1", "options.absent: should be 'test', 'always' or 'never', not 1"),
    ("detection", "categories = 'coco-9'", "options.categories: no list 'coco-9'; known: coco-80"),
    ("detection", "categories = ['cat', 3]", "options.categories: no list ['cat', 3]; known"),
    ("detection", "new = 'cat'", "options.new: no list 'cat'; known: coco-80"),
    ("detection", "new = ['']", "options.new: no list ['']; known: coco-80"),
    ("classification", "names = 3", "options.names: should be a valid string, not 3"),
    ("choice", "circular = 1", "options.circular: should be a valid boolean, not 1"),
    ("number", "tolerance = -1", "options.tolerance: should be greater than or equal to 0, not -1"),
]


@pytest.mark.parametrize(("task", "given", "says"), REFUSED)
def test_a_wrong_option_is_refused_by_its_name(task: str, given: str, says: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text(task, given), "mine.toml")
    line = str(caught.value)
    assert line.startswith(f"mine.toml: {says}")
    assert "\n" not in line
    assert len(line) < 250


def test_options_that_are_no_table_are_refused() -> None:
    with pytest.raises(RecipeError, match="options: should be a table, not 3"):
        parse_recipe('options = 3\n[data]\nsource = "digits"', "mine.toml")


def test_options_are_one_key_of_the_recipe() -> None:
    assert [key for key in leaf_keys() if key.startswith("options")] == ["options"]


def test_a_threshold_goes_from_its_first_to_its_last_value() -> None:
    assert [options.at((0.2, 0.6), share) for share in (0, 0.5, 1)] == pytest.approx(
        [0.2, 0.4, 0.6]
    )
    assert options.at(0.3, 0.9) == 0.3


def test_the_lists_of_categories_have_their_lengths() -> None:
    sizes = {"coco-80": 80, "coco-65": 65, "coco-15": 15, "coco-8": 8, "lvis-6": 6, "lvis-13": 13}
    assert {name: len({*names}) for name, names in categories.LISTS.items()} == sizes
    assert not {*categories.LISTS["coco-65"]} & {*categories.LISTS["coco-15"]}
