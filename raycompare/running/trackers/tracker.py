"""What a tracker is: the protocol, and what it is told of a run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from raycompare.analysis.comparison import Comparison
from raycompare.experiment.hyperparameters import settings_of
from raycompare.experiment.spec import Experiment
from raycompare.metrics import MODES, MetricName
from raycompare.records.layout import REPORT
from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.records.run_folder import RunFolder

Value = float | int | str | bool
"""What a tracker takes as a hyperparameter."""
BEFORE_FIRST = -1
"""The step that a log without evaluations has come to."""


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """What a tracker has to know of a run."""

    run_id: str
    experiment: Experiment
    folder: RunFolder

    def config_of(self, trial: TrialRecord) -> dict[str, Value]:
        """Return what distinguishes a trial: model, stage, seed, and all that was set."""
        settings = settings_of(self.experiment, trial.model)
        arguments = {
            **settings.training,
            **json.loads(trial.hyperparameters),
            "model": trial.model,
            "checkpoint": settings.model.checkpoint,
            "stage": trial.stage,
            "seed": trial.seed,
        }
        return {name: _plain(value) for name, value in arguments.items() if value is not None}


def _plain(value: object) -> Value:
    return value if isinstance(value, Value) else json.dumps(value)


def numbers_of(row: EvalRecord) -> dict[str, float]:
    """Return an evaluation as flat numbers; seconds and epochs only of the validation split."""
    numbers = {f"{row.split}/{name}": float(getattr(row, name)) for name in MODES}
    if row.split == "test":
        return numbers
    clocks = {"epoch": row.epoch, "train_seconds": row.train_seconds}
    return {**numbers, **clocks, "examples_seen": float(row.examples_seen)}


def best_of(trial: TrialRecord, metric: MetricName) -> dict[str, float]:
    """Return the trial's best validation value by the metric that decides, if it has one."""
    return {} if trial.best_value is None else {f"best/{metric}": trial.best_value}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run has ended."""

    verdict: str
    leader: str | None = None
    """None if no model was tested."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The leader's test, means over the seeds."""

    @classmethod
    def of(cls, comparison: Comparison) -> Self:
        """Read the outcome from what the report says."""
        first = comparison.leaderboard[0]
        return cls(
            verdict=comparison.verdict,
            leader=first.model if first.test else None,
            metrics={f"test/{name}": spread.mean for name, spread in first.test.items()},
        )


class Tracker(Protocol):
    """Writes down trials somewhere; anything may raise, and nothing is called after that."""

    def open(self) -> None:
        """Import what is heavy, connect, and begin the run or go on with it."""

    def has(self, trial_id: str) -> bool:
        """Say whether the log of a trial that an earlier run has finished is there."""

    def begin(self, trial: TrialRecord) -> int:
        """Begin the trial's log, or go on with it; return the last step that it has."""

    def log(self, trial: TrialRecord, rows: Sequence[EvalRecord]) -> None:
        """Add evaluations."""

    def end(self, trial: TrialRecord) -> None:
        """Say how the trial has ended."""

    def finish(self, outcome: Outcome) -> None:
        """Add the report to the run that has ended well."""

    def close(self) -> None:
        """End what is still open: the run was interrupted, or has ended."""


FOLDERS = ("tables", "figures", "analytics")


@contextmanager
def report_files(folder: RunFolder) -> Iterator[Path]:
    """Yield a local folder that holds copies of the files, and nothing else of the run."""
    with tempfile.TemporaryDirectory(prefix="raycompare-report-") as place:
        local = Path(place)
        names = [f"{part}/{name}" for part in FOLDERS for name in folder.names(part)]
        for name in (REPORT, *names):
            (local / name).parent.mkdir(parents=True, exist_ok=True)
            (local / name).write_bytes(folder.read_bytes(name))
        yield local
