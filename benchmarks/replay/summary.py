"""From many findings to one line per contender, and the rule that picks the cheapest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from benchmarks.replay.contenders import Contender
from benchmarks.replay.studies import Archive, Finding, draw, replay

COST_AIM, KEPT_AIM = 0.25, 0.95
"""At most this share of the exhaustive cost; right at least in this share of the replays in which
the exhaustive search is."""


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
    kept: float
    """Share of the replays in which the exhaustive search is right that have this right too."""
    exact: float
    """Share of replays that name the truly best model."""
    regret: float
    """Points by which what was chosen falls short of the best configuration of the best model."""
    shortfall: float
    """Points by which a model's chosen configuration falls short of the model's best; of all
    models alike."""

    @property
    def meets_the_goal(self) -> bool:
        """Whether it is cheap enough and right often enough."""
        return self.cost <= COST_AIM and self.kept >= KEPT_AIM


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
    pairs = zip(findings, exhaustive, strict=True)
    where_best_is = [found.right for found, of_all in pairs if of_all.right]
    return Summary(
        contender=contender,
        cost=_ratio(findings, exhaustive, lambda found: found.seconds),
        steps=_ratio(findings, exhaustive, lambda found: found.steps),
        makespan=_ratio(findings, exhaustive, lambda found: found.makespan),
        right=right,
        standard_error=math.sqrt(right * (1 - right) / len(findings)),
        relative=right / best if best else math.nan,
        kept=fmean(where_best_is) if where_best_is else math.nan,
        exact=fmean(found.exact for found in findings),
        regret=fmean(found.regret for found in findings),
        shortfall=fmean(found.shortfall for found in findings),
    )


def _ratio(
    findings: Sequence[Finding], exhaustive: Sequence[Finding], of: Callable[[Finding], float]
) -> float:
    return sum(map(of, findings)) / sum(map(of, exhaustive))


def cheapest(summaries: Sequence[Summary], scheduler: str | None = None) -> Summary:
    """Pick what a goal is held to, of all schedulers or of the settings of one.

    The cheapest of those right often enough; where none is, the one that is most often right.
    """
    considered = [each for each in summaries if scheduler in (None, each.contender.scheduler)]
    enough = [each for each in considered if each.kept >= KEPT_AIM]
    if enough:
        return min(enough, key=lambda each: each.cost)
    return max(considered, key=lambda each: each.kept)


def default_setting(summaries: Sequence[Summary]) -> Summary:
    """Pick what the program does unless told otherwise."""
    return next(each for each in summaries if each.contender.is_default)
