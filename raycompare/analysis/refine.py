"""The next experiment after a search: ranges around the best configurations (docs/continue.md).

The best trials of a model span its new ranges; an edge that the best value lies at moves out.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self, cast

from pydantic import JsonValue

from raycompare.analysis.leaderboard import best_trials
from raycompare.errors import UserError
from raycompare.experiment.base import MOST_NAME
from raycompare.experiment.hyperparameters import ModelSettings, all_settings
from raycompare.experiment.ranges import DOWN, MARGIN, UP, Scale, beyond, has_fixed_edges, in_range
from raycompare.experiment.settings import TimeAttr
from raycompare.experiment.space import DEVIATIONS, Domain
from raycompare.experiment.spec import Arguments, Experiment, ModelSpec
from raycompare.formatting import number_of, score, setting
from raycompare.metrics import LABELS, MODES
from raycompare.records.endings import has_value
from raycompare.records.reach import got_furthest
from raycompare.records.rows import TrialRecord

_FEWEST_TRIALS = 4
"""Trials with a value, besides the default, that a model needs for its ranges to change."""
_FEWEST_COMPLETED = 3
"""If a model has fewer completed trials, the stopped trials that got furthest count too."""
_BEST_SHARE, _FEWEST_BEST = 0.25, 2


@dataclass(frozen=True, kw_only=True)
class ModelChange:
    """A change of one part of a model, and the reason for it."""

    model: str
    part: str
    """A hyperparameter, `training` or `search_space`."""
    words: str

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.model}, {self.part}: {self.words}"


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """The next experiment, and how it differs."""

    experiment: Experiment
    changes: tuple[ModelChange, ...]


def refine(experiment: Experiment, trials: Sequence[TrialRecord]) -> Refinement:
    """Narrow each model's ranges to its best trials, and make the best one its default.

    Raises:
        UserError: nothing was searched, or no trial other than the default has a value.
    """
    valued = [trial for trial in trials if trial.stage == "tune" and has_value(trial)]
    _require_searched(experiment, trials, valued)
    lessons = [_Lesson.of(settings, valued) for settings in all_settings(experiment)]
    update = {
        "name": successor(experiment.name, "refined"),
        "models": tuple(lesson.refined_model() for lesson in lessons),
        "search_space": {},  # every model has its own
    }
    changes = tuple(change for lesson in lessons for change in lesson.changes())
    return Refinement(experiment=experiment.model_copy(update=update), changes=changes)


def successor(name: str, word: str) -> str:
    """Return the name of the next experiment: x-refined, then x-refined-2, x-refined-3."""
    again = re.fullmatch(rf"(.+-{word})(?:-(\d+))?", name)
    following = f"{again[1]}-{int(again[2] or 1) + 1}" if again else f"{name}-{word}"
    fits = len(following) <= MOST_NAME
    return following if fits else f"{name[: MOST_NAME - len(word) - 1]}-{word}"


def _require_searched(
    experiment: Experiment, trials: Sequence[TrialRecord], valued: Sequence[TrialRecord]
) -> None:
    if not any(settings.space for settings in all_settings(experiment)):
        raise UserError(
            f"{experiment.name} has no search_space, so there is nothing to refine. Add one, such "
            "as learning_rate: {loguniform: [1e-5, 1e-4]}, and run it."
        )
    if all(trial.is_default for trial in valued):
        tune = Counter(trial.status for trial in trials if trial.stage == "tune")
        counts = ", ".join(f"{count} {status}" for status, count in tune.items()) or "no trials"
        raise UserError(
            f"{experiment.name} has no finished tune stage: no trial other than the default has a "
            f"value (found: {counts}). Finish it with `raycompare run --resume RUN_DIR`, then "
            "refine it."
        )


@dataclass(frozen=True)
class _Lesson:
    """Results of the tune stage for one model."""

    before: ModelSettings
    leader: TrialRecord | None
    """The best trial, which may be the default."""
    settings: tuple[Arguments, ...]
    """Complete settings of the leader, then of the best trials besides the default, best first."""
    tried: int
    """Number of trials with a value, besides the default."""

    @classmethod
    def of(cls, before: ModelSettings, valued: Sequence[TrialRecord]) -> Self:
        metric = before.experiment.tune.metric
        own = [trial for trial in valued if trial.model == before.name]
        leader = best_trials(own, metric).get(before.name)
        searched = [trial for trial in own if not trial.is_default]
        sign = 1 if MODES[metric] == "min" else -1
        compared = _comparable(searched, before.experiment.tune.time_attr)
        ranked = sorted(compared, key=lambda trial: sign * (trial.best_value or 0.0))
        best = ranked[: max(_FEWEST_BEST, math.ceil(_BEST_SHARE * len(ranked)))]
        settings = (before.complete(_hyperparameters_of(trial)) for trial in (leader, *best))
        return cls(before, leader, tuple(settings), len(searched))

    @cached_property
    def ranges(self) -> dict[str, tuple[Domain, str]]:
        """The new ranges, each with its reason; none if there are too few trials."""
        space = self.before.space if self.tried >= _FEWEST_TRIALS else {}
        return {key: self._refine_range(key, domain) for key, domain in space.items()}

    def refined_model(self) -> ModelSpec:
        ranges = {key: domain for key, (domain, _) in self.ranges.items()}
        model = self.before.model
        space = {**self.before.experiment.search_space, **model.search_space, **ranges}
        training = {**model.training, **_hyperparameters_of(self.leader)}
        return model.model_copy(update={"training": training, "search_space": space})

    def changes(self) -> list[ModelChange]:
        words = {"training": self._about_default()}
        words |= {key: why for key, (_, why) in self.ranges.items()}
        if not self.ranges:
            words["search_space"] = f"unchanged: {self._why_not()}"
        return [ModelChange(model=self.before.name, part=part, words=words[part]) for part in words]

    def _about_default(self) -> str:
        if self.leader is None:
            return "unchanged: no trial has a value"
        value = f"{LABELS[self.before.experiment.tune.metric]} {score(self.leader.best_value)}"
        if self.leader.is_default:
            return f"unchanged: the untuned default is the best configuration, {value}"
        best = _hyperparameters_of(self.leader)
        settings = ", ".join(f"{key} {setting(number)}" for key, number in best.items())
        return f"the best configuration, {value}, becomes the default: {settings}"

    def _why_not(self) -> str:
        if not self.before.space:
            return "nothing is searched"
        tried = f"found {number_of(self.tried, 'trial')} with a value besides the default"
        hint = "raise tune.num_samples, since the same seed draws the same configurations again"
        return f"{tried}, {_FEWEST_TRIALS} are needed; {hint}"

    def _refine_range(self, key: str, domain: Domain) -> tuple[Domain, str]:
        best = [settings[key] for settings in self.settings if key in settings]
        values = [value for value in best if in_range(domain, value)]
        if not values:
            return domain, "unchanged: none of the best trials has a value in it"
        if domain.is_listed:
            return self._narrow_choices(key, domain, values)
        return self._narrow_range(key, domain, cast(list[float], values))

    def _narrow_choices(
        self, key: str, domain: Domain, values: list[JsonValue]
    ) -> tuple[Domain, str]:
        kept = [choice for choice in domain.choices if choice in values]
        if len(kept) == len(domain.choices):
            return domain, f"unchanged: {self._best(key)} use all of its values"
        why = f"{self._best(key)} use no others"
        is_default = kept == [self.settings[0].get(key)] and not isinstance(kept[0], list | dict)
        fewer = Domain.model_validate(kept[0] if is_default else {domain.kind: kept})
        return fewer, f"{_describe_change(domain, fewer)}: {why}"

    def _narrow_range(self, key: str, domain: Domain, values: list[float]) -> tuple[Domain, str]:
        new, note = _range_around(domain, values, has_fixed_edges(key, domain))
        lie = f"{self._best(key)} lie between {min(values):.3g} and {max(values):.3g}"
        return new, f"{_describe_change(domain, new)}: {lie}{note}"

    def _best(self, key: str) -> str:
        best = f"the best {len(self.settings) - 1} of {self.tried} trials"
        default_counts = self.leader and self.leader.is_default and key in self.settings[0]
        return f"the untuned default and {best}" if default_counts else best


def _hyperparameters_of(trial: TrialRecord | None) -> Arguments:
    return dict(json.loads(trial.hyperparameters)) if trial else {}


def _comparable(searched: Sequence[TrialRecord], time_attr: TimeAttr) -> list[TrialRecord]:
    completed = [trial for trial in searched if trial.status == "completed"]
    if len(completed) >= _FEWEST_COMPLETED:
        return completed
    others = [trial for trial in searched if trial.status != "completed"]
    far = got_furthest(others, time_attr, at_least=max(_FEWEST_TRIALS - len(completed), 0))
    return [*completed, *far]


def _describe_change(old: Domain, new: Domain) -> str:
    return "unchanged" if new == old else f"{_format_domain(old)} becomes {_format_domain(new)}"


def _format_domain(domain: Domain) -> str:
    args = domain.args[0] if domain.is_listed or domain.is_constant else domain.args
    return f"{domain.kind} {json.dumps(args)}"


def _range_around(domain: Domain, values: Sequence[float], fixed_edges: bool) -> tuple[Domain, str]:
    """Return the range around `values`, best first, and a note if the best is at an edge."""
    if domain.kind.endswith("normal"):
        return _bell(domain, values), ""
    scale = Scale.of(domain)
    at = [side for side in (DOWN, UP) if scale.is_at_edge(side, values[0], MARGIN)]
    bounds = [scale.bound(side, values, side in at and not fixed_edges) for side in (DOWN, UP)]
    whole = domain.kind.endswith("randint")
    numbers = [int(bounds[0]), int(bounds[1]) + beyond(domain)] if whole else bounds
    name = "lower" if DOWN in at else "upper"
    moves = "the model dictates" if fixed_edges else "moves out"
    note = f"; the best one, {values[0]:.3g}, is at the {name} edge, which {moves}" if at else ""
    return Domain.model_validate({domain.kind: [*numbers, *domain.args[2:]]}), note


def _bell(domain: Domain, values: Sequence[float]) -> Domain:
    """Return the normal distribution that is drawn within the new range."""
    mean, sd = cast(tuple[float, ...], domain.args[:2])
    reach = DEVIATIONS * sd
    scale = Scale(min(mean - reach, *values), max(mean + reach, *values), False, None)
    low, high = (scale.bound(side, values, leaves=False) for side in (DOWN, UP))
    middle = float(f"{(low + high) / 2:.3g}")
    if not low < middle < high:  # because the mean is large
        return domain
    share = min(middle - low, high - middle) / DEVIATIONS
    deviation = scale.round_outwards(share, DOWN)
    return Domain.model_validate({domain.kind: [middle, deviation or sd, *domain.args[2:]]})
