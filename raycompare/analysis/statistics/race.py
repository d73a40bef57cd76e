"""The race of a confirm stage with `seeds: auto`: which models get a further seed, and the tests.

After each round, the scores decide two things, which are kept apart. A model that is significantly
worse than another is *ruled out*: that is a claim, and has to hold at 5 % although it is looked for
after every round. A model that is unlikely to be better than the leader is *set aside*: that is
only a decision about what to train next, and nothing is claimed of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Self

import numpy as np
from scipy import special

from raycompare.analysis.statistics.contenders import Standing, standings_of
from raycompare.analysis.statistics.estimate import ScoreEstimate
from raycompare.analysis.statistics.family import share_at_least
from raycompare.analysis.statistics.pairwise import LEVEL
from raycompare.analysis.statistics.predictions import FinalistPredictions
from raycompare.analysis.statistics.simulation import Simulation
from raycompare.experiment.settings import ConfirmSpec
from raycompare.metrics import MODES, Floats, Integers, MetricName

PRIOR_DEGREES = 4
"""Degrees of freedom with which the typical variance over seeds counts for that of each model."""


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """What models are compared by."""

    metric: MetricName
    confirm: ConfirmSpec = field(default_factory=ConfirmSpec)


@dataclass(frozen=True, kw_only=True)
class Race:
    """The state of a race after its last round."""

    standings: Mapping[str, Standing]
    """Standing of each model that could be tested: when it was ruled out, or else the last."""
    racing: tuple[str, ...]
    """Models that may get a further seed, best first."""
    set_aside: Mapping[str, float]
    """The other models that were not ruled out, with their chance of being better than the leader:
    the mean over further seeds, on the same test examples."""
    peeking: float
    """Factor of p values after the last round."""
    same: bool
    """Whether all models that are still racing are the same within the margin."""

    @classmethod
    def after(
        cls,
        before: Race | None,
        estimates: Mapping[str, ScoreEstimate],
        criteria: Criteria,
        peeking: float,
    ) -> Self:
        """Return the state after a round; `before` is the one after the round before it."""
        earlier = before.standings if before else {}
        ruled_out = {name: own for name, own in earlier.items() if not own.may_be_best}
        standings = {**standings_of(estimates, criteria.metric, peeking), **ruled_out}
        live = {
            name: own
            for name, own in estimates.items()
            if own.is_finite and (name not in standings or standings[name].may_be_best)
        }
        confirm = criteria.confirm
        chances = _chances(live, criteria.metric)
        racing = {name: live[name] for name in chances if chances[name] >= confirm.min_chance}
        return cls(
            standings=standings,
            racing=tuple(racing),
            set_aside={name: own for name, own in chances.items() if name not in racing},
            peeking=peeking,
            same=confirm.margin is not None and are_the_same(racing, confirm.margin, peeking),
        )

    @property
    def is_decided(self) -> bool:
        """Whether no model needs a further seed."""
        return len(self.racing) <= 1 or self.same


def race_of(answers: FinalistPredictions, criteria: Criteria) -> Race:
    """Return the state of the race that these predictions come from, by repeating its rounds."""
    race, last = None, max(seed for seeds in answers.seeds.values() for seed in seeds)
    for seed in range(min(criteria.confirm.first, last), last + 1):
        part = answers.up_to(seed)
        models = [model for model, seeds in part.seeds.items() if seeds]
        estimates = {name: ScoreEstimate.of(part, name, criteria.metric) for name in models}
        race = Race.after(race, estimates, criteria, price_of_peeking(seed, criteria.confirm))
    assert race is not None
    return race


def price_of_peeking(seed: int, confirm: ConfirmSpec) -> float:
    """Return the factor of p values after the round of this seed.

    The 5 % are divided among all rounds after which the race could end, the k-th of n getting a
    share that is proportional to 1/k: by Bonferroni's inequality, the probability of an error at
    any of them is then at most 5 %.
    """
    looks = range(1, len(confirm.all_seeds) - len(confirm.sure_seeds) + 2)
    return max(1, seed - confirm.first + 1) * sum(1 / look for look in looks)


def _chances(estimates: Mapping[str, ScoreEstimate], metric: MetricName) -> dict[str, float]:
    """Return the chance of each model to be better than the leader, best first; 0.5 for itself.

    It is about these test examples: further seeds tell nothing about others. With a few seeds of
    each model, its variance over seeds is shrunk towards the median of all models (Smyth 2004,
    doi:10.2202/1544-6115.1027), which would be too bold for a claim. The rest is Welch's test.
    """
    sign = 1.0 if MODES[metric] == "max" else -1.0
    names = sorted(estimates, key=lambda name: -sign * estimates[name].mean)
    own = [estimates[name] for name in names]
    seeds = np.array([each.seeds for each in own])
    variances = np.array([each.seed_variance for each in own]) * seeds
    several = variances[seeds > 1]
    typical = np.median(several) if len(several) else 0.0
    degrees = PRIOR_DEGREES + seeds - 1
    parts = (PRIOR_DEGREES * typical + (seeds - 1) * variances) / degrees / seeds
    leads = sign * (own[0].mean - np.array([each.mean for each in own])) if own else seeds
    return {
        name: _chance(float(leads[i]), parts[[0, i]], degrees[[0, i]])
        for i, name in enumerate(names)
    }


def _chance(lead: float, variances: Floats, degrees: Integers) -> float:
    """Return the probability that a lead is truly negative."""
    whole = float(variances.sum())
    if lead == 0 or whole == 0:
        return 0.5 if lead == 0 else 0.0
    welch = whole**2 / float((variances**2 / degrees).sum())
    return float(special.stdtr(welch, -lead / np.sqrt(whole)))


def are_the_same(
    estimates: Mapping[str, ScoreEstimate], margin: float, peeking: float = 1.0
) -> bool:
    """Return whether every two of the models differ by less than the margin, at 5 %.

    Two one-sided tests of each pair (Schuirmann 1987, doi:10.1007/BF01068419). They need no
    correction for the number of pairs, since all of them have to be significant (Berger 1982).
    """
    models = list(estimates.values())
    if len(models) <= 1 or any(own.untested for own in models):
        return False
    simulation = Simulation.of(models)
    return all(
        peeking
        * share_at_least(
            simulation.differences(one, other), margin - abs(models[one].mean - models[other].mean)
        )
        < LEVEL
        for one, other in combinations(range(len(models)), 2)
    )
