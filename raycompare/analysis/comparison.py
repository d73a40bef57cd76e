"""From records to a comparison: who leads, what tuning bought, what was saved, what failed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import pyarrow as pa

from raycompare.analysis.cost import Cost, cost_of
from raycompare.analysis.health import Flag, flags
from raycompare.analysis.leaderboard import (
    BaselineRow,
    Line,
    ModelRow,
    baseline_rows,
    best_trials,
    leaderboard,
    standings,
    tested_finalists,
)
from raycompare.analysis.significance import Judgement, judge
from raycompare.analysis.verdict import verdict
from raycompare.experiment.spec import Experiment
from raycompare.metrics import MODES, MetricName
from raycompare.records.endings import first_cause, first_line
from raycompare.records.manifest import Manifest
from raycompare.records.rows import (
    Ending,
    InferenceFailure,
    InferenceRecord,
    ScreenRecord,
    TrialRecord,
)
from raycompare.records.run_records import Records

OfModel = TypeVar("OfModel", InferenceRecord, InferenceFailure)


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The best hyperparameters of one model, and what they gained on the validation split."""

    model: str
    hyperparameters: Mapping[str, Any]
    """What was searched; empty for the untuned default."""
    is_default: bool
    confirmed: bool
    """False if no confirm trial was planned; then this is the best of the tune stage."""
    default_value: float | None
    """Best validation value of the untuned default, by the experiment's metric."""
    tuned_value: float | None
    """The best of all other trials of the tune stage."""
    gain: float | None
    """How much better the tuned value is; negative if the search found nothing better."""


@dataclass(frozen=True, kw_only=True)
class Savings:
    """Trials of the tune stage that ended before their budget, and the steps they saved."""

    trials: int
    steps: int
    planned_steps: int
    """Of every trial of the tune stage that started."""

    @classmethod
    def of(cls, tune: Sequence[TrialRecord], *endings: Ending) -> Self:
        """Count the trials that ended in one of these ways."""
        started = [(trial, trial.planned_steps) for trial in tune if trial.planned_steps]
        saved = [planned - trial.steps for trial, planned in started if trial.ending in endings]
        planned_steps = sum(planned for _, planned in started)
        return cls(trials=len(saved), steps=sum(saved), planned_steps=planned_steps)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One trial that ended with an error."""

    trial_id: str
    model: str
    stage: str
    seed: int
    error: str
    """Its first line."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that a report says, ready to be written down."""

    records: Records
    verdict: str
    """One sentence of Markdown."""
    leaderboard: tuple[ModelRow, ...]
    judgement: Judgement
    baselines: tuple[BaselineRow, ...]
    """The fitted ones, then the majority class."""
    configurations: tuple[Configuration, ...]
    trials: tuple[TrialRecord, ...]
    """All of them; by model as in the leaderboard, then best first."""
    stopped: Savings
    """By the scheduler."""
    out_of_patience: Savings
    out_of_budget: Savings
    diverged: Savings
    failures: tuple[Failure, ...]
    cost: Cost
    flags: tuple[Flag, ...]
    """What to look at."""
    inference: tuple[InferenceRecord, ...]
    """What it takes to use each model that was measured, in the order of the leaderboard."""
    inference_failures: tuple[InferenceFailure, ...]
    """In the same order."""
    screened: tuple[ScreenRecord, ...]
    """Best first; empty where nothing was screened."""

    @property
    def experiment(self) -> Experiment:
        """What was compared."""
        return self.records.experiment

    @property
    def manifest(self) -> Manifest:
        """Hashes, versions, machines and times of the run."""
        return self.records.manifest

    @property
    def metric(self) -> MetricName:
        """The metric that decides."""
        return self.experiment.tune.metric

    @property
    def standings(self) -> tuple[Line, ...]:
        """The models and the baselines, best first."""
        return standings(self.leaderboard, self.baselines, self.metric)

    @property
    def tied(self) -> tuple[str, ...]:
        """The models that can't be told apart from the leader."""
        return self.judgement.ties_with_first([row.model for row in self.leaderboard if row.test])


