"""The command line: each verb parses, calls one function and prints."""

from __future__ import annotations

import io
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from rftkit import __version__, cli_demo, cli_machine, exits
from rftkit.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from rftkit.evaluation_files import Evaluation

app = typer.Typer(
    cls=exits.Verbs,
    help="Fine-tune vision-language models on few labelled images, by reward or by example.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RecipePath = Annotated[Path, typer.Argument(help="a recipe file, or the name of a built-in one")]
Override = Annotated[list[str], typer.Option("--set", help="key=value, e.g. method.steps=50")]
CkptPath = Annotated[Path, typer.Option("--ckpt", help="a run, a checkpoint, an adapter, or out/")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON on standard output")]
StyleName = Literal["think", "direct", "answer-first", "adaptive", "empty-think"]


@app.command()
def train(
    recipe: RecipePath,
    out: Annotated[Path | None, typer.Option(help="run folder; default out/<recipe name>")] = None,
    overrides: Override = [],  # noqa: B006  typer copies it
    resume: Annotated[bool, typer.Option("--resume", help="continue an unfinished run")] = False,
    save_every: Annotated[
        int, typer.Option(min=1, help="steps between checkpoints and samples")
    ] = 25,
    log: Annotated[
        Literal["none", "tensorboard", "trackio"], typer.Option(help="also log there")
    ] = "none",
    base_from: Annotated[
        Path | None, typer.Option(help="a run whose base replies to use where all is the same")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print the resolved recipe, touch nothing")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="print the result only")] = False,
) -> None:
    """Train by a recipe, then evaluate base and tuned on held-out images."""
    from rftkit.recipe_file import dump_recipe, load_recipe
    from rftkit.recipes import find_recipe

    path = find_recipe(recipe)
    if dry_run:
        typer.echo(dump_recipe(load_recipe(path, overrides)), nl=False)
        return
    from rftkit.train import Request, train

    folder = out or Path("out") / path.stem
    changes, command = tuple(overrides), _command()
    request = Request(path, folder, changes, resume, command, save_every, log, base_from)
    run = train(request, _progress(quiet))
    from rftkit.report.results import show_result

    show_result(run, _results())


@app.command(name="eval")
def evaluate(
    ckpt: Annotated[
        Path | None, typer.Option("--ckpt", help="a run, a checkpoint, an adapter, or out/")
    ] = None,
    split: Annotated[str | None, typer.Option(help="split to test on")] = None,
    data: Annotated[Path | None, typer.Option(help="others: folder, .csv, .jsonl, recipe")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many pictures")] = None,
    base: Annotated[bool, typer.Option("--base/--no-base", help="evaluate the base too")] = True,
    style: Annotated[StyleName | None, typer.Option(help="ask for another reply style")] = None,
    engine: Annotated[
        Literal["transformers", "vllm"], typer.Option(help="what answers; vllm wants a newer GPU")
    ] = "transformers",
    as_json: AsJson = False,
    fail_if_worse: Annotated[
        float | None, typer.Option(min=0, help="exit 1 if the score falls by more, e.g. 0.02")
    ] = None,
    max_invalid: Annotated[
        float | None, typer.Option(min=0, max=1, help="exit 1 if more replies are invalid")
    ] = None,
    rescore: Annotated[
        Path | None, typer.Option(help="a samples.jsonl: work out its summary, without a model")
    ] = None,
) -> None:
    """Measure base and tuned side by side on held-out images."""
    if (ckpt is None) == (rescore is None):
        raise typer.BadParameter("give either --ckpt DIR or --rescore samples.jsonl")
    if fail_if_worse is not None and not base:
        raise typer.BadParameter("--fail-if-worse compares with the base; leave out --no-base")
    if rescore is not None:
        given = {"--split": split, "--data": data, "--limit": limit, "--style": style}
        if ignored := [name for name, value in given.items() if value is not None]:
            raise typer.BadParameter(f"--rescore reads a file as it is; leave out {ignored[0]}")
        evaluation = _rescored(rescore)
    else:
        from rftkit.evaluation import Wish, evaluate_checkpoint

        assert ckpt is not None
        wish = Wish(split, data, limit, style, base, _command(), engine=engine)
        evaluation = evaluate_checkpoint(ckpt, wish, _progress(False))
    _show_evaluation(evaluation, as_json)
    from rftkit.summary import broken_gates

    broken = broken_gates(evaluation.summary, fail_if_worse, max_invalid)
    if broken:
        raise UserError("; ".join(broken))


@app.command()
def check(
    recipe: RecipePath,
    overrides: Override = [],  # noqa: B006
    schema_only: Annotated[
        bool, typer.Option("--schema-only", help="check the recipe, not its data")
    ] = False,
) -> None:
    """Check a recipe and its data without a model: rows, gold answers, pictures, copies."""
    from rftkit.errors import HubError
    from rftkit.models import engines
    from rftkit.recipe_file import load_recipe
    from rftkit.recipes import find_recipe
    from rftkit.report.checked import show_checked

    path, console = find_recipe(recipe), _results()
    loaded = load_recipe(path, overrides)
    engines.check_recipe(loaded)
    _say(f"{path}: the recipe is sound", console)
    if schema_only:
        return
    from rftkit.check import check

    try:
        show_checked(check(loaded), console)
    except HubError as error:
        _say(f"its data were not read: {error}", console)


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(help="image files")],
    ckpt: CkptPath,
    question: Annotated[str, typer.Option(help="what is asked, or the phrase to find")] = "",
    option: Annotated[list[str], typer.Option(help="of a multiple choice; give each")] = [],  # noqa: B006
    ask: Annotated[list[str], typer.Option(help="what to detect; default: all it learnt")] = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Answer for images of your own with a tuned model."""
    import json

    from rftkit.compare import predict
    from rftkit.data.asked import Question

    asked = Question(question, tuple(option), tuple(ask))
    for found in predict(ckpt, images, _progress(False), asked):
        if as_json:
            typer.echo(json.dumps(found.record(), ensure_ascii=False))
        else:
            typer.echo(found.line())


@app.command()
def score(
    task: Annotated[
        Literal["classification", "detection", "grounding", "choice", "number"],
        typer.Option(help="kind of answer"),
    ] = "classification",
    style: Annotated[StyleName, typer.Option(help="reply style")] = "think",
    rules: Annotated[
        Literal["strict", "paper"], typer.Option(help="rftkit's rules, or the papers' code's")
    ] = "strict",
    attack: Annotated[
        Path | None, typer.Option(help="a recipe: try cheap replies on its rewards instead")
    ] = None,
    overrides: Override = [],  # noqa: B006
) -> None:
    """Score JSON lines of completions from standard input by the training rewards."""
    if attack is not None:
        _attack(attack, overrides)
        return
    from rftkit.score import score_lines

    if isinstance(sys.stdin, io.TextIOWrapper):  # whatever the locale; bad bytes are named later
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    for line in score_lines(sys.stdin, task, style, rules):
        typer.echo(line)


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="a recipe to print")] = None,
    copy: Annotated[Path | None, typer.Option(help="write it to this file or folder")] = None,
) -> None:
    """List the built-in recipes, print one, or copy one to start from."""
    from rftkit.recipes import copy_recipe, read_builtin, show_recipes

    if name is None:
        if copy is not None:
            raise typer.BadParameter("--copy needs the name of a recipe")
        show_recipes(_results())
    elif copy is not None:
        typer.echo(f"wrote {copy_recipe(name, copy)}")
    else:
        typer.echo(read_builtin(name), nl=False)


@app.command()
def init(
    folder: Annotated[
        Path, typer.Argument(help="a folder for each class, or COCO json, YOLO or VOC boxes")
    ],
    out: Annotated[
        Path | None, typer.Option(help="recipe file; default <folder name>.toml")
    ] = None,
) -> None:
    """Write a commented recipe for an image folder, or for annotated boxes."""
    from rftkit.recipes import write_starter

    path = write_starter(folder, out)
    typer.echo(f"wrote {path}\nnext: {shlex.join(['rftkit', 'check', str(path)])}")


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(help="folder of runs")] = Path("out"),
    as_json: AsJson = False,
) -> None:
    """List the runs in a folder, newest first."""
    from rftkit.report.results import list_runs

    list_runs(folder, _results(), as_json)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="a run folder, or a folder of runs")]) -> None:
    """Write a run's report anew, from its files, and print its result."""
    from rftkit.report.results import show_result
    from rftkit.report.run_page import rewrite_report

    show_result(rewrite_report(run), _results())


@app.command()
def study(
    file: Annotated[Path, typer.Argument(help="a study file, or the name of a built-in one")],
    out: Annotated[Path | None, typer.Option(help="folder; default out/<study name>")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="list the runs and how far they are")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a grid of recipes, styles, shots and seeds, and say whether thinking helps."""
    from rftkit.recipes import find_study
    from rftkit.study.page import to_markdown
    from rftkit.study.run import broken, plan_study, read_study, run_study

    path = find_study(file)
    folder = out or Path("out") / path.stem
    if dry_run:
        for name, state in plan_study(path, folder):
            typer.echo(f"{state}\t{name}")
        return
    page = run_study(path, folder, _progress(False), _command())
    summary = read_study(page)
    typer.echo(summary.model_dump_json(indent=2) if as_json else to_markdown(summary))
    typer.echo(f"page: {page}", err=as_json)
    if line := broken(summary):
        raise UserError(line)


app.command()(cli_machine.plan)
app.command()(cli_machine.doctor)


app.command()(cli_demo.demo)


def main() -> NoReturn:
    """Run the command line; turn what the user can fix into one line and an exit code."""
    exits.run(lambda: app(prog_name="rftkit"))


def _attack(recipe: Path, overrides: list[str]) -> None:
    """Print what cheap replies earn on a recipe's data; exit 1 if any earns what gold does."""
    from rftkit.attacks import paid_like_gold, run_attacks
    from rftkit.data.examples import load_both
    from rftkit.recipe_file import load_recipe
    from rftkit.recipes import find_recipe
    from rftkit.report.attacked import show_attacks

    loaded = load_recipe(find_recipe(recipe), overrides)
    training, _ = load_both(loaded)
    outcomes = run_attacks(loaded, training.examples)
    show_attacks(outcomes, _results())
    if paid := paid_like_gold(outcomes):
        raise UserError(f"{recipe}: {', '.join(paid)} earn as much as gold; change the rewards")


def _rescored(path: Path) -> Evaluation:
    from rftkit.evaluation_files import rescore

    return rescore(path)


def _show_evaluation(evaluation: Evaluation, as_json: bool) -> None:
    if as_json:
        from rftkit.summary import to_json

        typer.echo(to_json(evaluation.summary), nl=False)
        return
    from rftkit.report.terminal import show_summary

    console = _results()
    show_summary(evaluation.summary, console)
    _say(f"files: {evaluation.folder}", console)


def _say(line: str, console: Console) -> None:
    """Print one line as it is, however narrow the terminal."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _progress(quiet: bool) -> Console:
    """Where progress and notes go: standard error, so that results can be piped."""
    from rich.console import Console

    return Console(stderr=True, quiet=quiet, emoji=False)


def _results() -> Console:
    from rich.console import Console

    return Console(emoji=False)


def _command() -> str:
    return shlex.join(["rftkit", *sys.argv[1:]])


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="print the version")] = False,
) -> None:
    if version:
        typer.echo(f"rftkit {__version__}")
        raise typer.Exit


if __name__ == "__main__":
    main()
