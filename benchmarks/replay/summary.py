"""From many findings to one line per contender, and the rule that picks the best setting."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from benchmarks.replay.contenders import PER_MODEL, Contender
from benchmarks.replay.studies import Archive, Finding, draw, replay

COST_AIM, RATE_AIM = 0.25, 0.98
"""At most this share of the exhaustive cost, at least this share of its rate."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How many experiments are replayed, and how."""

    replays: int = 1000
    workers: int = 8
    configurations: int = 12
    """Of each model, its untuned default among them."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What one contender costs and how often it is right, over all replays.

    Cost, steps, makespan and `relative` are shares of the exhaustive search's, on the same draws.
    """

    contender: Contender
    cost: float
    """Of the simulated seconds of training and evaluation."""
    steps: float
    """Of the optimizer steps."""
    makespan: float
    """Of the simulated seconds from the first start to the last end."""
    right: float
    """Share of replays that name a model within the tolerance of the truly best."""
    standard_error: float
    """Of `right`."""
    relative: float
    """`right` over that of the exhaustive search."""
    exact: float
    """Share of replays that name the truly best model."""
    regret: float
    """What the truly best model has over the named one, in points of the metric, on average."""

    @property
    def meets_the_goal(self) -> bool:
        """Whether it is cheap enough and right often enough."""
        return self.cost <= COST_AIM and self.relative >= RATE_AIM


def replay_all(
    archive: Archive, compared: Sequence[Contender], options: Options
) -> list[tuple[Finding, ...]]:
    """Return the findings of each contender; all of them get the same draws."""
    rows = []
    for number in range(options.replays):
        random = np.random.default_rng([options.seed, number])
        trials = draw(archive, random, options.configurations)
        rows.append([replay(archive, trials, each, options.workers) for each in compared])
    return list(zip(*rows, strict=True))


def summarise(
    contender: Contender, findings: Sequence[Finding], exhaustive: Sequence[Finding]
) -> Summary:
    """Hold the findings of a contender to those of the exhaustive search on the same draws."""
    right, best = (fmean(found.right for found in each) for each in (findings, exhaustive))
    return Summary(
        contender=contender,
        cost=_ratio(findings, exhaustive, lambda found: found.seconds),
        steps=_ratio(findings, exhaustive, lambda found: found.steps),
        makespan=_ratio(findings, exhaustive, lambda found: found.makespan),
        right=right,
        standard_error=math.sqrt(right * (1 - right) / len(findings)),
        relative=right / best if best else math.nan,
        exact=fmean(found.exact for found in findings),
        regret=fmean(found.regret for found in findings),
    )


def _ratio(
    findings: Sequence[Finding], exhaustive: Sequence[Finding], of: Callable[[Finding], float]
) -> float:
    return sum(map(of, findings)) / sum(map(of, exhaustive))


def best_setting(summaries: Sequence[Summary]) -> Summary:
    """Pick the setting of per-model halving that a goal is held to.

    The cheapest of those right often enough; where none is, the one that is most often right.
    """
    own = [each for each in summaries if each.contender.scheduler == PER_MODEL]
    enough = [each for each in own if each.relative >= RATE_AIM]
    if enough:
        return min(enough, key=lambda each: each.cost)
    return max(own, key=lambda each: each.relative)


def default_setting(summaries: Sequence[Summary]) -> Summary:
    """Pick what the program does unless told otherwise."""
    return next(each for each in summaries if each.contender.is_default)
