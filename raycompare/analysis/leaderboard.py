"""The leaderboard: one row per model, ordered by the test scores of its finalists."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any, Self, get_args

import numpy as np

from raycompare.formatting import score
from raycompare.metrics import MODES, Margins, MetricName, better, scores
from raycompare.records.endings import first_cause, first_line
from raycompare.records.rows import FINISHED, BaselineRecord, EvalRecord, Status, TrialRecord
from raycompare.records.run_records import Records

HEADLINE: tuple[MetricName, ...] = ("accuracy", "macro_f1", "matthews_correlation")
"""Test metrics that every table and verdict shows."""


def shown_metrics(metric: MetricName) -> tuple[MetricName, ...]:
    """Return the headline metrics, preceded by `metric` if it is not one of them."""
    return HEADLINE if metric in HEADLINE else (metric, *HEADLINE)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean and sample standard deviation of one metric over seeds."""

    mean: float
    sd: float | None
    """None for one seed."""
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Summarise one or more values."""
        finite = all(math.isfinite(value) for value in values)
        sd = None if len(values) == 1 else stdev(values) if finite else math.nan
        return cls(mean=fmean(values), sd=sd, n=len(values))


def spread(value: Spread) -> str:
    """Return mean ± sd, or only the mean for one seed."""
    return score(value.mean) if value.sd is None else f"{score(value.mean)} ± {score(value.sd)}"


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """Results of one model. Means are over its tested confirm trials."""

    model: str
    test: Mapping[MetricName, Spread]
    """Test scores; empty if no confirm trial was tested."""
    validation: float | None
    """Mean of the best validation values, by the experiment's metric."""
    seeds_planned: int
    num_parameters: int | None
    train_seconds: float | None
    eval_seconds: float | None
    steps_to_best: float | None
    """Median number of steps to the best evaluation."""
    counts: Mapping[Status, int]
    """Number of trials of both stages, keyed by status."""
    reason: str | None
    """The reason why no confirm trial was tested."""

    @property
    def seeds_done(self) -> int:
        """Number of tested seeds."""
        return next((spread.n for spread in self.test.values()), 0)


def leaderboard(records: Records) -> tuple[ModelRow, ...]:
    """Return the models by their mean test score in the experiment's metric, best first."""
    experiment = records.experiment
    tests = {row.trial_id: row for row in records.evaluations if row.split == "test"}
    rows = [
        _row(
            [trial for trial in records.trials if trial.model == model.name],
            tests,
            model.name,
            records.planned_seeds(model.name),
        )
        for model in experiment.models
    ]
    return tuple(sorted(rows, key=lambda row: _place(row, experiment.tune.metric)))


def tested_finalists(
    trials: Iterable[TrialRecord], evaluations: Iterable[EvalRecord]
) -> list[TrialRecord]:
    """Return the confirm trials that the test scores of the leaderboard come from."""
    tests = {row.trial_id for row in evaluations if row.split == "test"}
    return [trial for trial in _finished_seeds(trials) if trial.trial_id in tests]


def place(value: float, metric: MetricName) -> tuple[int, float]:
    """Return a sort key that puts better values first, and NaN and infinite values last."""
    if not math.isfinite(value):
        return 1, 0.0
    return 0, value if MODES[metric] == "min" else -value


def _row(
    trials: Sequence[TrialRecord],
    tests: Mapping[str, EvalRecord],
    model: str,
    seeds: int,
) -> ModelRow:
    tested = [trial for trial in _finished_seeds(trials) if trial.trial_id in tests]
    steps = [trial.best_step for trial in tested if trial.best_step is not None]
    return ModelRow(
        model=model,
        test=_spreads([tests[trial.trial_id] for trial in tested]),
        validation=_mean(trial.best_value for trial in tested),
        seeds_planned=seeds,
        # Trials differ if layers are searched; the finalists are the ones that were tested.
        num_parameters=next(
            (t.num_parameters for t in (*tested, *trials) if t.num_parameters), None
        ),
        train_seconds=_mean(trial.train_seconds for trial in tested),
        eval_seconds=_mean(trial.eval_seconds for trial in tested),
        steps_to_best=median(steps) if steps else None,
        counts={
            status: sum(trial.status == status for trial in trials) for status in get_args(Status)
        },
        reason=None if tested else _why_not_tested(trials),
    )


