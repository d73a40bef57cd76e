"""The claims of docs/statistics.md, in a few of the worlds of `make bench-honesty`."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.honesty import public, recording
from benchmarks.honesty.__main__ import Findings, goals, recorded_worlds
from benchmarks.honesty.auto import AUTO, EVERYBODY, NAIVE
from benchmarks.honesty.races import of_seeds, race_through
from benchmarks.honesty.replays import Rate, Result, replay, replay_gap
from benchmarks.honesty.worlds import SimulatedWorld, World

DEBERTA = "microsoft/deberta-v3-base"
WORLDS: tuple[World, ...] = (
    SimulatedWorld(models=2, spread=(0.02, 0.3), rows=2000),
    SimulatedWorld(models=8, has_baseline=True),
    SimulatedWorld(models=16, spread=(0.02, 0.1, 0.3)),
    *recorded_worlds()[::2],
)


def possible(rate: Rate, at_most: float) -> bool:
    """Return whether a rate may be so low, given how few replays there are."""
    return rate.share <= at_most + 2.6 * (at_most * (1 - at_most) / rate.replays) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_equal_models_are_seldom_called_different(world: World):
    result = replay(world, 60)
    assert possible(result.false_differences, 0.05)
    assert possible(result.best_ruled_out, 0.05)
    assert result.covered >= 0.92
    assert result.leader_covered >= 0.90


@pytest.mark.slow
def test_a_race_rules_the_best_out_more_often_if_looking_is_free():
    free, paid = (
        replay(SimulatedWorld(models=2, rules=rules, spread=(0.02, 0.3)), 40)
        for rules in (NAIVE, EVERYBODY)
    )
    assert free.best_ruled_out.times > paid.best_ruled_out.times
    assert possible(paid.best_ruled_out, 0.05)
    assert 2 <= free.trainings <= paid.trainings <= 10


def test_public_results_are_those_of_twenty_trainings():
    sets = public.load()
    assert len(sets) == 36
    assert {len(scores) for scores in sets.values()} == {6}
    trainings = [len(own) for scores in sets.values() for own in scores.values()]
    assert trainings.count(20) == 214
    assert max(sets["cola"], key=lambda model: sets["cola"][model].mean()) == DEBERTA


def test_a_race_on_public_results_costs_less_than_five_seeds():
    scores = public.load()["cola"]
    raced = public.raced(AUTO, scores)
    assert raced.named_best
    assert 2 <= raced.trainings < public.fixed(5, scores).trainings == 5


def test_a_race_ends_with_the_seeds_that_it_used():
    report = SimulatedWorld(models=3, rules=AUTO).report(np.random.default_rng(0))
    finished = race_through(report.answers, AUTO, "accuracy")
    used = of_seeds(report.answers, finished.seeds)
    assert {len(seeds) for seeds in report.answers.seeds.values()} == {10}
    assert {model: len(own) for model, own in used.predictions.items()} == {
        model: len(seeds) for model, seeds in finished.seeds.items()
    }
    assert finished.race.is_decided or max(map(len, finished.seeds.values())) == 10


@pytest.mark.slow
def test_a_difference_that_is_said_to_be_found_is_found():
    world = SimulatedWorld(models=4)
    result = replay_gap(world, replay(world, 40).missed, 100)
    assert result.ruled_out >= 0.7
    assert not result.best_ruled_out.times


def test_a_goal_is_missed_where_a_claim_is_false():
    result = replay(SimulatedWorld(models=2, gap=0.3), 20)
    findings = Findings(equal=[result], gaps=[result])
    met = {goal.name.split(":")[0]: goal.met for goal in goals(findings)}
    assert met["a difference as stated is found"]
    always = Result(world=result.world, outcomes=[*result.outcomes] * 10)
    assert always.best_ruled_out.upper < 0.05
    assert Rate(times=6, replays=100).upper == pytest.approx(0.1260, abs=1e-3)
    assert Rate(times=100, replays=100).upper == 1


def test_the_recording_has_four_models_with_twelve_seeds_that_learned_something():
    recorded = recording.load()
    assert len(recorded.predictions) == 4
    assert recorded.seeds == 12
    for predictions in recorded.predictions.values():
        assert ((predictions == recorded.labels).mean(axis=1) > 0.7).all()
