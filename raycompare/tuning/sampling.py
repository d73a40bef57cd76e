"""Draws configurations from a search space, with the domains of Ray Tune."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import cycle, product, repeat
from typing import Any

import numpy as np
from ray import tune
from ray.tune.search.sample import Domain as TuneDomain

from raycompare.experiment.ranges import NOISE
from raycompare.experiment.space import Domain, SearchSpace
from raycompare.experiment.spec import Arguments

_TUNE_NAMES = {"normal": "randn", "qnormal": "qrandn", "grid": "choice"}
"""Kinds with a different name in Ray Tune; the domain of a grid draws its values at random."""


def tune_domain(domain: Domain) -> TuneDomain:
    """Return the Ray Tune domain of a range; a grid becomes a choice."""
    converted: TuneDomain = getattr(tune, _TUNE_NAMES.get(domain.kind, domain.kind))(*domain.args)
    return converted


def draw(space: SearchSpace, random: np.random.Generator) -> Arguments:
    """Draw a value from every range except grids, in the order of the space."""
    return {key: _sample(domain, random) for key, domain in space.items() if domain.kind != "grid"}


def _sample(domain: Domain, random: np.random.Generator) -> Any:
    """Draw a value; one that is far from the mean of a normal range is drawn again."""
    ray_domain = tune_domain(domain)
    while True:
        value = _plain(ray_domain.sample(random_state=random))
        if not domain.kind.endswith("normal") or _is_near(domain, value):
            return value


def _is_near(domain: Domain, value: float) -> bool:
    low, high = domain.bounds
    slack = NOISE * max(abs(low), abs(high))
    return low - slack <= value <= high + slack


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def grid(space: SearchSpace) -> Iterator[Arguments]:
    """Yield every combination of the ranges that list their values; the last varies fastest."""
    listed = {key: domain.choices for key, domain in space.items() if domain.is_listed}
    return (dict(zip(listed, values, strict=True)) for values in product(*listed.values()))


def grid_size(space: SearchSpace) -> int:
    """Count the combinations of `grid`; 1 if no range lists its values."""
    return math.prod(len(domain.choices) for domain in space.values() if domain.is_listed)


def configurations(space: SearchSpace, random: np.random.Generator) -> Iterator[Arguments]:
    """Yield configurations endlessly.

    Grid combinations are cycled in one random order, so that any number of configurations covers
    them evenly; all other values are drawn anew each time.
    """
    for turn in _turns(space, random):
        both = {**draw(space, random), **turn}
        yield {key: both[key] for key in space}


def _turns(space: SearchSpace, random: np.random.Generator) -> Iterator[Arguments]:
    grids = {key: domain for key, domain in space.items() if domain.kind == "grid"}
    if not grids:
        return repeat({})
    combinations = list(grid(grids))
    return cycle([combinations[index] for index in random.permutation(len(combinations))])
