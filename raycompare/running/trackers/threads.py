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
from raycompare.metrics import MetricName, Mode
from raycompare.records.journal import Journal, eval_records
from raycompare.records.messages import Message, Stop
from raycompare.records.rows import EvalRecord, TrialRecord
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

    def follow(self, trial: TrialRecord, rows: Sequence[EvalRecord], ended: bool) -> None:
        """Log what is new of a trial; a step that was logged before is not logged again."""
        self._put(partial(self._follow, trial, rows, ended))

    def keep(self, trial: TrialRecord, rows: Sequence[EvalRecord]) -> None:
        """Log a trial that an earlier run has finished, if that run did not come to it."""
        self._put(partial(self._keep, trial, rows))

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

    def _keep(self, trial: TrialRecord, rows: Sequence[EvalRecord]) -> None:
        if not self._tracker.has(trial.trial_id):
            self._follow(trial, rows, ended=True)

    def _follow(self, trial: TrialRecord, rows: Sequence[EvalRecord], ended: bool) -> None:
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

    def __reduce__(self) -> tuple[type[Trackers], tuple[tuple[()], type[str]]]:
        """Tune pickles what a scheduler knows for `Tuner.restore`, which is not used."""
        return Trackers, ((), str)

    @property
    def failures(self) -> dict[str, str]:
        """Why a tracker is off, by its name; empty for one that works."""
        return {lane.name: lane.failure for lane in self._lanes}

    def follow(self, trial: TrialRecord, rows: Sequence[EvalRecord], ended: bool) -> None:
        """Log what is new of a trial; `rows` are all of its evaluations."""
        for lane in self._lanes:
            lane.follow(trial, rows, ended)
        self._warn()

    def keep(self, trials: Sequence[TrialRecord], rows: Sequence[EvalRecord]) -> None:
        """Log the trials that an earlier run has finished, where they are not logged."""
        own: dict[str, list[EvalRecord]] = {}
        for row in rows:
            own.setdefault(row.trial_id, []).append(row)
        for lane in self._lanes:
            for trial in trials:
                lane.keep(trial, own.get(trial.trial_id, []))

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


class TrackedJournal(Journal):
    """A journal that tells trackers what it hears."""

    def __init__(self, metric: MetricName, mode: Mode, trackers: Trackers) -> None:
        """Start the run's clock."""
        super().__init__(metric, mode)
        self._trackers = trackers

    def keep(self, trials: Sequence[TrialRecord], evaluations: Sequence[EvalRecord]) -> None:
        """Take over the finished trials of an earlier run, also into the trackers."""
        super().keep(trials, evaluations)
        self._trackers.keep(list(self._kept.values()), self._kept_evaluations)

    def heard(self, trial_id: str, message: Message) -> None:
        """Note what a trial reported, and pass it on."""
        super().heard(trial_id, message)
        self._tell(trial_id, ended=False)

    def ended(self, trial_id: str, stop: Stop | None = None) -> None:
        """Note that a trial reports no more, and pass it on."""
        super().ended(trial_id, stop)
        self._tell(trial_id, ended=True)

    def _tell(self, trial_id: str, ended: bool) -> None:
        entry = self.entries[trial_id]
        self._trackers.follow(self._trial_record(entry), eval_records(entry), ended)
