"""The leaderboard: one row per model, from the test of its finalists, and who leads it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Self, get_args

from raycompare.endings import first_cause, first_line
from raycompare.markdown import score
from raycompare.metrics import MODES, MetricName
from raycompare.record import FINISHED, EvalRecord, Status, TrialRecord
from raycompare.spec import Experiment

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


def leaderboard(
    experiment: Experiment, trials: Sequence[TrialRecord], evaluations: Sequence[EvalRecord]
) -> tuple[ModelRow, ...]:
    """Order the models by their mean test value of the experiment's metric, best first."""
    tests = {row.trial_id: row for row in evaluations if row.split == "test"}
    rows = [
        _row(
            [trial for trial in trials if trial.model == model.name], tests, model.name, experiment
        )
        for model in experiment.models
    ]
    return tuple(sorted(rows, key=lambda row: _standing(row, experiment.tune.metric)))


def tested_finalists(
    trials: Iterable[TrialRecord], evaluations: Iterable[EvalRecord]
) -> list[TrialRecord]:
    """Return the confirm trials behind the test values of the leaderboard."""
    tests = {row.trial_id for row in evaluations if row.split == "test"}
    return [trial for trial in _confirmed(trials) if trial.trial_id in tests]


def _standing(row: ModelRow, metric: MetricName) -> tuple[int, float]:
    return place(row.test[metric].mean, metric) if row.test else (2, 0.0)


def place(value: float, metric: MetricName) -> tuple[int, float]:
    """Return a key by which better values come first, and what is no number after them."""
    if not math.isfinite(value):
        return 1, 0.0
    return 0, value if MODES[metric] == "min" else -value


def _row(
    trials: Sequence[TrialRecord],
    tests: Mapping[str, EvalRecord],
    model: str,
    experiment: Experiment,
) -> ModelRow:
    tested = [trial for trial in _confirmed(trials) if trial.trial_id in tests]
    steps = [trial.best_step for trial in tested if trial.best_step is not None]
    return ModelRow(
        model=model,
        test=_spreads([tests[trial.trial_id] for trial in tested]),
        validation=_mean(trial.best_value for trial in tested),
        seeds_planned=len(experiment.confirm.seeds),
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


def _confirmed(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
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
