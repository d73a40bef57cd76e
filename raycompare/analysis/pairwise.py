"""Tests of every pair of models, over seeds and test examples, with Holm's correction.

With one seed on either side, the variance over seeds is unknown, so the models can't be tested.
McNemar's test then compares the two trained networks, which makes no claim about the models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np
from scipy import special, stats

from raycompare.analysis.intervals import (
    CONFIDENCE,
    FinalistPredictions,
    Interval,
    Variance,
    degrees_of_freedom,
    degrees_of_one_side,
    over_examples,
)
from raycompare.metrics import Floats, Margins, MetricName, influences, scores

LEVEL = 1 - CONFIDENCE
POWER = 0.8
PLANNED_POWER = 0.85
"""Power that the detectable difference is computed for. With three seeds, estimated degrees of
freedom and outliers among the seeds cost up to five points of power (benchmarks/honesty)."""
ONE_SEED = "one seed does not show how much the score varies"


@dataclass(frozen=True, kw_only=True)
class _Comparable:
    """Scores of a model or a baseline, and how they vary."""

    has_seeds: bool
    """False for a baseline, whose score doesn't depend on the seed."""
    scores: Floats
    """Shape (seeds,)."""
    influence: Floats
    """Influence of each example on the mean score, shape (examples,)."""
    variance: Variance

    @classmethod
    def of(cls, answers: FinalistPredictions, model: str, metric: MetricName) -> Self:
        labels, predictions = answers.labels, answers.predictions[model]
        own = scores(metric, Margins.of(labels, predictions, answers.classes))
        influence = influences(metric, labels, predictions, answers.classes)
        return cls(
            has_seeds=bool(answers.seeds[model]),
            scores=own,
            influence=influence,
            variance=Variance.of(own, influence),
        )

    @property
    def is_testable(self) -> bool:
        return not self.has_seeds or len(self.scores) > 1


@dataclass(frozen=True, kw_only=True)
class MeanTest:
    """Student's t test of the difference of two mean scores."""

    standard_error: float
    degrees_of_freedom: float
    interval: Interval
    """Interval of the difference, not corrected for the number of pairs."""
    p: float
    """Two-sided p value, not corrected for the number of pairs."""
    detectable: float
    """Smallest true difference that this test would detect at the 5 % level with 80 % power."""

    @classmethod
    def of(cls, first: _Comparable, second: _Comparable) -> Self:
        """Test a pair; each side has at least two seeds, or is a baseline."""
        both = [first.variance, second.variance]
        examples = over_examples(first.influence - second.influence)
        degrees = _degrees(first, second, examples)
        error = float(np.sqrt(sum(model.seeds for model in both) + examples))
        difference = float(first.scores.mean() - second.scores.mean())
        critical = float(special.stdtrit(degrees, 1 - LEVEL / 2))
        margin = critical * error
        return cls(
            standard_error=error,
            degrees_of_freedom=degrees,
            interval=Interval(low=difference - margin, high=difference + margin),
            p=p_value(difference, error, degrees),
            detectable=unbias(error, degrees)
            * float(special.nctdtrinc(degrees, 1 - PLANNED_POWER, critical)),
        )


def _degrees(first: _Comparable, second: _Comparable, examples: float) -> float:
    number = len(first.influence)
    with_seeds = [model.variance for model in (first, second) if model.has_seeds]
    if len(with_seeds) == 1:
        return degrees_of_one_side(with_seeds[0], examples, number)
    return degrees_of_freedom(with_seeds, examples, number)


@dataclass(frozen=True, kw_only=True)
class Networks:
    """McNemar's test of two trained networks, one per model."""

    seeds: tuple[int | None, int | None]
    """Seeds of the two networks; None for a baseline."""
    only_first: int
    """Number of examples that only the first network predicts correctly."""
    only_second: int
    p: float
    """Two-sided mid-p value, not corrected for the number of pairs."""

    @classmethod
    def of(cls, answers: FinalistPredictions, first: str, second: str) -> Self:
        """Compare the networks of the first seed of each model."""
        one, two = (answers.predictions[model][0] == answers.labels for model in (first, second))
        only_first, only_second = int((one & ~two).sum()), int((two & ~one).sum())
        return cls(
            seeds=(_first_seed(answers, first), _first_seed(answers, second)),
            only_first=only_first,
            only_second=only_second,
            p=mcnemar(only_first, only_second),
        )


def _first_seed(answers: FinalistPredictions, model: str) -> int | None:
    return next(iter(answers.seeds[model]), None)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Comparison of two models; the first is higher on the leaderboard."""

    first: str
    second: str
    difference: float
    """Difference of the mean scores, first minus second."""
    test: MeanTest | None
    """None if one of the models has a single seed."""
    p_holm: float | None
    """p value with Holm's correction for all tested pairs."""
    networks: Networks | None
    """Test of the trained networks, if the models can't be tested."""

    @property
    def apart(self) -> bool:
        """Whether the models differ significantly, at 5 % over all pairs together."""
        return self.p_holm is not None and self.p_holm < LEVEL

    @property
    def better(self) -> str | None:
        """The better model; None if the models don't differ significantly."""
        if not self.apart:
            return None
        return self.first if self.difference > 0 else self.second


def p_value(difference: float, standard_error: float, degrees: float) -> float:
    """Return the two-sided p value of Student's t; 0 or 1 if the standard error is 0."""
    if standard_error == 0:
        return float(difference == 0)
    return float(2 * stats.t.sf(abs(difference) / standard_error, degrees))


def unbias(standard_error: float, degrees: float) -> float:
    """Correct the bias of a root of an estimated variance by the factor c4 (Holtzman 1950)."""
    return standard_error / float(np.sqrt(2 / degrees) * special.poch(degrees / 2, 0.5))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the mid-p value of McNemar's exact test (Dietterich 1998; Fagerland et al. 2013)."""
    fewer, number = min(only_first, only_second), only_first + only_second
    coin = stats.binom(number, 0.5)
    return float(2 * coin.cdf(fewer) - coin.pmf(fewer))


def holm(p: Sequence[float]) -> list[float]:
    """Return the p values with Holm's step-down correction (1979), in the same order."""
    values = np.asarray(p, float)
    order = np.argsort(values, kind="stable")
    stepped = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return [float(value) for value in adjusted]


def compare_pairs(
    answers: FinalistPredictions, models: Sequence[str], metric: MetricName
) -> tuple[Pair, ...]:
    """Compare every pair of models, keeping their order; `metric` can't be the loss."""
    of_models = {model: _Comparable.of(answers, model, metric) for model in models}
    names = list(combinations(models, 2))
    tests = {pair: _test(*(of_models[model] for model in pair)) for pair in names}
    tested = {pair: test.p for pair, test in tests.items() if test}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    return tuple(
        Pair(
            first=first,
            second=second,
            difference=_difference(of_models, first, second),
            test=tests[first, second],
            p_holm=corrected.get((first, second)),
            networks=None if tests[first, second] else Networks.of(answers, first, second),
        )
        for first, second in names
    )


def _test(first: _Comparable, second: _Comparable) -> MeanTest | None:
    return MeanTest.of(first, second) if first.is_testable and second.is_testable else None


def _difference(of_models: Mapping[str, _Comparable], first: str, second: str) -> float:
    return float(of_models[first].scores.mean() - of_models[second].scores.mean())
