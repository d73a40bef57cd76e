"""Intervals of the models' expected scores, over seeds and test examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy import optimize, special

from raycompare.analysis.statistics.estimate import Interval, ScoreEstimate
from raycompare.analysis.statistics.family import Family, measure_for
from raycompare.analysis.statistics.pairwise import CONFIDENCE
from raycompare.analysis.statistics.predictions import FinalistPredictions
from raycompare.analysis.statistics.simulation import Simulation
from raycompare.metrics import MetricName

TAIL = (1 - CONFIDENCE) / 2
NODES = 1000
"""Quantiles of the posterior distribution of a variance that are averaged over."""


def intervals(
    answers: FinalistPredictions, models: Sequence[str], metric: MetricName
) -> dict[str, Interval]:
    """Return an interval of each model's expected score."""
    return {model: _Mean.of(answers, model, metric).interval() for model in models}


def selected_interval(
    answers: FinalistPredictions, contenders: Sequence[str], metric: MetricName
) -> Interval:
    """Return an interval of the first contender, corrected for having been selected as the first.

    The model with the best score was probably lucky. So the bound on that side is as far off as it
    takes for the bounds of all contenders to hold together, with 97.5 % probability.
    """
    means = [_Mean.of(answers, model, metric) for model in contenders]
    simulation = Simulation.of([mean.estimate for mean in means])
    family = Family.of(measure_for(simulation), list(simulation.studentized_means()))
    return means[0].interval(family.critical(0, TAIL))


def plus_four(answers: FinalistPredictions) -> FinalistPredictions:
    """Add four test rows with the two most frequent labels, each once right and once wrong.

    Without them, the interval of a model without a single error would have no width. Agresti and
    Coull (1998) recommend them for proportions.
    """
    counts = np.bincount(answers.labels, minlength=max(2, answers.classes))
    one, other = np.argsort(-counts, kind="stable")[:2]
    predicted = np.array([one, other, other, one])
    return replace(
        answers,
        labels=np.concatenate([answers.labels, [one, other, one, other]]),
        predictions={
            model: np.concatenate([own, np.tile(predicted, (len(own), 1))], axis=1)
            for model, own in answers.predictions.items()
        },
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Mean:
    """Mean score of a model with four rows added."""

    metric: MetricName
    observed: float
    """Mean score without the added rows."""
    estimate: ScoreEstimate

    @classmethod
    def of(cls, answers: FinalistPredictions, model: str, metric: MetricName) -> Self:
        # The loss of single rows varies even if all of them are right.
        more = answers if metric == "loss" else plus_four(answers)
        return cls(
            metric=metric,
            observed=ScoreEstimate.of(answers, model, metric).mean,
            estimate=ScoreEstimate.of(more, model, metric),
        )

    def interval(self, largest: float = 0.0) -> Interval:
        """Return the interval; `largest` is the luck to correct for, in standard errors."""
        margin = _margin(self.estimate)
        wide = max(margin, largest * float(np.sqrt(self.estimate.variance)))
        # A lucky model has a loss that is too low, and other scores that are too high.
        below, above = (margin, wide) if self.metric == "loss" else (wide, margin)
        lowest = -1.0 if self.metric == "matthews_correlation" else 0.0
        highest = np.inf if self.metric == "loss" else 1.0
        centre = self.estimate.mean
        return Interval(
            low=max(lowest, min(self.observed, centre - below)),
            high=min(float(highest), max(self.observed, centre + above)),
        )


def _margin(estimate: ScoreEstimate) -> float:
    """Return half the width of the interval of a mean score.

    The error is normal if the true variance is given, so its distribution is a mean of normal ones
    over that variance.
    """
    places = (np.arange(NODES) + 0.5) / NODES
    excess = estimate.true_excess(special.chdtri(max(1, estimate.seeds - 1), places))
    errors = np.sqrt(estimate.row_variance + excess)
    if not errors.any():
        return 0.0
    largest = float(errors.max()) * float(special.ndtri(1 - TAIL))

    def outside(margin: float) -> float:
        return float(np.mean(2 * special.ndtr(-margin / errors)) - (1 - CONFIDENCE))

    return float(optimize.brentq(outside, 0.0, largest))
