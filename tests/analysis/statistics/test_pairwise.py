from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from raycompare.analysis.statistics.estimate import ScoreEstimate
from raycompare.analysis.statistics.pairwise import compare_estimates, compare_pairs
from raycompare.analysis.statistics.predictions import FinalistPredictions
from tests.analysis.statistics.answers import answers, right_at

compare_estimates.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it


def of_seeds(*scores: float) -> ScoreEstimate:
    return ScoreEstimate(scores=np.array(scores), influence=np.zeros(100))


def test_a_pair_is_tested_by_the_paired_examples():
    same = answers(a=right_at(0.8, 0.8), b=right_at(0.8, 0.8))
    crossed = answers(a=right_at(0.8, 0.8), b=right_at(0.8, 0.8, shift=200))
    (equal,), (differing,) = (
        compare_pairs(each, ["a", "b"], "accuracy") for each in (same, crossed)
    )
    assert equal.test
    assert differing.test
    assert (equal.test.standard_error, equal.test.p, equal.test.p_corrected) == (0, 1, 1)
    assert differing.test.standard_error == pytest.approx((2 * 0.2 * 400 / 399 / 400) ** 0.5)


def test_without_seeds_the_test_is_the_normal_one_of_the_rows():
    own = answers(a=right_at(0.80), b=right_at(0.76, shift=40))
    baselines = FinalistPredictions(own.labels, own.predictions, {"a": (), "b": ()})
    (pair,) = compare_pairs(baselines, ["a", "b"], "accuracy")
    assert pair.test
    z = abs(pair.difference) / pair.test.standard_error
    assert pair.test.p == pytest.approx(2 * stats.norm.sf(z), abs=0.01)


def test_many_models_need_a_larger_difference():
    two = {"a": of_seeds(0.80, 0.81, 0.82), "b": of_seeds(0.69, 0.70, 0.71)}
    more = {f"m{i}": of_seeds(0.4 + i / 50, 0.41 + i / 50, 0.42 + i / 50) for i in range(10)}
    alone, among = compare_estimates(two)["a", "b"], compare_estimates({**two, **more})["a", "b"]
    assert among.p == pytest.approx(alone.p, abs=0.003)
    assert among.p_corrected > 1.5 * alone.p_corrected


def test_corrected_p_values_step_down():
    """They grow as the statistics fall, and are never below those of the pair alone."""
    estimates = {f"m{i}": of_seeds(i / 9, i / 9 + 0.1, i / 8 + 0.05 * i) for i in range(7)}
    tests = compare_estimates(estimates)
    assert list(tests) == list(combinations(estimates, 2))
    assert all(test.p_corrected >= test.p for test in tests.values())
    alone = {
        test.p_corrected for test in compare_estimates(dict(list(estimates.items())[:2])).values()
    }
    assert len(alone) == 1


def test_the_better_model_by_loss_has_the_lower_one():
    rows = np.linspace(0, 1, 200)
    losses = {"a": np.stack([rows, rows + 0.01]), "b": np.stack([rows + 0.5, rows + 0.51])}
    zeros = np.zeros((2, 200), int)
    own = FinalistPredictions(
        zeros[0], dict.fromkeys("ab", zeros), dict.fromkeys("ab", (1, 2)), losses
    )
    (pair,) = compare_pairs(own, ["a", "b"], "loss")
    assert (pair.difference, pair.better) == (pytest.approx(-0.5), "a")


def test_the_interval_of_a_difference_holds_zero_just_where_p_is_above_five_percent():
    for gap in np.linspace(0, 0.3, 13):
        one, other = of_seeds(0.5, 0.52, 0.54), of_seeds(0.5 - gap, 0.53 - gap, 0.51 - gap)
        test = compare_estimates({"a": one, "b": other})["a", "b"]
        assert (test.interval.low <= 0 <= test.interval.high) == (test.p > 0.05)
