from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from raycompare.analysis.intervals import (
    FEWEST_RESAMPLES,
    MOST_RESAMPLES,
    FinalistPredictions,
    Variance,
    bootstrap,
    degrees_of_freedom,
    intervals,
    number_of_resamples,
    over_examples,
)
from raycompare.analysis.pairwise import (
    PLANNED_POWER,
    POWER,
    Networks,
    compare_pairs,
    holm,
    mcnemar,
    p_value,
    unbias,
)
from raycompare.analysis.tiers import Ranks, letter, ranks, tiers
from raycompare.metrics import MODES, Integers, Margins, MetricName, influences, scores
from tests.references import sklearn_metrics

METRICS: tuple[MetricName, ...] = tuple(name for name in MODES if name != "loss")
NUMBERS = st.integers(0, 2**32 - 1)


def made(number: int, seeds: int, examples: int, classes: int, right: float = 0.7) -> Any:
    chance = np.random.default_rng(number)
    labels = chance.integers(0, classes, examples)
    shape = (seeds, examples)
    guesses = chance.integers(0, classes, shape)
    return labels, np.where(chance.random(shape) < right, labels, guesses)


def answers(**predictions: Integers) -> FinalistPredictions:
    first = next(iter(predictions.values()))
    seeds = {model: tuple(range(1, len(rows) + 1)) for model, rows in predictions.items()}
    return FinalistPredictions(np.zeros(first.shape[1], int), predictions, seeds)


def right_at(*accuracies: float, examples: int = 400, shift: int = 0) -> Integers:
    place = (np.arange(examples) + shift) % examples
    return np.stack([(place >= round(share * examples)).astype(int) for share in accuracies])


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


def test_the_variance_over_examples_of_an_accuracy_is_the_textbooks():
    labels, predictions = made(3, 1, 500, 4)
    right = (predictions[0] == labels).astype(float)
    found = over_examples(influences("accuracy", labels, predictions, 4))
    assert found == pytest.approx(right.var(ddof=1) / 500)


def test_the_jackknife_agrees_with_the_bootstrap_for_mcc():
    labels, predictions = made(5, 1, 1500, 4)
    one = FinalistPredictions(labels, {"a": predictions}, {"a": (1,)})
    drawn = bootstrap(one, "a", ["matthews_correlation"], 1000)["matthews_correlation"]
    found = over_examples(influences("matthews_correlation", labels, predictions, 4))
    assert drawn.std() == pytest.approx(found**0.5, rel=0.08)


def test_a_bootstrap_resample_is_the_score_of_the_rows_it_drew():
    labels, predictions = made(11, 1, 80, 3)
    one = FinalistPredictions(labels, {"a": predictions}, {"a": (1,)})
    drawn = bootstrap(one, "a", METRICS, 4)
    chance = np.random.default_rng(20260101)
    chance.integers(0, 1, (4, 1))
    for resample in range(4):
        rows = chance.integers(0, 80, 80)
        expected = sklearn_metrics(labels[rows], predictions[0, rows])
        for metric in METRICS:
            assert drawn[metric][resample] == pytest.approx(expected[metric])


def test_without_noise_of_seeds_or_examples_an_interval_is_the_score():
    labels = np.arange(100) % 2
    one = FinalistPredictions(labels, {"a": np.stack([labels, labels])}, {"a": (1, 2)})
    for interval in intervals(one, METRICS)["a"].values():
        assert (interval.low, interval.high) == (1, 1)


def test_seeds_that_differ_more_make_a_wider_interval():
    close = answers(a=right_at(0.8, 0.8, 0.8), b=right_at(0.7, 0.8, 0.9))
    found = intervals(close, ["accuracy"])
    widths = [found[model]["accuracy"].high - found[model]["accuracy"].low for model in "ab"]
    assert widths[1] > 2 * widths[0]


def test_an_interval_of_one_seed_is_the_percentiles_over_examples():
    one = answers(a=right_at(0.8))
    interval = intervals(one, ["accuracy"])["a"]["accuracy"]
    low, high = stats.binom.ppf([0.025, 0.975], 400, 0.8) / 400
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.006)


def test_very_many_answers_are_resampled_less_often():
    small, large = answers(a=right_at(0.8)), answers(a=np.zeros((40, 100_000), int))
    assert number_of_resamples(small) == MOST_RESAMPLES
    assert FEWEST_RESAMPLES <= number_of_resamples(large) < MOST_RESAMPLES


