"""The notebooks are what their sources say, and what they show is built from files of a run."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import fakes
import pytest
from PIL import Image

from rftkit import notebook as nb
from rftkit.errors import DataError, UserError
from rftkit.metrics.samples import Header, Sample, header_line, sample_line
from rftkit.notebook import commands
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import dump_recipe
from rftkit.runs.run import RunFolder

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NAMES = ("quickstart", "your_own_images", "your_own_boxes", "aircraft_think_or_direct", "export")
ALWAYS = {"export": ("gguf",)}  # extras that a notebook wants on any machine


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_notebooks", FOLDER / "make_notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells(name: str) -> list[dict[str, Any]]:
    text = (FOLDER / f"{name}.ipynb").read_text("utf-8")
    found: list[dict[str, Any]] = json.loads(text)["cells"]
    return found


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_every_notebook_has_a_source_and_the_other_way_round(maker: ModuleType) -> None:
    assert maker.NAMES == NAMES
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_what_its_source_says(maker: ModuleType, name: str) -> None:
    known = (FOLDER / f"{name}.ipynb").read_text("utf-8")
    assert known == maker.notebook(name), "stale: make notebooks"


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_holds_no_outputs_and_no_filling_is_left(name: str) -> None:
    code = [cell for cell in cells(name) if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert {cell["execution_count"] for cell in code} == {None}
    assert re.findall(r"@[A-Z_]+@", "".join(map(source, cells(name)))) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_cell_hides_a_failing_command(name: str) -> None:
    lines = [line for cell in cells(name) for line in source(cell).splitlines()]
    assert [line for line in lines if re.match(r"\s*[!%]", line)] == []


@pytest.mark.parametrize("name", NAMES)
def test_no_notebook_asks_for_a_token(name: str) -> None:
    text = "".join(map(source, cells(name))).replace("no token", "").replace("No token", "")
    assert re.findall(r"\btokens?\b|login|getpass|userdata|HF_", text) == []


def test_the_first_code_cell_pins_what_rftkit_needs(maker: ModuleType) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = constraints().splitlines()
    for name in NAMES:
        first = next(cell for cell in cells(name) if cell["cell_type"] == "code")
        assert first["metadata"] == {"cellView": "form", "tags": ["setup"]}
        found = re.search(r'^PINS = """\n(.*?)\n"""', source(first), re.M | re.S)
        assert found is not None
        groups = [project["dependencies"], *(extras[extra] for extra in ALWAYS.get(name, ()))]
        wanted = {re.split(r"[<>=]", one)[0].lower() for group in groups for one in group}
        pins = found[1].split()
        assert {pin.partition("==")[0].lower().replace("_", "-") for pin in pins} == wanted
        assert [pin for pin in pins if pin not in lines] == []
        assert f'REPOSITORY = "{maker.GITHUB}"' in source(first)


def test_a_notebook_for_a_gpu_pins_what_it_adds() -> None:
    setup = {name: source(cells(name)[1]) for name in NAMES}
    assert 'EXTRAS = "" if GPU' in setup["quickstart"]
    assert 'EXTRAS = "[unsloth]" if GPU' in setup["your_own_images"]
    assert 'EXTRAS = "[unsloth]" if GPU' in setup["your_own_boxes"]
    assert 'EXTRAS = "[unsloth]" if GPU' in setup["aircraft_think_or_direct"]
    assert "unsloth_zoo==" in setup["your_own_images"]
    assert 'EXTRAS = "[gguf]" if GPU else "[gguf]"' in setup["export"]
    assert 'else ""' in setup["quickstart"]
    assert [name for name in NAMES if "vllm" in setup[name].lower()] == []


def test_extras_for_any_machine_come_before_those_for_a_gpu(maker: ModuleType) -> None:
    cell = maker.setup("unsloth", "gguf")
    assert 'EXTRAS = "[gguf,unsloth]" if GPU else "[gguf]"' in cell


def constraints() -> str:
    return (ROOT / "constraints.txt").read_text("utf-8")


@pytest.mark.parametrize("page", ["README.md", "docs/notebooks.md"])
def test_the_buttons_lead_where_the_notebooks_are(maker: ModuleType, page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    named = re.findall(r"\[!\[[^]]*\]\([^)]*\)\]\(https://colab[^)]*\)", text)
    assert named == [maker.badge(name) for name in NAMES]


def as_installed(pins: re.Match[str]) -> str:
    """The pins of a line, with the versions that are here."""
    names = [pin.partition("==")[0] for pin in pins[0].split()]
    return " ".join(f"{name}=={version(name).split('+')[0]}" for name in names)


def test_setup_stops_at_a_wrong_version_and_at_an_old_import(
    maker: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RFTKIT_NOTEBOOK_TINY", "1")
    good = re.sub(r"^[^ =]+==\S+( \S+==\S+)*$", as_installed, maker.setup(""), flags=re.M)
    exec(good, {})
    assert capsys.readouterr().out.startswith("ready: rftkit ")
    with pytest.raises(Exception, match=r"typer is .*; this notebook needs typer==0\.0\.1"):
        exec(re.sub(r"typer==\S+", "typer==0.0.1", good), {})
    with pytest.raises(Exception, match=r"not installed here.*%pip install unsloth-not==1\.0$"):
        exec(re.sub(r"typer==\S+", "unsloth-not==1.0", good), {})
    monkeypatch.setattr(sys.modules["PIL"], "__version__", "1.0")
    with pytest.raises(Exception, match="restart the session"):
        exec(good, {})


def test_setup_says_in_a_line_why_it_cannot_install(
    maker: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []

    def pip(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(words)
        return subprocess.CompletedProcess(words, 1, "", "fatal: repository not found")

    monkeypatch.setenv("RFTKIT_NOTEBOOK_TINY", "1")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("subprocess.run", pip)
    cell = maker.setup("")
    with pytest.raises(Exception, match="upload a wheel") as stop:
        exec(cell, {})
    assert asked == []
    assert stop.value._render_traceback_() == [f"stopped: {stop.value}"]  # type: ignore[attr-defined]
    with pytest.raises(
        Exception, match=r"^pip could not install from git\+https://github.com/me/r"
    ):
        exec(cell.replace(f'{maker.GITHUB}"', 'me/rftkit"'), {})
    assert "repository not found" in capsys.readouterr().out
    assert asked[0][:4] == [sys.executable, "-m", "pip", "install"]


# what the notebooks call


def test_a_command_shows_what_it_says_and_stops_the_notebook_if_it_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = "import sys; print('one'); print('two\\x1b[2J', file=sys.stderr); sys.exit(3)"
    with pytest.raises(UserError, match="exit code 3"):
        nb.run(sys.executable, "-c", program)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("$ ")
    assert sorted(shown[-2:]) == ["one", "two\\x1b[2J"]


def test_a_command_says_plain_lines_though_a_kernel_asks_for_colours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    nb.run(sys.executable, "-c", "import os; print(os.environ.get('FORCE_COLOR'))")
    assert capsys.readouterr().out.splitlines()[-1] == "None"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The commands that a notebook would run, instead of running them."""
    found: list[tuple[object, ...]] = []
    monkeypatch.setattr(commands, "run", lambda *words: found.append(words))
    return found


