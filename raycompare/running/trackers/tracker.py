"""The protocol of trackers, and the facts of a run that they log."""

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
"""Types of hyperparameters that trackers accept."""
BEFORE_FIRST = -1
"""The last step of a log without evaluations."""


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """The run that trackers log."""

    run_id: str
    experiment: Experiment
    folder: RunFolder

    def config_of(self, trial: TrialRecord) -> dict[str, Value]:
        """Return what distinguishes a trial: model, stage, seed, and all its settings."""
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
    """Return the values of an evaluation by name; time and epoch only for the validation split."""
    numbers = {f"{row.split}/{name}": float(getattr(row, name)) for name in MODES}
    if row.split == "test":
        return numbers
    clocks = {"epoch": row.epoch, "train_seconds": row.train_seconds}
    return {**numbers, **clocks, "examples_seen": float(row.examples_seen)}


def best_of(trial: TrialRecord, metric: MetricName) -> dict[str, float]:
    """Return the trial's best validation value of the deciding metric, if it has one."""
    return {} if trial.best_value is None else {f"best/{metric}": trial.best_value}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a completed run."""

    verdict: str
    leader: str | None = None
    """None if no model was tested."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Test scores of the leader, averaged over seeds."""

    @classmethod
    def of(cls, comparison: Comparison) -> Self:
        """Take the outcome from a comparison."""
        first = comparison.leaderboard[0]
        return cls(
            verdict=comparison.verdict,
            leader=first.model if first.test else None,
            metrics={f"test/{name}": spread.mean for name, spread in first.test.items()},
        )


class Tracker(Protocol):
    """Logs trials somewhere. Any method may raise; no method is called after that."""

    def open(self) -> None:
        """Import heavy packages, connect, and start or continue the run."""
        return

    def has(self, trial_id: str) -> bool:
        """Return whether a trial that an earlier session finished is completely logged."""

    def begin(self, trial: TrialRecord) -> int:
        """Start or continue the trial's log; return the last step in it."""

    def log(self, trial: TrialRecord, rows: Sequence[EvalRecord]) -> None:
        """Add evaluations."""

    def end(self, trial: TrialRecord) -> None:
        """Log how the trial ended."""
        return

    def finish(self, outcome: Outcome) -> None:
        """Add the report of a completed run."""
        return

    def close(self) -> None:
        """Close everything that is still open, after an interruption or at the end."""
        return


FOLDERS = ("tables", "figures", "analytics")


@contextmanager
def report_files(folder: RunFolder) -> Iterator[Path]:
    """Yield a temporary local folder with copies of the report and its tables and figures."""
    with tempfile.TemporaryDirectory(prefix="raycompare-report-") as place:
        local = Path(place)
        names = [f"{part}/{name}" for part in FOLDERS for name in folder.names(part)]
        for name in (REPORT, *names):
            (local / name).parent.mkdir(parents=True, exist_ok=True)
            (local / name).write_bytes(folder.read_bytes(name))
        yield local
