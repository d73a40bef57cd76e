"""When two arms of a benchmark count as equally good.

Arms are run on the same seeds and tested on the same rows, so the differences of their test MCC
are taken seed by seed. The mean difference may be as large as the larger of

* three standard errors of the mean, as the differences spread over the seeds; and
* two standard errors that the size of the test set alone gives the difference of two independent
  accuracies, in units of MCC: three seeds that happen to agree must not make a bound of zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

SPREAD_ERRORS, SIZE_ERRORS = 3, 2


@dataclass(frozen=True, kw_only=True)
class TestSet:
    """The size of a test set."""

    rows: int
    labels: int


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How the test MCC of one arm compares with raycompare's."""

    difference: float
    """The arm's mean less raycompare's."""
    bound: float

    @property
    def equal(self) -> bool:
        """Say whether the two differ by no more than the bound, in either direction."""
        return abs(self.difference) <= self.bound

    @property
    def no_worse(self) -> bool:
        """Say whether raycompare is not worse than the arm by more than the bound."""
        return self.difference <= self.bound


def agreement(arm: Sequence[float], ours: Sequence[float], tested: TestSet) -> Agreement:
    """Compare the test MCC of an arm with raycompare's, seed by seed."""
    differences = [other - own for other, own in zip(arm, ours, strict=True)]
    spread = stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
    size = size_error(fmean([*arm, *ours]), tested)
    bound = max(SPREAD_ERRORS * spread, SIZE_ERRORS * size)
    return Agreement(difference=fmean(differences), bound=bound)


def size_error(mcc: float, tested: TestSet) -> float:
    """Return the standard error of the difference of two MCCs that comes from the test's size.

    For labels that are equally frequent, and mistakes spread evenly over them, the MCC is a linear
    function of the accuracy: 1 where all is right, 0 at chance.
    """
    slope = tested.labels / (tested.labels - 1)
    accuracy = (mcc / slope) + 1 / tested.labels
    variance = max(accuracy * (1 - accuracy), 0.0) / tested.rows
    return slope * math.sqrt(2 * variance)
