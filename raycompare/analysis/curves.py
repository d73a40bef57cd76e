"""Learning curves of trials."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from raycompare.analysis.leaderboard import best_trials
from raycompare.records.rows import EvalRecord
from raycompare.records.run_records import Records


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Validation values of one trial by optimizer step."""

    model: str
    trial_id: str
    steps: tuple[int, ...]
    values: tuple[float, ...]
    is_best: bool
    """Whether this is the best trial of its model."""
    stopped_early: bool


def learning_curves(records: Records) -> tuple[Curve, ...]:
    """Return a curve per evaluated trial, in the order in which they were planned.

    They are the trials of the tune stage, or of the confirm stage if a model was not tuned.
    """
    trials, metric = records.trials, records.experiment.tune.metric
    tuned = {trial.model for trial in trials if trial.stage == "tune"}
    drawn = sorted(
        (trial for trial in trials if trial.stage == "tune" or trial.model not in tuned),
        key=lambda trial: trial.order,
    )
    best = {trial.trial_id for trial in best_trials(drawn, metric).values()}
    rows: defaultdict[str, list[EvalRecord]] = defaultdict(list)
    for row in sorted(records.evaluations, key=lambda row: row.step):
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
