"""How often a baseline, which has no seeds, is called different from a model that is as good."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from raycompare.analysis.intervals import FinalistPredictions, intervals
from raycompare.analysis.pairwise import compare_pairs
from raycompare.metrics import Integers

EXAMPLES, REPLAYS = 400, 400


def replay(number: int, seeds: int, seed_spread: float) -> tuple[FinalistPredictions, float]:
    """Return answers of a model and a baseline that are right in as many rows in expectation.

    The second value is that expected accuracy.
    """
    chance = np.random.default_rng([8, number, seeds])
    hard = chance.normal(1.0, 1.2, EXAMPLES)
    of_seed = chance.normal(0, seed_spread, (seeds, 1))
    model = hard + of_seed + chance.normal(0, 1, (seeds, EXAMPLES)) > 0
    spread = (1 + seed_spread**2) ** 0.5
    baseline = hard + chance.normal(0, spread, (1, EXAMPLES)) > 0
    expected = float(stats.norm.cdf(1.0 / (1.2**2 + spread**2) ** 0.5))
    return answers(model.astype(int), baseline.astype(int)), expected


def answers(model: Integers, baseline: Integers) -> FinalistPredictions:
    return FinalistPredictions(
        np.ones(model.shape[1], int),
        {"model": model, "baseline": baseline},
        {"model": tuple(range(1, len(model) + 1)), "baseline": ()},
    )


@pytest.mark.parametrize("seed_spread", [0.02, 0.3])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_equal_ones_are_called_apart_in_five_percent_at_most(seeds: int, seed_spread: float):
    pairs = [
        compare_pairs(replay(number, seeds, seed_spread)[0], ["model", "baseline"], "accuracy")[0]
        for number in range(REPLAYS)
    ]
    rate = np.mean([pair.apart for pair in pairs])
    print(f"{seeds} seeds, {seed_spread}: apart in {rate:.1%}")  # noqa: T201
    assert rate <= 0.05 + 2 * (0.05 * 0.95 / REPLAYS) ** 0.5


def test_an_interval_of_a_baseline_holds_its_expected_score_and_is_not_widened():
    replays, held, widths = 100, 0, []
    for number in range(replays):
        found, expected = replay(number, 2, 0.1)
        interval = intervals(found, ["accuracy"])["baseline"]["accuracy"]
        held += interval.low <= expected <= interval.high
        widths.append(interval.high - interval.low)
    assert held / replays >= 0.95 - 2 * (0.05 * 0.95 / replays) ** 0.5
    textbook = 2 * 1.96 * (expected * (1 - expected) / EXAMPLES) ** 0.5
    assert np.mean(widths) == pytest.approx(textbook, rel=0.03)


def test_copies_of_a_baseline_for_each_seed_would_widen_its_interval():
    """Why it has one row of answers: two equal rows pass for two seeds with luck."""
    found, _ = replay(1, 2, 0.1)
    one = found.predictions["baseline"]
    twice = FinalistPredictions(
        found.labels, {"baseline": np.repeat(one, 2, axis=0)}, {"baseline": (1, 2)}
    )
    as_seeds = intervals(twice, ["accuracy"])["baseline"]["accuracy"]
    as_it_is = intervals(found, ["accuracy"])["baseline"]["accuracy"]
    assert as_seeds.high - as_seeds.low > 1.5 * (as_it_is.high - as_it_is.low)


def test_the_error_of_a_pair_is_that_of_the_models_seeds_and_of_the_rows_of_both():
    found, _ = replay(3, 3, 0.3)
    (pair,) = compare_pairs(found, ["model", "baseline"], "accuracy")
    assert pair.test is not None
    right = {name: rows.mean(axis=0) for name, rows in found.predictions.items()}
    rows = np.var(right["model"] - right["baseline"], ddof=1) / EXAMPLES
    seeds = found.predictions["model"].mean(axis=1).var(ddof=1) / 3
    assert pair.test.standard_error == pytest.approx((seeds + rows) ** 0.5)
    of_seeds, of_rows = stats.t.ppf(0.975, [2, EXAMPLES - 1])
    critical = (seeds * of_seeds + rows * of_rows) / (seeds + rows)
    assert stats.t.ppf(0.975, pair.test.degrees_of_freedom) == pytest.approx(critical)
    assert 2 < pair.test.degrees_of_freedom < EXAMPLES - 1


def test_seeds_that_happen_to_agree_leave_the_error_to_the_rows():
    found, _ = replay(4, 1, 0.1)
    model, baseline = (found.predictions[name] for name in ("model", "baseline"))
    (pair,) = compare_pairs(
        answers(np.repeat(model, 3, axis=0), baseline), ["model", "baseline"], "accuracy"
    )
    assert pair.test is not None
    assert pair.test.degrees_of_freedom == pytest.approx(EXAMPLES - 1, rel=1e-3)
    (equal,) = compare_pairs(
        answers(np.repeat(baseline, 3, axis=0), baseline), ["model", "baseline"], "accuracy"
    )
    assert equal.test is not None
    assert (equal.test.p, equal.apart) == (1, False)


@pytest.mark.parametrize(("seeds", "is_tested"), [(1, False), (2, True)])
def test_a_model_needs_two_seeds_to_be_tested_against_a_baseline(seeds: int, is_tested: bool):
    (pair,) = compare_pairs(replay(0, seeds, 0.1)[0], ["model", "baseline"], "accuracy")
    assert (pair.test is not None) == is_tested
    if not is_tested:
        assert pair.networks is not None
        assert pair.networks.seeds == (1, None)
        assert not pair.apart


def test_two_baselines_are_tested_by_their_rows_alone():
    found, _ = replay(0, 1, 0.1)
    both = FinalistPredictions(found.labels, found.predictions, {"model": (), "baseline": ()})
    (pair,) = compare_pairs(both, ["model", "baseline"], "accuracy")
    assert pair.test is not None
    assert pair.test.degrees_of_freedom == EXAMPLES - 1
