"""Importance of hyperparameters: how strongly the scores of the search depended on each."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from pydantic import JsonValue

from raycompare.analysis.statistics.explained import Explained, TrialGroup, explain
from raycompare.experiment.hyperparameters import ModelSettings, all_settings
from raycompare.experiment.space import Domain
from raycompare.formatting import number_of
from raycompare.metrics import MODES, Floats, MetricName
from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.records.run_records import Records

FEWEST_TRIALS = 6
"""Comparable trials that a model needs, besides its default."""
MOST_LEVELS = 3
"""Numbers in a list that are compared one by one; a curve is fitted to more."""
NEAR = 0.1
"""Relative difference of two shares of a run that counts as none."""
MOST_CHANCE = 0.5
"""Without a significant effect, nothing is said if chance can explain more of the variance."""
SMALLEST_SIZE = 1e-6
"""Columns that are smaller don't vary, or vary as another one does."""
WORST = -math.inf


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Importance of the searched hyperparameters; only `gap` is set if nothing can be said."""

    gap: str | None = None
    """The reason why nothing can be said."""
    explained: dict[str, Explained] = field(default_factory=dict)
    """Keyed by hyperparameter, the most important first."""
    trials: int = 0
    """Number of trials that were compared."""
    models: int = 0
    omitted: int = 0
    """Number of other trials with drawn configurations."""
    shares: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest share of a run after which trials of a model were compared."""

    @property
    def is_enough(self) -> bool:
        """Whether an effect is shown, or would have been if it were large."""
        chance = (own.by_chance for own in self.explained.values())
        return bool(self.significant) or min(chance, default=1.0) <= MOST_CHANCE

    @property
    def significant(self) -> list[str]:
        """Hyperparameters whose effect chance hardly explains."""
        return [name for name, own in self.explained.items() if own.is_significant]


def importance_of(records: Records) -> Importance | None:
    """Return the importance of each hyperparameter; None if nothing was searched.

    Trials of a model are compared after the same share of their run: that after which the first
    was stopped because of its scores. Untuned defaults, which were not drawn, are ignored.
    """
    drawn = [trial for trial in records.tune_trials if not trial.is_default]
    if not drawn:
        return None
    if reason := _why_not_random(records, drawn):
        return Importance(gap=reason)
    searches = [_Search.of(records, settings) for settings in all_settings(records.experiment)]
    compared = [own for own in searches if own.group.explained_by]
    explained = explain([own.group for own in compared], records.experiment.seed)
    trials = sum(len(own.group.scores) for own in compared)
    shares = [own.share for own in compared] or [1.0]
    importance = Importance(
        explained=explained,
        trials=trials,
        models=len(compared),
        omitted=len(drawn) - trials,
        shares=(min(shares), max(shares)),
    )
    return importance if importance.is_enough else Importance(gap=_too_few(importance, searches))


def _too_few(importance: Importance, searches: Sequence[_Search]) -> str:
    if not importance.explained:
        if any(own.group.columns for own in searches):
            return "the trials of a model have the same score, or the same hyperparameters"
        most = max(len(own.group.scores) for own in searches)
        return (
            "too few trials were made to say. A model needs at least "
            f"{FEWEST_TRIALS} trials besides its default that can be compared after the same share "
            f"of their run, and none has more than {most}"
        )
    least = min(own.by_chance for own in importance.explained.values())
    return (
        f"too few trials were made to say. Even if no hyperparameter had an effect, one could seem "
        f"to explain {least:.0%} of the variance of the scores of "
        f"{number_of(importance.trials, 'trial')}"
    )


