"""Variance and interval of a model's test score, over seeds and test examples.

All models and seeds are tested on the same examples, so that part of the variance is paired. See
docs/statistics.md for the reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse, special

from raycompare.metrics import Floats, Integers, Margins, MetricName, influences, scores


@dataclass(frozen=True, eq=False)
class FinalistPredictions:
    """Predictions of the finalists and baselines for the same test examples."""

    labels: Integers
    """Shape (examples,), counted from 0."""
    predictions: Mapping[str, Integers]
    """Keyed by model name; shape (seeds, examples), one row for a baseline."""
    seeds: Mapping[str, tuple[int, ...]]
    """Keyed by model name; empty for a baseline, whose predictions don't depend on the seed."""

    @property
    def examples(self) -> int:
        """Number of test examples."""
        return len(self.labels)

    @property
    def classes(self) -> int:
        """Number of classes, up to the largest label or prediction."""
        largest = [predicted.max() for predicted in self.predictions.values()]
        return int(max(self.labels.max(), *largest)) + 1


CONFIDENCE = 0.95
BOOTSTRAP_SEED = 20260101
MOST_RESAMPLES, FEWEST_RESAMPLES = 1000, 200
MOST_PREDICTIONS = 10**9
"""Predictions resampled for all intervals of a report; beyond it there are fewer resamples."""
CHUNK_BYTES = 2**26
"""Size of the example weights of resamples that are computed at once."""
TWO_SEEDS = 2
DEGREES_OF_TWO_SEEDS = 2.0
"""Limit if a model has two seeds. Their variance is often far too small by chance, which
Welch-Satterthwaite ignores: copies of a model differed in up to 7 % of replays."""


@dataclass(frozen=True, kw_only=True)
class Variance:
    """Variance of a model's mean score in two parts, unpaired."""

    seeds: float
    """Sample variance of the scores, divided by the number of seeds; 0 for one seed."""
    number: int
    """Number of seeds."""
    examples: float

    @classmethod
    def of(cls, seed_scores: Floats, influence: Floats) -> Self:
        """Estimate both parts; shapes (seeds,) and (examples,), the influence on the mean score."""
        number = len(seed_scores)
        return cls(
            seeds=float(seed_scores.var(ddof=1)) / number if number > 1 else 0.0,
            number=number,
            examples=over_examples(influence),
        )


def over_examples(influence: Floats) -> float:
    """Return the variance over examples of a score with these influences, shape (examples,)."""
    number = len(influence)
    return float(influence @ influence) * number / (number - 1)


def degrees_of_freedom(seeds: Sequence[Variance], examples: float, number: int) -> float:
    """Return the degrees of freedom (Satterthwaite 1946) for a variance over `number` examples."""
    parts = [(model.seeds, model.number - 1) for model in seeds if model.number > 1]
    parts.append((examples, number - 1))
    total = sum(variance for variance, _ in parts)
    if total == 0:
        return float(number - 1)
    degrees = total**2 / sum(variance**2 / own for variance, own in parts)
    few = any(model.number == TWO_SEEDS for model in seeds)
    return min(degrees, DEGREES_OF_TWO_SEEDS) if few else degrees


def degrees_of_one_side(model: Variance, examples: float, number: int) -> float:
    """Return the degrees of freedom if only one side has seeds.

    The critical value is the mean of those of the two parts, weighted by variance (Cochran 1964).
    Welch-Satterthwaite trusts few seeds of one side too much: a baseline as good as a model with
    three seeds differed from it in up to 8 % of replays.
    """
    total = model.seeds + examples
    if total == 0:
        return float(number - 1)
    tail = 1 - (1 - CONFIDENCE) / 2
    of_seeds, of_examples = special.stdtrit([model.number - 1, number - 1], tail)
    critical = (model.seeds * of_seeds + examples * of_examples) / total
    return float(special.stdtridf(tail, critical))


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A 95 % interval of a model's expected score, or of the difference of two."""

    low: float
    high: float


def number_of_resamples(answers: FinalistPredictions) -> int:
    """Return the number of resamples per interval, which falls with many predictions."""
    seeds = sum(len(predicted) for predicted in answers.predictions.values())
    affordable = MOST_PREDICTIONS // (seeds * answers.examples)
    return max(FEWEST_RESAMPLES, min(MOST_RESAMPLES, affordable))


def intervals(
    answers: FinalistPredictions, metrics: Sequence[MetricName]
) -> dict[str, dict[MetricName, Interval]]:
    """Return an interval for each model and metric, by a bootstrap of seeds and examples."""
    resamples = number_of_resamples(answers)
    return {model: _intervals(answers, model, metrics, resamples) for model in answers.predictions}