def begun(folder: Path, state: str, host: str) -> RunFolder:
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    run.set_status(state)  # type: ignore[arg-type]
    (folder / "lock").write_text(f"999999 {host}")
    return run


def test_training_begins_where_nothing_is(asked: list[tuple[object, ...]], tmp_path: Path) -> None:
    nb.train("pets.toml", tmp_path / "pets", "--set", "seed=1")
    assert asked == [("rftkit train", "pets.toml", "--out", tmp_path / "pets", "--set", "seed=1")]


def test_a_run_that_died_before_it_began_is_begun_again(
    asked: list[tuple[object, ...]], tmp_path: Path
) -> None:
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets" / "lock").write_text("7 another-machine")
    nb.train("pets.toml", tmp_path / "pets")
    assert asked == [("rftkit train", "pets.toml", "--out", tmp_path / "pets")]
    assert not (tmp_path / "pets" / "lock").exists()


@pytest.mark.parametrize("state", ["running", "stopped", "trained"])
def test_a_run_of_a_session_that_died_goes_on(
    asked: list[tuple[object, ...]], tmp_path: Path, state: str
) -> None:
    run = begun(tmp_path / "pets", state, "another-machine")
    (run.evaluations / "test").mkdir(parents=True)
    (run.evaluations / "test" / "lock").write_text("7 another-machine")
    nb.train("pets.toml", tmp_path / "pets")
    assert asked == [("rftkit train", "pets.toml", "--out", tmp_path / "pets", "--resume")]
    assert not (run.folder / "lock").exists()
    assert not (run.evaluations / "test" / "lock").exists()


def test_the_lock_of_this_machine_is_left_to_rftkit(
    asked: list[tuple[object, ...]], tmp_path: Path
) -> None:
    run = begun(tmp_path / "pets", "running", socket.gethostname())
    nb.train("pets.toml", tmp_path / "pets")
    assert len(asked) == 1
    assert (run.folder / "lock").exists()


