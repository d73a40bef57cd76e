from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raycompare.metrics import MODES, Margins, MetricName, influences, scores
from tests.analysis.statistics.answers import made
from tests.references import sklearn_metrics

METRICS: tuple[MetricName, ...] = tuple(name for name in MODES if name != "loss")
NUMBERS = st.integers(0, 2**32 - 1)


@settings(max_examples=60)
@given(NUMBERS, st.integers(2, 30), st.integers(50, 200), st.sampled_from([0.0, 0.7, 1.0]))
def test_scores_are_those_of_scikit_learn(number: int, classes: int, examples: int, right: float):
    labels, predictions = made(number, 2, examples, classes, right)
    margins = Margins.of(labels, predictions, classes)
    for seed, predicted in enumerate(predictions):
        expected = sklearn_metrics(labels, predicted)
        for metric in METRICS:
            assert scores(metric, margins)[seed] == pytest.approx(expected[metric], abs=1e-12)


@pytest.mark.parametrize("constant", [0, 1])
def test_a_model_with_one_answer_has_an_mcc_of_zero_that_no_example_moves(constant: int):
    labels = np.arange(50) % 3
    predictions = np.full((1, 50), constant)
    assert scores("matthews_correlation", Margins.of(labels, predictions, 3))[0] == 0
    assert not influences("matthews_correlation", labels, predictions, 3).any()


@settings(max_examples=15)
@given(NUMBERS, st.integers(2, 6), st.sampled_from(METRICS))
def test_an_influence_is_the_derivative_by_the_weight_of_an_example(
    number: int, classes: int, metric: MetricName
):
    labels, predictions = made(number, 2, 60, classes)
    found = influences(metric, labels, predictions, classes)
    assert found.sum() == pytest.approx(0, abs=1e-12)
    for example in (0, 7, 59):
        slopes = []
        for predicted in predictions:
            step = np.zeros(60)
            step[example] = 1e-5
            up, down = (
                sklearn_metrics(labels, predicted, 1 + sign * step)[metric] for sign in (1.0, -1.0)
            )
            slopes.append((up - down) / 2e-5)
        assert found[example] == pytest.approx(np.mean(slopes), abs=1e-7)
