"""`raycompare status`, `ls` and `diff` read run folders, without Ray or torch."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from raycompare.cli.console import say, stdout
from raycompare.cli.options import Json, RunDir

Follow = Annotated[bool, typer.Option("--follow", help="Keep printing until the run ends.")]


def status(run_dir: RunDir, follow: Follow = False, json: Json = False) -> None:
    """Show the progress of a run: trials, best scores, time, cost and failures."""
    from raycompare.errors import UserError
    from raycompare.records.run_folder import RunFolder
    from raycompare.report.terminal.follow import follow as follow_run
    from raycompare.report.terminal.follow import look
    from raycompare.report.terminal.status import json_text, view

    folder = RunFolder.at(run_dir)
    if follow and json:
        raise UserError("--follow and --json: expected one of them, or neither.")
    if follow:
        follow_run(folder, stdout())
    elif json:
        typer.echo(json_text(look(folder)))
    else:
        say(view(look(folder)))


def ls(
    directory: Annotated[
        str,
        typer.Argument(metavar="[DIR]", help="Directory of runs, or its URI.", show_default=True),
    ] = "reports",
    json: Json = False,
) -> None:
    """List runs, newest first, with winner, score, cost and time."""
    from raycompare.records.run_folder import RunFolder
    from raycompare.report.terminal.run_list import list_runs, remarks, run_table
    from raycompare.report.terminal.status import json_text

    found = list_runs(RunFolder.at(directory), datetime.now(UTC))
    if json:
        typer.echo(json_text(found))
        return
    say(*([run_table(found)] if found.runs else []), *remarks(found))


def diff(
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", show_default=False)],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", show_default=False)],
    json: Json = False,
) -> None:
    """Compare the settings and results of two runs."""
    from raycompare.analysis.run_diff import diff as diff_of
    from raycompare.records.run_folder import RunFolder
    from raycompare.report.terminal.diff import text
    from raycompare.report.terminal.status import json_text

    found = diff_of(RunFolder.at(run_a), RunFolder.at(run_b))
    if json:
        typer.echo(json_text(found))
    else:
        say(text(found))


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (status, ls, diff):
        app.command()(command)
