"""Docs, the hosted workflow and the hooks of git call targets that the Makefile has."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from rftkit.cli.main import app

ROOT = next(folder for folder in Path(__file__).parents if (folder / "Makefile").exists())
HOOKS = ROOT / ".pre-commit-config.yaml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PAGES = sorted(
    page
    for folder in (ROOT, ROOT / ".github", ROOT / "docs", ROOT / "benchmarks", ROOT / "notebooks")
    for page in folder.glob("*.md")
)
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def targets() -> set[str]:
    """The targets that the Makefile declares for people, in its lines of .PHONY."""
    lines = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    return {name for line in lines for name in line.split()}


def calls(text: str) -> list[str]:
    """The targets of the calls of make in shell lines: `make PYTHON=python3.12 demo` -> demo."""
    commands = [
        command.split()
        for line in text.splitlines()
        for command in re.split(r"&&|[;|]", line.partition("#")[0])
    ]
    after = [words[words.index("make") + 1 :] for words in commands if "make" in words]
    return [word for words in after for word in words if "=" not in word]


def calls_in_page(page: Path) -> list[str]:
    """The targets that a page of Markdown names in its code blocks and between backticks."""
    code = CODE.findall(page.read_text("utf-8"))
    return [target for part in code for target in calls(part.strip("`"))]


def loaded(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return found


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = loaded(workflow)["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


def hooks() -> list[dict[str, Any]]:
    return [hook for repo in loaded(HOOKS)["repos"] for hook in repo["hooks"]]


def test_calls_of_make_are_found() -> None:
    text = "make test  # make sure\n\ncd x && make PYTHON=python3.12 quick\ncmake all\nmake\n"
    assert calls(text) == ["test", "quick"]


def made(*words: str) -> str:
    """What make prints; --no-print-directory, since the tests may run below another make."""
    command = ["make", "--no-print-directory", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_help_lists_every_target_once() -> None:
    lines = [line.split(maxsplit=2) for line in made("help").splitlines()]
    assert all(word == "make" and said for word, _, said in lines)
    assert sorted(name for _, name, _ in lines) == sorted(targets())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_docs_name_targets_that_exist(page: Path) -> None:
    assert set(calls_in_page(page)) <= targets()


def test_readme_and_contributing_name_the_targets_of_every_day() -> None:
    assert {"demo", "test", "help"} <= {*calls_in_page(ROOT / "README.md")}
    contributing = {*calls_in_page(ROOT / "docs" / "contributing.md")}
    assert {"lint", "quick", "test", "browser", "hooks", "fuzz", "help"} <= contributing


def test_the_workflow_calls_targets_that_exist() -> None:
    lines = [step.get("run", "") for path in WORKFLOWS for step in steps(path)]
    called = [target for line in lines for target in calls(line)]
    assert called == ["quick", "browser", "test"]
    assert set(called) <= targets()
    assert set(calls((ROOT / ".ci" / "run").read_text("utf-8"))) <= targets()


def test_the_workflow_does_nothing_but_call_make() -> None:
    lines = [step["run"] for path in WORKFLOWS for step in steps(path) if "run" in step]
    assert [line for line in lines if not line.startswith("make ")] == []


def test_the_workflow_tests_pythons_that_the_package_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    oldest = project["requires-python"].removeprefix(">=")
    for job in loaded(ROOT / ".github" / "workflows" / "ci.yml")["jobs"].values():
        assert job["strategy"]["matrix"]["python"][0] == oldest


def test_hooks_are_local_and_run_the_tools_of_the_environment() -> None:
    assert [repo["repo"] for repo in loaded(HOOKS)["repos"]] == ["local"]
    assert {hook["language"] for hook in hooks()} == {"system"}
    entries = [hook["entry"] for hook in hooks()]
    tools = [entry.split()[0] for entry in entries if "/bin/" in entry]
    assert tools == [".venv/bin/ruff", ".venv/bin/ruff", ".venv/bin/mypy"]
    assert {target for entry in entries for target in calls(entry)} <= targets()


def test_lint_runs_the_tools_that_the_hooks_run() -> None:
    commands = made("--dry-run", "lint")
    assert "ruff check" in commands
    assert "ruff format --check" in commands
    assert "mypy" in commands


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_form_for_issues_asks_something(form: Path) -> None:
    body = loaded(form)["body"]
    assert loaded(form).keys() >= {"name", "description"}
    assert all(field["attributes"]["label"] for field in body)
    assert any(field.get("validations", {}).get("required") for field in body)


def test_there_are_forms_for_bugs_and_features() -> None:
    assert [form.name for form in FORMS] == ["bug.yml", "feature.yml"]


def test_commands_that_a_form_for_bugs_asks_for_exist() -> None:
    text = (ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text("utf-8")
    assert re.findall(r"`(rftkit [^`]+)`", text) == ["rftkit --version", "rftkit doctor --json"]
    group: Any = typer.main.get_command(app)
    assert "--version" in [flag for part in group.params for flag in part.opts]
    group.commands["doctor"].make_context("doctor", ["--json"]).close()