def _why_not_random(records: Records, drawn: Sequence[TrialRecord]) -> str | None:
    """Return why the configurations are not a random sample or a whole grid, if they aren't."""
    algorithm = records.experiment.tune.search_alg
    if algorithm == "optuna":
        return (
            "Optuna chose the configurations by the scores of earlier trials, so the effects of "
            "hyperparameters that it changed at the same time can't be separated"
        )
    if algorithm == "grid":
        planned = Counter(trial.model for trial in drawn)
        for settings in all_settings(records.experiment):
            whole = math.prod(len(own.choices) for own in settings.space.values() if own.is_listed)
            if settings.space and planned[settings.name] < whole:
                return (
                    "only part of the grid was tried, so the effects of hyperparameters that "
                    "changed at the same time can't be separated"
                )
    return None


@dataclass(frozen=True)
class _Search:
    """Comparable trials of one model."""

    share: float
    """Share of the run after which they are compared."""
    group: TrialGroup

    @classmethod
    def of(cls, records: Records, settings: ModelSettings) -> Self:
        metric = records.experiment.tune.metric
        own = [
            (trial, records.rows(trial, "validation"))
            for trial in records.trials_of(settings.name, "tune")
            if not trial.is_default and trial.planned_steps
        ]
        share = min((_reached(*pair) for pair in own if pair[0].ending == "rung"), default=1.0)
        valued = [(trial, _score(trial, rows, share, metric)) for trial, rows in own]
        scored = [(trial, score) for trial, score in valued if score is not None]
        scores = _replace_worst([score for _, score in scored])
        if len(scored) < FEWEST_TRIALS:
            return cls(share, TrialGroup(scores, {}))
        values = [json.loads(trial.hyperparameters) for trial, _ in scored]
        columns = {
            name: columns_of(domain, [configuration[name] for configuration in values])
            for name, domain in settings.space.items()
            if all(name in configuration for configuration in values)
        }
        return cls(share, TrialGroup(scores, columns))


def _replace_worst(scores: Sequence[float]) -> Floats:
    """Give trials that diverged the worst score of the others."""
    worst = min((score for score in scores if score != WORST), default=0.0)
    return np.array([worst if score == WORST else score for score in scores])


def _reached(trial: TrialRecord, rows: Sequence[EvalRecord]) -> float:
    """Return the share of its run after which a trial was evaluated last."""
    return rows[-1].step / (trial.planned_steps or 1) if rows else 0.0


def _score(
    trial: TrialRecord, rows: Sequence[EvalRecord], share: float, metric: MetricName
) -> float | None:
    """Return the best score up to a share of the run, or None if the trial didn't get there.

    A larger score is better. Trials that diverged before are the worst of all.
    """
    early = [row for row in rows if row.step <= share * (1 + NEAR) * (trial.planned_steps or 0)]
    if trial.ending != "patience" and _reached(trial, early) < share * (1 - NEAR):
        return WORST if trial.ending == "diverged" else None
    sign = 1 if MODES[metric] == "max" else -1
    values = [sign * getattr(row, metric) for row in early]
    return max((value for value in values if math.isfinite(value)), default=WORST)


def columns_of(domain: Domain, values: Sequence[JsonValue]) -> Floats:
    """Return columns that a regression on a hyperparameter uses: orthonormal, with mean 0.

    They are a parabola on the scale of the range. Up to three numbers of a list, and names, have a
    column for each value but one.
    """
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if domain.is_listed:
        names, places = np.unique(
            [json.dumps(value, sort_keys=True) for value in values], return_inverse=True
        )
        if len(numbers) < len(values) or len(names) <= MOST_LEVELS:
            return _orthonormal(np.eye(len(names))[places])
        scale = np.searchsorted(np.unique(numbers), numbers).astype(float)
    else:
        scale = np.log(numbers) if "log" in domain.kind else np.array(numbers, float)
    centred = scale - scale.mean()
    centred = centred / (np.abs(centred).max() or 1.0)
    return _orthonormal(np.stack([centred, centred**2], axis=1))


def _orthonormal(columns: Floats) -> Floats:
    left, sizes, _ = np.linalg.svd(columns - columns.mean(axis=0), full_matrices=False)
    return np.asarray(left[:, sizes > SMALLEST_SIZE])