def test_a_finished_run_is_left_as_it_is(
    asked: list[tuple[object, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(tmp_path / "pets", "finished", "another-machine")
    nb.train("pets.toml", tmp_path / "pets")
    assert asked == []
    assert "is finished" in capsys.readouterr().out


def test_a_notebook_for_a_gpu_says_where_to_choose_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "which", lambda _: None)
    with pytest.raises(UserError, match="Change runtime type → T4 GPU"):
        nb.require_gpu("T4")


def test_a_folder_or_a_zip_of_classes_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setenv("RFTKIT_CACHE", str(tmp_path / "cache"))
    folder = nb.save_images("digits", tmp_path / "all" / "scans", each=2)
    assert sorted(p.relative_to(folder).as_posix() for p in folder.glob("3/*")) == [
        "3/1.png",
        "3/2.png",
    ]
    assert len(nb.image_files(folder, 100)) == 20
    assert [p.parent.name for p in nb.image_files(folder, 3)] == ["0", "3", "6"]
    packed = shutil.make_archive(str(tmp_path / "scans"), "zip", tmp_path / "all")
    inside = nb.image_folder(packed)
    assert sorted(p.name for p in inside.iterdir()) == list("0123456789")
    assert nb.image_folder(folder) == folder
    with pytest.raises(DataError, match="no such folder or zip"):
        nb.image_folder(tmp_path / "missing.zip")


@pytest.fixture
def tested(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run with its evaluation: texts of either side, by number of the test image."""

    def write(name: str, style: str, sides: dict[str, list[str]], task: str = "") -> Path:
        run = RunFolder(tmp_path / name)
        run.folder.mkdir()
        recipe: Recipe = fakes.recipe(style=style)
        run.resolved.write_text(dump_recipe(recipe), "utf-8")
        run.set_status("finished")
        folder = run.evaluations / "test"
        folder.mkdir(parents=True)
        header = Header(
            task="classification", style=style, labels=("3", "5"), expected=2,
        )  # fmt: skip
        lines = [header_line(header)]
        for side, texts in sides.items():
            for number, text in enumerate(texts):
                identity = f"digits:test:{number}"
                lines.append(
                    sample_line(Sample(side=side, id=identity, image=identity, text=text, gold="3"))
                )
        (folder / "samples.jsonl").write_text("".join(lines), "utf-8")
        (folder / "summary.json").write_text("{}", "utf-8")
        return run.folder

    return write


def thought(answer: str, why: str) -> str:
    return f"<think>{why}</think><answer>{answer}</answer>"


def text_of(shown: nb.Html) -> list[str]:
    return [part for part in re.split(r"<[^>]*>", shown.html) if part]


def test_replies_stand_beside_the_image_with_their_reasoning(tested: Callable[..., Path]) -> None:
    run = tested(
        "run",
        "think",
        {
            "base": [thought("5", "a <b>hook</b>"), thought("3", "open")],
            "tuned": [thought("3", "two bows"), thought("5", "a flag")],
        },
    )
    shown = nb.replies(run)
    assert [part for part in text_of(shown) if not part.isspace()] == [
        "Fixed by training: 1",
        *("truth: 3", "base: ", "✗ 5", "a &lt;b&gt;hook&lt;/b&gt;", "tuned: ", "✓ 3", "two bows"),
        "Broken by training: 1",
        *("truth: 3", "base: ", "✓ 3", "open", "tuned: ", "✗ 5", "a flag"),
    ]
    assert shown.html.count('<img src="data:image/png;base64,') == 2


def test_two_runs_are_shown_where_they_differ(tested: Callable[..., Path]) -> None:
    think = tested("a", "think", {"tuned": [thought("3", "two bows"), thought("5", "flag"), ""]})
    direct = tested("b", "direct", {"tuned": ["5", "3", ""]})
    assert text_of(nb.versus(think, direct)) == [
        "only think is right: 1 of 3",
        *("truth: 3", "think: ", "✓ 3", "two bows", "direct: ", "✗ 5"),
        "only direct is right: 1 of 3",
        *("truth: 3", "think: ", "✗ 5", "flag", "direct: ", "✓ 3"),
    ]


def test_an_untested_run_says_so(tested: Callable[..., Path]) -> None:
    run = tested("run", "direct", {"tuned": ["3"]})
    (run / "eval" / "test" / "summary.json").unlink()
    with pytest.raises(UserError, match="was not tested yet"):
        nb.replies(run)


def test_examples_show_training_images_with_their_labels() -> None:
    shown = nb.examples("quickstart", "data.shots=1", count=4)
    title, *labels = text_of(shown)
    assert title == "4 of 10 training images"
    assert len(labels) == 4
    assert set(labels) <= set("0123456789")
    assert shown.html.count("<img ") == 4


def test_a_page_sits_in_the_notebook_and_cannot_leave_its_frame(tmp_path: Path) -> None:
    """Nor reach the notebook's kernel: its scripts have an origin of their own."""
    path = tmp_path / "study.html"
    path.write_text('<p title="a">"></iframe><b>out</b>', "utf-8")
    html = nb.page(path).html
    assert html.count("<") == 2
    assert html.startswith('<iframe sandbox="allow-scripts" srcdoc="')
    assert "&lt;/iframe&gt;" in html
    with pytest.raises(UserError, match="cannot be read"):
        nb.page(tmp_path / "none.html")


def test_predictions_stand_beside_the_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tested: Callable[..., Path]
) -> None:
    run, path = tested("run", "think", {"tuned": []}), tmp_path / "a b.png"
    Image.new("RGB", (8, 8)).save(path)
    record = {"image": str(path), "answer": "3", "reasoning": "two bows"}
    given: list[list[str]] = []

    def answer(words: list[str]) -> Iterator[dict[str, object]]:
        given.append(words)
        return iter([record, {**record, "answer": None, "reasoning": None}])

    monkeypatch.setattr("rftkit.notebook.shown.json_lines", answer)
    assert text_of(nb.predictions(run, [path])) == [
        "answers of the fine-tuned model",
        *("a b.png", "3", "two bows"),
        *("a b.png", "no answer could be read"),
    ]
    assert given == [["rftkit", "predict", str(path), "--ckpt", str(run), "--json"]]


def test_a_command_of_json_lines_that_fails_says_its_last_line() -> None:
    program = "import sys; print('rftkit: no such run', file=sys.stderr); sys.exit(1)"
    with pytest.raises(UserError, match=r"^rftkit: no such run$"):
        commands.json_lines([sys.executable, "-c", program])
    program = "print('{\"a\": 1}')"
    assert commands.json_lines([sys.executable, "-c", program]) == [{"a": 1}]


PROOF = {
    "kind": "merged", "passed": True, "blind": False, "prompts": 8, "same_replies": 7,
    "token_difference": 0.00012, "largest_tie": 0.04, "base_tokens": 0.35,
    "label_difference": 0.004, "bounds": {"tokens": 0.01, "tie": 0.1, "labels": 0.05},
    "faults": [],
}  # fmt: skip


def test_proofs_stand_in_a_table(tmp_path: Path) -> None:
    failed = {"kind": "gguf", "passed": False, "label_difference": None, "faults": ["<far>", "off"]}
    for name, more in {"a": {}, "b": failed, "c": {"blind": True}}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "proof.json").write_text(json.dumps(PROOF | more))
    shown = nb.proofs(*(tmp_path / name for name in "abc"))
    table = [text_of(nb.Html(row)) for row in shown.html.split("<tr>")[2:]]
    far = "0.0001, at most 0.01"
    assert table == [
        ["merged", "7 of 8", far, "0.3500", "0.0400, at most 0.1", "0.0040, at most 0.05", "yes"],
        ["gguf", "7 of 8", far, "0.3500", "0.0400, at most 0.1", "no list", "no: &lt;far&gt;; off"],
        ["merged", "7 of 8", far, "0.3500", "0.0400, at most 0.1", "0.0040, at most 0.05",
         "yes, but the base model would pass too"],
    ]  # fmt: skip
    (tmp_path / "a" / "proof.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"a/proof\.json: cannot be read \(RecursionError\)"):
        nb.proofs(tmp_path / "a")
    (tmp_path / "a" / "proof.json").unlink()
    with pytest.raises(UserError, match=r"a/proof\.json: cannot be read .*--no-proof"):
        nb.proofs(tmp_path / "a")


@pytest.mark.parametrize(("proof", "reason"), [
    (5, "TypeError: 'int' object is not subscriptable"),
    ([], "TypeError: list indices must be integers or slices, not str"),
    ({"kind": "x"}, "KeyError: 'bounds'"),
    (PROOF | {"bounds": {}}, "KeyError: 'tokens'"),
    (PROOF | {"largest_tie": "near"},
     "ValueError: Unknown format code 'f' for object of type 'str'"),
    (PROOF | {"base_tokens": 10**400}, "OverflowError: int too large to convert to float"),
    (PROOF | {"passed": False, "faults": [1]},
     "TypeError: sequence item 0: expected str instance, int found"),
])  # fmt: skip
def test_a_proof_that_is_none_is_one_line(proof: object, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    path.write_text(json.dumps(proof))
    with pytest.raises(UserError) as caught:
        nb.proofs(tmp_path)
    assert str(caught.value) == f"{path}: no proof of an export ({reason}); export again"
