"""What an earlier run tells the search of a new one: its trials, where all else is equal.

A trial is a known point of a model if checkpoint, revision, the changed fields of the config and
all fixed arguments are the model's own, and its hyperparameters lie in the model's ranges. Names
do not matter. A hyperparameter that was fixed then and is searched now is read from what was
fixed; so the untuned default is a point too, where the experiment wrote down its values.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
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
    """Its folder, as messages name it."""
    experiment: Experiment
    trials: Sequence[TrialRecord]
    evaluations: Sequence[EvalRecord]
    data_hash: str

    def tune_trials(self, model: str) -> list[TrialRecord]:
        """Return the trials of a model's tune stage."""
        return [t for t in self.trials if t.stage == "tune" and t.model == model]


@dataclass(frozen=True, kw_only=True)
class EvaluatedPoint:
    """A configuration that was tried, and what came of it."""

    model: str
    """As the new experiment calls it."""
    hyperparameters: Mapping[str, JsonValue]
    """All that is searched now, and nothing else."""
    value: float
    """The best on validation, by the experiments' metric."""
    intermediate: tuple[float, ...] = ()
    """Of a stopped trial, its validation values in the order they came."""
    pruned: bool = False
    """Whether the scheduler stopped the trial."""


@dataclass(frozen=True, kw_only=True)
class EarlierTrials:
    """Results of an earlier run that a search gets before its first trial."""

    points: tuple[EvaluatedPoint, ...]
    left_out: tuple[str, ...] = ()
    """A line per model of the earlier run with the number of skipped trials and the reasons."""

    def of(self, model: str) -> tuple[EvaluatedPoint, ...]:
        """Return the points of one model, in the order they were planned."""
        return tuple(point for point in self.points if point.model == model)

    def to_json(self) -> str:
        """Write what `from_json` reads."""
        return json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"


def from_json(text: str, place: str) -> EarlierTrials:
    """Read what `Known.to_json` wrote; `place` names the file in messages.

    Raises:
        UserError: the text is something else.
    """
    try:
        return TypeAdapter(EarlierTrials).validate_json(text)
    except ValidationError as error:
        raise UserError(
            f"{place} is not as a run wrote it: {error}\n"
            "Restore the file, or start the run again with --warm-start."
        ) from error


def known_points(earlier: EarlierRun, now: Experiment, data_hash: str) -> EarlierTrials:
    """Return what the earlier run knows of the ranges of `now`; `data_hash` is of its data.

    Raises:
        UserError: metric or data differ, or nothing of the earlier run can be told to the search.
    """
    _require_comparable(earlier, now, data_hash)
    told = [
        _match_models(earlier, then, now)
        for then in all_settings(earlier.experiment)
        if earlier.tune_trials(then.name)
    ]
    known = EarlierTrials(
        points=tuple(point for of_model in told for point in of_model.points),
        left_out=tuple(line for of_model in told for line in of_model.left_out),
    )
    if not known.points:
        reasons = "\n".join(f"  {line}" for line in known.left_out)
        raise UserError(
            f"--warm-start: nothing of {earlier.place} is known of the models of {now.name}:\n"
            f"{reasons}\nMake these equal, or leave --warm-start out."
        )
    return known


def _require_comparable(earlier: EarlierRun, now: Experiment, data_hash: str) -> None:
    place, metric, faults = earlier.place, earlier.experiment.tune.metric, []
    if metric != now.tune.metric:
        faults.append(
            f"tune.metric: found {now.tune.metric}, but {place} has values of {metric}. "
            f"Set tune.metric: {metric}."
        )
    if earlier.data_hash != data_hash:
        faults.append(
            f"data: found texts with the hash {data_hash}, but {place} was trained on "
            f"{earlier.data_hash}. Bring its `data` section and its `seed` back, which draws the "
            "splits."
        )
    if not any(has_value(trial) for trial in earlier.trials if trial.stage == "tune"):
        faults.append(
            f"{place}: no trial of the tune stage has a value. Name a run with a search; an "
            f"interrupted one continues with `raycompare run --resume {place}`."
        )
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise UserError(f"--warm-start does not fit:\n{lines}\nOr leave --warm-start out.")


def _match_models(earlier: EarlierRun, then: ModelSettings, now: Experiment) -> EarlierTrials:
    same = [own for own in all_settings(now) if own.model.source == then.model.source]
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
        return "the model is the same, but nothing of it is searched"
    nearest = min(pairs, key=lambda pair: (len(pair.differences()), pair.now.name != then.name))
    found = nearest.differences()
    more = [f"{len(found) - MOST_DIFFERENCES} more"] if len(found) > MOST_DIFFERENCES else []
    return f"not as {nearest.now.name} is now: {listing([*found[:MOST_DIFFERENCES], *more])}"


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
        """Name what was fixed then, is fixed now, and is not the same."""
        before, searched = self.then.complete({}), {*self.now.space, *self.then.space}
        keys = [key for key in {**before, **self.fixed} if key not in searched]
        return [
            f"{key} was {_format_setting(before, key)} and is {_format_setting(self.fixed, key)}"
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
        found = Counter(obstacle for trial in trials if (obstacle := self._obstacle(trial)))
        if found:
            reasons = listing([f"{count} {reason}" for reason, count in found.items()])
            yield (
                f"{self.then.name}: {found.total()} of {number_of(len(trials), 'trial')} skipped: "
                f"{reasons}"
            )

    def _obstacle(self, trial: TrialRecord) -> str | None:
        if not has_value(trial):
            return "without a value that could be compared"
        settings = self._settings(trial)
        if lacking := [key for key in self.now.space if key not in settings]:
            return f"without a value of {listing(lacking)}"
        inside = all(in_range(domain, settings[key]) for key, domain in self.now.space.items())
        return None if inside and self._is_fixed_as_now(settings) else "outside the ranges of now"

    def _is_fixed_as_now(self, settings: Arguments) -> bool:
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
            intermediate=self._course(trial) if pruned else (),
            pruned=pruned,
        )

    def _course(self, trial: TrialRecord) -> tuple[float, ...]:
        rows = [
            row
            for row in self.earlier.evaluations
            if row.trial_id == trial.trial_id and row.split == "validation"
        ]
        metric = self.now.experiment.tune.metric
        values = (getattr(row, metric) for row in sorted(rows, key=lambda row: row.step))
        return tuple(value for value in values if math.isfinite(value))


def _format_setting(settings: Arguments, key: str) -> str:
    """Return a setting as JSON, whole numbers alike however written; 'left out' if it is none."""
    if key not in settings:
        return "left out"
    value = settings[key]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _same_json(value)
