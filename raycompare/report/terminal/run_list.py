"""`raycompare ls`: the runs in a folder, newest first, and the folders that are none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pyarrow import ArrowException
from rich.table import Table
from rich.text import Text

from raycompare.analysis.cost import cost_of
from raycompare.analysis.leaderboard import ModelRow, Spread, leaderboard, spread
from raycompare.errors import UserError
from raycompare.formatting import NOTHING, dollars, duration
from raycompare.metrics import LABELS, MetricName
from raycompare.records.layout import EVALUATIONS, EXPERIMENT, MANIFEST, STARTED, TRIALS
from raycompare.records.manifest import TOTAL
from raycompare.records.run_folder import RunFolder
from raycompare.records.snapshot import SHARED_FOLDERS, Snapshot, State

OF_A_RUN = (EXPERIMENT, STARTED, MANIFEST, TRIALS, EVALUATIONS)
"""A folder with one of these is that of a run, or what is left of it."""
EXPECTED = "expected run folders as NAME/RUN_ID, as `raycompare run` writes them"


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """One run."""

    run_id: str
    name: str
    folder: str
    created_at: str
    """UTC, ISO 8601; empty if nothing in the folder says."""
    state: State
    models: tuple[str, ...]
    winner: str | None
    """The model with the best mean test value; None if none was tested."""
    metric: MetricName
    test: Spread | None
    """Of the winner, by the metric."""
    usd: float | None
    """None without a price."""
    seconds: float
    """Wall-clock; of a run that has not ended, up to its last evaluation."""


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A folder that can't be read as a run."""

    folder: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RunList:
    """What is in a folder of runs."""

    folder: str
    runs: tuple[RunLine, ...]
    """Newest first."""
    broken: tuple[Broken, ...]


def list_runs(place: RunFolder, now: datetime) -> RunList:
    """List the runs in NAME/RUN_ID of a folder, in RUN_ID of it, or the run that it is.

    Raises:
        UserError: the folder does not exist.
    """
    if not place.exists(""):
        raise UserError(f"{place.shown} does not exist; {EXPECTED}.")
    found = [_read(folder, now) for folder in _run_folders(place)]
    runs = [line for line in found if isinstance(line, RunLine)]
    return RunList(
        folder=place.shown,
        runs=tuple(sorted(runs, key=lambda line: (line.created_at, line.run_id), reverse=True)),
        broken=tuple(line for line in found if isinstance(line, Broken)),
    )


def _run_folders(place: RunFolder) -> Iterator[RunFolder]:
    """Find folders of runs down to NAME/RUN_ID; one in which there is none comes itself."""
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
        return Broken(folder=folder.shown, reason=f"no file of a run is in it; {EXPECTED}")
    try:
        return _line(Snapshot.of(folder, now))
    except (UserError, ArrowException, OSError, ValueError, TypeError) as error:
        # What a file raises that was cut off, edited, locked away or written by another version.
        return Broken(folder=folder.shown, reason=next(iter(str(error).splitlines()), repr(error)))


def _line(snapshot: Snapshot) -> RunLine:
    records = snapshot.records
    experiment, manifest = records.experiment, records.manifest
    metric, cost = experiment.tune.metric, cost_of(records)
    rows = leaderboard(records)
    best = _winner(rows)
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


def _winner(rows: Sequence[ModelRow]) -> ModelRow | None:
    return rows[0] if rows and rows[0].test else None


def run_table(found: RunList) -> Table:
    """Draw the runs, a row each."""
    table = Table(expand=False, box=None, padding=(0, 2, 0, 0))
    for column in ("run", "begun"):
        table.add_column(column, no_wrap=True)
    for column in ("name", "state", "models", "first", "test", "USD", "time"):
        table.add_column(column, overflow="fold")
    for line in found.runs:
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


def remarks(found: RunList) -> list[str]:
    """Name what could not be read; say so if there is nothing."""
    if not found.runs and not found.broken:
        return [f"{found.folder} is empty; {EXPECTED}."]
    return [f"{broken.folder} is broken: {broken.reason}" for broken in found.broken]
