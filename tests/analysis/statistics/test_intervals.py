from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from raycompare.analysis.statistics.intervals import intervals, plus_four, selected_interval
from raycompare.analysis.statistics.predictions import FinalistPredictions
from raycompare.metrics import MODES, MetricName
from tests.analysis.statistics.answers import answers, right_at

METRICS: tuple[MetricName, ...] = tuple(name for name in MODES if name != "loss")


def binary(*rows: Sequence[int]) -> FinalistPredictions:
    """Return predictions of one model for 200 rows of two labels."""
    labels = np.arange(200) % 2
    return FinalistPredictions(labels, {"a": np.array(rows)}, {"a": tuple(range(len(rows)))})


@pytest.mark.parametrize("seeds", [1, 2, 3])
@pytest.mark.parametrize("metric", METRICS)
def test_a_model_without_an_error_is_not_certain_to_make_none(metric: MetricName, seeds: int):
    labels = np.arange(200) % 2
    interval = intervals(binary(*[labels] * seeds), ["a"], metric)["a"]
    assert interval.high == 1
    share = 1 - interval.low if metric == "accuracy" else (1 - interval.low) / 2
    exact = 1 - 0.025 ** (1 / 200)  # Clopper and Pearson's bound of the error rate
    assert 0.6 * exact < share < 2.6 * exact


def test_a_model_with_one_answer_has_an_interval_with_a_width():
    interval = intervals(binary(*[np.zeros(200, int)] * 3), ["a"], "matthews_correlation")["a"]
    assert interval.low < 0 < interval.high


def test_a_single_network_has_agresti_and_coulls_interval():
    own = answers(a=right_at(0.8))
    interval = intervals(own, ["a"], "accuracy")["a"]
    share = (0.8 * 400 + 2) / 404
    margin = 1.96 * (share * (1 - share) / 403) ** 0.5
    assert interval.low == pytest.approx(share - margin, abs=0.001)
    assert interval.high == pytest.approx(share + margin, abs=0.001)


def test_four_rows_are_half_right_in_each_of_the_two_most_frequent_labels():
    labels = np.array([2] * 6 + [0] * 4 + [1] * 2)
    more = plus_four(FinalistPredictions(labels, {"a": labels[None]}, {"a": (1,)}))
    assert more.labels[-4:].tolist() == [2, 0, 2, 0]
    assert more.predictions["a"][0, -4:].tolist() == [2, 0, 0, 2]


def test_seeds_that_differ_more_make_a_wider_interval():
    own = answers(a=right_at(0.8, 0.8, 0.8), b=right_at(0.7, 0.8, 0.9))
    found = intervals(own, ["a", "b"], "accuracy")
    assert found["b"].high - found["b"].low > 2 * (found["a"].high - found["a"].low)


def test_an_interval_holds_the_score_and_stays_within_the_metric():
    own = answers(a=right_at(0.99, 0.5), b=right_at(0.02, 0.01))
    for metric in METRICS:
        for interval in intervals(own, ["a", "b"], metric).values():
            assert (-1 if metric == "matthews_correlation" else 0) <= interval.low
            assert interval.low <= interval.high <= 1


def test_the_first_of_more_models_has_a_lower_bound_that_is_lower():
    chance = np.random.default_rng(3)
    own = answers(**{f"m{i}": (chance.random((3, 500)) > 0.8).astype(int) for i in range(12)})
    lows = [
        selected_interval(own, [f"m{i}" for i in range(models)], "accuracy").low
        for models in (1, 2, 6, 12)
    ]
    assert lows == sorted(lows, reverse=True)
    assert lows[0] == pytest.approx(intervals(own, ["m0"], "accuracy")["m0"].low, abs=0.003)


def test_the_first_by_loss_has_an_upper_bound_that_is_higher():
    chance = np.random.default_rng(3)
    losses = {f"m{i}": chance.exponential(1, (3, 500)) for i in range(30)}
    zeros = np.zeros((3, 500), int)
    own = FinalistPredictions(
        zeros[0], dict.fromkeys(losses, zeros), dict.fromkeys(losses, (1, 2, 3)), losses
    )
    alone, first = (selected_interval(own, names, "loss") for names in (["m0"], list(losses)))
    assert first.high > alone.high
    assert first.low == alone.low
    mean, error = losses["m0"].mean(), losses["m0"].mean(axis=0).std(ddof=1) / 500**0.5
    assert alone.high - mean >= stats.norm.ppf(0.975) * error * 0.95
