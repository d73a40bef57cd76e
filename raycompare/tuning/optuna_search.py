"""Configurations by Optuna's TPE, a study for each model, through Ray Tune's own searcher.

A suggestion is made from the records of the model's trials and the number of its turn, and from
nothing else: no state of a searcher has to be saved for a run to be resumed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence

import optuna
from ray.tune.search.optuna import OptunaSearch

from raycompare.experiment.hyperparameters import all_settings, settings_of
from raycompare.experiment.settings import DEFAULT_SAMPLES
from raycompare.experiment.space import SearchSpace
from raycompare.experiment.spec import Arguments, Experiment
from raycompare.metrics import MODES
from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.tuning.earlier_trials import EvaluatedPoint
from raycompare.tuning.plans import Slot, random_of
from raycompare.tuning.sampling import tune_domain

VALUE = "value"
MOST_REPEATS = 20
"""Suggestions in a row that were tried before, after which a space counts as exhausted."""
RANDOM_SHARE, LEAST_RANDOM, MOST_RANDOM = 1 / 3, 3, 10
"""Of a model's trials, and the bounds of their number: what is drawn at random before the
estimator takes over. Optuna's own 10 would be all of a small search."""

History = Callable[[], tuple[Sequence[TrialRecord], Sequence[EvalRecord]]]


class Tpe:
    """Proposes what the trials of a model so far make likely to be better."""

    def __init__(
        self, experiment: Experiment, history: History, known: Sequence[EvaluatedPoint] = ()
    ) -> None:
        """Learn from `history` whenever asked, and from what earlier runs have found."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logging.getLogger("ray.tune.search.optuna").setLevel(logging.ERROR)
        self._experiment, self._history, self._known = experiment, history, tuple(known)
        self._asked: dict[str, list[Arguments]] = {}

    @property
    def counts(self) -> dict[str, int]:
        """The configurations of each model, its default counted."""
        most = self._experiment.tune.num_samples or DEFAULT_SAMPLES
        return {
            settings.name: most if settings.space else 1
            for settings in all_settings(self._experiment)
        }

    def __call__(self, slot: Slot) -> Arguments | None:
        """Return a configuration of the model that was not tried before."""
        space = settings_of(self._experiment, slot.model).space
        trials, evaluations = self._history()
        own = [t for t in trials if t.stage == "tune" and t.model == slot.model]
        known = [point for point in self._known if point.model == slot.model]
        points = [*known, *self._points(own, evaluations)]
        tried = [json.loads(trial.hyperparameters) for trial in own]
        tried += self._asked.setdefault(slot.model, [])
        for repeat in range(MOST_REPEATS):
            proposed = self._suggest(slot, space, points, repeat)
            if proposed not in tried:
                self._asked[slot.model].append(proposed)
                return proposed
        return None

    def _points(
        self, own: Sequence[TrialRecord], evaluations: Sequence[EvalRecord]
    ) -> list[EvaluatedPoint]:
        searched = [trial for trial in own if not trial.is_default]
        found = (_point(trial, evaluations, self._experiment) for trial in searched)
        return [point for point in found if point]

    def _suggest(
        self, slot: Slot, space: SearchSpace, points: Sequence[EvaluatedPoint], repeat: int
    ) -> Arguments:
        settings = self._experiment.tune
        random = random_of(self._experiment.seed, slot.model, slot.number, repeat)
        search = OptunaSearch(
            OptunaSearch.convert_search_space(
                {key: tune_domain(domain) for key, domain in space.items()}
            ),
            metric=VALUE,
            mode=MODES[settings.metric],
            sampler=optuna.samplers.TPESampler(
                seed=int(random.integers(2**31)),
                n_startup_trials=_random_trials(settings.num_samples or DEFAULT_SAMPLES),
            ),
        )
        for point in points:
            search.add_evaluated_point(
                dict(point.hyperparameters),
                point.value,
                pruned=point.pruned,
                intermediate_values=list(point.intermediate),
            )
        proposed: Arguments = search.suggest("next") or {}
        return proposed


def _random_trials(samples: int) -> int:
    return min(max(round(samples * RANDOM_SHARE), LEAST_RANDOM), MOST_RANDOM)


def _point(
    trial: TrialRecord, evaluations: Sequence[EvalRecord], experiment: Experiment
) -> EvaluatedPoint | None:
    """Return what a trial has shown; nothing while it runs, or if it had no evaluation."""
    if trial.best_value is None or trial.status not in ("completed", "stopped_early"):
        return None
    metric = experiment.tune.metric
    values = [
        getattr(row, metric)
        for row in evaluations
        if row.trial_id == trial.trial_id and row.split == "validation"
    ]
    return EvaluatedPoint(
        model=trial.model,
        hyperparameters=json.loads(trial.hyperparameters),
        value=trial.best_value,
        intermediate=tuple(values),
        pruned=trial.status == "stopped_early",
    )
