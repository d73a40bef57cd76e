"""Each tracker works on a thread of its own, so that a slow one delays no trial."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from threading import Thread
from time import perf_counter

from raycompare.errors import summarize
from raycompare.records.journal import Journal, eval_records
from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.records.trial_state import TrialState
from raycompare.running.trackers.tracker import Outcome, Tracker

CLOSE_SECONDS = 60.0
"""How long the end of a run waits for a tracker to send what it has."""
SECRETS = ("WANDB_API_KEY", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD")
"""Variables of the environment that no message may show."""


class TrackerThread:
    """A tracker on its thread."""

    def __init__(self, name: str, tracker: Tracker) -> None:
        """Start the thread; the tracker is opened there."""
        self.name, self.failure = name, ""
        self._tracker = tracker
        self._steps: dict[str, int] = {}
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def log(self, trial: TrialRecord, rows: Sequence[EvalRecord], ended: bool) -> None:
        """Log what is new of a trial; a step that was logged before is not logged again."""
        self._put(partial(self._log, trial, rows, ended))

    def log_if_missing(self, trial: TrialRecord, rows: Sequence[EvalRecord]) -> None:
        """Log a trial that an earlier run has finished, if that run did not log it."""
        self._put(partial(self._log_if_missing, trial, rows))

    def finish(self, outcome: Outcome) -> None:
        """Add the report."""
        self._put(partial(self._tracker.finish, outcome))

    def close(self) -> None:
        """Have the tracker send what it has, and end."""
        self._put(self._tracker.close)
        self._jobs.put(None)

    def wait(self, until: float) -> None:
        """Wait for the end; `until` is a time of `perf_counter`."""
        self._thread.join(max(until - perf_counter(), 0.0))
        if self._thread.is_alive():
            self.failure = self.failure or f"not all was sent within {CLOSE_SECONDS:g} s"

    def _put(self, job: Callable[[], None]) -> None:
        if not self.failure:
            self._jobs.put(job)

    def _work(self) -> None:
        try:
            self._tracker.open()
            while (job := self._jobs.get()) is not None:
                job()
        except Exception as error:  # noqa: BLE001 - the tracker is off, and the user is told
            self.failure = without_secrets(error)

    def _log_if_missing(self, trial: TrialRecord, rows: Sequence[EvalRecord]) -> None:
        if not self._tracker.has(trial.trial_id):
            self._log(trial, rows, ended=True)

    def _log(self, trial: TrialRecord, rows: Sequence[EvalRecord], ended: bool) -> None:
        name = trial.trial_id
        if name not in self._steps:
            self._steps[name] = self._tracker.begin(trial)
        new = [r for r in rows if r.split == "validation" and r.step > self._steps[name]]
        if new:
            self._steps[name] = new[-1].step
        new += [row for row in rows if row.split == "test" and ended]
        if new:
            self._tracker.log(trial, new)
        if ended:
            self._tracker.end(trial)
            del self._steps[name]


def without_secrets(error: Exception) -> str:
    """Return the kind of an error and its first line, with passwords and tokens left out."""
    text = summarize(error)
    for secret in filter(None, (os.environ.get(name) for name in SECRETS)):
        text = text.replace(secret, "...")
    return re.sub(r"://[^/\s@]+@", "://...@", text)


class Trackers:
    """The trackers of a run; `say` prints a line that stays."""

    def __init__(self, lanes: Sequence[TrackerThread], say: Callable[[str], None]) -> None:
        """Tell the lanes of what comes, and the user of the first failure of each."""
        self._lanes, self._say = lanes, say
        self._told: set[str] = set()
        self._closed = False

    @property
    def failures(self) -> dict[str, str]:
        """Why a tracker is off, by its name; empty for one that works."""
        return {lane.name: lane.failure for lane in self._lanes}

    def follow(self, journal: Journal) -> None:
        """Log what an earlier run has finished, where it is not logged, and all that happens."""
        for trial in journal.kept:
            for lane in self._lanes:
                lane.log_if_missing(trial, journal.kept_evaluations(trial.trial_id))
        journal.observers.append(partial(self._log, journal))

    def _log(self, journal: Journal, trial: TrialState) -> None:
        if trial.start is None and trial.failure is None:
            return
        record, rows = journal.make_record(trial), eval_records(trial)
        for lane in self._lanes:
            lane.log(record, rows, trial.phase == "ended")
        self._warn()

    def finish(self, outcome: Outcome) -> None:
        """Add the report of a run that has ended well, and close."""
        for lane in self._lanes:
            lane.finish(outcome)
        self.close()

    def close(self) -> None:
        """Send what is left; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        until = perf_counter() + CLOSE_SECONDS
        for lane in self._lanes:
            lane.close()
        for lane in self._lanes:
            lane.wait(until)
        self._warn()

    def _warn(self) -> None:
        for name, failure in self.failures.items():
            if failure and name not in self._told:
                self._told.add(name)
                self._say(f"{name} is off for the rest of this run: {failure}")
