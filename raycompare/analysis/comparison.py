"""The comparison of the models of a run: everything that its report is made from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import pyarrow as pa

from raycompare.analysis.cost import Cost, cost_of
from raycompare.analysis.doubtful_rows import DoubtfulRows, DoubtfulRowSearch
from raycompare.analysis.health.flag import Flag
from raycompare.analysis.health.flags import flags
from raycompare.analysis.importance import Importance, importance_of
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
from raycompare.analysis.round_times import RoundTimes
from raycompare.analysis.statistics.judgement import Judgement, judge
from raycompare.analysis.statistics.race import Criteria
from raycompare.analysis.verdict import rivals_of, verdict
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
from raycompare.records.run_folder import RunFolder
from raycompare.records.run_records import Records

OfModel = TypeVar("OfModel", InferenceRecord, InferenceFailure)


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The best hyperparameters of one model, and their gain on the validation split."""

    model: str
    hyperparameters: Mapping[str, Any]
    """Searched hyperparameters; empty for the untuned default."""
    is_default: bool
    confirmed: bool
    """False if no confirm trial was planned; then this is the best of the tune stage."""
    default_value: float | None
    """Best validation value of the untuned default, by the experiment's metric."""
    tuned_value: float | None
    """Best validation value of the other completed trials of the tune stage."""
    gain: float | None
    """Improvement of the tuned value over the default; negative if the default is better."""


@dataclass(frozen=True, kw_only=True)
class Savings:
    """Trials of the tune stage that ended before their full budget, and the steps saved."""

    trials: int
    steps: int
    planned_steps: int
    """Planned steps of all trials of the tune stage that started."""

    @classmethod
    def of(cls, tune: Sequence[TrialRecord], *endings: Ending) -> Self:
        """Count the trials with one of these endings."""
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
    """First line of the error."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that a report is made from."""

    records: Records
    verdict: str
    """A few sentences of Markdown."""
    leaderboard: tuple[ModelRow, ...]
    judgement: Judgement
    doubtful_rows: DoubtfulRows | None
    """Test rows whose labels may be wrong; None for fewer than two finalists."""
    baselines: tuple[BaselineRow, ...]
    """Fitted baselines, then the majority class."""
    configurations: tuple[Configuration, ...]
    importance: Importance | None
    """Importance of the searched hyperparameters; None if nothing was searched."""
    trials: tuple[TrialRecord, ...]
    """All trials; by model in the order of the leaderboard, then best first."""
    stopped: Savings
    """Trials stopped by the scheduler."""
    out_of_patience: Savings
    out_of_budget: Savings
    diverged: Savings
    failures: tuple[Failure, ...]
    cost: Cost
    flags: tuple[Flag, ...]
    inference: tuple[InferenceRecord, ...]
    """Measurements of each model, in the order of the leaderboard."""
    inference_failures: tuple[InferenceFailure, ...]
    """Failed measurements, in the order of the leaderboard."""
    screened: tuple[ScreenRecord, ...]
    """Screened models, best first; empty without screening."""

    @property
    def experiment(self) -> Experiment:
        """The experiment that was run."""
        return self.records.experiment

    @property
    def manifest(self) -> Manifest:
        """Manifest of the run."""
        return self.records.manifest

    @property
    def metric(self) -> MetricName:
        """Deciding metric of the experiment."""
        return self.experiment.tune.metric

    @property
    def speed(self) -> RoundTimes:
        """Latencies of the models by round."""
        return RoundTimes(self.records.inference_rounds)

    @property
    def standings(self) -> tuple[Line, ...]:
        """Models and baselines, best first."""
        return standings(self.leaderboard, self.baselines, self.metric)

    @property
    def rivals(self) -> tuple[str, ...]:
        """Models other than the leader that may be the best."""
        tested = [row for row in self.leaderboard if row.test]
        return tuple(rivals_of(tested[0].model, tested, self.judgement)) if tested else ()


def compare_run(folder: RunFolder, records: Records) -> Comparison:
    """Compare the models of a run folder with these records."""
    return compare(records, folder.read_predictions(with_probabilities=True))


def compare(records: Records, predictions: Iterable[tuple[str, pa.Table]]) -> Comparison:
    """Compare the models of a run; `predictions` as `RunFolder.read_predictions` returns them."""
    experiment, manifest = records.experiment, records.manifest
    trials = records.trials
    metric = experiment.tune.metric
    rows = leaderboard(records)
    models = [row.model for row in rows]
    baselines = baseline_rows(records.baselines, manifest.data)
    doubtful = DoubtfulRowSearch(finalists=tested_finalists(trials, records.evaluations))
    watched = doubtful.watch(predictions)
    judgement = _judgement(records, standings(rows, baselines, metric), watched)
    tune, cost = records.tune_trials, cost_of(records)
    seeds = {row.model: row.seed for row in cost.models if row.seed}
    return Comparison(
        records=records,
        verdict=verdict(experiment, rows, judgement, first_cause(trials), baselines, seeds),
        leaderboard=rows,
        judgement=judgement,
        doubtful_rows=doubtful.result(manifest.data.get("labels", ()), records.texts),
        baselines=baselines,
        configurations=_configurations(models, records),
        importance=importance_of(records),
        trials=tuple(sorted(trials, key=lambda trial: _place(trial, models, metric))),
        stopped=Savings.of(tune, "rung"),
        out_of_patience=Savings.of(tune, "patience"),
        out_of_budget=Savings.of(tune, "budget", "max_usd"),
        diverged=Savings.of(tune, "diverged"),
        failures=_failures(trials),
        cost=cost,
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
        Criteria(metric=records.experiment.tune.metric, confirm=records.experiment.confirm),
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
    default = _best_values((trial for trial in tune if trial.is_default), metric)
    # A trial that was stopped early had less training than the default, which never is.
    completed = (trial for trial in tune if trial.status == "completed" and not trial.is_default)
    tuned = _best_values(completed, metric)
    return tuple(
        Configuration(
            model=model,
            hyperparameters=json.loads(chosen[model].hyperparameters),
            is_default=chosen[model].is_default,
            confirmed=chosen[model].stage == "confirm",
            default_value=default.get(model),
            tuned_value=tuned.get(model),
            gain=_gain(default.get(model), tuned.get(model), metric),
        )
        for model in models
        if model in chosen
    )


def _best_values(trials: Iterable[TrialRecord], metric: MetricName) -> dict[str, float | None]:
    return {model: trial.best_value for model, trial in best_trials(trials, metric).items()}


def _gain(default: float | None, tuned: float | None, metric: MetricName) -> float | None:
    if default is None or tuned is None:
        return None
    return tuned - default if MODES[metric] == "max" else default - tuned
