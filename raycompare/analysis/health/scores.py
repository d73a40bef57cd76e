"""Warnings about the scores of finalists: between splits, and between seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean, median

from raycompare.analysis.health.flag import Flag
from raycompare.formatting import score
from raycompare.metrics import LABELS, MODES, MetricName
from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.records.run_records import Records

GAP = 3.0
"""Standard errors by which the scores on validation and test may differ."""
FAR, RANGES = 2.0, 3.0
"""A seed lies far off if it is worse than the median of the others by more than this many standard
errors of the test rows, and by more than this many times the range of the others."""
FEWEST_SEEDS = 3


def gap(records: Records, model: str) -> Iterator[Flag]:
    """Warn if validation and test differ by more than their rows explain."""
    for metric in dict.fromkeys([_bounded(records), "accuracy"]):
        scores = _on_both(records, model, metric)
        if scores is None or abs(scores[0] - scores[1]) <= GAP * _error(records, scores[1], metric):
            continue
        validation, test = scores
        values = f"{score(validation)} on validation and {score(test)} on test"
        higher = validation > test
        yield Flag(
            about=model,
            found=f"{LABELS[metric]} is {values}{'' if higher else ', which is suspiciously high'}",
            advice="use more validation rows, and check that both splits have texts of one kind"
            if higher
            else "check that test rows are not in train, and that both splits are of one kind",
        )
        return


def _bounded(records: Records) -> MetricName:
    metric = records.experiment.tune.metric
    return "accuracy" if metric == "loss" else metric


def _on_both(records: Records, model: str, metric: MetricName) -> tuple[float, float] | None:
    """Return the mean scores of the finalists on validation and test."""
    pairs = [
        (getattr(best, metric), getattr(test[-1], metric))
        for trial in records.trials_of(model, "confirm")
        if (best := _best(records, trial)) and (test := records.rows(trial, "test"))
    ]
    rows = records.manifest.data.get("rows", {})
    if not pairs or not rows.get("validation") or not rows.get("test"):
        return None
    validation, test_ = (fmean(values) for values in zip(*pairs, strict=True))
    return validation, test_


def _error(records: Records, value: float, metric: MetricName) -> float:
    """Return a standard error of the difference between the scores on validation and test."""
    rows = records.manifest.data["rows"]
    return _deviation(value, metric) * math.sqrt(1 / rows["validation"] + 1 / rows["test"])


def _deviation(value: float, metric: MetricName) -> float:
    """Return about the standard deviation of the influence of a row on a score.

    That of an accuracy is binomial. For the others, 1 - value² is a rule of thumb.
    """
    own = value * (1 - value) if metric == "accuracy" else 1 - value**2
    return math.sqrt(max(own, 0.0))


def _best(records: Records, trial: TrialRecord) -> EvalRecord | None:
    rows = records.rows(trial, "validation")
    return next((row for row in rows if row.step == trial.best_step), None)


def outlying_seeds(records: Records, model: str) -> Iterator[Flag]:
    """Warn about a finalist that is far worse than those of the other seeds."""
    metric = _bounded(records)
    rows = records.manifest.data.get("rows", {}).get("test")
    tested = {
        trial.seed: getattr(test[-1], metric)
        for trial in records.trials_of(model, "confirm")
        if (test := records.rows(trial, "test"))
    }
    if len(tested) < FEWEST_SEEDS or not rows or MODES[metric] != "max":
        return
    seed = min(tested, key=lambda own: tested[own])
    others = [value for own, value in tested.items() if own != seed]
    lag = median(others) - tested[seed]
    error = _deviation(median(others), metric) / math.sqrt(rows)
    if lag > max(FAR * error, RANGES * (max(others) - min(others))):
        yield Flag(
            about=model,
            found=f"seed {seed} reaches {LABELS[metric]} {score(tested[seed])}, far below the "
            f"other seeds ({score(min(others))} to {score(max(others))})",
            advice="train more seeds: a model whose trainings fail now and then may look better "
            "or worse than it is",
        )
