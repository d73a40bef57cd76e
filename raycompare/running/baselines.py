"""The baselines of a run: fitted on one CPU while its models are trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import ray
from ray.exceptions import RayError, RayTaskError

from raycompare.experiment.spec import TF_IDF
from raycompare.formatting import duration
from raycompare.metrics import LABELS, MetricName
from raycompare.records.rows import BaselineFailure, BaselineRecord
from raycompare.records.run_folder import RunFolder
from raycompare.running.check import CheckedExperiment
from raycompare.training.baseline import TRIAL_ID, fit_baseline
from raycompare.training.failures import failure_of

Fitted = tuple[BaselineRecord, pa.Table]


@dataclass(frozen=True)
class Baselines:
    """What is being fitted of a run's baselines."""

    folder: RunFolder
    metric: MetricName
    running: ray.ObjectRef[Fitted] | None

    @classmethod
    def start(
        cls, ready: CheckedExperiment, folder: RunFolder, say: Callable[[str], None]
    ) -> Baselines:
        """Begin to fit those that the experiment asks for and no earlier run has fitted."""
        experiment, metric = ready.experiment, ready.experiment.tune.metric
        if "tf-idf" not in experiment.baselines:
            return cls(folder, metric, None)
        if any(row.trial_id == TRIAL_ID for row in folder.read_rows(BaselineRecord)):
            say(f"baseline: {TF_IDF} was fitted before")
            return cls(folder, metric, None)
        # A process that keeps its memory would be in the way of the trials.
        remote = ray.remote(num_cpus=1, max_calls=1, max_retries=experiment.failure.max_failures)(
            fit_baseline
        )
        return cls(folder, metric, remote.remote(ready.data, metric, experiment.seed))

    def collect(self, say: Callable[[str], None]) -> None:
        """Wait for what was begun and write it down; what could not be fitted, with the cause."""
        if self.running is None:
            return
        try:
            record, predictions = ray.get(self.running)
        except RayError as error:
            self._write_failure(error, say)
            return
        # The record comes last: it says that the rest is there.
        self.folder.write_predictions(record.trial_id, predictions)
        self.folder.write_rows([record], BaselineRecord)
        value = getattr(record, self.metric)
        took = duration(record.seconds)
        say(f"baseline: {record.name}  test {LABELS[self.metric]} {value:.4f}  {took}")

    def _write_failure(self, error: RayError, say: Callable[[str], None]) -> None:
        cause = failure_of(error.cause if isinstance(error, RayTaskError) else error).cause
        failure = BaselineFailure(name=TF_IDF, cause=cause, error=str(error))
        self.folder.write_rows([failure], BaselineFailure)
        say(f"baseline: {TF_IDF} could not be fitted ({cause})")
