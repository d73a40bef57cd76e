"""Fits the baselines of a run on one CPU while its models are trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from raycompare.cluster.tasks import Pending, run_alone
from raycompare.experiment.spec import TF_IDF, ResourceSpec
from raycompare.formatting import duration
from raycompare.metrics import LABELS, MetricName
from raycompare.records.messages import TaskFailure
from raycompare.records.rows import BaselineFailure, BaselineRecord
from raycompare.records.run_folder import RunFolder
from raycompare.running.check import CheckedExperiment
from raycompare.training.baseline import TRIAL_ID, fit_baseline

Fitted = tuple[BaselineRecord, pa.Table]


@dataclass(frozen=True)
class Baselines:
    """The baseline of a run while it is fitted; `running` is None if there is nothing to fit."""

    folder: RunFolder
    metric: MetricName
    running: Pending[Fitted] | None

    @classmethod
    def start(
        cls, ready: CheckedExperiment, folder: RunFolder, say: Callable[[str], None]
    ) -> Baselines:
        """Start to fit the baseline if the experiment names it and no earlier session fitted it."""
        experiment, metric = ready.experiment, ready.experiment.tune.metric
        if "tf-idf" not in experiment.baselines:
            return cls(folder, metric, None)
        if any(row.trial_id == TRIAL_ID for row in folder.read_rows(BaselineRecord)):
            say(f"baseline: {TF_IDF} is already fitted")
            return cls(folder, metric, None)
        running = run_alone(
            fit_baseline,
            ready.data,
            metric,
            experiment.seed,
            resources=ResourceSpec(cpu=1),
            retries=experiment.failure.max_failures,
        )
        return cls(folder, metric, running)

    def collect(self, say: Callable[[str], None]) -> None:
        """Wait for the baseline, and write its record and predictions, or why it failed."""
        if self.running is None:
            return
        fitted = self.running.result()
        if isinstance(fitted, TaskFailure):
            failure = BaselineFailure(name=TF_IDF, cause=fitted.cause, error=fitted.error)
            self.folder.write_rows([failure], BaselineFailure)
            say(f"baseline: {TF_IDF} could not be fitted ({failure.cause})")
            return
        record, predictions = fitted
        # The record is written last: it shows that the predictions are complete.
        self.folder.write_predictions(record.trial_id, predictions)
        self.folder.write_rows([record], BaselineRecord)
        value = getattr(record, self.metric)
        took = duration(record.seconds)
        say(f"baseline: {record.name}  test {LABELS[self.metric]} {value:.4f}  {took}")
