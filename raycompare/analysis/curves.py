"""What the figures show, as plain data; `plots` draws it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raycompare.analysis.leaderboard import ModelRow, best_trials
from raycompare.metrics import MODES, MetricName, better
from raycompare.records.rows import EvalRecord, TrialRecord

MOST_CURVES = 30
"""Of one model in its panel; more lines than that hide each other."""

MOST_LINES = 12
"""Models in a figure that has a line for each; the leaders are drawn."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The validation values of one trial, against its optimizer steps."""

    model: str
    trial_id: str
    steps: tuple[int, ...]
    values: tuple[float, ...]
    is_best: bool
    """The best of its model."""
    stopped_early: bool


@dataclass(frozen=True, kw_only=True)
class WallClock:
    """Mean seconds of a model's confirm trials."""

    model: str
    train_seconds: float
    eval_seconds: float


@dataclass(frozen=True, kw_only=True)
class BestSoFar:
    """Each improvement of a model's best validation value while the tune stage ran."""

    model: str
    seconds: tuple[float, ...]
    """Since the run began; rising."""
    values: tuple[float, ...]
    ended_at: float
    """Seconds at the model's last evaluation."""


def learning_curves(
    trials: Sequence[TrialRecord], evaluations: Sequence[EvalRecord], metric: MetricName
) -> tuple[Curve, ...]:
    """Return a curve per evaluated trial, in the order they were planned.

    They are the trials of the tune stage; of a model that was not tuned, its confirm trials.
    """
    tuned = {trial.model for trial in trials if trial.stage == "tune"}
    drawn = sorted(
        (trial for trial in trials if trial.stage == "tune" or trial.model not in tuned),
        key=lambda trial: trial.order,
    )
    best = {trial.trial_id for trial in best_trials(drawn, metric).values()}
    rows: defaultdict[str, list[EvalRecord]] = defaultdict(list)
    for row in sorted(evaluations, key=lambda row: row.step):
        if row.split == "validation":
            rows[row.trial_id].append(row)
    return tuple(
        Curve(
            model=trial.model,
            trial_id=trial.trial_id,
            steps=tuple(row.step for row in rows[trial.trial_id]),
            values=tuple(getattr(row, metric) for row in rows[trial.trial_id]),
            is_best=trial.trial_id in best,
            stopped_early=trial.status == "stopped_early",
        )
        for trial in drawn
        if rows[trial.trial_id]
    )


def select_curves(
    curves: Sequence[Curve], metric: MetricName, most: int = MOST_CURVES
) -> list[Curve]:
    """Keep at most so many curves of each model, in their order.

    They are the best trial and others at even distances in the order of their best values, so
    that the worst is kept too and a panel shows how the trials spread.
    """
    by_model: defaultdict[str, list[Curve]] = defaultdict(list)
    for curve in sorted(curves, key=lambda curve: (not curve.is_best, _rank(curve, metric))):
        by_model[curve.model].append(curve)
    kept = {curve.trial_id for own in by_model.values() for curve in _evenly(own, most)}
    return [curve for curve in curves if curve.trial_id in kept]


def _rank(curve: Curve, metric: MetricName) -> float:
    return min(curve.values) if MODES[metric] == "min" else -max(curve.values)


def _evenly(ranked: Sequence[Curve], most: int) -> Sequence[Curve]:
    if len(ranked) <= most:
        return ranked
    last = len(ranked) - 1
    return [ranked[last * place // (most - 1)] for place in range(most)]


def wall_clock(rows: Iterable[ModelRow]) -> tuple[WallClock, ...]:
    """Return the times of each model that was confirmed, in the order of the leaderboard."""
    return tuple(
        WallClock(
            model=row.model, train_seconds=row.train_seconds, eval_seconds=row.eval_seconds or 0.0
        )
        for row in rows
        if row.train_seconds is not None
    )


def best_so_far(
    models: Iterable[str], evaluations: Sequence[EvalRecord], metric: MetricName
) -> tuple[BestSoFar, ...]:
    """Return the progress of each model that was evaluated while tuning."""
    by_model: defaultdict[str, list[EvalRecord]] = defaultdict(list)
    for row in evaluations:
        if row.stage == "tune" and row.split == "validation":
            by_model[row.model].append(row)
    return tuple(_progress(by_model[model], metric) for model in models if by_model[model])


def _progress(rows: Sequence[EvalRecord], metric: MetricName) -> BestSoFar:
    sign = 1 if MODES[metric] == "min" else -1
    improvements: list[tuple[float, float]] = []
    for time, signed in sorted(
        (row.experiment_seconds, sign * getattr(row, metric)) for row in rows
    ):
        value = sign * signed
        if better(value, improvements[-1][1] if improvements else None, MODES[metric]):
            improvements.append((time, value))
    seconds, values = zip(*improvements, strict=True)
    return BestSoFar(
        model=rows[0].model,
        seconds=seconds,
        values=values,
        ended_at=max(row.experiment_seconds for row in rows),
    )
