"""McNemar's test of two trained networks, where the models themselves can't be tested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from scipy import special

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
    # scipy.stats has this distribution too, and takes more than a second to import.
    at_most, below = (float(special.bdtr(times, number, 0.5)) for times in (fewer, fewer - 1))
    return 2 * at_most - (at_most - (below if fewer else 0.0))
