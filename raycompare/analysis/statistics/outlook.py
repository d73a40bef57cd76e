"""How many further seeds would probably settle which model is the best."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from raycompare.analysis.statistics.contenders import standings_of
from raycompare.analysis.statistics.estimate import ScoreEstimate
from raycompare.metrics import MetricName

MOST_SEEDS = 10
"""Largest number of further seeds that is considered."""


def seeds_to_settle(
    estimates: Mapping[str, ScoreEstimate],
    racing: Sequence[str],
    metric: MetricName,
    peeking: float = 1.0,
) -> int | None:
    """Return how many further seeds of the models in `racing` would rule out all but the first.

    With at least 80 % probability for each, if means and variances are as they were estimated.
    None if it takes more than `MOST_SEEDS`, or if there are no rivals.
    """
    leader, *rivals = racing

    def settles(number: int) -> bool:
        more = {name: with_seeds(estimates[name], number) for name in racing}
        standings = standings_of({**estimates, **more}, metric, peeking)
        leads = {name: abs(estimates[leader].mean - estimates[name].mean) for name in rivals}
        return all(leads[name] >= (standings[name].missed or 0.0) for name in rivals)

    if not rivals or not settles(MOST_SEEDS):
        return None
    return bisect_left(range(1, MOST_SEEDS), True, key=settles) + 1


def with_seeds(estimate: ScoreEstimate, number: int) -> ScoreEstimate:
    """Return the estimate with further seeds, after which mean and variance are the same."""
    if estimate.seeds == 1:
        return estimate
    total = estimate.seeds + number
    pattern = np.arange(total) - (total - 1) / 2
    scores = estimate.mean + pattern / pattern.std(ddof=1) * estimate.scores.std(ddof=1)
    return replace(estimate, scores=scores, row_noise=estimate.row_noise * estimate.seeds / total)
