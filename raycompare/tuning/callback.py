"""Writes down what Tune sees, and brings the run folder up to date every few seconds."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

from ray import cloudpickle, tune
from ray.exceptions import OutOfMemoryError
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback

from raycompare.cluster.tasks import describe_failure
from raycompare.errors import DiskFullError
from raycompare.records.journal import Journal
from raycompare.records.messages import TrialFailure
from raycompare.records.run_folder import RunFolder
from raycompare.records.trial_files import TrialFiles, keep_best_weights
from raycompare.tuning.plan_order import PlanOrder
from raycompare.tuning.searcher import plan_of, unpack

FLUSH_SECONDS, FLUSH_SHARE = 10.0, 0.01
"""Least time between two flushes of the records, and the most of the driver's time for them."""
HALVINGS = "halvings"
"""The key of a trial's config that says how often to halve what it computes at once."""


def trial_name(trial: Trial) -> str:
    """Return the id of the trial's plan, which also names its files."""
    return plan_of(trial).trial_id


class JournalCallback(tune.Callback):
    """Tells the journal of a run what happens to the trials of a stage."""

    def __init__(self, journal: Journal, folder: RunFolder, scheduler: PlanOrder) -> None:
        """Ask `scheduler` why a trial was ended or not started."""
        self._journal, self._folder, self._scheduler = journal, folder, scheduler
        self._flush_at = perf_counter() + FLUSH_SECONDS

    def __reduce__(self) -> tuple[type[tune.Callback], tuple[()]]:
        """Tune pickles callbacks for `Tuner.restore`, which is not used (docs/decisions/0002)."""
        return tune.Callback, ()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Note the start."""
        self._journal.start(trial_name(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        """Note the message.

        Raises:
            DiskFullError: the trial could not write what it had to; nor could the others.
        """
        name, message = trial_name(trial), unpack(result)
        if isinstance(message, TrialFailure) and message.disk_full:
            raise DiskFullError(message.cause)
        self._journal.record(name, message)
        if name in self._scheduler.paused:
            self._journal.pause(name)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        """Note the end, or that the trial never began."""
        name = trial_name(trial)
        refusal = self._scheduler.refusals.get(name)
        if refusal:
            self._journal.refuse(name, refusal)
        else:
            self._journal.end(name, self._scheduler.stops.get(name))
        TrialFiles(self._folder, name).drop_checkpoint()
        if plan_of(trial).stage == "confirm":
            keep_best_weights(self._journal.trials(), self._folder, self._journal.mode)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Have a trial that took all the memory of its machine take less, when it starts again."""
        error = _error_of(trial)
        if isinstance(error, OutOfMemoryError):
            trial.config[HALVINGS] = trial.config.get(HALVINGS, 0) + 1
        self._journal.lose(trial_name(trial), describe_failure(error).cause)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Note that the trial was lost for good, with the cause."""
        self._journal.fail(trial_name(trial), describe_failure(_error_of(trial)))

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Write the records now and then, also when nothing has changed.

        A run in a bucket that writes nothing for minutes is reported as silent.
        """
        began = perf_counter()
        if began > self._flush_at:
            self._journal.write(self._folder)
            ended = perf_counter()
            # Every flush writes all records: the more there are, the more seldom.
            self._flush_at = ended + max(FLUSH_SECONDS, (ended - began) / FLUSH_SHARE)


class NoProgress(TrialProgressCallback):
    """Keeps Tune from printing trials without a result."""

    def _print(self, msg: str) -> None:
        """Print nothing."""


def _error_of(trial: Trial) -> Exception:
    """Read the error of a failed trial from its file, since Tune does not pass it to callbacks."""
    path = trial.pickled_error_file
    assert path is not None
    error: Exception = cloudpickle.loads(Path(path).read_bytes())
    return error
