"""The line of a run in `raycompare ls`, stored by its report, so that listing needs one file a run.

A stored line counts only as long as the records have the sizes that they had when it was written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from raycompare.analysis.cost import cost_of
from raycompare.analysis.leaderboard import Spread, leaderboard
from raycompare.errors import DamagedError, reading
from raycompare.metrics import MetricName
from raycompare.records.layout import (
    EVALUATIONS,
    EXPERIMENT,
    FETCHED,
    LISTING,
    MANIFEST,
    STARTED,
    TRIALS,
)
from raycompare.records.manifest import TOTAL
from raycompare.records.run_folder import RunFolder
from raycompare.records.run_records import Records
from raycompare.records.snapshot import Snapshot, State, is_locked, state_of

OF_A_RUN = (EXPERIMENT, STARTED, MANIFEST, TRIALS, EVALUATIONS)
"""A folder with any of these files is a run folder, possibly an incomplete one."""


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


def write_listing(folder: RunFolder, records: Records) -> None:
    """Store the line of a run that has a manifest."""
    line = asdict(_line(folder, records, state_of(records.manifest, False, None)))
    del line["folder"]
    content = {"sizes": _sizes_of_records(folder.sizes("")), "run": line}
    folder.write_text(LISTING, json.dumps(content, indent=2) + "\n")


def line_of(snapshot: Snapshot) -> RunLine:
    """Make the line of a run from its records."""
    return _line(snapshot.folder, snapshot.records, snapshot.state)


def stored_line(folder: RunFolder, sizes: Mapping[str, int]) -> RunLine | None:
    """Return the stored line of a run that has ended, or None if there is none that counts.

    `sizes` are those of the files in the folder.
    """
    if LISTING not in sizes or MANIFEST not in sizes or FETCHED in sizes:
        return None
    try:
        content = folder.read_json(LISTING)
        with reading(folder.child(LISTING)):
            if content["sizes"] != _sizes_of_records(sizes):
                return None
            line: RunLine = _adapter().validate_python({**content["run"], "folder": folder.shown})
    except DamagedError:  # then the records themselves are read
        return None
    is_finished = line.state == "finished"
    locked = is_locked(folder)
    if locked or (locked is None and not is_finished):
        return None
    return replace(line, state="finished" if is_finished else "interrupted")


def _sizes_of_records(sizes: Mapping[str, int]) -> dict[str, int]:
    return {name: sizes[name] for name in OF_A_RUN if name in sizes}


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(RunLine)


def _line(folder: RunFolder, records: Records, state: State) -> RunLine:
    experiment, manifest = records.experiment, records.manifest
    metric, cost = experiment.tune.metric, cost_of(records)
    first = next(iter(leaderboard(records)), None)
    best = first if first and first.test else None
    return RunLine(
        run_id=manifest.run_id,
        name=experiment.name,
        folder=folder.shown,
        created_at=manifest.created_at,
        state=state,
        models=tuple(model.name for model in experiment.models),
        winner=best.model if best else None,
        metric=metric,
        test=best.test[metric] if best else None,
        usd=cost.whole.usd if cost.price else None,
        seconds=manifest.seconds.get(TOTAL, 0.0),
    )
