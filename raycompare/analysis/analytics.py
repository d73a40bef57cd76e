"""Tables of a run in the formats of SageMaker's analytics and SimpleTransformers (docs/mirrors.md).

The columns are those of `ExperimentAnalytics.dataframe()` and
`HyperparameterTuningJobAnalytics.dataframe()` of the SageMaker Python SDK
(sagemaker/analytics.py in 2.x, sagemaker/core/analytics.py in 3.x, commit a248126), and those of
SimpleTransformers' training_progress_scores.csv (`_create_training_progress_scores`, commit
03a3789 and before).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain, count
from statistics import fmean
from typing import Any

import pandas as pd

from raycompare.analysis.leaderboard import best_trials
from raycompare.experiment.hyperparameters import settings_of
from raycompare.metrics import MetricName
from raycompare.records.rows import EvalRecord, Split, Status, TrialRecord
from raycompare.records.run_folder import RunFolder
from raycompare.records.run_records import Records

METRICS: Mapping[MetricName, str] = {
    "loss": "loss",
    "accuracy": "accuracy",
    "macro_f1": "f1",
    "macro_precision": "precision",
    "macro_recall": "recall",
    "matthews_correlation": "mcc",
}
"""Names of the metrics in the Trainer's logs, without the prefix eval_ or test_."""
PREFIXES: Mapping[Split, str] = {"validation": "eval", "test": "test"}

JOB_STATUS: Mapping[Status, str] = {
    "completed": "Completed",
    "stopped_early": "Stopped",
    "errored": "Failed",
    "interrupted": "Stopped",
    "not_run": "Stopped",
}
"""Values of TrainingJobStatus in SageMaker's DescribeTrainingJob."""

PROGRESS_COLUMNS: Mapping[str, MetricName | None] = {
    "mcc": "matthews_correlation",
    "train_loss": None,
    "eval_loss": "loss",
    "acc": "accuracy",
    "f1": "macro_f1",
}
"""Columns after global_step, for more than two classes; users usually add the last two."""
FOLDER = "analytics"


def trial_components(folder: RunFolder | str) -> pd.DataFrame:
    """Return a row per trial, with statistics of each metric over its evaluations.

    Raises:
        UserError: the folder is not that of a finished run.
    """
    return _components(_records(folder))


def tuning_job(folder: RunFolder | str) -> pd.DataFrame:
    """Return a row per trial of the tune stage: hyperparameters, status, objective, times in s.

    Raises:
        UserError: the folder is not that of a finished run.
    """
    return _jobs(_records(folder))


def progress_scores(folder: RunFolder | str) -> dict[str, pd.DataFrame]:
    """Return the validation metrics of each model's best trial by step, keyed by model name.

    Raises:
        UserError: the folder is not that of a finished run.
    """
    return _progress(_records(folder))


def mirrors(records: Records) -> dict[str, str]:
    """Return the content of the CSV files, keyed by path in the run folder."""
    files = _progress_files(records)
    frames = {
        "trial_components.csv": _components(records),
        "tuning_job.csv": _jobs(records),
        **{files[model]: frame for model, frame in _progress(records).items()},
    }
    return {
        f"{FOLDER}/{name}": frame.to_csv(index=False, lineterminator="\n")
        for name, frame in frames.items()
    }


def average(values: Iterable[float]) -> float | None:
    """Return the mean of the finite values, SageMaker's Avg; None without any."""
    finite = [value for value in values if math.isfinite(value)]
    return fmean(finite) if finite else None


def _records(folder: RunFolder | str) -> Records:
    return Records.of(folder if isinstance(folder, RunFolder) else RunFolder.at(folder))


def _components(records: Records) -> pd.DataFrame:
    names = sorted({name for trial in records.trials for name in _parameters(records, trial)})
    return pd.DataFrame([_component(records, trial, names) for trial in records.trials])


def _component(records: Records, trial: TrialRecord, names: Sequence[str]) -> dict[str, Any]:
    parameters = _parameters(records, trial)
    return {
        "TrialComponentName": trial.trial_id,
        "DisplayName": trial.stage,
        **{name: parameters.get(name) for name in names},
        **_statistics(records, trial),
        "Trials": [trial.model],
        "Experiments": [records.experiment.name],
    }


def _parameters(records: Records, trial: TrialRecord) -> dict[str, float | str | None]:
    parameters = {
        **settings_of(records.experiment, trial.model).training,
        **json.loads(trial.hyperparameters),
        "model_name": trial.model,
        "seed": trial.seed,
    }
    return {name: _parameter(value) for name, value in parameters.items()}


