from __future__ import annotations

from itertools import pairwise, permutations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raycompare.report.figures.expected_best import ExpectedBestFigure, best_of
from tests import runs

values = st.lists(st.floats(-1, 1), min_size=1, max_size=6)


@given(values)
def test_it_is_the_mean_best_over_all_orders_of_the_trials(found: list[float]):
    for number, expected in enumerate(best_of(found, "accuracy"), 1):
        best = fmean(max(order[:number]) for order in permutations(found))
        assert expected == pytest.approx(best, abs=1e-12)


@given(values)
def test_of_a_loss_the_lowest_is_the_best(found: list[float]):
    negated = [-value for value in best_of([-value for value in found], "accuracy")]
    assert best_of(found, "loss") == pytest.approx(negated)
    assert best_of(found, "loss")[-1] == pytest.approx(min(found))


def test_thousands_of_trials_stay_exact_at_both_ends():
    found = [number / 5000 for number in range(5000)]
    curve = best_of(found, "accuracy")
    assert curve[0] == pytest.approx(fmean(found))
    assert curve[-1] == pytest.approx(max(found))
    assert all(later >= earlier - 1e-12 for earlier, later in pairwise(curve))


def test_a_model_with_one_trial_or_none_of_the_tune_stage_has_no_curve():
    run = runs.empty("searched", "once", "never")
    run.tune("searched", 0.5, 0.7, 0.6)
    run.tune("once", 0.5)
    run.confirm("never", [0.5, 0.6])
    ((model, values),) = ExpectedBestFigure(run.compare()).data.items()
    assert model == "searched"
    assert len(values) == 3
