"""Scores, their variances, and simulated errors, as docs/statistics.md describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from tests.by_hand.example import Answers

Array = np.ndarray[Any, Any]
DRAWS_OF_REPORT, DRAWS = 20_000, 200_000
SIGMAS = 5.0
"""Simulation errors may be this many standard deviations."""
STEP = 1e-30
"""Imaginary part of complex-step derivatives, which have no rounding error."""


def confusion(labels: Array, predicted: Array, classes: int) -> Array:
    """Return the number of rows of each label (row) and prediction (column)."""
    matrix = np.zeros((classes, classes))
    np.add.at(matrix, (labels, predicted), 1.0)
    return matrix


def value_of(metric: str, matrix: Array) -> Any:
    """Return the value of a metric, from a matrix that may be complex."""
    right, predicted, actual = np.diagonal(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    rows = matrix.sum()
    if metric == "accuracy":
        return right.sum() / rows
    if metric == "matthews_correlation":
        covariance = rows * right.sum() - predicted @ actual
        scale = (rows**2 - predicted @ predicted) * (rows**2 - actual @ actual)
        return covariance / np.sqrt(scale) if scale != 0 else 0.0
    part, whole = {
        "macro_f1": (2 * right, predicted + actual),
        "macro_precision": (right, predicted),
        "macro_recall": (right, actual),
    }[metric]
    present = (predicted + actual) != 0
    return sum(p / w for p, w in zip(part, whole, strict=True) if w != 0) / present.sum()


def influence_of(metric: str, labels: Array, predicted: Array, classes: int) -> Array:
    """Return the derivative of a metric by the weight of each row."""
    matrix = confusion(labels, predicted, classes)
    slopes = np.zeros_like(matrix)
    for label, prediction in np.argwhere(matrix):
        nudged = matrix.astype(complex)
        nudged[label, prediction] += STEP * 1j
        slopes[label, prediction] = np.imag(value_of(metric, nudged)) / STEP
    return np.asarray(slopes[labels, predicted])


@dataclass(frozen=True)
class Estimate:
    """Mean score of a model, and the parts of its variance."""

    scores: Array
    influence: Array
    noise: float
    """Part of the variance over seeds that single rows explain."""
    has_seeds: bool

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(self.scores.mean())

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return len(self.scores)

    @property
    def is_testable(self) -> bool:
        """Whether its variance can be estimated."""
        return self.seeds > 1 or not self.has_seeds

    @property
    def variance_of_seeds(self) -> float:
        """Sample variance of the scores, for their mean."""
        return float(self.scores.var(ddof=1)) / self.seeds if self.seeds > 1 else 0.0

    def luck(self, variance: Any) -> Any:
        """Return the second part of the variance: what single rows do not explain."""
        return np.maximum(0.0, variance - self.noise)

    @property
    def rows_variance(self) -> float:
        """First part of the variance."""
        rows = len(self.influence)
        return float((self.influence**2).sum()) * rows / (rows - 1)

    @property
    def variance(self) -> float:
        """Sum of both parts."""
        return self.rows_variance + float(self.luck(self.variance_of_seeds))


def estimate(answers: Answers, metric: str, classes: int) -> Estimate:
    """Estimate the mean score of a model."""
    if metric == "loss":
        scores = answers.losses.mean(axis=1)
        each = (answers.losses - scores[:, None]) / answers.losses.shape[1]
    else:
        pairs = [(answers.labels, own, classes) for own in answers.predicted]
        scores = np.array([value_of(metric, confusion(*pair)) for pair in pairs])
        each = np.stack([influence_of(metric, *pair) for pair in pairs])
    seeds = len(scores)
    noise = float(each.var(axis=0, ddof=1).sum() / seeds) if seeds > 1 else 0.0
    return Estimate(scores, each.mean(axis=0), noise, answers.has_seeds)


def add_four(answers: Answers) -> Answers:
    """Add two rows of each of the two most frequent labels, one of them wrong as the other."""
    counts = np.bincount(answers.labels)
    one, other = sorted(range(len(counts)), key=lambda label: (-counts[label], label))[:2]
    labels = np.append(answers.labels, [one, one, other, other])
    more = np.tile([one, other, other, one], (len(answers.predicted), 1))
    predicted = np.concatenate([answers.predicted, more], axis=1)
    return Answers(labels, predicted, answers.losses, answers.seeds)


@dataclass(frozen=True)
class Simulated:
    """Errors of mean scores, and the parts of their variance that would be estimated."""

    names: Sequence[str]
    estimates: Mapping[str, Estimate]
    covariance: Array
    errors: Array
    luck: Array
    scale: Array

    def variance_of_rows(self, one: str, other: str) -> float:
        """First part of the variance of a difference."""
        i, j = self.names.index(one), self.names.index(other)
        cells = self.covariance
        return float(cells[i, i] + cells[j, j] - 2 * cells[i, j])

    def standard_error(self, one: str, other: str) -> float:
        """Estimated standard error of a difference."""
        both = (self.estimates[name] for name in (one, other))
        seeds = sum(float(own.luck(own.variance_of_seeds)) for own in both)
        return float(np.sqrt(seeds + self.variance_of_rows(one, other)))

    def error(self, one: str, other: str) -> Array:
        """Drawn errors of a difference."""
        return np.asarray(self.errors[self.names.index(one)] - self.errors[self.names.index(other)])

    def standard_errors(self, one: str, other: str) -> Array:
        """Standard errors of a difference that would be estimated."""
        luck = self.luck[self.names.index(one)] + self.luck[self.names.index(other)]
        return np.asarray(np.sqrt(luck + self.variance_of_rows(one, other) * self.scale))

    def ratios(self, one: str, other: str) -> Array:
        """Drawn errors of a difference, by their standard errors."""
        return self.error(one, other) / self.standard_errors(one, other)

    @property
    def is_by_rarity(self) -> bool:
        """Whether models have different numbers of seeds, so that ratios are compared by rarity."""
        return len({own.seeds for own in self.estimates.values() if own.has_seeds}) > 1

    @property
    def safety(self) -> float:
        """Factor of p values of several comparisons together."""
        return 2.0 if self.is_by_rarity else 1.5

    def surprises(self, ratios: Array) -> Array:
        """Return how surprising each drawn ratio of a comparison is."""
        return -tails(ratios) if self.is_by_rarity else ratios

    def surprise(self, ratios: Array, ratio: float) -> tuple[float, float]:
        """Return two values between which the surprise of a ratio lies."""
        if not self.is_by_rarity:
            return ratio, ratio
        low, high = near(float(np.mean(ratios >= ratio)))
        return -high, -low

    def critical(self, ratios: Array, most: Array, level: float) -> tuple[float, float]:
        """Return two values between which the ratio lies whose p value in its family is `level`."""
        low, high = quantiles(most, 1 - level)
        if not self.is_by_rarity:
            return low, high
        return quantiles(ratios, 1 + low)[0], quantiles(ratios, 1 + high)[1]

    def ratios_of_means(self) -> Array:
        """Drawn errors of the means, by their standard errors."""
        rows = np.diagonal(self.covariance)[:, None] * self.scale
        return np.asarray(self.errors / np.sqrt(self.luck + rows))


def simulate(estimates: Mapping[str, Estimate], seed: int, *, drawn: bool = True) -> Simulated:
    """Draw variances, unless they are taken as estimated, errors, and variances again."""
    chance = np.random.default_rng(seed)
    influences = np.stack([own.influence for own in estimates.values()])
    rows = influences.shape[1]
    covariance = influences @ influences.T * rows / (rows - 1)
    zeros = np.zeros(len(influences))
    errors = chance.multivariate_normal(zeros, covariance, DRAWS, method="svd").T
    luck = np.zeros_like(errors)
    for place, own in enumerate(estimates.values()):
        degrees = own.seeds - 1
        if not degrees:
            continue
        variance = np.full(DRAWS, own.variance_of_seeds)
        if drawn:
            variance = variance * degrees / chance.chisquare(degrees, DRAWS)
        true = own.luck(variance)
        errors[place] += chance.normal(0.0, np.sqrt(true))
        again = (true + own.noise) * chance.chisquare(degrees, DRAWS) / degrees
        luck[place] = own.luck(again)
    scale = chance.chisquare(rows - 1, DRAWS) / (rows - 1)
    return Simulated(list(estimates), estimates, covariance, errors, luck, scale)


def half_width(own: Estimate) -> float:
    """Return half the width of a 95 % interval, over the posterior distribution."""
    degrees = max(1, own.seeds - 1)
    places = (np.arange(50_000) + 0.5) / 50_000
    variances = own.variance_of_seeds * degrees / stats.chi2.ppf(places, degrees)
    spread = np.sqrt(own.rows_variance + own.luck(variances))
    low, high = 0.0, 100 * float(spread.mean())
    for _ in range(60):
        middle = (low + high) / 2
        outside = float(np.mean(2 * stats.norm.sf(middle / spread)))
        low, high = (middle, high) if outside > 0.05 else (low, middle)
    return low


def band(share: float) -> float:
    """Return by how much two simulations of a share may differ."""
    share = min(max(share, 1 / DRAWS_OF_REPORT), 1 - 1 / DRAWS_OF_REPORT)
    return SIGMAS * float(np.sqrt(share * (1 - share) * (1 / DRAWS_OF_REPORT + 1 / DRAWS)))


def tails(draws: Array) -> Array:
    """Return the share of draws that are at least as large as each draw."""
    return np.asarray(stats.rankdata(-draws, method="max") / len(draws))


def near(share: float) -> tuple[float, float]:
    """Return two values between which another simulation of a share lies."""
    return max(share - band(share), 0.0), min(share + band(share), 1.0)


def quantiles(draws: Array, share: float) -> tuple[float, float]:
    """Return two values between which the quantile of another simulation lies."""
    low, high = np.quantile(draws, [share - band(share), min(share + band(share), 1.0)])
    return float(low), float(high)
