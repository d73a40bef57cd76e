"""Where the workers' time went in a tune stage, from the records of the run alone.

Workers times wall-clock is what the stage could have used. What is not spent in training or
evaluation steps is overhead, in three parts: the idle tail, when the last trials end one by one
and nothing is left to start; the gaps between trials on a worker; and the start of the workers and
the end of the stage, which are paid once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raycompare.records.rows import EvalRecord, TrialRecord


@dataclass(frozen=True, kw_only=True)
class Span:
    """When a trial trained and evaluated, in seconds since the run began."""

    begin: float
    end: float

    @property
    def busy(self) -> float:
        """Seconds in training and evaluation steps."""
        return self.end - self.begin


@dataclass(frozen=True, kw_only=True)
class WorkerTime:
    """The seconds of all workers of a stage, added up."""

    workers: int
    available: float
    """Workers times wall-clock."""
    busy: float
    """In training and evaluation steps."""
    tail: float
    """Idle because no trial was left to start."""
    gaps: float
    """Between the end of a trial and the first step of the next on its worker."""

    @property
    def ends(self) -> float:
        """Until the first step of the workers' first trials, and after the last trial."""
        return self.available - self.busy - self.tail - self.gaps

    @property
    def overhead(self) -> float:
        """The share of the available time outside the steps, the tail among it."""
        return 1 - self.busy / self.available

    @property
    def overhead_without_tail(self) -> float:
        """The share outside the steps of the time in which there was work for every worker."""
        return 1 - self.busy / (self.available - self.tail)


def spans(trials: Sequence[TrialRecord], evaluations: Sequence[EvalRecord]) -> list[Span]:
    """Find when each trial of the tune stage was at work; its last step is always evaluated."""
    ends: dict[str, float] = {}
    for row in evaluations:
        ends[row.trial_id] = max(ends.get(row.trial_id, 0.0), row.experiment_seconds)
    found = []
    for trial in trials:
        if trial.stage == "tune":
            end = ends[trial.trial_id]
            found.append(Span(begin=end - seconds_at_work(trial), end=end))
    return found


def seconds_at_work(trial: TrialRecord) -> float:
    """Return the seconds that a trial trained and evaluated."""
    assert trial.train_seconds is not None
    assert trial.eval_seconds is not None
    return trial.train_seconds + trial.eval_seconds


def worker_time(stage: Sequence[Span], workers: int, wall: float) -> WorkerTime:
    """Add up the time of a stage that kept `workers` busy and took `wall` seconds.

    Every trial that is started after the first ones takes the place of one that has ended, so
    the starts and ends in order give the gaps; the last ends, one per worker, give the tail.
    """
    workers = min(workers, len(stage))
    begins, ends = sorted(span.begin for span in stage), sorted(span.end for span in stage)
    return WorkerTime(
        workers=workers,
        available=workers * wall,
        busy=sum(span.busy for span in stage),
        tail=sum(ends[-1] - end for end in ends[-workers:]),
        gaps=sum(begins[workers:]) - sum(ends[:-workers]),
    )
