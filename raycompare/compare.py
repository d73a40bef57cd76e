"""From records to a comparison: who leads, what tuning bought, what was saved, what failed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa

from raycompare.endings import first_cause, first_line
from raycompare.figure_data import (
    BestSoFar,
    Curve,
    WallClock,
    best_so_far,
    best_trials,
    learning_curves,
    wall_clock,
)
from raycompare.health import Flag, flags
from raycompare.judgement import Judgement, judge
from raycompare.leaderboard import Baseline, ModelRow, leaderboard, tested_finalists
from raycompare.manifest import Manifest
from raycompare.metrics import MODES, MetricName
from raycompare.record import Ending, TrialRecord
from raycompare.records import Records
from raycompare.spec import Experiment
from raycompare.verdict import verdict


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
    def of(cls, tune: Sequence[TrialRecord], ending: Ending) -> Self:
        """Count the trials that ended this way."""
        started = [(trial, trial.planned_steps) for trial in tune if trial.planned_steps]
        saved = [planned - trial.steps for trial, planned in started if trial.ending == ending]
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

    experiment: Experiment
    manifest: Manifest
    verdict: str
    """One sentence of Markdown."""
    leaderboard: tuple[ModelRow, ...]
    judgement: Judgement
    baseline: Baseline | None
    configurations: tuple[Configuration, ...]
    trials: tuple[TrialRecord, ...]
    """All of them; by model as in the leaderboard, then best first."""
    stopped: Savings
    """By the scheduler."""
    out_of_patience: Savings
    out_of_budget: Savings
    diverged: Savings
    failures: tuple[Failure, ...]
    flags: tuple[Flag, ...]
    """What to look at."""
    curves: tuple[Curve, ...]
    """Of every evaluated trial that the figure is about; `figure_data.thinned` picks for it."""
    wall_clock: tuple[WallClock, ...]
    best_so_far: tuple[BestSoFar, ...]

    @property
    def metric(self) -> MetricName:
        """The metric that decides."""
        return self.experiment.tune.metric

    @property
    def tied(self) -> tuple[str, ...]:
        """The models that can't be told apart from the leader."""
        return self.judgement.tied([row.model for row in self.leaderboard if row.test])


def compare(records: Records, predictions: Iterable[tuple[str, pa.Table]]) -> Comparison:
    """Compare the models of an experiment by the records of its run.

    `predictions` are as `RunFolder.read_predictions` returns them.
    """
    experiment, manifest = records.experiment, records.manifest
    trials, evaluations = records.trials, records.evaluations
    metric = experiment.tune.metric
    rows = leaderboard(experiment, trials, evaluations)
    models = [row.model for row in rows]
    finalists = tested_finalists(trials, evaluations)
    tested = [row.model for row in rows if row.test]
    judgement = judge(finalists, predictions, tested, metric)
    tune = [trial for trial in trials if trial.stage == "tune"]
    test_rows = manifest.data.get("rows", {}).get("test")
    label_counts = manifest.data.get("test_label_counts")
    return Comparison(
        experiment=experiment,
        manifest=manifest,
        verdict=verdict(experiment, rows, judgement, first_cause(trials), test_rows),
        leaderboard=rows,
        judgement=judgement,
        baseline=Baseline.of(label_counts) if label_counts else None,
        configurations=_configurations(models, trials, metric),
        trials=tuple(sorted(trials, key=lambda trial: _place(trial, models, metric))),
        stopped=Savings.of(tune, "rung"),
        out_of_patience=Savings.of(tune, "patience"),
        out_of_budget=Savings.of(tune, "budget"),
        diverged=Savings.of(tune, "diverged"),
        failures=_failures(trials),
        flags=flags(records),
        curves=learning_curves(trials, evaluations, metric),
        wall_clock=wall_clock(rows),
        best_so_far=best_so_far(models, evaluations, metric),
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


def _configurations(
    models: Iterable[str], trials: Sequence[TrialRecord], metric: MetricName
) -> tuple[Configuration, ...]:
    tune = [trial for trial in trials if trial.stage == "tune"]
    chosen = best_trials(tune, metric) | {
        trial.model: trial for trial in trials if trial.stage == "confirm"
    }
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
