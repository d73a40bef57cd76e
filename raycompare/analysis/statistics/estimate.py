"""Mean score of a model over its seeds, and the parts of its variance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from raycompare.analysis.statistics.predictions import FinalistPredictions
from raycompare.metrics import Floats, Integers, Margins, MetricName, influences, scores

ONE_SEED = "one seed does not show how much the score varies"
NOT_A_NUMBER = "a score is not a number"


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A 95 % interval of a model's expected score, or of the difference of two."""

    low: float
    high: float


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoreEstimate:
    """Mean test score of one model or baseline, and what its error is estimated from.

    A mean score varies because of single test rows, and because some seeds give a better model
    altogether. The first part has as many degrees of freedom as there are rows, the second only as
    many as there are seeds, so the two are kept apart.
    """

    scores: Floats
    """Score of each seed, shape (seeds,)."""
    influence: Floats
    """Influence of each example on the mean score, shape (examples,)."""
    row_noise: float = 0.0
    """Variance of the mean because each seed predicts single rows differently."""
    has_seeds: bool = True
    """False for a baseline, whose score doesn't depend on the seed."""

    @classmethod
    def of(cls, answers: FinalistPredictions, model: str, metric: MetricName) -> Self:
        """ScoreEstimate the mean score of a model; `answers.losses` is needed for the loss."""
        if metric == "loss":
            losses = answers.losses[model]
            own = losses.mean(axis=1)
            each = (losses - own[:, None]) / losses.shape[1]
        else:
            own, each = _scores_and_influences(
                metric, answers.labels, answers.predictions[model], answers.classes
            )
        noise = float(each.var(axis=0, ddof=1).sum()) / len(own) if len(own) > 1 else 0.0
        return cls(
            scores=own,
            influence=each.mean(axis=0),
            row_noise=noise,
            has_seeds=bool(answers.seeds[model]),
        )

    @property
    def mean(self) -> float:
        """Mean score over the seeds."""
        return float(self.scores.mean())

    @property
    def seeds(self) -> int:
        """Number of seeds; 1 for a baseline."""
        return len(self.scores)

    @property
    def is_finite(self) -> bool:
        """Whether every score is a number; the loss of a model that diverged is not."""
        return bool(np.isfinite(self.scores).all())

    @property
    def untested(self) -> str | None:
        """The reason why the error of the mean can't be estimated, if it can't."""
        if not self.is_finite:
            return NOT_A_NUMBER
        return ONE_SEED if self.has_seeds and self.seeds == 1 else None

    @property
    def seed_variance(self) -> float:
        """Sample variance of the scores, divided by the number of seeds; 0 for one."""
        return float(self.scores.var(ddof=1)) / self.seeds if self.seeds > 1 else 0.0

    @property
    def row_variance(self) -> float:
        """Variance of the mean score over test examples, which includes `row_noise`."""
        return over_examples(self.influence)

    @property
    def variance(self) -> float:
        """Variance of the mean score over seeds and test examples."""
        return self.row_variance + self.excess

    def true_excess(self, chi_square: Floats) -> Floats:
        """Return what `excess` may truly be, for values of a chi-square variable.

        The sample variance is the true one times such a variable, divided by its degrees of
        freedom: the number of seeds less one. The true one is at least `row_noise`.
        """
        if self.seeds == 1:
            return np.zeros_like(chi_square)
        variance = self.seed_variance * (self.seeds - 1) / chi_square
        return np.asarray(np.maximum(0.0, variance - self.row_noise))

    @property
    def excess(self) -> float:
        """Variance of the mean because some seeds give a better model altogether."""
        return max(0.0, self.seed_variance - self.row_noise)


def _scores_and_influences(
    metric: MetricName, labels: Integers, predictions: Integers, classes: int
) -> tuple[Floats, Floats]:
    """Return the score of each seed, and the influence of each example on it."""
    own = scores(metric, Margins.of(labels, predictions, classes))
    each = [influences(metric, labels, predicted[None], classes) for predicted in predictions]
    return own, np.stack(each)


def over_examples(influence: Floats) -> float:
    """Return the variance over examples of a score with these influences, shape (examples,).

    This is the infinitesimal jackknife (Efron 1982).
    """
    number = len(influence)
    return float(influence @ influence) * number / (number - 1)