def compare(records: Records, predictions: Iterable[tuple[str, pa.Table]]) -> Comparison:
    """Compare the models of an experiment by the records of its run.

    `predictions` are as `RunFolder.read_predictions` returns them.
    """
    experiment, manifest = records.experiment, records.manifest
    trials = records.trials
    metric = experiment.tune.metric
    rows = leaderboard(records)
    models = [row.model for row in rows]
    baselines = baseline_rows(records.baselines, manifest.data)
    judgement = _judgement(records, standings(rows, baselines, metric), predictions)
    tune = records.tune_trials
    test_rows = manifest.data.get("rows", {}).get("test")
    return Comparison(
        records=records,
        verdict=verdict(experiment, rows, judgement, first_cause(trials), test_rows, baselines),
        leaderboard=rows,
        judgement=judgement,
        baselines=baselines,
        configurations=_configurations(models, records),
        trials=tuple(sorted(trials, key=lambda trial: _place(trial, models, metric))),
        stopped=Savings.of(tune, "rung"),
        out_of_patience=Savings.of(tune, "patience"),
        out_of_budget=Savings.of(tune, "budget", "max_usd"),
        diverged=Savings.of(tune, "diverged"),
        failures=_failures(trials),
        cost=cost_of(records),
        flags=flags(records),
        inference=_of_models(models, records.inference),
        inference_failures=_failures_of(models, records),
        screened=tuple(records.screened),
    )


def _place(
    trial: TrialRecord, models: Sequence[str], metric: MetricName
) -> tuple[int, bool, float, str, int]:
    value = trial.best_value or 0.0
    return (
        models.index(trial.model),
        trial.best_value is None,
        value if MODES[metric] == "min" else -value,
        trial.stage,
        trial.order,
    )


def _of_models(models: Sequence[str], rows: Iterable[OfModel]) -> tuple[OfModel, ...]:
    """Return the latest row of each model, in the order of the models."""
    by_model = {row.model: row for row in rows}
    return tuple(by_model[model] for model in models if model in by_model)


def _failures_of(models: Sequence[str], records: Records) -> tuple[InferenceFailure, ...]:
    measured = {row.model for row in records.inference}
    missing = [model for model in models if model not in measured]
    return _of_models(missing, records.inference_failures)


def _judgement(
    records: Records, lines: Sequence[Line], predictions: Iterable[tuple[str, pa.Table]]
) -> Judgement:
    fitted = {
        line.model: line.trial_id
        for line in lines
        if isinstance(line, BaselineRow) and line.trial_id
    }
    tested = [
        line.model
        for line in lines
        if line.test and (isinstance(line, ModelRow) or line.model in fitted)
    ]
    return judge(
        tested_finalists(records.trials, records.evaluations),
        predictions,
        tested,
        records.experiment.tune.metric,
        records.manifest.data.get("labels", ()),
        fitted,
    )


def _failures(trials: Iterable[TrialRecord]) -> tuple[Failure, ...]:
    errored = [trial for trial in trials if trial.status == "errored"]
    return tuple(
        Failure(
            trial_id=trial.trial_id,
            model=trial.model,
            stage=trial.stage,
            seed=trial.seed,
            error=first_line(trial),
        )
        for trial in sorted(errored, key=lambda trial: (trial.stage != "tune", trial.order))
    )


def _configurations(models: Iterable[str], records: Records) -> tuple[Configuration, ...]:
    tune, metric = records.tune_trials, records.experiment.tune.metric
    chosen = best_trials(tune, metric) | {trial.model: trial for trial in records.confirm_trials}
    default = best_trials((trial for trial in tune if trial.is_default), metric)
    tuned = best_trials((trial for trial in tune if not trial.is_default), metric)
    return tuple(
        _configuration(chosen[model], default.get(model), tuned.get(model), metric)
        for model in models
        if model in chosen
    )


def _configuration(
    chosen: TrialRecord,
    default: TrialRecord | None,
    tuned: TrialRecord | None,
    metric: MetricName,
) -> Configuration:
    default_value = default.best_value if default else None
    tuned_value = tuned.best_value if tuned else None
    return Configuration(
        model=chosen.model,
        hyperparameters=json.loads(chosen.hyperparameters),
        is_default=chosen.is_default,
        confirmed=chosen.stage == "confirm",
        default_value=default_value,
        tuned_value=tuned_value,
        gain=_gain(default_value, tuned_value, metric),
    )


def _gain(default: float | None, tuned: float | None, metric: MetricName) -> float | None:
    if default is None or tuned is None:
        return None
    return tuned - default if MODES[metric] == "max" else default - tuned
