"""`raycompare status --follow`: shows a run until it ends."""

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
"""Intervals for a folder on a disk, and for one in a bucket, where each look costs requests."""

Wait = Callable[[float], None]


def look(folder: RunFolder) -> RunStatus:
    """Return the current status of a run.

    Raises:
        UserError: the folder is not a run folder.
    """
    now = datetime.now(UTC)
    return status_of(Snapshot.of(folder, now), now)


def looks(folder: RunFolder, wait: Wait = time.sleep) -> Iterator[RunStatus]:
    """Yield the status repeatedly, for the last time when the run has ended."""
    here = folder.local_path("") is not None
    while True:
        status = look(folder)
        yield status
        if status.state != "running":
            return
        wait(HERE_SECONDS if here else REMOTE_SECONDS)


def changes(folder: RunFolder, wait: Wait = time.sleep) -> Iterator[RunStatus]:
    """Yield the status whenever a trial, a score or the state has changed."""
    last = None
    for status in looks(folder, wait):
        what = (line_of(status), status.state)
        if what != last:
            yield status
        last = what


def follow(folder: RunFolder, console: Console, wait: Wait = time.sleep) -> None:
    """Show a run until it ends or Ctrl-C is pressed: a live table, or lines if not a terminal.

    Raises:
        UserError: the folder is not a run folder.
    """
    try:
        if console.is_terminal:
            _live(folder, console, wait)
        else:
            _in_lines(folder, console, wait)
    except KeyboardInterrupt:
        console.print("Stopped watching; the run continues.", markup=False)


def _live(folder: RunFolder, console: Console, wait: Wait) -> None:
    with Live(console=console, auto_refresh=False) as live:
        for status in looks(folder, wait):
            live.update(view(status), refresh=True)


def _in_lines(folder: RunFolder, console: Console, wait: Wait) -> None:
    last = ""
    for status in looks(folder, wait):
        line = line_of(status)
        if line != last:
            console.print(f"{datetime.now(UTC):%H:%M:%S}  {line}", markup=False, soft_wrap=True)
        last = line
    console.print(view(status), soft_wrap=True)


def line_of(status: RunStatus) -> str:
    """Return the progress of a run in one line."""
    rows = [row for row in status.models if row.best_validation is not None]
    best = ", ".join(f"{row.model} {score(row.best_validation)}" for row in rows) or NOTHING
    stages = [f"{stage.name} {stage.ended}/{stage.trials}" for stage in status.stages]
    return f"{', '.join(stages)} trials ended; best validation {LABELS[status.metric]}: {best}"
