"""`raycompare status`, `ls` and `diff`: runs looked at from outside, without Ray or torch."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

RunDir = Annotated[str, typer.Argument(metavar="RUN_DIR", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Follow = Annotated[bool, typer.Option("--follow", help="Go on until the run ends.")]


FILE_COLUMNS = 160
"""Of what is not shown in a terminal."""


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=FILE_COLUMNS)


def _say(*things: object) -> None:
    console = _console()
    for thing in things:
        console.print(thing, markup=False, soft_wrap=True)


def status(run_dir: RunDir, follow: Follow = False, json: Json = False) -> None:
    """Say how a run stands: trials, best scores, time, money, what failed, how to go on."""
    from raycompare.errors import UserError
    from raycompare.records.run_folder import RunFolder
    from raycompare.report.terminal.follow import follow as follow_run
    from raycompare.report.terminal.follow import look
    from raycompare.report.terminal.status import json_text, view

    folder = RunFolder.at(run_dir)
    if follow and json:
        raise UserError("--follow and --json: expected one of them, or neither.")
    if follow:
        follow_run(folder, _console())
    elif json:
        typer.echo(json_text(look(folder)))
    else:
        _say(view(look(folder)))


def ls(
    directory: Annotated[
        str, typer.Argument(metavar="[DIR]", help="A folder of runs, or a URI.", show_default=True)
    ] = "reports",
    json: Json = False,
) -> None:
    """List runs, newest first: who came first, at what score, cost and time."""
    from raycompare.records.run_folder import RunFolder
    from raycompare.report.terminal.run_list import list_runs, remarks, run_table
    from raycompare.report.terminal.status import json_text

    found = list_runs(RunFolder.at(directory), datetime.now(UTC))
    if json:
        typer.echo(json_text(found))
        return
    _say(*([run_table(found)] if found.runs else []), *remarks(found))


def diff(
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", show_default=False)],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", show_default=False)],
    json: Json = False,
) -> None:
    """Say what two runs did differently, and whether the results differ."""
    from raycompare.analysis.run_diff import diff as diff_of
    from raycompare.records.run_folder import RunFolder
    from raycompare.report.terminal.diff import text
    from raycompare.report.terminal.status import json_text

    found = diff_of(RunFolder.at(run_a), RunFolder.at(run_b))
    if json:
        typer.echo(json_text(found))
    else:
        _say(text(found))


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (status, ls, diff):
        app.command()(command)
