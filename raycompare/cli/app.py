"""The `raycompare` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from raycompare.cli.sagemaker import app as sagemaker
from raycompare.cli.use import app as use
from raycompare.cli.watch import add_to
from raycompare.errors import RaycompareError, UserError

app = typer.Typer(
    help="Which pretrained model should I fine-tune on my labelled text? A Ray-distributed answer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

ExperimentPath = Annotated[Path, typer.Argument(metavar="EXPERIMENT.yaml", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change the experiment: a dotted key and a YAML value, such as tune.num_samples=4.",
    ),
]
RunDir = Annotated[str, typer.Argument(metavar="RUN_DIR", show_default=False)]
Out = Annotated[
    str,
    typer.Option(
        metavar="DIR",
        envvar="RAYCOMPARE_OUT",
        help="Where run folders go: a folder or a URI of a bucket.",
    ),
]


@app.command()
def run(
    experiment: Annotated[
        Path | None, typer.Argument(metavar="[EXPERIMENT.yaml]", show_default=False)
    ] = None,
    overrides: Overrides = None,
    out: Out = "reports",
    resume: Annotated[
        str | None,
        typer.Option(metavar="RUN_DIR", help="Finish an interrupted run; no file is needed."),
    ] = None,
    warm_start: Annotated[
        str | None,
        typer.Option(metavar="RUN_DIR", help="Tell the searcher what an earlier run has found."),
    ] = None,
    wait_nodes: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Wait until the cluster has so many machines, the head counted.",
        ),
    ] = 1,
) -> None:
    """Tune, confirm and test the models of an experiment, and write the report."""
    from raycompare.records.run_folder import draft_for

    draft = draft_for(experiment, overrides or (), resume)  # before imports that take seconds
    from raycompare.running.display import Display
    from raycompare.running.run import RunOptions, run

    place = RunOptions(out=out, resume=resume, warm_start=warm_start, wait_nodes=wait_nodes)
    run(draft, place, Display())


@app.command()
def check(experiment: ExperimentPath, overrides: Overrides = None, out: Out = "reports") -> None:
    """Find every mistake of an experiment, its data and its models; start nothing."""
    from raycompare.experiment.file import read_draft

    draft = read_draft(experiment, overrides or ())  # before imports that take seconds
    from raycompare.running.check import check

    ready = check(draft, out)
    Console(highlight=False).print(ready.summary, markup=False, soft_wrap=True)


@app.command()
def data(experiment: ExperimentPath, overrides: Overrides = None) -> None:
    """Show what the data is like: labels, copies, tokens; proposes a max_length; starts nothing."""
    from raycompare.experiment.file import read_draft

    draft = read_draft(experiment, overrides or ())  # before imports that take seconds
    from raycompare.report.sections.data import survey_text
    from raycompare.running.survey import survey_draft

    survey = survey_draft(draft)
    Console(highlight=False).print(survey_text(survey), markup=False, soft_wrap=True)


@app.command()
def report(run_dir: RunDir) -> None:
    """Write the report of a run again from its records; needs neither Ray nor torch."""
    from raycompare.records.run_folder import RunFolder
    from raycompare.report.write import write_report

    folder = RunFolder.at(run_dir)
    comparison = write_report(folder)
    console = Console(highlight=False)
    console.print(comparison.verdict, markup=False, soft_wrap=True)
    console.print(folder.child("report.md"), markup=False, soft_wrap=True)


@app.command()
def fetch(
    run_dir: RunDir,
    directory: Annotated[
        str, typer.Argument(metavar="[DIR]", help="Where run folders go here.", show_default=True)
    ] = "reports",
    weights: Annotated[
        bool, typer.Option("--weights", help="Bring the models of the finalists too.")
    ] = False,
) -> None:
    """Bring report and records of a run home, from a bucket or another disk."""
    from raycompare.records.fetch import fetch
    from raycompare.records.run_folder import RunFolder

    folder = fetch(RunFolder.at(run_dir), RunFolder.at(directory), weights)
    ended = folder.exists("report.md")
    found = folder.child("report.md") if ended else f"{folder.uri}: the run has not ended yet"
    Console(highlight=False).print(found, markup=False, soft_wrap=True)


@app.command()
def refine(
    run_dir: RunDir,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The new experiment file.")
    ] = None,
) -> None:
    """Write an experiment with ranges narrowed to where a run has found its best trials."""
    from raycompare.analysis.refine import refine
    from raycompare.experiment.file import read_experiment, write_experiment
    from raycompare.records.run_folder import RunFolder

    folder = RunFolder.at(run_dir)
    experiment = read_experiment(folder.read_text("experiment.yaml"))
    found = refine(experiment, folder.read_trials())
    place = out or Path(f"{found.experiment.name}.yaml")
    if place.exists():
        raise UserError(f"{place} exists. Name another file with --out.")
    place.write_text(write_experiment(found.experiment), encoding="utf-8")
    console = Console(highlight=False)
    for line in (*found.changes, place):
        console.print(str(line), markup=False, soft_wrap=True)


@app.command()
def extend(
    run_dir: RunDir,
    epochs: Annotated[float, typer.Option(help="In all, not beside those it had.")],
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Left out: the winner.")] = None,
    out: Out = "reports",
) -> None:
    """Train the winner of a run, or another model, for more epochs; say what that bought."""
    from raycompare.running.display import Display
    from raycompare.running.train_longer import train_longer

    train_longer(run_dir, epochs, model, out, Display())


add_to(app)
app.add_typer(use)
app.add_typer(sagemaker, name="sagemaker")


def main() -> None:
    """Run the command; exit with 2 for the user's mistakes and 1 for any other error."""
    try:
        app()
    except RaycompareError as error:
        Console(stderr=True, highlight=False).print(str(error), markup=False, soft_wrap=True)
        sys.exit(2 if isinstance(error, UserError) else 1)
