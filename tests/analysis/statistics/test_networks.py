from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from raycompare.analysis.statistics.networks import Networks, mcnemar
from raycompare.analysis.statistics.pairwise import compare_pairs
from tests.analysis.statistics.answers import answers, right_at


@given(st.integers(0, 60), st.integers(0, 60))
def test_mid_p_lies_half_a_probability_below_the_exact_test(one: int, other: int):
    found = mcnemar(one, other)
    assert found == pytest.approx(mcnemar(other, one))
    if one + other:
        exact = stats.binomtest(one, one + other).pvalue
        assert found == pytest.approx(exact - stats.binom.pmf(one, one + other, 0.5), abs=1e-9) or (
            one == other and found == pytest.approx(1)
        )
    else:
        assert found == 1


def test_one_seed_on_either_side_claims_nothing_and_shows_the_networks():
    (pair,) = compare_pairs(answers(a=right_at(0.9, 0.9), b=right_at(0.1)), ["a", "b"], "accuracy")
    assert (pair.test, pair.apart, pair.better) == (None, False, None)
    assert pair.networks == Networks(seeds=(1, 1), only_first=320, only_second=0, p=mcnemar(320, 0))
