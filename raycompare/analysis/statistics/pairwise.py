"""Tests of every pair of models, over seeds and test examples, at 5 % over all pairs together.

With one seed on either side, the variance over seeds is unknown, so the models can't be tested.
McNemar's test then compares the two trained networks, which makes no claim about the models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from raycompare.analysis.statistics.estimate import ONE_SEED, Interval, ScoreEstimate
from raycompare.analysis.statistics.family import measure_for, share_at_least
from raycompare.analysis.statistics.networks import Networks
from raycompare.analysis.statistics.predictions import FinalistPredictions
from raycompare.analysis.statistics.simulation import Simulation
from raycompare.metrics import MODES, Floats, MetricName

CONFIDENCE = 0.95
LEVEL = 1 - CONFIDENCE


@dataclass(frozen=True, kw_only=True)
class PairTest:
    """Test of the difference of two mean scores."""

    standard_error: float
    interval: Interval
    """Interval of the difference, not corrected for the number of pairs."""
    p: float
    """Two-sided p value, not corrected for the number of pairs."""
    p_corrected: float
    """Two-sided p value, corrected for all pairs that were tested together."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Comparison of two models; the first is higher on the leaderboard."""

    first: str
    second: str
    difference: float
    """Difference of the mean scores, first minus second."""
    mode: str
    """max if higher scores are better, min if lower ones are."""
    test: PairTest | None
    """None if one of the models has a single seed."""
    networks: Networks | None
    """Test of the trained networks, if the models can't be tested."""

    @property
    def apart(self) -> bool:
        """Whether the models differ significantly, at 5 % over all pairs together."""
        return self.test is not None and self.test.p_corrected < LEVEL

    @property
    def better(self) -> str | None:
        """The better model; None if the models don't differ significantly."""
        if not self.apart:
            return None
        return self.first if (self.difference > 0) == (self.mode == "max") else self.second


@dataclass(frozen=True, kw_only=True)
class _TestedPair:
    """Two models of a simulation, by their places in it."""

    simulation: Simulation
    one: int
    other: int

    @property
    def difference(self) -> float:
        estimates = self.simulation.estimates
        return estimates[self.one].mean - estimates[self.other].mean

    @property
    def statistic(self) -> float:
        """Absolute difference divided by its standard error."""
        error = self.simulation.standard_error(self.one, self.other)
        if error == 0:
            return np.inf if self.difference else 0.0
        return abs(self.difference) / error

    def ratios(self) -> Floats:
        """Return what the statistic would be by chance, shape (draws,)."""
        return np.abs(self.simulation.studentized(self.one, self.other))

    def test(self, p_in_family: float, peeking: float) -> PairTest:
        """Return the test; `p_in_family` is the p value for all pairs together.

        A pair also has to differ on its own. That matters for two or three models of which one
        varies much more than the others: the family alone would be too lenient there.
        """
        errors = np.abs(self.simulation.differences(self.one, self.other))
        margin = float(np.quantile(errors, CONFIDENCE))
        p = share_at_least(errors, abs(self.difference))
        return PairTest(
            standard_error=self.simulation.standard_error(self.one, self.other),
            interval=Interval(low=self.difference - margin, high=self.difference + margin),
            p=p,
            p_corrected=min(1.0, peeking * max(p, p_in_family)),
        )


def compare_pairs(
    answers: FinalistPredictions, models: Sequence[str], metric: MetricName, peeking: float = 1.0
) -> tuple[Pair, ...]:
    """Compare every pair of models, keeping their order; `peeking` as in `compare_estimates`."""
    estimates = {model: ScoreEstimate.of(answers, model, metric) for model in models}
    tested = {name: own for name, own in estimates.items() if own.untested is None}
    tests = compare_estimates(tested, peeking)
    return tuple(
        Pair(
            first=first,
            second=second,
            difference=estimates[first].mean - estimates[second].mean,
            mode=MODES[metric],
            test=tests.get((first, second)),
            networks=Networks.of(answers, first, second)
            if ONE_SEED in (estimates[first].untested, estimates[second].untested)
            else None,
        )
        for first, second in combinations(models, 2)
    )


def compare_estimates(
    estimates: Mapping[str, ScoreEstimate], peeking: float = 1.0
) -> dict[tuple[str, str], PairTest]:
    """Test every pair of models, with p values for all of them together.

    `peeking` is a factor of corrected p values, if the pairs could have been tested at several
    times.

    The correction is that of Westfall and Young (1993), stepping down: the most surprising ratio of
    all pairs is compared with the most surprising one that chance would give, then the second one
    with the most surprising of the rest, and so on.
    """
    if len(estimates) < 2:  # noqa: PLR2004 - a pair
        return {}
    simulation = Simulation.of(list(estimates.values()))
    places = range(len(estimates))
    pairs = [_TestedPair(simulation=simulation, one=i, other=j) for i, j in combinations(places, 2)]
    corrected = _step_down(pairs)
    return {
        names: pair.test(p, peeking)
        for names, pair, p in zip(combinations(estimates, 2), pairs, corrected, strict=True)
    }


def _step_down(pairs: Sequence[_TestedPair]) -> list[float]:
    measure = measure_for(pairs[0].simulation)
    surprises = np.array([measure.of(pair.ratios(), pair.statistic) for pair in pairs])
    p, most = np.ones(len(pairs)), np.full(1, -np.inf)
    ascending = np.argsort(surprises, kind="stable")
    for place in ascending:
        most = np.maximum(most, measure.of_draws(pairs[place].ratios()))
        p[place] = min(1.0, measure.safety * share_at_least(most, surprises[place]))
    p[ascending[::-1]] = np.maximum.accumulate(p[ascending[::-1]])
    return p.tolist()
