"""Trials of an earlier run that a new search can use as evaluated points.

A trial is a point of a model if it has the same checkpoint, content, config overrides and fixed
arguments, and its hyperparameters are in the model's ranges; names may differ. If a hyperparameter
was fixed and is searched now, the point has its fixed value. So the untuned default is a point too
if the earlier experiment sets all searched values.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property

from pydantic import JsonValue, TypeAdapter, ValidationError

from raycompare.errors import UserError
from raycompare.experiment.hyperparameters import ModelSettings, all_settings
from raycompare.experiment.ranges import _same_json, in_range
from raycompare.experiment.spec import Arguments, Experiment
from raycompare.formatting import listing, number_of
from raycompare.records.endings import has_value
from raycompare.records.rows import EvalRecord, TrialRecord

MOST_DIFFERENCES = 3


@dataclass(frozen=True, kw_only=True)
class EarlierRun:
    """The records of a run that has ended."""

    place: str
    """Folder of the run, as shown in messages."""
    experiment: Experiment
    trials: Sequence[TrialRecord]
    evaluations: Sequence[EvalRecord]
    data_hash: str
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    """What each model was made from, if that was recorded."""

    def tune_trials(self, model: str) -> list[TrialRecord]:
        """Return the trials of a model's tune stage."""
        return [t for t in self.trials if t.stage == "tune" and t.model == model]


@dataclass(frozen=True, kw_only=True)
class EvaluatedPoint:
    """A configuration that was tried, with its result."""

    model: str
    """Name of the model in the new experiment."""
    hyperparameters: Mapping[str, JsonValue]
    """Values of exactly the hyperparameters that the new experiment searches."""
    value: float
    """Best validation value of `tune.metric`."""
    intermediate: tuple[float, ...] = ()
    """Validation values of a stopped trial, in the order of its evaluations."""
    pruned: bool = False
    """Whether the scheduler stopped the trial."""


@dataclass(frozen=True, kw_only=True)
class EarlierTrials:
    """Results of an earlier run that a search gets before its first trial."""

    points: tuple[EvaluatedPoint, ...]
    left_out: tuple[str, ...] = ()
    """A line per model of the earlier run with the number of skipped trials and the reasons."""

    def of(self, model: str) -> tuple[EvaluatedPoint, ...]:
        """Return the points of one model, in plan order."""
        return tuple(point for point in self.points if point.model == model)

    def to_json(self) -> str:
        """Return the JSON that `from_json` reads."""
        return json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"


def from_json(text: str, place: str) -> EarlierTrials:
    """Read the JSON of `EarlierTrials.to_json`; `place` names the file in messages.

    Raises:
        UserError: the text is not valid.
    """
    try:
        return TypeAdapter(EarlierTrials).validate_json(text)
    except ValidationError as error:
        raise UserError(
            f"{place} was changed after the run wrote it: {error}\n"
            "Restore the file, or start a new run with --warm-start."
        ) from error


def known_points(
    earlier: EarlierRun,
    now: Experiment,
    data_hash: str,
    checkpoints: Mapping[str, str] | None = None,
) -> EarlierTrials:
    """Return the trials of the earlier run that fit `now`, whose data has the hash `data_hash`.

    `checkpoints` are the fingerprints of what the models of `now` are made from.

    Raises:
        UserError: metric or data differ, or no trial of the earlier run fits.
    """
    _require_comparable(earlier, now, data_hash)
    matches = [
        _match_models(earlier, then, now, checkpoints or {})
        for then in all_settings(earlier.experiment)
        if earlier.tune_trials(then.name)
    ]
    usable = EarlierTrials(
        points=tuple(point for match in matches for point in match.points),
        left_out=tuple(line for match in matches for line in match.left_out),
    )
    if not usable.points:
        reasons = "\n".join(f"  {line}" for line in usable.left_out)
        raise UserError(
            f"--warm-start: {earlier.place} has no trials that the models of {now.name} can use:\n"
            f"{reasons}\nRemove the differences, or run without --warm-start."
        )
    return usable


def _require_comparable(earlier: EarlierRun, now: Experiment, data_hash: str) -> None:
    place, metric, faults = earlier.place, earlier.experiment.tune.metric, []
    if metric != now.tune.metric:
        faults.append(
            f"tune.metric: found {now.tune.metric}, but {place} measured {metric}. "
            f"Set tune.metric: {metric}."
        )
    if earlier.data_hash != data_hash:
        faults.append(
            f"data: found texts with the hash {data_hash}, but {place} was trained on "
            f"{earlier.data_hash}. Restore its `data` section, and its `seed`, which determines "
            "the splits."
        )
    if not any(has_value(trial) for trial in earlier.trials if trial.stage == "tune"):
        faults.append(
            f"{place}: no trial of the tune stage has a value. Name a run with a search; an "
            f"interrupted one continues with `raycompare run --resume {place}`."
        )
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise UserError(f"--warm-start can't be used:\n{lines}\nOr run without --warm-start.")


