"""MLflow: a parent run for the run, and a nested run for each trial."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from raycompare.records.rows import FINISHED, EvalRecord, Status, TrialRecord
from raycompare.running.trackers.tracker import (
    BEFORE_FIRST,
    Outcome,
    TrackedRun,
    Value,
    best_of,
    numbers_of,
    report_files,
)

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param, Run, RunTag

URI = "MLFLOW_TRACKING_URI"
FOLDER = "mlflow"
RUN_TAG, TRIAL_TAG = "raycompare.run", "raycompare.trial"
LONGEST_VALUE = 500
"""Maximum length of a parameter or tag that every version of the server accepts."""
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # the library's own 7 take minutes to give up
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
STATUS: Mapping[Status, str] = {
    "completed": "FINISHED",
    "stopped_early": "FINISHED",
    "errored": "FAILED",
    "interrupted": "KILLED",
    "not_run": "KILLED",
}
"""MLflow's RunStatus, keyed by the status of a trial."""


class MLflow:
    """Logs to MLFLOW_TRACKING_URI, or to RUN_DIR/mlflow/mlflow.db if it is not set."""

    def __init__(self, run: TrackedRun) -> None:
        """Store the run; `open` connects."""
        self._run = run
        self._runs: dict[str, str] = {}
        """MLflow's run ids, keyed by trial id."""
        self._ended: set[str] = set()

    def open(self) -> None:
        """Find the parent run and its children, or create the parent."""
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient  # noqa: PLC0415

        for name in ("mlflow.store.db.utils", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)  # logs every table it creates
        self._client = MlflowClient(os.environ.get(URI) or self._local_store())
        self._experiment = self._experiment_id()
        self._parent = self._parent_run()
        for child in self._children():
            trial = child.data.tags[TRIAL_TAG]
            self._runs[trial] = child.info.run_id
            if child.info.status in ("FINISHED", "FAILED"):
                self._ended.add(trial)

    def _local_store(self) -> str:
        place = self._run.folder.local_path(FOLDER)
        assert place is not None, "`check` requires MLFLOW_TRACKING_URI for a remote folder"
        place.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{place / 'mlflow.db'}"

    def _experiment_id(self) -> str:
        name = self._run.experiment.name
        existing = self._client.get_experiment_by_name(name)
        if existing is not None:
            return str(existing.experiment_id)
        place = None if os.environ.get(URI) else self._run.folder.local_path(f"{FOLDER}/artifacts")
        return str(self._client.create_experiment(name, place.as_uri() if place else None))

    def _parent_run(self) -> str:
        query = f"tags.`{RUN_TAG}` = '{self._run.run_id}'"
        parents = (run for run in self._search(query) if TRIAL_TAG not in run.data.tags)
        if parent := next(parents, None):
            self._client.update_run(parent.info.run_id, status="RUNNING")
            return str(parent.info.run_id)
        tags = {RUN_TAG: self._run.run_id}
        run = self._client.create_run(self._experiment, tags=tags, run_name=self._run.run_id)
        return str(run.info.run_id)

    def _children(self) -> Iterable[Run]:
        return self._search(f"tags.`mlflow.parentRunId` = '{self._parent}'")

    def _search(self, query: str) -> Iterable[Run]:
        token = None
        while True:
            page = self._client.search_runs([self._experiment], query, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def has(self, trial_id: str) -> bool:
        """Return whether the trial's run has ended."""
        return trial_id in self._ended

    def begin(self, trial: TrialRecord) -> int:
        """Create the trial's run, or continue it."""
        run_id = self._runs.get(trial.trial_id)
        if run_id is not None:
            self._client.update_run(run_id, status="RUNNING")
            history = self._client.get_metric_history(run_id, "validation/loss")
            return max((metric.step for metric in history), default=BEFORE_FIRST)
        tags = {
            RUN_TAG: self._run.run_id,
            TRIAL_TAG: trial.trial_id,
            "mlflow.parentRunId": self._parent,
            "model": trial.model,
            "stage": trial.stage,
        }
        run = self._client.create_run(self._experiment, tags=tags, run_name=trial.trial_id)
        self._runs[trial.trial_id] = run.info.run_id
        params = _params(self._run.config_of(trial))
        self._client.log_batch(run.info.run_id, params=params)
        return BEFORE_FIRST

    def log(self, trial: TrialRecord, rows: Sequence[EvalRecord]) -> None:
        """Log a metric per value, at its optimizer step."""
        for row in rows:
            metrics = _metrics(numbers_of(row), row.step)
            self._client.log_batch(self._runs[trial.trial_id], metrics=metrics)

    def end(self, trial: TrialRecord) -> None:
        """Log the best value, and the ending as tags."""
        run_id = self._runs[trial.trial_id]
        best = best_of(trial, self._run.experiment.tune.metric)
        metrics = _metrics(best, trial.best_step or 0)
        tags = _tags({"status": trial.status, "reason": trial.reason})
        self._client.log_batch(run_id, metrics=metrics, tags=tags)
        self._client.set_terminated(run_id, STATUS[trial.status])
        if trial.status in (*FINISHED, "errored"):
            self._ended.add(trial.trial_id)

    def finish(self, outcome: Outcome) -> None:
        """Add the report, the leader's test scores and the verdict to the parent run."""
        tags = _tags({"leader": outcome.leader or "", "verdict": outcome.verdict})
        metrics = _metrics(outcome.metrics, 0)
        self._client.log_batch(self._parent, metrics=metrics, tags=tags)
        with report_files(self._run.folder) as place:
            self._client.log_artifacts(self._parent, str(place))
        self._client.set_terminated(self._parent, "FINISHED")
        self._ended.add("")

    def close(self) -> None:
        """Mark unfinished runs as killed; a resumed run continues them."""
        for trial_id, run_id in self._runs.items():
            if trial_id not in self._ended:
                self._client.set_terminated(run_id, "KILLED")
        if "" not in self._ended:
            self._client.set_terminated(self._parent, "KILLED")


def _metrics(numbers: Mapping[str, float], step: int) -> list[Metric]:
    from mlflow.entities import Metric  # noqa: PLC0415

    now = int(time.time() * 1000)
    return [Metric(name, value, now, step) for name, value in numbers.items()]


def _params(config: Mapping[str, Value]) -> list[Param]:
    from mlflow.entities import Param  # noqa: PLC0415

    return [Param(name, str(value)[:LONGEST_VALUE]) for name, value in config.items()]


def _tags(tags: Mapping[str, str]) -> list[RunTag]:
    from mlflow.entities import RunTag  # noqa: PLC0415

    return [RunTag(name, value[:LONGEST_VALUE]) for name, value in tags.items()]