def _finished_seeds(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    return [trial for trial in trials if trial.stage == "confirm" and trial.status in FINISHED]


def _spreads(tests: Sequence[EvalRecord]) -> dict[MetricName, Spread]:
    if not tests:
        return {}
    return {name: Spread.of([getattr(test, name) for test in tests]) for name in MODES}


def _mean(values: Iterable[float | None]) -> float | None:
    recorded = [value for value in values if value is not None]
    return fmean(recorded) if recorded else None


def _why_not_tested(trials: Sequence[TrialRecord]) -> str:
    confirm = [trial for trial in trials if trial.stage == "confirm"]
    cause = first_cause(confirm or trials)
    if cause is None:
        return "tuned, but not confirmed" if trials else "never planned"
    return f"{cause.stage}: {first_line(cause)}"


@dataclass(frozen=True, kw_only=True)
class BaselineRow:
    """Test scores of a baseline, which has a line in the leaderboard but no rank."""

    model: str
    """Name of the baseline in tables."""
    test: Mapping[MetricName, float]
    """Test scores; the majority class has no loss."""
    trial_id: str | None = None
    """Id of its stored predictions; None for the majority class."""
    validation: float | None = None
    """Validation score, by the experiment's metric."""
    num_parameters: int | None = None
    seconds: float | None = None
    """Wall-clock time of choosing, fitting and testing."""

    @classmethod
    def of(cls, record: BaselineRecord) -> Self:
        """Return the row of a fitted baseline."""
        return cls(
            model=record.name,
            test={name: getattr(record, name) for name in MODES},
            trial_id=record.trial_id,
            validation=record.validation,
            num_parameters=record.num_parameters,
            seconds=record.seconds,
        )


Line = ModelRow | BaselineRow


def majority(label_counts: Mapping[str, int]) -> BaselineRow:
    """Return the scores of always predicting the most frequent test label, or the first by name.

    Macro averages are over the labels of the test split. There is no loss without probabilities.
    """
    names = sorted(label_counts)
    actual = np.array([label_counts[name] for name in names], float)
    most = np.arange(len(names)) == actual.argmax()
    margins = Margins(
        correct=np.where(most, actual, 0.0),
        predicted=np.where(most, actual.sum(), 0.0),
        actual=actual,
    )
    return BaselineRow(
        model=f"majority class ({names[actual.argmax()]})",
        test={name: float(scores(name, margins)) for name in MODES if name != "loss"},
    )


def baseline_rows(
    records: Sequence[BaselineRecord], data: Mapping[str, Any]
) -> tuple[BaselineRow, ...]:
    """Return a row for each fitted baseline, and the majority class if `data` counts its labels."""
    counts = data.get("test_label_counts")
    fitted = [BaselineRow.of(record) for record in records]
    return (*fitted, majority(counts)) if counts else tuple(fitted)


def standings(
    rows: Sequence[ModelRow], baselines: Sequence[BaselineRow], metric: MetricName
) -> tuple[Line, ...]:
    """Return models and baselines by their test score, best first; without a score last.

    Models keep their order, and come before baselines with the same score.
    """
    return tuple(sorted((*rows, *baselines), key=lambda line: _place(line, metric)))


def _place(line: Line, metric: MetricName) -> tuple[int, float]:
    if isinstance(line, BaselineRow):
        return place(line.test.get(metric, math.nan), metric)
    return place(line.test[metric].mean, metric) if line.test else (2, 0.0)


def best_trials(trials: Iterable[TrialRecord], metric: MetricName) -> dict[str, TrialRecord]:
    """Return the best trial of each model, which is the one to be confirmed.

    Incomplete trials count only if the model has no completed one. Of equal trials, the one that
    was planned first is the best.
    """
    valued = [trial for trial in trials if trial.best_value is not None]
    completed = {trial.model for trial in valued if trial.status == "completed"}
    best: dict[str, TrialRecord] = {}
    for trial in sorted(valued, key=lambda trial: trial.order):
        if trial.model in completed and trial.status != "completed":
            continue
        rival = best.get(trial.model)
        if rival is None or _beats(trial, rival, metric):
            best[trial.model] = trial
    return best


def _beats(trial: TrialRecord, rival: TrialRecord, metric: MetricName) -> bool:
    assert trial.best_value is not None
    return better(trial.best_value, rival.best_value, MODES[metric])
