"""`import rftkit`: light, lazy, and the same as the command line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import rftkit
from rftkit.errors import RecipeError, UserError
from rftkit.tasks.question import Question

ROOT = Path(__file__).parents[1]
OLD = ROOT / "tests" / "data" / "run_before_rooms"
HEAVY = [
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "pydantic",
    "typer",
    "rich",
    "numpy",
    "PIL",
    "rftkit.api",
    "rftkit.core",
]


def test_importing_it_loads_nothing() -> None:
    code = f"import sys, rftkit\nprint(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_its_functions_load_no_model_library() -> None:
    code = (
        "import sys, rftkit\nrftkit.train, rftkit.evaluate, rftkit.predict\n"
        "rftkit.Summary, rftkit.Prediction\n"
        "rftkit.load_recipe('quickstart')\n"
        f"print(*(m for m in {HEAVY[:5]!r} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_name_is_there_and_no_other() -> None:
    assert {"Summary", "Prediction"} <= {*rftkit.__all__}
    for name in rftkit.__all__:
        assert getattr(rftkit, name) is not None
        assert name in dir(rftkit)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        rftkit.trian  # type: ignore[attr-defined]  # noqa: B018


def test_a_module_of_that_name_does_not_hide_a_function() -> None:
    import rftkit.evaluation.run
    import rftkit.inference.predict
    import rftkit.training.run

    for name in ("train", "evaluate", "predict", "load_recipe"):
        assert callable(getattr(rftkit, name)), name


def test_a_recipe_is_loaded_by_name_with_overrides() -> None:
    recipe = rftkit.load_recipe("quickstart", ["method.steps=2", "seed=7"])
    assert (recipe.method.steps, recipe.seed, recipe.data.source) == (2, 7, "digits")
    with pytest.raises(RecipeError, match="did you mean"):
        rftkit.load_recipe("quickstrat")


def test_a_run_on_disk_tells_what_is_in_it() -> None:
    run = rftkit.Run(OLD)
    assert run.state == "finished"
    assert run.recipe.method.steps == 4
    assert [row["step"] for row in run.metrics()] == [1, 2, 3, 4]
    assert run.summary
    assert run.summary.tuned
    assert run.summary.tuned.n == 40
    assert run.report == OLD / "report.html"
    assert run.adapter == OLD / "adapter"
    assert isinstance(run.summary, rftkit.Summary)


def test_a_run_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run there; `rftkit runs` lists them"):
        rftkit.Run(tmp_path / "nope")


def test_predict_hands_on_how_a_list_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[Any, ...]] = []

    def predict(*values: Any) -> list[Any]:
        given.append(values)
        return []

    monkeypatch.setattr("rftkit.inference.predict.predict", predict)
    assert rftkit.predict("out", "x.png", question="Where?", abstain_at_error=0.05) == []
    assert rftkit.predict("out", ["x.png"], free=True) == []
    assert rftkit.predict("out", "x.png", categories="queen", options=["a", "b"]) == []
    assert given.pop()[3].question == Question("", ("a", "b"), ("queen",))
    assert [values[1] for values in given] == [[Path("x.png")]] * 2
    assert given[0][3].question.text == "Where?"
    assert [(how.free, how.abstain_at_error) for *_, how in given] == [(False, 0.05), (True, None)]


def test_rollouts_of_a_run_that_called_them_samples_are_read() -> None:
    rows = rftkit.Run(OLD).rollouts()
    assert (rows[0]["step"], rows[0]["id"]) == (1, "digits:train:59")


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of docs/python.md, block after block, in one namespace."""
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 3
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    run = names["run"]
    assert isinstance(run, rftkit.Run)
    assert run.state == "finished"
    assert run.summary
    assert run.summary.complete
    assert len(run.metrics()) == 2
    assert run.rollouts()[0]["rewards"].keys() >= {"accuracy", "format"}
    assert run.recipe == rftkit.Run(run.folder).recipe


@pytest.mark.slow
def test_a_recipe_of_python_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    quiet = Console(quiet=True)
    recipe = rftkit.load_recipe("quickstart", ["method.steps=2", "eval.limit=10"])
    run = rftkit.train(recipe, "out/mine", console=quiet)
    (run.folder / "run.json").write_text(
        (run.folder / "run.json").read_text("utf-8").replace('"finished"', '"trained"'), "utf-8"
    )
    again = rftkit.train(recipe, "out/mine", resume=True, console=quiet)
    assert (again.folder, again.state) == (run.folder, "finished")
