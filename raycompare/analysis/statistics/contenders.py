"""The models that may be the best, and the differences that the comparison would have missed.

A model is ruled out only if the best of the others is significantly better, corrected for their
number: multiple comparisons with the best (Hsu 1981). The probability that the model which is
truly the best is ruled out is at most 5 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from raycompare.analysis.statistics.estimate import ScoreEstimate
from raycompare.analysis.statistics.family import Family, measure_for, share_at_least
from raycompare.analysis.statistics.pairwise import LEVEL
from raycompare.analysis.statistics.simulation import Simulation
from raycompare.metrics import MODES, Floats, MetricName

POWER = 0.8


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Whether a model may be the best of those that were tested."""

    p: float
    """p value of the hypothesis that no other model is better."""
    better: tuple[str, ...]
    """Models that are significantly better, at 5 % over all others together."""
    missed: float | None
    """A true difference to the leader below it would probably have been missed: it would be found
    with less than 80 % probability. None for the leader."""

    @property
    def may_be_best(self) -> bool:
        """Whether no other model is significantly better."""
        return not self.better


def standings_of(
    models: Mapping[str, ScoreEstimate], metric: MetricName, peeking: float = 1.0
) -> dict[str, Standing]:
    """Return the standing of each model that can be tested; empty for fewer than two.

    `peeking` is a factor of all p values, if the models could have been tested at several times.
    """
    tested = {name: own for name, own in models.items() if own.untested is None}
    return _Field.of(tested, metric, peeking).standings(tested) if len(tested) > 1 else {}


def standings_of_baselines(
    models: Mapping[str, ScoreEstimate],
    baselines: Mapping[str, ScoreEstimate],
    metric: MetricName,
    peeking: float = 1.0,
) -> dict[str, Standing]:
    """Return the standing of each baseline among the models and itself.

    It is ruled out if some model is better. Empty if no model can be tested.
    """
    tested = {name: own for name, own in models.items() if own.untested is None}
    standings: dict[str, Standing] = {}
    for name, baseline in baselines.items() if tested else ():
        field = _Field.of({**tested, name: baseline}, metric, peeking)
        standings |= field.standings([name])
    return standings


@dataclass(frozen=True, eq=False, kw_only=True)
class _Field:
    names: tuple[str, ...]
    simulation: Simulation
    again: Simulation
    """Errors in other runs of the same models, if the variances are as they were estimated."""
    means: Floats
    """Mean scores, with the sign changed if lower ones are better."""
    peeking: float

    @classmethod
    def of(cls, estimates: Mapping[str, ScoreEstimate], metric: MetricName, peeking: float) -> Self:
        sign = 1.0 if MODES[metric] == "max" else -1.0
        means = sign * np.array([estimate.mean for estimate in estimates.values()])
        return cls(
            names=tuple(estimates),
            simulation=Simulation.of(list(estimates.values())),
            again=Simulation.of(list(estimates.values()), as_estimated=True),
            means=means,
            peeking=peeking,
        )

    def standings(self, names: Iterable[str]) -> dict[str, Standing]:
        return {name: self._standing(self.names.index(name)) for name in names}

    def _standing(self, place: int) -> Standing:
        rivals = [rival for rival in range(len(self.names)) if rival != place]
        ratios = [self.simulation.studentized(rival, place) for rival in rivals]
        family = Family.of(measure_for(self.simulation), ratios)
        p = {rival: self._p(family, rivals.index(rival), rival, place) for rival in rivals}
        leader = int(np.argmax(self.means))
        missed = None
        if leader != place:
            missed = self._missed(family, rivals.index(leader), leader, place)
        return Standing(
            p=min(p.values()),
            better=tuple(self.names[rival] for rival in rivals if p[rival] < LEVEL),
            missed=missed,
        )

    def _p(self, family: Family, member: int, rival: int, place: int) -> float:
        """Return the p value for one rival, which also has to be better if tested on its own."""
        lead = float(self.means[rival] - self.means[place])
        alone = share_at_least(self.simulation.differences(rival, place), lead)
        alone = min(1.0, self.peeking * alone)
        error = self.simulation.standard_error(rival, place)
        if error == 0:
            return alone if lead > 0 else 1.0
        factor = family.measure.safety * self.peeking
        return max(alone, min(1.0, factor * family.p(member, lead / error)))

    def _missed(self, family: Family, member: int, leader: int, place: int) -> float:
        """Return the lead that would be significant with 80 % probability, in another run."""
        level = LEVEL / self.peeking
        critical = family.critical(member, level / family.measure.safety)
        error = self.simulation.standard_error(leader, place)
        if error > 0:
            alone = np.quantile(self.simulation.differences(leader, place), 1 - level)
            critical = max(critical, float(alone) / error)
        needed = critical * self.again.standard_errors(leader, place)
        return float(np.quantile(needed - self.again.differences(leader, place), POWER))
