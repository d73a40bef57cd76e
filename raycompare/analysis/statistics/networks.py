"""McNemar's test of two trained networks, where the models themselves can't be tested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from scipy import stats

from raycompare.analysis.statistics.predictions import FinalistPredictions


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


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the mid-p value of McNemar's exact test (Dietterich 1998; Fagerland et al. 2013)."""
    fewer, number = min(only_first, only_second), only_first + only_second
    coin = stats.binom(number, 0.5)
    return float(2 * coin.cdf(fewer) - coin.pmf(fewer))