def _intervals(
    answers: FinalistPredictions, model: str, metrics: Sequence[MetricName], resamples: int
) -> dict[MetricName, Interval]:
    labels, predictions = answers.labels, answers.predictions[model]
    observed = Margins.of(labels, predictions, answers.classes)
    drawn = bootstrap(answers, model, metrics, resamples)
    by_metric: dict[MetricName, Interval] = {}
    for metric in metrics:
        of_seeds = scores(metric, observed)
        influence = influences(metric, labels, predictions, answers.classes)
        variance = Variance.of(of_seeds, influence)
        degrees = degrees_of_freedom([variance], variance.examples, answers.examples)
        lowest = -1.0 if metric == "matthews_correlation" else 0.0
        by_metric[metric] = _widen_by_t(drawn[metric], float(of_seeds.mean()), degrees, lowest)
    return by_metric


def _widen_by_t(drawn: Floats, mean: float, degrees: float, lowest: float) -> Interval:
    # The percentiles correspond to a normal distribution, which is too narrow for few seeds.
    tail = (1 - CONFIDENCE) / 2
    factor = float(special.stdtrit(degrees, 1 - tail) / special.ndtri(1 - tail))
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(
        low=max(lowest, mean - factor * max(0.0, mean - float(low))),
        high=min(1.0, mean + factor * max(0.0, float(high) - mean)),
    )


def bootstrap(
    answers: FinalistPredictions, model: str, metrics: Sequence[MetricName], resamples: int
) -> dict[MetricName, Floats]:
    """Return resampled mean scores of a model, shape (resamples,); every call returns the same.

    Each resample draws one seed fewer than there are, because the variance of the mean then has no
    bias (Rao and Wu 1988), and one set of examples for all of these seeds.
    """
    chance = np.random.default_rng(BOOTSTRAP_SEED)
    seeds = len(answers.predictions[model])
    chosen = chance.integers(0, seeds, (resamples, max(1, seeds - 1)))
    counter = _Counter.of(answers, model)
    step = max(1, CHUNK_BYTES // (4 * answers.examples))
    chunks: dict[MetricName, list[Floats]] = {metric: [] for metric in metrics}
    for start in range(0, resamples, step):
        rows = chosen[start : start + step]
        margins = counter.margins(_weights(chance, len(rows), answers.examples))
        for metric in metrics:
            of_seeds = scores(metric, margins)
            chunks[metric].append(np.take_along_axis(of_seeds, rows.T, axis=0).mean(axis=0))
    return {metric: np.concatenate(parts) for metric, parts in chunks.items()}


def _weights(chance: np.random.Generator, resamples: int, examples: int) -> npt.NDArray[np.float32]:
    drawn = [
        np.bincount(chance.integers(0, examples, examples), minlength=examples)
        for _ in range(resamples)
    ]
    return np.stack(drawn, axis=1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Counter:
    """Computes the margins of all seeds in many resamples at once, by sparse products."""

    correct: Any
    predicted: Any
    actual: Any
    shape: tuple[int, int]

    @classmethod
    def of(cls, answers: FinalistPredictions, model: str) -> Self:
        labels, predictions = answers.labels, answers.predictions[model]
        rows = predictions + answers.classes * np.arange(len(predictions))[:, None]
        height = len(predictions) * answers.classes
        return cls(
            correct=_indicator(rows, predictions == labels, height),
            predicted=_indicator(rows, np.ones_like(rows, bool), height),
            actual=_indicator(labels[None], np.ones((1, len(labels)), bool), answers.classes),
            shape=(len(predictions), answers.classes),
        )

    def margins(self, weights: npt.NDArray[np.float32]) -> Margins:
        """Return margins of shape (seeds, resamples, classes) for weights (examples, resamples)."""
        correct, predicted = (
            self._split(part @ weights) for part in (self.correct, self.predicted)
        )
        actual = (self.actual @ weights).T.astype(float)
        return Margins(correct, predicted, np.broadcast_to(actual, predicted.shape))

    def _split(self, counts: npt.NDArray[np.float32]) -> Floats:
        seeds, classes = self.shape
        return counts.reshape(seeds, classes, -1).transpose(0, 2, 1).astype(float)


def _indicator(rows: Integers, where: npt.NDArray[np.bool_], height: int) -> Any:
    seeds, examples = np.nonzero(where)
    ones = np.ones(len(examples), np.float32)
    shape = (height, rows.shape[1])
    return sparse.csr_array((ones, (rows[seeds, examples], examples)), shape=shape)
