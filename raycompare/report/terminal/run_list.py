"""`raycompare ls`: the runs in a folder, newest first, and folders that can't be read as runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from pyarrow.fs import FileType
from rich.table import Table

from raycompare.analysis.leaderboard import spread
from raycompare.errors import DamagedError, UserError, reading
from raycompare.formatting import NOTHING, dollars, duration, number_of
from raycompare.metrics import LABELS
from raycompare.records.layout import EXPERIMENT
from raycompare.records.run_folder import RunFolder
from raycompare.records.snapshot import SHARED_FOLDERS, Snapshot, State
from raycompare.report.listing import OF_A_RUN, RunLine, line_of, stored_line

AT_ONCE = 16
"""Folders in a bucket that are read at the same time; local ones are read one by one."""
EXPECTED = "expected run folders named NAME/RUN_ID, as `raycompare run` writes them"


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
    omitted: int = 0
    """Number of older folders that --limit left out."""


def list_runs(place: RunFolder, now: datetime, limit: int | None = None) -> RunList:
    """List the runs in NAME/RUN_ID or RUN_ID below a folder, or the run in the folder itself.

    With a limit, only the newest folders are read, by the time in their names.

    Raises:
        UserError: the folder does not exist.
    """
    if not place.exists(""):
        raise UserError(f"{place.shown} does not exist; {EXPECTED}.")
    with ThreadPoolExecutor(AT_ONCE if place.local_path("") is None else 1) as pool:
        candidates = sorted(
            _candidates(place, pool), key=lambda item: item.folder.uri.rpartition("/")[2]
        )
        chosen = candidates if limit is None else candidates[-limit:]
        lines = list(pool.map(lambda item: _read(item, now), chosen))
    runs = [line for line in lines if isinstance(line, RunLine)]
    return RunList(
        folder=place.shown,
        runs=tuple(sorted(runs, key=lambda line: (line.created_at, line.run_id), reverse=True)),
        broken=tuple(line for line in lines if isinstance(line, Broken)),
        omitted=len(candidates) - len(chosen),
    )


@dataclass(frozen=True)
class _Candidate:
    """A folder that may be a run."""

    folder: RunFolder
    sizes: Mapping[str, int]
    """Bytes of its files."""
    folders: Sequence[str]

    @property
    def is_run(self) -> bool:
        return any(name in OF_A_RUN for name in self.sizes)


def _look(folder: RunFolder) -> _Candidate:
    """List a folder with one request."""
    with reading(folder.shown):
        infos = folder.infos("")
    return _Candidate(
        folder,
        {info.base_name: info.size for info in infos if info.is_file},
        sorted(info.base_name for info in infos if info.type == FileType.Directory),
    )


def _candidates(place: RunFolder, pool: Executor) -> Iterator[_Candidate]:
    top = _look(place)
    if top.is_run:
        yield top
        return
    children = list(pool.map(_look_if_possible, _below(top)))
    unsure = [child for child in children if not child.is_run and child.folders]
    yield from (child for child in children if child not in unsure)
    yield from pool.map(_look_if_possible, [below for child in unsure for below in _below(child)])


def _look_if_possible(folder: RunFolder) -> _Candidate:
    try:
        return _look(folder)
    except DamagedError:  # a folder of another user: `_read` names it
        return _Candidate(folder, {EXPERIMENT: 0}, ())


def _below(parent: _Candidate) -> Iterator[RunFolder]:
    for name in parent.folders:
        if name not in SHARED_FOLDERS and not name.startswith("."):
            yield parent.folder.folder(name)


def _read(item: _Candidate, now: datetime) -> RunLine | Broken:
    folder = item.folder
    if not item.is_run:
        return Broken(folder=folder.shown, reason=f"it contains no files of a run; {EXPECTED}")
    try:
        with reading(folder.shown, "Its records contradict each other."):
            return stored_line(folder, item.sizes) or line_of(Snapshot.of(folder, now))
    except (UserError, OSError) as error:  # damaged, of another version, or out of reach
        return Broken(folder=folder.shown, reason=next(iter(str(error).splitlines()), repr(error)))


def run_table(listed: RunList) -> Table:
    """Return a table with a row per run, readable at 80 columns."""
    table = Table(expand=False, box=None, padding=(0, 1, 0, 0))
    table.add_column("run", overflow="fold", min_width=22)
    table.add_column("state", no_wrap=True)
    table.add_column("winner", overflow="fold")
    table.add_column("test", overflow="fold")
    for column in ("models", "USD", "time"):
        table.add_column(column, no_wrap=True, justify="right")
    for line in listed.runs:
        table.add_row(
            f"{line.name}\n{line.run_id}",
            STATE_SHORT[line.state],
            line.winner or NOTHING,
            f"{LABELS[line.metric]} {spread(line.test)}" if line.test else NOTHING,
            str(len(line.models)),
            NOTHING if line.usd is None else dollars(line.usd),
            duration(line.seconds),
        )
    return table


STATE_SHORT: Mapping[State, str] = {
    "running": "running",
    "finished": "finished",
    "interrupted": "interrupted",
    "killed": "killed",
    "silent": "silent",
    "early_copy": "early copy",
    "part_copy": "part copy",
}


def remarks(listed: RunList) -> list[str]:
    """Return a line for each folder that could not be read, or one if there are no folders."""
    if not listed.runs and not listed.broken:
        return [f"{listed.folder} is empty; {EXPECTED}."]
    lines = [f"{broken.folder} can't be read: {broken.reason}" for broken in listed.broken]
    if listed.omitted:
        lines.append(f"{number_of(listed.omitted, 'older run')} not shown.")
    return lines
