"""Records the events of Tune in the journal, and flushes it to the run folder regularly."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

from ray import cloudpickle, tune
from ray.exceptions import OutOfMemoryError
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback

from raycompare.cluster.tasks import describe_failure
from raycompare.errors import DiskFullError, UserError
from raycompare.records.journal import Journal
from raycompare.records.messages import TrialFailure
from raycompare.records.rows import FINISHED
from raycompare.records.run_folder import RunFolder
from raycompare.records.trial_files import TrialFiles, keep_best_weights
from raycompare.tuning.plan_order import PlanOrder
from raycompare.tuning.searcher import plan_of, unpack

FLUSH_SECONDS, FLUSH_SHARE = 10.0, 0.01
"""Shortest time between two flushes, and largest share of the driver's time that they may take."""
HALVINGS = "halvings"
"""Key in a trial's config: how often to halve the number of texts computed at once."""


def trial_name(trial: Trial) -> str:
    """Return the id of the trial's plan, which is also used in file names."""
    return plan_of(trial).trial_id


class JournalCallback(tune.Callback):
    """Records the events of a stage's trials in the journal."""

    def __init__(self, journal: Journal, folder: RunFolder, scheduler: PlanOrder) -> None:
        """Take the reasons why trials were stopped or not started from `scheduler`."""
        self._journal, self._folder, self._scheduler = journal, folder, scheduler
        self._flush_at = perf_counter() + FLUSH_SECONDS
        self._ended: list[Trial] = []
        """Trials whose end is not in the run folder yet."""

    def __reduce__(self) -> tuple[type[tune.Callback], tuple[()]]:
        """Pickle a stub: `Tuner.restore`, which needs it, is not used (docs/decisions/0002)."""
        return tune.Callback, ()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Record the start."""
        self._journal.start(trial_name(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        """Record the message.

        Raises:
            DiskFullError: the disk was full when the trial wrote its files.
            UserError: the weights of the model's checkpoint are not those of the model.
        """
        name, message = trial_name(trial), unpack(result)
        if isinstance(message, TrialFailure) and message.disk_full:
            raise DiskFullError(message.cause)
        self._journal.record(name, message)
        if isinstance(message, TrialFailure) and message.wrong_weights:
            self._journal.write(self._folder)
            raise UserError(f"{plan_of(trial).model}: {message.cause}")
        if name in self._scheduler.paused:
            self._journal.pause(name)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        """Record the end, or that the trial was never started."""
        name = trial_name(trial)
        refusal = self._scheduler.refusals.get(name)
        if refusal:
            self._journal.refuse(name, refusal)
        else:
            self._journal.end(name, self._scheduler.stops.get(name))
        self._ended.append(trial)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Record the loss; after a lack of memory, halve what the trial computes at once."""
        error = _error_of(trial)
        if isinstance(error, OutOfMemoryError):
            trial.config[HALVINGS] = trial.config.get(HALVINGS, 0) + 1
        self._journal.lose(trial_name(trial), describe_failure(error).cause)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Record the failure with its cause."""
        self._journal.fail(trial_name(trial), describe_failure(_error_of(trial)))

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Write the records regularly, even if unchanged: a run that stops writing looks dead."""
        began = perf_counter()
        if began > self._flush_at:
            self.flush()
            ended = perf_counter()
            # Every flush writes all records, so flush less often as their number grows.
            self._flush_at = ended + max(FLUSH_SECONDS, (ended - began) / FLUSH_SHARE)

    def flush(self) -> None:
        """Write the records, then delete the files that only trials without an end need.

        The order matters: if the driver is killed in between, a resumed run continues a trial whose
        end is not in the records from its checkpoint. A trial that failed keeps its checkpoint,
        because a resumed run continues it too.
        """
        self._journal.write(self._folder)
        ended, self._ended = self._ended, []
        for trial in ended:
            if self._journal.entries[trial_name(trial)].status in FINISHED:
                TrialFiles(self._folder, trial_name(trial)).drop_checkpoint()
        if any(plan_of(trial).stage == "confirm" for trial in ended):
            keep_best_weights(self._journal.trials(), self._folder, self._journal.mode)


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