def _parameter(value: object) -> float | str | None:
    """Return a number or text, the two types of SageMaker's parameters."""
    if value is None or isinstance(value, str):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else json.dumps(value)  # type: ignore[arg-type]


def _statistics(records: Records, trial: TrialRecord) -> dict[str, float | int | None]:
    return {
        f"{prefix}_{short} - {key}": value
        for split, prefix in PREFIXES.items()
        for rows in [records.rows(trial, split)]
        for name, short in METRICS.items()
        for key, value in _summary([getattr(row, name) for row in rows]).items()
    }


def _summary(values: Sequence[float]) -> dict[str, float | int | None]:
    """Summarise the finite values; CloudWatch's MetricDatum accepts neither NaN nor infinity.

    StdDev is that of a sample, and 0 for one value, as in the output of
    marshmellow77/sm-hf-experiments, where it is .032810 for .8964 and .9428.
    """
    finite = [value for value in values if math.isfinite(value)]
    return {
        "Min": min(finite, default=None),
        "Max": max(finite, default=None),
        "Avg": average(finite),
        "StdDev": _deviation(finite) if finite else None,
        "Last": finite[-1] if finite else None,
        "Count": len(finite),
    }


def _deviation(values: Sequence[float]) -> float:
    # statistics.stdev computes with exact fractions, which takes seconds for many trials.
    mean = fmean(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    return math.sqrt(squares / max(len(values) - 1, 1))


def _jobs(records: Records) -> pd.DataFrame:
    tune = records.tune_trials
    names = sorted({name for trial in tune for name in json.loads(trial.hyperparameters)})
    rows = [_job(records, trial, names) for trial in tune]
    frame = pd.DataFrame(rows, columns=[*names, *_job_columns])
    for column in ("TrainingStartTime", "TrainingEndTime"):
        frame[column] = pd.to_datetime(frame[column], utc=True)
    return frame


_job_columns = (
    "TrainingJobName",
    "TrainingJobStatus",
    "FinalObjectiveValue",
    "TrainingStartTime",
    "TrainingEndTime",
    "TrainingElapsedTimeSeconds",
    "TrainingJobDefinitionName",
)


def _job(records: Records, trial: TrialRecord, names: Sequence[str]) -> dict[str, Any]:
    parameters = _parameters(records, trial)
    started = datetime.fromisoformat(trial.started_at) if trial.started_at else None
    seconds = _seconds(trial)
    ended = started + timedelta(seconds=seconds) if started and seconds is not None else None
    values = (
        trial.trial_id,
        JOB_STATUS[trial.status],
        trial.best_value,
        started,
        ended,
        seconds,
        trial.model,
    )
    own = {name: parameters.get(name) for name in names}
    return {**own, **dict(zip(_job_columns, values, strict=True))}


def _seconds(trial: TrialRecord) -> float | None:
    """Return the working time of a trial, without waiting and lost attempts."""
    if trial.train_seconds is None:
        return None
    return trial.train_seconds + (trial.eval_seconds or 0.0) + (trial.test_seconds or 0.0)


def _progress(records: Records) -> dict[str, pd.DataFrame]:
    chosen = best_trials(records.search_trials, records.experiment.tune.metric)
    models = [spec.name for spec in records.experiment.models]
    return {
        model: _scores(records.rows(chosen[model], "validation"))
        for model in models
        if model in chosen
    }


def _scores(rows: Sequence[EvalRecord]) -> pd.DataFrame:
    columns: dict[str, list[Any]] = {"global_step": [row.step for row in rows]}
    for column, metric in PROGRESS_COLUMNS.items():
        columns[column] = [getattr(row, metric) if metric else math.nan for row in rows]
    return pd.DataFrame(columns)


def _progress_files(records: Records) -> dict[str, str]:
    types = records.manifest.data.get("model_types", {})
    files: dict[str, str] = {}
    for spec in records.experiment.models:
        parts = [types[spec.name]] if spec.name in types else []
        stem = "-".join(_safe(part) for part in (*parts, spec.name))
        names = chain([stem], (f"{stem}-{number}" for number in count(2)))
        files[spec.name] = next(name for name in names if name not in files.values())
    return {model: f"{stem}-training_progress_scores.csv" for model, stem in files.items()}


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")
