"""The `raycompare` command."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from raycompare.cli.boundary import explain, named_places
from raycompare.cli.console import say, say_json, say_report, warn, write_any_text
from raycompare.cli.options import (
    ExperimentPath,
    FetchInto,
    Json,
    ModelName,
    OptionalExperiment,
    Out,
    Overrides,
    RunDir,
    Weights,
    require_effect,
)
from raycompare.cli.runs import find_earlier, in_one_line, problems_in
from raycompare.cli.sagemaker import app as sagemaker
from raycompare.cli.supervisor import Supervisor, needs_supervisor, supervise
from raycompare.cli.use import app as use
from raycompare.cli.watch import add_to
from raycompare.errors import RaycompareError, UserError

app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from raycompare.records.versions import describe_version

        say(describe_version())
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version, and exit."
        ),
    ] = False,
) -> None:
    """Which pretrained model should I fine-tune on my labelled text? A Ray-distributed answer."""


@app.command()
def run(
    context: typer.Context,
    experiment: OptionalExperiment = None,
    overrides: Overrides = None,
    out: Out = "reports",
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN_DIR",
            callback=find_earlier,
            help="Continue an interrupted run; needs no experiment file.",
        ),
    ] = None,
    warm_start: Annotated[
        str | None,
        typer.Option(
            metavar="RUN_DIR",
            callback=find_earlier,
            help="Start the search from the trials of an earlier run.",
        ),
    ] = None,
    wait_nodes: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Wait until the cluster has this many nodes, including the head.",
        ),
    ] = 1,
) -> None:
    """Tune, confirm and test the models of an experiment, and write the report."""
    from raycompare.records.run_folder import draft_for

    if resume is not None:
        require_effect(context, {"out": "--out"}, "a resumed run stays in its folder")
    draft = draft_for(experiment, overrides or (), resume)  # before imports that take seconds
    from raycompare.running.display import Display
    from raycompare.running.run import RunOptions, run

    supervisor = context.obj or Supervisor(None)
    place = RunOptions(
        out=out,
        resume=resume,
        warm_start=warm_start,
        wait_nodes=wait_nodes,
        exit_on_signals=True,
        on_begin=supervisor.begin,
        on_last_word=supervisor.end,
    )
    run(draft, place, Display())


@app.command()
def check(
    experiment: ExperimentPath,
    overrides: Overrides = None,
    out: Out = "reports",
    json: Json = False,
) -> None:
    """Report every mistake in an experiment, its data and its models, without starting anything."""
    from raycompare.experiment.file import read_draft

    try:
        draft = read_draft(experiment, overrides or ())  # before imports that take seconds
        from raycompare.running.check import check

        ready = check(draft, out)
    except UserError as error:
        if json:
            say_json({"ok": False, "error": str(error), "problems": problems_in(error)})
        raise
    if json:
        say_json({"ok": True, "error": None, "problems": [], "summary": ready.summary})
    else:
        say(ready.summary)


@app.command()
def data(experiment: ExperimentPath, overrides: Overrides = None) -> None:
    """Summarise the data: labels, duplicates and token lengths; suggests a max_length."""
    from raycompare.experiment.file import read_draft

    draft = read_draft(experiment, overrides or ())  # before imports that take seconds
    from raycompare.report.sections.data import survey_text
    from raycompare.running.survey import survey_draft

    say(survey_text(survey_draft(draft)))


@app.command()
@in_one_line
def report(
    run_dir: RunDir,
    json: Json = False,
    summary: Annotated[
        bool,
        typer.Option("--summary", help="Print summary.md, which fits into a comment."),
    ] = False,
) -> None:
    """Rewrite the report of a run from its records, without Ray or torch."""
    from raycompare.records.layout import REPORT, SUMMARY
    from raycompare.records.run_folder import RunFolder
    from raycompare.report.write import write_report

    folder = RunFolder.at(run_dir)
    comparison = write_report(folder)
    if json:
        place = folder.child(REPORT)
        rows = [{"model": row.model, "test": row.test} for row in comparison.leaderboard]
        say_json({"report": place, "verdict": comparison.verdict, "leaderboard": rows})
    elif summary:
        say(folder.read_text(SUMMARY))
    else:
        say(comparison.verdict, folder.child(REPORT))


@app.command()
@in_one_line
def fetch(
    run_dir: RunDir,
    directory: FetchInto = "reports",
    weights: Weights = False,
) -> None:
    """Copy the report and records of a run here, from a bucket or another disk."""
    from raycompare.records.fetch import fetch
    from raycompare.records.run_folder import RunFolder

    say_report(fetch(RunFolder.at(run_dir), RunFolder.at(directory), weights))


@app.command()
@in_one_line
def refine(
    run_dir: RunDir,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Name of the new experiment file.")
    ] = None,
) -> None:
    """Write a new experiment file with ranges narrowed to the best trials of a run."""
    from raycompare.analysis.refine import refine
    from raycompare.experiment.file import write_experiment
    from raycompare.records.run_folder import RunFolder
    from raycompare.records.storage import require_parent

    folder = RunFolder.at(run_dir)
    found = refine(folder.read_experiment(), folder.read_trials())
    place = out or Path(f"{found.experiment.name}.yaml")
    if os.path.lexists(place):
        raise UserError(f"{place} exists. Name another file with --out.")
    require_parent("--out", place)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(write_experiment(found.experiment), encoding="utf-8")
    say(*map(str, (*found.changes, place)))


@app.command()
def extend(
    context: typer.Context,
    run_dir: RunDir,
    epochs: Annotated[
        float, typer.Option(help="Total number of epochs, including those already trained.")
    ],
    model: ModelName = None,
    out: Out = "reports",
) -> None:
    """Train the winner of a run, or another model, for more epochs, and report the gain."""
    from raycompare.running.display import Display
    from raycompare.running.run import RunOptions
    from raycompare.running.train_longer import train_longer

    supervisor = context.obj or Supervisor(None)
    options = RunOptions(
        out=out,
        exit_on_signals=True,
        on_begin=supervisor.begin,
        on_last_word=supervisor.end,
    )
    train_longer(run_dir, epochs, model, options, Display())


add_to(app)
app.add_typer(use)
app.add_typer(sagemaker, name="sagemaker")


def main() -> None:
    """Run the command; exit with 2 for the user's mistakes and 1 for any other error."""
    write_any_text()
    if needs_supervisor(sys.argv[1:]):
        sys.exit(supervise(sys.argv[1:]))
    supervisor = Supervisor.of_this_process()
    try:
        app(obj=supervisor)
    except RaycompareError as error:
        warn(str(error))
        sys.exit(2 if isinstance(error, UserError) else 1)
    except BrokenPipeError:  # as of `raycompare ls --json | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        explained = explain(error, named_places(sys.argv[1:]))
        if explained is None:
            raise
        warn(explained.message)
        sys.exit(explained.code)
    finally:
        supervisor.end()
