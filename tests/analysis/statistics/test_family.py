from __future__ import annotations

import numpy as np
import pytest

from raycompare.analysis.statistics.estimate import ScoreEstimate
from raycompare.analysis.statistics.family import Family, Measure, Rarity, Size, measure_for
from raycompare.analysis.statistics.simulation import Simulation

CHANCE = np.random.default_rng(5)


@pytest.mark.parametrize("measure", [Size(), Rarity()])
def test_a_family_of_one_is_that_one(measure: Measure):
    draws = CHANCE.standard_normal(20_000)
    family = Family.of(measure, [draws])
    assert family.p(0, 1.645) == pytest.approx(0.05, abs=0.006)
    assert family.critical(0, 0.05) == pytest.approx(np.quantile(draws, 0.95), abs=0.01)


@pytest.mark.parametrize("degrees", [(1, 1), (1, 50), (50, 50)])
def test_by_rarity_every_member_has_the_same_chance_to_count(degrees: tuple[int, int]):
    """Whatever their tails, two independent ones at 2.5 % each are 5 % together."""
    family = Family.of(Rarity(), [CHANCE.standard_t(own, 40_000) for own in degrees])
    for place in (0, 1):
        critical = family.critical(place, 0.05)
        assert np.mean(family.ratios[place] >= critical) == pytest.approx(0.0253, abs=0.003)
        assert family.p(place, critical) == pytest.approx(0.05, abs=0.004)


def test_equal_draws_are_equally_rare():
    assert Rarity().of_draws(np.array([0.0, 1.0, 0.0, 2.0])).tolist() == [-1.0, -0.5, -1.0, -0.25]
    assert Rarity().of_draws(np.zeros(4)).tolist() == [-1.0] * 4


@pytest.mark.parametrize(
    ("seeds", "measure"), [((3, 3), Size), ((3, 0), Size), ((2, 8), Rarity), ((2, 8, 0), Rarity)]
)
def test_ratios_are_compared_by_size_if_all_models_have_as_many_seeds(
    seeds: tuple[int, ...], measure: type[Measure]
):
    estimates = [
        ScoreEstimate(
            scores=CHANCE.random(max(number, 1)), influence=np.zeros(50), has_seeds=number > 0
        )
        for number in seeds
    ]
    assert isinstance(measure_for(Simulation.of(estimates, draws=10)), measure)