def test_without_a_part_of_the_examples_the_test_is_welchs():
    chance = np.random.default_rng(2)
    first, second = chance.random(4), chance.random(6)
    parts = [Variance.of(values, np.zeros(50)) for values in (first, second)]
    degrees = degrees_of_freedom(parts, 0.0, 50)
    error = (parts[0].seeds + parts[1].seeds) ** 0.5
    expected = stats.ttest_ind(first, second, equal_var=False)
    assert degrees == pytest.approx(expected.df)
    difference = float(first.mean() - second.mean())
    assert p_value(difference, error, degrees) == pytest.approx(expected.pvalue)


def test_two_seeds_are_trusted_with_two_degrees_of_freedom_at_most():
    lucky = Variance(seeds=1e-9, number=2, examples=0.0)
    many = Variance(seeds=1e-9, number=3, examples=0.0)
    assert degrees_of_freedom([lucky, many], 1e-4, 1000) == 2
    assert degrees_of_freedom([many, many], 1e-4, 1000) > 900


def test_a_pair_is_tested_by_the_paired_examples():
    same = answers(a=right_at(0.8, 0.8), b=right_at(0.8, 0.8))
    crossed = answers(a=right_at(0.8, 0.8), b=right_at(0.8, 0.8, shift=200))
    (equal,), (differing,) = (
        compare_pairs(each, ["a", "b"], "accuracy") for each in (same, crossed)
    )
    assert equal.test
    assert differing.test
    assert (equal.test.standard_error, equal.test.p) == (0, 1)
    assert differing.test.standard_error == pytest.approx((2 * 0.2 / 399) ** 0.5)


def test_the_detectable_difference_is_worked_out_for_more_power_than_it_says():
    several = answers(a=right_at(0.8, 0.83, 0.81), b=right_at(0.7, 0.75, 0.7))
    (pair,) = compare_pairs(several, ["a", "b"], "accuracy")
    assert pair.test
    degrees = pair.test.degrees_of_freedom
    error = unbias(pair.test.standard_error, degrees)
    moved = stats.nct(degrees, pair.test.detectable / error)
    assert moved.sf(stats.t.ppf(0.975, degrees)) == pytest.approx(PLANNED_POWER, abs=1e-5)
    assert PLANNED_POWER > POWER


@pytest.mark.parametrize("number", [2, 3, 10, 1000])
def test_the_bias_of_a_standard_deviation_is_taken_off(number: int):
    mean_deviation = stats.chi(number - 1).mean() / (number - 1) ** 0.5
    assert unbias(mean_deviation, number - 1) == pytest.approx(1)


def test_one_seed_on_either_side_claims_nothing_and_shows_the_networks():
    (pair,) = compare_pairs(answers(a=right_at(0.9, 0.9), b=right_at(0.1)), ["a", "b"], "accuracy")
    assert (pair.test, pair.p_holm, pair.apart, pair.better) == (None, None, False, None)
    assert pair.networks == Networks(seeds=(1, 1), only_first=320, only_second=0, p=mcnemar(320, 0))


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


def test_holm_is_right_for_a_case_done_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_lies_between_no_correction_and_bonferronis(p: list[float]):
    adjusted = holm(p)
    for raw, found in zip(p, adjusted, strict=True):
        assert raw <= found <= min(1, len(p) * raw + 1e-12)
    assert adjusted[int(np.argmin(p))] == pytest.approx(min(1, len(p) * min(p)))


@given(NUMBERS, st.integers(1, 9))
def test_models_share_a_letter_just_where_they_are_not_apart(number: int, size: int):
    models = [f"m{place}" for place in range(size)]
    chance = np.random.default_rng(number)
    apart = [pair for pair in combinations(models, 2) if chance.random() < 0.4]
    letters = tiers(models, apart)
    for pair in combinations(models, 2):
        assert bool(set(letters[pair[0]]) & set(letters[pair[1]])) == (pair not in apart)
    assert letters[models[0]].startswith("a")
    groups = [{model for model in models if mark in letters[model]} for mark in "abcdefghij"]
    assert not any(one < other for one, other in combinations([g for g in groups if g], 2))


def test_letters_of_a_chain_overlap():
    assert tiers(["x", "y", "z"], [("x", "z")]) == {"x": "a", "y": "ab", "z": "b"}


def test_letters_do_not_end_at_z():
    assert [letter(index) for index in (0, 26, 52, 104)] == ["a", "A", "a2", "a3"]


def test_ranks_are_those_that_no_decision_rules_out():
    found = ranks(["x", "y", "z"], [("x", "z")])
    assert found == {
        "x": Ranks(best=1, worst=2),
        "y": Ranks(best=1, worst=3),
        "z": Ranks(best=2, worst=3),
    }
