"""`raycompare status --follow`: a run that goes on, until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live

from raycompare.formatting import NOTHING, score
from raycompare.metrics import LABELS
from raycompare.records.run_folder import RunFolder
from raycompare.records.snapshot import Snapshot
from raycompare.report.terminal.status import RunStatus, status_of, view

HERE_SECONDS, REMOTE_SECONDS = 2.0, 15.0
"""Between two looks at a folder on a disk, and in a bucket, where each costs a few requests."""

Wait = Callable[[float], None]


def look(folder: RunFolder) -> RunStatus:
    """Say how a run stands now.

    Raises:
        UserError: the folder is not that of a run.
    """
    now = datetime.now(UTC)
    return status_of(Snapshot.of(folder, now), now)


def looks(folder: RunFolder, wait: Wait = time.sleep) -> Iterator[RunStatus]:
    """Look again and again, for the last time when the run has ended."""
    here = folder.local_path("") is not None
    while True:
        status = look(folder)
        yield status
        if status.state != "running":
            return
        wait(HERE_SECONDS if here else REMOTE_SECONDS)


def follow(folder: RunFolder, console: Console, wait: Wait = time.sleep) -> None:
    """Show a run until it ends or the user has seen enough: a live table, or lines in a file.

    Raises:
        UserError: the folder is not that of a run.
    """
    try:
        if console.is_terminal:
            _live(folder, console, wait)
        else:
            _in_lines(folder, console, wait)
    except KeyboardInterrupt:
        console.print("The run goes on by itself.", markup=False)


def _live(folder: RunFolder, console: Console, wait: Wait) -> None:
    with Live(console=console, auto_refresh=False) as live:
        for status in looks(folder, wait):
            live.update(view(status), refresh=True)


def _in_lines(folder: RunFolder, console: Console, wait: Wait) -> None:
    said = ""
    for status in looks(folder, wait):
        line = line_of(status)
        if line != said:
            console.print(f"{datetime.now(UTC):%H:%M:%S}  {line}", markup=False, soft_wrap=True)
        said = line
    console.print(view(status), soft_wrap=True)


def line_of(status: RunStatus) -> str:
    """Say in one line what changes while a run goes on."""
    known = [row for row in status.models if row.best_validation is not None]
    best = ", ".join(f"{row.model} {score(row.best_validation)}" for row in known) or NOTHING
    stages = [f"{stage.name} {stage.ended}/{stage.trials}" for stage in status.stages]
    return f"{', '.join(stages)} trials ended; best validation {LABELS[status.metric]}: {best}"
