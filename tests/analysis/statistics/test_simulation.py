from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from raycompare.analysis.statistics.estimate import ScoreEstimate
from raycompare.analysis.statistics.simulation import Simulation
from tests.analysis.statistics.answers import answers, right_at


def of_seeds(*scores: float) -> ScoreEstimate:
    """Return an estimate whose error comes from the seeds alone."""
    return ScoreEstimate(scores=np.array(scores), influence=np.zeros(100))


def test_every_call_returns_the_same():
    both = [of_seeds(0.1, 0.2, 0.3), of_seeds(0.3, 0.5)]
    assert np.array_equal(Simulation.of(both).errors, Simulation.of(both).errors)


@pytest.mark.parametrize("scores", [(0.1, 0.2), (0.1, 0.2, 0.25), (0.1, 0.2, 0.25, 0.4, 0.0)])
def test_errors_of_seeds_are_those_of_students_t(scores: tuple[float, ...]):
    errors = Simulation.of([of_seeds(*scores)]).errors[0]
    scale = np.std(scores, ddof=1) / len(scores) ** 0.5
    assert stats.kstest(errors / scale, stats.t(len(scores) - 1).cdf).pvalue > 0.01


def test_errors_of_rows_have_their_covariance():
    own = answers(a=right_at(0.8), b=right_at(0.7), c=right_at(0.7, shift=200))
    without_seeds = [
        replace(ScoreEstimate.of(own, name, "accuracy"), has_seeds=False) for name in "abc"
    ]
    simulation = Simulation.of(without_seeds)
    found = np.cov(simulation.errors)
    right = np.stack([own.predictions[name][0] == 0 for name in "abc"]).astype(float)
    assert found == pytest.approx(np.cov(right) / 400, abs=2e-5)
    assert not simulation.excess.any()


def test_the_difference_of_two_means_is_that_of_behrens_and_fisher():
    """Sukhatme's table (1938) has 2.435 for 6 and 6 degrees of freedom, equal errors and 5 %."""
    one = of_seeds(*np.linspace(0, 1, 7))
    simulation = Simulation.of([one, one])
    found = np.abs(simulation.differences(0, 1)) / simulation.standard_error(0, 1)
    assert np.quantile(found, 0.95) == pytest.approx(2.435, rel=0.015)


def test_a_variance_over_seeds_is_not_below_that_of_single_rows():
    """Two seeds with the same score by chance still differ in single rows."""
    lucky = replace(of_seeds(0.5, 0.5), row_noise=0.01)
    assert not Simulation.of([lucky]).errors.any()
    # Sometimes 0.01 is exceeded if the variance is estimated again, as it is by any sample.
    assert 0 < (Simulation.of([lucky]).excess > 0).mean() < 0.5
    unequal = replace(of_seeds(0.3, 0.7), row_noise=0.01)
    assert np.median(Simulation.of([unequal]).errors ** 2) > 0.001


def test_standard_errors_add_up_rows_and_seeds():
    own = answers(a=right_at(0.8, 0.9), b=right_at(0.6, 0.7))
    one, other = (ScoreEstimate.of(own, name, "accuracy") for name in "ab")
    found = Simulation.of([one, other]).standard_error(0, 1)
    rows = np.var(
        (own.predictions["a"] == 0).mean(axis=0) - (own.predictions["b"] == 0).mean(axis=0), ddof=1
    )
    assert found**2 == pytest.approx(rows / 400 + one.excess + other.excess)
