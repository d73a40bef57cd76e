"""The leaderboard: one row per model, from the test of its finalists, and who leads it."""

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
"""The test metrics that every table and verdict shows."""


def shown_metrics(metric: MetricName) -> tuple[MetricName, ...]:
    """Return the headline metrics, after `metric` if it is none of them."""
    return HEADLINE if metric in HEADLINE else (metric, *HEADLINE)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean and sample standard deviation of one metric over seeds."""

    mean: float
    sd: float | None
    """None for one seed, which has no spread."""
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Summarise at least one value."""
        finite = all(math.isfinite(value) for value in values)
        sd = None if len(values) == 1 else stdev(values) if finite else math.nan
        return cls(mean=fmean(values), sd=sd, n=len(values))


def spread(value: Spread) -> str:
    """Return mean ± sd; only the mean of one seed."""
    return score(value.mean) if value.sd is None else f"{score(value.mean)} ± {score(value.sd)}"


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """What is known of one model. Means are over the confirm trials that were tested."""

    model: str
    test: Mapping[MetricName, Spread]
    """Empty if no confirm trial was tested; `reason` then says why."""
    validation: float | None
    """Mean of the best validation values, by the experiment's metric."""
    seeds_planned: int
    num_parameters: int | None
    train_seconds: float | None
    eval_seconds: float | None
    steps_to_best: float | None
    """Median."""
    counts: Mapping[Status, int]
    """Trials of both stages."""
    reason: str | None

    @property
    def seeds_done(self) -> int:
        """The number of seeds behind the test values."""
        return next((spread.n for spread in self.test.values()), 0)


def leaderboard(records: Records) -> tuple[ModelRow, ...]:
    """Order the models by their mean test value of the experiment's metric, best first."""
    experiment = records.experiment
    tests = {row.trial_id: row for row in records.evaluations if row.split == "test"}
    rows = [
        _row(
            [trial for trial in records.trials if trial.model == model.name],
            tests,
            model.name,
            len(experiment.confirm.seeds),
        )
        for model in experiment.models
    ]
    return tuple(sorted(rows, key=lambda row: _place(row, experiment.tune.metric)))


def tested_finalists(
    trials: Iterable[TrialRecord], evaluations: Iterable[EvalRecord]
) -> list[TrialRecord]:
    """Return the confirm trials behind the test values of the leaderboard."""
    tests = {row.trial_id for row in evaluations if row.split == "test"}
    return [trial for trial in _finished_seeds(trials) if trial.trial_id in tests]


def place(value: float, metric: MetricName) -> tuple[int, float]:
    """Return a key by which better values come first, and what is no number after them."""
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
        # Where layers are searched, those of the finalists are the ones that were tested.
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
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _why_not_tested(trials: Sequence[TrialRecord]) -> str:
    confirm = [trial for trial in trials if trial.stage == "confirm"]
    cause = first_cause(confirm or trials)
    if cause is None:
        return "tuned, but not confirmed" if trials else "never planned"
    return f"{cause.stage}: {first_line(cause)}"


@dataclass(frozen=True, kw_only=True)
class BaselineRow:
    """What a baseline scores on the test split; it has a place by its score, but no rank."""

    model: str
    """What the tables call it."""
    test: Mapping[MetricName, float]
    """Without what it has no value of."""
    trial_id: str | None = None
    """Of its stored predictions."""
    validation: float | None = None
    """By the experiment's metric."""
    num_parameters: int | None = None
    seconds: float | None = None
    """Wall-clock of choosing, fitting and testing."""

    @classmethod
    def of(cls, record: BaselineRecord) -> Self:
        """Take what the record of a fitted baseline says."""
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
    """Return what always answering the most frequent test label scores.

    Among equals it is the first by name. Macro averages are over the labels that the test split
    has. It has no loss, since it gives no probabilities.
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
    """Return a row for each fitted baseline, and for the majority where its labels are known.

    `data` is that of the manifest.
    """
    counts = data.get("test_label_counts")
    fitted = [BaselineRow.of(record) for record in records]
    return (*fitted, majority(counts)) if counts else tuple(fitted)


def standings(
    rows: Sequence[ModelRow], baselines: Sequence[BaselineRow], metric: MetricName
) -> tuple[Line, ...]:
    """Put the baselines between the models, which are in order, by their test value.

    A model stands before a baseline of the same value; below both is what has no value.
    """
    return tuple(sorted((*rows, *baselines), key=lambda line: _place(line, metric)))


def _place(line: Line, metric: MetricName) -> tuple[int, float]:
    if isinstance(line, BaselineRow):
        return place(line.test.get(metric, math.nan), metric)
    return place(line.test[metric].mean, metric) if line.test else (2, 0.0)


def best_trials(trials: Iterable[TrialRecord], metric: MetricName) -> dict[str, TrialRecord]:
    """Return the best trial of each model, by the rule that chooses what is confirmed.

    A trial cut short counts only where none was completed; the first planned among equals.
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