def _match_models(
    earlier: EarlierRun, then: ModelSettings, now: Experiment, checkpoints: Mapping[str, str]
) -> EarlierTrials:
    named = [own for own in all_settings(now) if own.model.source == then.model.source]
    was = earlier.checkpoints.get(then.name)
    same = [own for own in named if not was or checkpoints.get(own.name, was) == was]
    if named and not same:
        return EarlierTrials(points=(), left_out=(f"{then.name}: its checkpoint has changed",))
    pairs = [_SameModel(earlier, then, own) for own in same]
    alike = [pair for pair in pairs if not pair.differences()]
    searched = [pair for pair in alike if pair.now.space]
    if searched:
        return EarlierTrials(
            points=tuple(point for pair in searched for point in pair.points()),
            left_out=tuple(line for pair in searched for line in pair.left_out()),
        )
    return EarlierTrials(
        points=(), left_out=(f"{then.name}: {_why_not(then, pairs, bool(alike))}",)
    )


def _why_not(then: ModelSettings, pairs: Sequence[_SameModel], alike: bool) -> str:
    if not pairs:
        checkpoint, revision = then.model.source
        at = f" at revision {revision}" if revision else ""
        return f"no model of this experiment is {checkpoint}{at}"
    if alike:
        return "the model is the same, but has no search space now"
    nearest = min(pairs, key=lambda pair: (len(pair.differences()), pair.now.name != then.name))
    differences = nearest.differences()
    extra = len(differences) - MOST_DIFFERENCES
    lines = [*differences[:MOST_DIFFERENCES], *([f"and {extra} more"] if extra > 0 else [])]
    return f"differs from {nearest.now.name}: {'; '.join(lines)}"


@dataclass(frozen=True)
class _SameModel:
    """A model of the earlier run, and one with the same weights in the new experiment."""

    earlier: EarlierRun
    then: ModelSettings
    now: ModelSettings

    @cached_property
    def fixed(self) -> Arguments:
        """Settings of a trial in the new experiment that are not searched."""
        return self.now.complete({})

    def differences(self) -> list[str]:
        """Return a line for each setting that is fixed in both experiments but differs."""
        before, searched = self.then.complete({}), {*self.now.space, *self.then.space}
        keys = [key for key in {**before, **self.fixed} if key not in searched]
        return [
            f"{key} was {_format_setting(before, key)}, now {_format_setting(self.fixed, key)}"
            for key in keys
            if _format_setting(before, key) != _format_setting(self.fixed, key)
        ]

    def points(self) -> Iterator[EvaluatedPoint]:
        """Yield the trials that the search can use."""
        for trial in self.earlier.tune_trials(self.then.name):
            if self._obstacle(trial) is None:
                yield self._point(trial)

    def left_out(self) -> Iterator[str]:
        """Yield a line with the reasons, if trials are skipped."""
        trials = self.earlier.tune_trials(self.then.name)
        obstacles = Counter(obstacle for trial in trials if (obstacle := self._obstacle(trial)))
        if obstacles:
            reasons = listing([f"{count} {reason}" for reason, count in obstacles.items()])
            planned = number_of(len(trials), "trial")
            yield f"{self.then.name}: {obstacles.total()} of {planned} skipped: {reasons}"

    def _obstacle(self, trial: TrialRecord) -> str | None:
        if not has_value(trial):
            return "without a comparable value"
        settings = self._settings(trial)
        if lacking := [key for key in self.now.space if key not in settings]:
            return f"without a value of {listing(lacking)}"
        inside = all(in_range(domain, settings[key]) for key, domain in self.now.space.items())
        return None if inside and self._matches_fixed(settings) else "outside the current ranges"

    def _matches_fixed(self, settings: Arguments) -> bool:
        keys = {**settings, **self.fixed}.keys() - self.now.space.keys()
        return all(
            _format_setting(settings, key) == _format_setting(self.fixed, key) for key in keys
        )

    def _settings(self, trial: TrialRecord) -> Arguments:
        return self.then.complete(json.loads(trial.hyperparameters))

    def _point(self, trial: TrialRecord) -> EvaluatedPoint:
        assert trial.best_value is not None
        settings, pruned = self._settings(trial), trial.status == "stopped_early"
        return EvaluatedPoint(
            model=self.now.name,
            hyperparameters={key: settings[key] for key in self.now.space},
            value=trial.best_value,
            intermediate=self._read_values(trial) if pruned else (),
            pruned=pruned,
        )

    def _read_values(self, trial: TrialRecord) -> tuple[float, ...]:
        rows = [
            row
            for row in self.earlier.evaluations
            if row.trial_id == trial.trial_id and row.split == "validation"
        ]
        metric = self.now.experiment.tune.metric
        values = (getattr(row, metric) for row in sorted(rows, key=lambda row: row.step))
        return tuple(value for value in values if math.isfinite(value))


def _format_setting(settings: Arguments, key: str) -> str:
    """Return a setting as JSON, with 2.0 written as 2; "not set" if it is missing."""
    if key not in settings:
        return "not set"
    value = settings[key]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _same_json(value)
