"""`raycompare status`, `ls` and `diff` read run folders, without Ray or torch."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from raycompare.cli.console import say, say_json, stdout
from raycompare.cli.options import Earlier, Json, Later, RunDir
from raycompare.cli.runs import in_one_line

Follow = Annotated[bool, typer.Option("--follow", help="Keep printing until the run ends.")]


def status(run_dir: RunDir, follow: Follow = False, json: Json = False) -> None:
    """Show the progress of a run: trials, best scores, time, cost and failures.

    With --follow and --json, prints a line of JSON whenever the status changes.
    """
    from raycompare.records.run_folder import RunFolder
    from raycompare.report.terminal.follow import changes, look
    from raycompare.report.terminal.follow import follow as follow_run
    from raycompare.report.terminal.status import view

    folder = RunFolder.at(run_dir)
    if follow and json:
        for state in changes(folder):
            say_json(state, indent=None)
    elif follow:
        follow_run(folder, stdout())
    elif json:
        say_json(look(folder))
    else:
        say(view(look(folder)))


def ls(
    directory: Annotated[
        str,
        typer.Argument(metavar="[DIR]", help="Directory of runs, or its URI.", show_default=True),
    ] = "reports",
    json: Json = False,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="List the newest N runs, by the time in their id."),
    ] = None,
) -> None:
    """List runs, newest first, with winner, score, cost and time."""
    from raycompare.records.run_folder import RunFolder
    from raycompare.report.terminal.run_list import list_runs, remarks, run_table

    listed = list_runs(RunFolder.at(directory), datetime.now(UTC), limit)
    if json:
        say_json(listed)
        return
    say(*([run_table(listed)] if listed.runs else []), *remarks(listed))


def diff(run_a: Earlier, run_b: Later, json: Json = False) -> None:
    """Compare the settings and results of two runs."""
    from raycompare.analysis.run_diff import diff as diff_of
    from raycompare.records.run_folder import RunFolder
    from raycompare.report.terminal.diff import text

    compared = diff_of(RunFolder.at(run_a), RunFolder.at(run_b))
    if json:
        say_json(compared)
    else:
        say(text(compared))


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (status, ls, diff):
        app.command()(in_one_line(command))
