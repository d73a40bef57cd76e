"""Share of the variance of scores that a hyperparameter explains, and what chance would.

A hyperparameter explains what a regression on its columns alone does: its main effect, as in the
functional ANOVA of Hutter, Hoos and Leyton-Brown (2014), without their random forest, for which a
search has too few trials. Each group of trials has its own coefficients.

Configurations are drawn at random, so if a hyperparameter has no effect, any assignment of scores
to its values was equally likely. Permutations within groups therefore give an exact test. They are
corrected for all hyperparameters together by the smallest p value of each permutation (Westfall
and Young 1993).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy import special

from raycompare.metrics import Floats

LEVEL = 0.05
PERMUTATIONS, AT_ONCE = 999, 200
LEAST_FREEDOM = 3
"""Degrees of freedom that a group must leave for the error."""


@dataclass(frozen=True, eq=False)
class TrialGroup:
    """Trials whose scores can be compared: those of one model."""

    scores: Floats
    """Shape (trials,); larger is better."""
    columns: Mapping[str, Floats]
    """Orthonormal columns with mean 0, shape (trials, columns), keyed by hyperparameter."""

    @cached_property
    def explained_by(self) -> list[str]:
        """Hyperparameters that differ between the trials and leave enough of them for the error."""
        if len(np.unique(self.scores)) == 1:
            return []
        spare = len(self.scores) - 1 - LEAST_FREEDOM
        return [name for name, own in self.columns.items() if 0 < own.shape[1] <= spare]

    @cached_property
    def standardised(self) -> Floats:
        """Scores with mean 0 and variance 1."""
        return np.asarray((self.scores - self.scores.mean()) / self.scores.std(ddof=1))


@dataclass(frozen=True, kw_only=True)
class Explained:
    """Share of the variance of scores within groups that one hyperparameter explains."""

    share: float
    """Adjusted for the number of columns; at least 0."""
    by_chance: float
    """Share that no hyperparameter exceeds in 95 % of searches in which none has an effect."""
    p: float
    """Corrected for all hyperparameters."""
    trials: int
    groups: int

    @property
    def is_significant(self) -> bool:
        """Whether chance hardly explains the effect."""
        return self.p <= LEVEL


@dataclass(frozen=True)
class _Freedom:
    """Degrees of freedom of the F statistic of a hyperparameter."""

    groups: int
    effect: int
    error: int

    @classmethod
    def of(cls, name: str, groups: Sequence[TrialGroup]) -> Self:
        own = [group for group in groups if name in group.explained_by]
        effect = sum(group.columns[name].shape[1] for group in own)
        trials = sum(len(group.scores) for group in own)
        return cls(len(own), effect, trials - len(own) - effect)

    @property
    def trials(self) -> int:
        return self.groups + self.effect + self.error

    def statistic(self, share: Floats | float) -> Floats:
        share = np.minimum(share, 1 - 1e-12)
        return np.asarray(share / self.effect / ((1 - share) / self.error))

    def p(self, share: Floats | float) -> Floats:
        return np.asarray(special.fdtrc(self.effect, self.error, self.statistic(share)))

    def adjusted(self, share: float) -> float:
        return max(0.0, 1 - (1 - share) * (self.error + self.effect) / self.error)

    def critical(self, p: float) -> float:
        """Return the share whose p value this is."""
        ratio = float(special.fdtri(self.effect, self.error, 1 - p)) * self.effect / self.error
        return ratio / (1 + ratio)


def explain(groups: Sequence[TrialGroup], seed: int = 0) -> dict[str, Explained]:
    """Return what each hyperparameter explains, for those with enough trials; largest first."""
    groups = [group for group in groups if group.explained_by]
    if not groups:
        return {}
    names = list(dict.fromkeys(name for group in groups for name in group.explained_by))
    freedom = {name: _Freedom.of(name, groups) for name in names}
    observed = _shares(groups, freedom, [group.standardised[None] for group in groups])
    smallest = _smallest_p(groups, freedom, seed)
    explained = {
        name: _explained(own, float(observed[name][0]), smallest) for name, own in freedom.items()
    }
    return dict(sorted(explained.items(), key=lambda item: -item[1].share))


def _explained(freedom: _Freedom, share: float, smallest: Floats) -> Explained:
    own = float(freedom.p(share))
    return Explained(
        share=freedom.adjusted(share),
        by_chance=freedom.adjusted(freedom.critical(_critical_p(smallest))),
        p=float(1 + (smallest <= own * (1 + 1e-9)).sum()) / (1 + len(smallest)),
        trials=freedom.trials,
        groups=freedom.groups,
    )


def _critical_p(smallest: Floats) -> float:
    """Return the p value below which the corrected one is at most 5 %."""
    return float(np.sort(smallest)[round(LEVEL * (1 + len(smallest))) - 1])


def _smallest_p(groups: Sequence[TrialGroup], freedom: Mapping[str, _Freedom], seed: int) -> Floats:
    """Return the smallest p value over all hyperparameters, for each permutation."""
    random = np.random.default_rng(seed)
    smallest: list[Floats] = []
    for times in _batches():
        tiled = (np.tile(group.standardised, (times, 1)) for group in groups)
        permuted = [random.permuted(scores, axis=1) for scores in tiled]
        shares = _shares(groups, freedom, permuted)
        smallest.append(np.min([own.p(shares[name]) for name, own in freedom.items()], axis=0))
    return np.concatenate(smallest)


def _batches() -> Iterator[int]:
    for start in range(0, PERMUTATIONS, AT_ONCE):
        yield min(AT_ONCE, PERMUTATIONS - start)


def _shares(
    groups: Sequence[TrialGroup], freedom: Mapping[str, _Freedom], scores: Sequence[Floats]
) -> dict[str, Floats]:
    """Return the share that each hyperparameter explains, for scores of shape (times, trials)."""
    explained = {name: np.zeros(1) for name in freedom}
    total = dict.fromkeys(freedom, 0.0)
    for group, own in zip(groups, scores, strict=True):
        for name in group.explained_by:
            explained[name] = explained[name] + ((own @ group.columns[name]) ** 2).sum(axis=1)
            total[name] += len(group.scores) - 1
    return {name: explained[name] / total[name] for name in freedom}
