"""How often the tests call models different that are not, and find a gap that is there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.stats import norm

from raycompare.analysis.intervals import FinalistPredictions, intervals
from raycompare.analysis.pairwise import Pair, compare_pairs

pytestmark = pytest.mark.slow

REPLAYS, MORE_REPLAYS, EXAMPLES, CLASSES = 400, 1000, 500, 4
SEED_SPREADS = (0.02, 0.1, 0.3)
"""Of what a seed adds to all examples; it moves the expected accuracy by 0.003, 0.02 and 0.05."""


@dataclass(frozen=True)
class World:
    """Two models: examples are hard for both, and each model, and each seed, has its own luck."""

    seeds: tuple[int, int]
    seed_spread: float
    copies: bool = True
    """Whether the two are one model, trained twice; else they are equally good and differ."""
    lost: float = 0.0
    """The share of its right answers that the second model loses."""

    @property
    def accuracy(self) -> float:
        """What the first model is right in, in expectation: a sum of normal variables above 0."""
        return float(norm.cdf(1.2 / (1.5**2 + 0.7**2 + self.seed_spread**2 + 1) ** 0.5))

    def replay(self, chance: np.random.Generator) -> FinalistPredictions:
        hard = chance.normal(1.2, 1.5, EXAMPLES)
        labels = chance.integers(0, CLASSES, EXAMPLES)
        one = chance.normal(0, 0.7, EXAMPLES)
        other = one if self.copies else chance.normal(0, 0.7, EXAMPLES)
        predictions = {}
        for model, own, seeds in zip("ab", (one, other), self.seeds, strict=True):
            shape = (seeds, EXAMPLES)
            seed = chance.normal(0, self.seed_spread, (seeds, 1))
            right = hard + own + seed + chance.normal(0, 1, shape) > 0
            if model == "b":
                right &= chance.random(shape) >= self.lost
            wrong = (labels + chance.integers(1, CLASSES, shape)) % CLASSES
            predictions[model] = np.where(right, labels, wrong)
        names = {model: tuple(range(1, len(rows) + 1)) for model, rows in predictions.items()}
        return FinalistPredictions(labels, predictions, names)

    def pairs(self, replays: int = REPLAYS, start: int = 0) -> list[Pair]:
        found = []
        for number in range(replays):
            answers = self.replay(np.random.default_rng([start, number]))
            found += compare_pairs(answers, ["a", "b"], "accuracy")
        return found


def margin(rate: float, replays: int = REPLAYS) -> float:
    return float(2 * (rate * (1 - rate) / replays) ** 0.5)


@pytest.mark.parametrize("copies", [True, False], ids=["copies", "equals"])
@pytest.mark.parametrize("seed_spread", SEED_SPREADS)
@pytest.mark.parametrize("seeds", [(1, 1), (2, 2), (3, 3), (5, 5), (2, 5), (3, 5)])
def test_equal_models_are_called_apart_in_five_percent_at_most(
    seeds: tuple[int, int], seed_spread: float, copies: bool
):
    pairs = World(seeds, seed_spread, copies).pairs()
    rate = float(np.mean([pair.apart for pair in pairs]))
    print(f"{seeds} {seed_spread} apart in {rate:.1%}")  # noqa: T201  # shown by pytest -s
    assert rate <= 0.05 + margin(0.05)
    assert min(seeds) > 1 or rate == 0


def test_the_networks_of_one_seed_differ_far_more_often_than_their_models():
    networks = [pair.networks for pair in World((1, 1), 0.3).pairs()]
    rate = np.mean([pair is not None and pair.p < 0.05 for pair in networks])
    assert rate > 0.3


def detectable(world: World) -> float:
    """Return the gap that reports of this world say can be seen, on average."""
    return float(np.mean([pair.test.detectable for pair in world.pairs() if pair.test]))


def found(world: World) -> float:
    """Return how often a gap is found that is as large as the reports say can be seen."""
    gap = detectable(world)
    for _ in range(2):  # a model that loses answers at random varies more than the other
        gap = detectable(replace(world, lost=gap / world.accuracy))
    pairs = replace(world, lost=gap / world.accuracy).pairs(MORE_REPLAYS, start=1)
    rate = float(np.mean([pair.better == "a" for pair in pairs]))
    print(f"{world} a gap of {gap:.3f} found in {rate:.1%}")  # noqa: T201
    return rate


@pytest.mark.parametrize("seed_spread", SEED_SPREADS)
@pytest.mark.parametrize("seeds", [(3, 3), (5, 5)])
def test_a_gap_of_the_size_that_is_said_to_be_seen_is_found(
    seeds: tuple[int, int], seed_spread: float
):
    rates = [found(World(seeds, seed_spread, copies)) for copies in (True, False)]
    assert np.mean(rates) >= 0.8 - margin(0.8, 2 * MORE_REPLAYS)


@pytest.mark.parametrize("seed_spread", SEED_SPREADS)
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_an_interval_holds_the_expected_score(seeds: int, seed_spread: float):
    replays = 100
    world = World((seeds, 1), seed_spread)
    held = 0
    for number in range(replays):
        both = world.replay(np.random.default_rng([3, number]))
        one = FinalistPredictions(both.labels, {"a": both.predictions["a"]}, {"a": both.seeds["a"]})
        interval = intervals(one, ["accuracy"])["a"]["accuracy"]
        held += interval.low <= world.accuracy <= interval.high
    print(f"{seeds} {seed_spread} held in {held / replays:.1%}")  # noqa: T201
    assert held / replays >= 0.95 - margin(0.95, replays)
