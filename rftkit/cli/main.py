"""The command line: each verb parses, calls one function and prints."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from rftkit import __version__, exits
from rftkit.cli import baseline as cli_baseline
from rftkit.cli import bench as cli_bench
from rftkit.cli import check as cli_check
from rftkit.cli import compare as cli_compare
from rftkit.cli import complete
from rftkit.cli import demo as cli_demo
from rftkit.cli import files as cli_files
from rftkit.cli import machine as cli_machine
from rftkit.cli import predict as cli_predict
from rftkit.cli import rationales as cli_rationales
from rftkit.cli import score as cli_score
from rftkit.cli.deploy import export as cli_export
from rftkit.cli.deploy import push as cli_push
from rftkit.cli.deploy import serve as cli_serve
from rftkit.cli.options import (
    AsJson,
    Override,
    RecipePath,
    StyleName,
    command_line,
    progress,
    results,
    say,
)
from rftkit.errors import Interrupted, UserError, stopped
from rftkit.hardware.allocator import grow_segments
from rftkit.messages import runnable
from rftkit.training.request import Logger, StopOn

if TYPE_CHECKING:
    from rftkit.metrics.files import Evaluation

READ_BY_RESCORE = {"rescore", "as_json", "fail_if_worse", "max_invalid"}  # options of `eval`

app = typer.Typer(
    cls=exits.Verbs,
    help="Fine-tune vision-language models on few labelled images, by reward or by example.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def train(
    recipe: RecipePath,
    out: Annotated[Path | None, typer.Option(help="run folder; default out/<recipe name>")] = None,
    overrides: Override = [],  # noqa: B006  typer copies it
    resume: Annotated[bool, typer.Option("--resume", help="continue an unfinished run")] = False,
    save_every: Annotated[
        int, typer.Option(min=1, metavar="N", help="steps between checkpoints and samples")
    ] = 25,
    log: Annotated[
        Logger,
        typer.Option(metavar="TRACKER", help="none, tensorboard, trackio or wandb"),
    ] = "none",
    base_from: Annotated[
        Path | None,
        typer.Option(help="reuse this run's base-model responses if the settings match"),
    ] = None,
    stop_on: Annotated[
        StopOn, typer.Option(metavar="WHAT", help="alarm: end training, saved, with the first one")
    ] = "never",
    reward_timeout: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="a custom reward's limit per completion; 0: none"
        ),
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print the resolved recipe; write nothing")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="print the result only")] = False,
) -> None:
    """Train by a recipe, then evaluate base and fine-tuned model on held-out images.

    \b
    rftkit train quickstart
    rftkit train pets.toml --set style=direct --set method.steps=400
    rftkit train pets.toml --resume
    """
    from rftkit.recipe.builtin import find_recipe
    from rftkit.recipe.toml import dump_recipe, load_recipe

    path = find_recipe(recipe)
    if dry_run:
        typer.echo(dump_recipe(load_recipe(path, overrides)), nl=False)
        return
    from rftkit.training.request import TrainRequest
    from rftkit.training.run import train

    folder = out or Path("out") / path.stem
    request = TrainRequest(
        recipe=path,
        out=folder,
        overrides=tuple(overrides),
        resume=resume,
        command=command_line(),
        save_every=save_every,
        log=log,
        base_from=base_from,
        stop_on=stop_on,
        reward_timeout=reward_timeout,
    )
    run = train(request, progress(quiet))
    from rftkit.cli.show.runs import show_result

    show_result(run, results())


@app.command(name="eval")
def evaluate(
    context: typer.Context,
    ckpt: Annotated[
        Path | None,
        typer.Option(
            "--ckpt",
            help="a run, a checkpoint, an adapter, or out/",
            autocompletion=complete.runs,
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="split to test on")] = None,
    data: Annotated[
        Path | None, typer.Option(help="evaluate on this data: folder, .csv, .jsonl or recipe")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="largest number of images")] = None,
    base: Annotated[
        bool, typer.Option("--base/--no-base", help="evaluate the base model too")
    ] = True,
    style: Annotated[
        StyleName | None,
        typer.Option(
            metavar="STYLE",
            help="another reply style: think, direct, answer-first, adaptive or empty-think",
        ),
    ] = None,
    engine: Annotated[
        Literal["transformers", "vllm"],
        typer.Option(help="inference engine; vllm needs a newer GPU"),
    ] = "transformers",
    as_json: AsJson = False,
    fail_if_worse: Annotated[
        float | None, typer.Option(min=0, help="exit 1 if the score falls by more, e.g. 0.02")
    ] = None,
    max_invalid: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="exit 1 if a larger fraction of replies is invalid"),
    ] = None,
    rescore: Annotated[
        Path | None, typer.Option(help="compute the summary of a samples.jsonl, without a model")
    ] = None,
) -> None:
    """Measure base and fine-tuned model side by side on held-out images.

    \b
    rftkit eval --ckpt out/pets
    rftkit eval --ckpt out/pets --data newpets --json
    """
    if (ckpt is None) == (rescore is None):
        raise typer.BadParameter("give either --ckpt DIR or --rescore samples.jsonl")
    if fail_if_worse is not None and not base:
        raise typer.BadParameter("--fail-if-worse compares with the base; leave out --no-base")
    if rescore is not None:
        _refuse_ignored(context)
        evaluation = _rescored(rescore)
    else:
        from rftkit.evaluation.run import EvalRequest, evaluate_checkpoint

        assert ckpt is not None
        request = EvalRequest(
            split=split,
            data=data,
            limit=limit,
            style=style,
            base=base,
            command=command_line(),
            engine=engine,
        )
        try:
            evaluation = evaluate_checkpoint(ckpt, request, progress(False))
        except (Interrupted, KeyboardInterrupt) as stop:
            raise stopped(stop, runnable(*sys.argv[1:])) from None
    _show_evaluation(evaluation, as_json)
    from rftkit.metrics import broken_gates

    broken = broken_gates(evaluation.summary, fail_if_worse, max_invalid)
    if broken:
        raise UserError("; ".join(broken))


def _refuse_ignored(context: typer.Context) -> None:
    """Raises BadParameter if an option was typed that --rescore has no use for."""
    for option in context.command.params:
        source = context.get_parameter_source(str(option.name))
        typed = source is not None and source.name == "COMMANDLINE"
        if typed and option.name not in READ_BY_RESCORE:
            name = "/".join([*option.opts, *option.secondary_opts])
            raise typer.BadParameter(f"--rescore reads a file as it is; leave out {name}")


for command in (
    *(cli_check.check, cli_predict.predict, cli_compare.compare),
    *(cli_baseline.baseline, cli_rationales.rationales, cli_score.score),
    *(cli_files.recipes, cli_files.init, cli_files.runs, cli_files.report),
    *(cli_files.study, cli_machine.plan, cli_bench.bench, cli_machine.doctor, cli_demo.demo),
    *(cli_export.export, cli_serve.serve, cli_push.push),
):
    app.command()(command)

# as a person meets them; the others follow
FIRST = (
    *("init", "check", "plan", "train", "eval", "compare", "predict", "demo", "export", "serve"),
    *("push", "report", "runs", "study"),
)
PLACE = {name: place for place, name in enumerate(FIRST)}
app.registered_commands.sort(
    key=lambda one: PLACE.get(one.name or one.callback.__name__, len(FIRST))  # type: ignore[union-attr]
)


def main() -> NoReturn:
    """Run the command line; turn what the user can fix into one line and an exit code."""
    os.environ["PYTHONSAFEPATH"] = "1"  # what libraries start imports nothing from this folder
    grow_segments()
    # it recommends a kernel to CPU users, as it loads, that changes nothing for them
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    exits.run(lambda: app(prog_name="rftkit"))


def _rescored(path: Path) -> Evaluation:
    from rftkit.metrics.files import rescore

    return rescore(path)


def _show_evaluation(evaluation: Evaluation, as_json: bool) -> None:
    if as_json:
        from rftkit.metrics import to_json

        typer.echo(to_json(evaluation.summary), nl=False)
        return
    from rftkit.report.baselines import baselines_beside, show_baselines
    from rftkit.report.terminal import show_summary

    console = results()
    show_summary(evaluation.summary, console)
    if baselines := baselines_beside(evaluation.folder, evaluation.summary):
        show_baselines(baselines, console)
    say(f"files: {evaluation.folder}", console)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="print the version")] = False,
) -> None:
    if version:
        typer.echo(f"rftkit {__version__}")
        raise typer.Exit


if __name__ == "__main__":
    main()
