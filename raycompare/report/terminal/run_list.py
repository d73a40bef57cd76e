"""`raycompare ls`: the runs in a folder, newest first, and folders that can't be read as runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from pyarrow import ArrowException
from rich.table import Table
from rich.text import Text

from raycompare.analysis.cost import cost_of
from raycompare.analysis.leaderboard import Spread, leaderboard, spread
from raycompare.errors import UserError
from raycompare.formatting import NOTHING, dollars, duration
from raycompare.metrics import LABELS, MetricName
from raycompare.records.layout import EVALUATIONS, EXPERIMENT, MANIFEST, STARTED, TRIALS
from raycompare.records.manifest import TOTAL
from raycompare.records.run_folder import RunFolder
from raycompare.records.snapshot import SHARED_FOLDERS, Snapshot, State

OF_A_RUN = (EXPERIMENT, STARTED, MANIFEST, TRIALS, EVALUATIONS)
"""A folder with any of these files is a run folder, possibly an incomplete one."""
EXPECTED = "expected run folders named NAME/RUN_ID, as `raycompare run` writes them"


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """One run."""

    run_id: str
    name: str
    folder: str
    created_at: str
    """Start in UTC, ISO 8601; empty if unknown."""
    state: State
    models: tuple[str, ...]
    winner: str | None
    """Model with the best mean test score; None if none was tested."""
    metric: MetricName
    test: Spread | None
    """Test score of the winner."""
    usd: float | None
    """Cost in dollars; None without a price."""
    seconds: float
    """Wall-clock time; up to the last evaluation if the run has not ended."""


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A folder that can't be read as a run."""

    folder: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RunList:
    """Contents of a folder of runs."""

    folder: str
    runs: tuple[RunLine, ...]
    """Runs, newest first."""
    broken: tuple[Broken, ...]


def list_runs(place: RunFolder, now: datetime) -> RunList:
    """List the runs in NAME/RUN_ID or RUN_ID below a folder, or the run in the folder itself.

    Raises:
        UserError: the folder does not exist.
    """
    if not place.exists(""):
        raise UserError(f"{place.shown} does not exist; {EXPECTED}.")
    lines = [_read(folder, now) for folder in _run_folders(place)]
    runs = [line for line in lines if isinstance(line, RunLine)]
    return RunList(
        folder=place.shown,
        runs=tuple(sorted(runs, key=lambda line: (line.created_at, line.run_id), reverse=True)),
        broken=tuple(line for line in lines if isinstance(line, Broken)),
    )


def _run_folders(place: RunFolder) -> Iterator[RunFolder]:
    if _is_run(place):
        yield place
        return
    for child in _below(place):
        if _is_run(child):
            yield child
        else:
            yield from _below(child) if child.folders() else (child,)


def _below(place: RunFolder) -> Iterator[RunFolder]:
    for name in place.folders():
        if name not in SHARED_FOLDERS and not name.startswith("."):
            yield place.folder(name)


def _is_run(folder: RunFolder) -> bool:
    return any(name in OF_A_RUN for name in folder.sizes(""))


def _read(folder: RunFolder, now: datetime) -> RunLine | Broken:
    if not _is_run(folder):
        return Broken(folder=folder.shown, reason=f"it contains no files of a run; {EXPECTED}")
    try:
        return _line(Snapshot.of(folder, now))
    except (UserError, ArrowException, OSError, ValueError, TypeError) as error:
        # A file is truncated, edited, unreadable, or written by another version.
        return Broken(folder=folder.shown, reason=next(iter(str(error).splitlines()), repr(error)))


def _line(snapshot: Snapshot) -> RunLine:
    records = snapshot.records
    experiment, manifest = records.experiment, records.manifest
    metric, cost = experiment.tune.metric, cost_of(records)
    first = next(iter(leaderboard(records)), None)
    best = first if first and first.test else None
    return RunLine(
        run_id=manifest.run_id,
        name=experiment.name,
        folder=snapshot.folder.shown,
        created_at=manifest.created_at,
        state=snapshot.state,
        models=tuple(model.name for model in experiment.models),
        winner=best.model if best else None,
        metric=metric,
        test=best.test[metric] if best else None,
        usd=cost.whole.usd if cost.price else None,
        seconds=manifest.seconds.get(TOTAL, 0.0),
    )


def run_table(listed: RunList) -> Table:
    """Return a table with a row per run."""
    table = Table(expand=False, box=None, padding=(0, 2, 0, 0))
    for column in ("run", "started"):
        table.add_column(column, no_wrap=True)
    for column in ("name", "state", "models", "winner", "test", "USD", "time"):
        table.add_column(column, overflow="fold")
    for line in listed.runs:
        table.add_row(
            Text(line.run_id),
            line.created_at[: len("2026-01-02T03:04")].replace("T", " ") or NOTHING,
            line.name,
            line.state,
            str(len(line.models)),
            Text(line.winner or NOTHING),
            f"{LABELS[line.metric]} {spread(line.test)}" if line.test else NOTHING,
            NOTHING if line.usd is None else dollars(line.usd),
            duration(line.seconds),
        )
    return table


def remarks(listed: RunList) -> list[str]:
    """Return a line for each folder that could not be read, or one if there are no folders."""
    if not listed.runs and not listed.broken:
        return [f"{listed.folder} is empty; {EXPECTED}."]
    return [f"{broken.folder} can't be read: {broken.reason}" for broken in listed.broken]
