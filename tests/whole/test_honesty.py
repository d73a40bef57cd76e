"""The claims of docs/statistics.md, in a few of the worlds of `make bench-honesty`."""

from __future__ import annotations

import pytest

from benchmarks.honesty import recording
from benchmarks.honesty.__main__ import Findings, goals, recorded_worlds
from benchmarks.honesty.replays import Rate, Result, replay, replay_gap
from benchmarks.honesty.worlds import SimulatedWorld, World

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
    result = replay(world, 100)
    assert possible(result.false_differences, 0.05)
    assert possible(result.best_ruled_out, 0.05)
    assert result.covered >= 0.92
    assert result.leader_covered >= 0.90


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
