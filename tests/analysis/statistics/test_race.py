from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from raycompare.analysis.statistics.estimate import ScoreEstimate
from raycompare.analysis.statistics.race import (
    Criteria,
    Race,
    are_the_same,
    price_of_peeking,
    race_of,
)
from raycompare.experiment.settings import ConfirmSpec
from raycompare.metrics import MetricName
from tests.analysis.statistics.answers import answers, right_at

AUTO = ConfirmSpec(seeds="auto", most=5)


def replay(
    scores: Mapping[str, list[float]],
    last: int,
    confirm: ConfirmSpec = AUTO,
    metric: MetricName = "accuracy",
) -> Race:
    race, criteria = None, Criteria(metric=metric, confirm=confirm)
    for seed in range(confirm.first, last + 1):
        estimates = {
            name: ScoreEstimate(scores=np.array(own[:seed]), influence=np.zeros(10))
            for name, own in scores.items()
        }
        race = Race.after(race, estimates, criteria, price_of_peeking(seed, confirm))
    assert race is not None
    return race


def test_close_models_race_on_and_distant_ones_do_not():
    race = replay({"a": [0.90, 0.91], "b": [0.89, 0.91], "c": [0.70, 0.71]}, 2)
    assert race.racing == ("a", "b")
    assert not race.is_decided
    assert set(race.set_aside) | {n for n, s in race.standings.items() if s.better} == {"c"}


def test_by_loss_the_lowest_leads():
    race = replay({"a": [0.90, 0.91], "b": [0.31, 0.32], "c": [0.30, 0.33]}, 2, metric="loss")
    assert set(race.racing) == {"b", "c"}


def test_a_model_that_is_ruled_out_stays_out_and_one_set_aside_may_come_back():
    scores = {
        "steady": [0.800, 0.801, 0.800, 0.801],
        "falling": [0.86, 0.96, 0.30, 0.31],
        "out": [0.1000, 0.1001, 0.9, 0.9],
    }
    confirm = ConfirmSpec(seeds="auto", most=2)
    early = replay(scores, 2, confirm)
    assert early.standings["out"].better
    assert "steady" in early.set_aside
    late = replay(scores, 4, confirm)
    assert late.standings["out"].better == early.standings["out"].better
    assert late.racing[0] == "steady"


def test_without_a_smallest_chance_nobody_is_set_aside():
    race = replay({"a": [0.9, 0.92], "b": [0.8, 0.84]}, 2, ConfirmSpec(seeds="auto", min_chance=0))
    assert race.racing == ("a", "b")
    assert not race.set_aside


def test_models_without_a_finite_score_drop_out():
    race = replay({"a": [0.9, 0.92], "b": [float("nan"), 0.84]}, 2)
    assert race.racing == ("a",)
    assert race.is_decided
    assert not race.set_aside


def test_identical_scores_leave_both_in_the_race():
    assert replay({"a": [0.5, 0.5], "b": [0.5, 0.5]}, 2).racing == ("a", "b")


def test_a_model_with_a_single_seed_left_is_judged_by_the_spread_of_the_others():
    close = {"a": [0.90, 0.92], "b": [0.91, 0.93], "one": [0.92]}
    assert "one" in replay(close, 2).racing
    assert "one" in replay({**close, "one": [0.5]}, 2).set_aside


@pytest.mark.parametrize(("first", "most"), [(2, 2), (2, 10), (3, 5), (4, 20)])
def test_the_shares_of_all_rounds_add_up_to_one(first: int, most: int):
    confirm = ConfirmSpec(seeds="auto", first=first, most=most)
    prices = [price_of_peeking(seed, confirm) for seed in range(first, most + 1)]
    assert sum(1 / price for price in prices) == pytest.approx(1)
    assert prices == sorted(prices)


def test_looking_more_often_makes_it_harder_to_rule_a_model_out():
    scores = {"a": [0.90, 0.91], "b": [0.80, 0.81]}
    few, many = (
        replay(scores, 2, ConfirmSpec(seeds="auto", most=most)).standings["b"].p for most in (3, 10)
    )
    assert few < many


def test_models_are_the_same_only_if_the_margin_is_clearly_larger_than_their_difference():
    scores = {"a": [0.900, 0.902, 0.901, 0.899], "b": [0.901, 0.899, 0.900, 0.902]}
    wide, narrow = (
        replay(scores, 4, ConfirmSpec(seeds="auto", margin=margin)) for margin in (0.1, 0.001)
    )
    assert wide.same
    assert wide.is_decided
    assert not narrow.same
    assert not narrow.is_decided


def test_being_the_same_is_claimed_in_at_most_five_percent_at_the_edge_of_the_margin():
    chance = np.random.default_rng(0)

    def claimed() -> bool:
        own = {
            name: ScoreEstimate(scores=chance.normal(mean, 0.01, 3), influence=np.zeros(10))
            for name, mean in (("a", 0.9), ("b", 0.88))
        }
        return are_the_same(own, 0.02)

    assert sum(claimed() for _ in range(400)) <= 30


def test_predictions_tell_what_their_seeds_told():
    made = answers(
        a=right_at(0.1, 0.11, 0.1), b=right_at(0.1, 0.1, 0.12, shift=50), c=right_at(0.6, 0.61)
    )
    race = race_of(made, Criteria(metric="accuracy", confirm=AUTO))
    assert race.peeking == price_of_peeking(3, AUTO)
    assert race.racing == ("c",)


def test_predictions_up_to_a_seed():
    made = answers(a=right_at(0.1, 0.2, 0.3), b=right_at(0.4))
    part = made.up_to(2)
    assert part.seeds == {"a": (1, 2), "b": (1,)}
    assert part.predictions["a"].shape == (2, 400)
    assert not made.up_to(0).seeds
