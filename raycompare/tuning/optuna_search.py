"""Configurations from Optuna's TPE, with one study per model, through Ray Tune's `OptunaSearch`.

A suggestion depends only on the records of the model's trials and on the number of its turn, so a
run can be resumed without a saved searcher.
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
"""Repeated suggestions in a row after which a search space counts as exhausted."""
RANDOM_SHARE, LEAST_RANDOM, MOST_RANDOM = 1 / 3, 3, 10
"""Share of a model's trials that are drawn at random before TPE takes over, and the bounds of their
number. Optuna's default of 10 could be all trials of a small search."""

History = Callable[[], tuple[Sequence[TrialRecord], Sequence[EvalRecord]]]


class Tpe:
    """Proposes configurations that are likely to improve on a model's trials so far."""

    def __init__(
        self, experiment: Experiment, history: History, known: Sequence[EvaluatedPoint] = ()
    ) -> None:
        """Read `history` at each call; `known` are points of earlier runs."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logging.getLogger("ray.tune.search.optuna").setLevel(logging.ERROR)
        self._experiment, self._history, self._known = experiment, history, tuple(known)
        self._proposed: dict[str, list[Arguments]] = {}

    @property
    def counts(self) -> dict[str, int]:
        """Number of configurations of each model, including its default."""
        most = self._experiment.tune.num_samples or DEFAULT_SAMPLES
        return {
            settings.name: most if settings.space else 1
            for settings in all_settings(self._experiment)
        }

    def __call__(self, slot: Slot) -> Arguments | None:
        """Return an untried configuration of the model; None if its space is exhausted."""
        space = settings_of(self._experiment, slot.model).space
        trials, evaluations = self._history()
        own = [t for t in trials if t.stage == "tune" and t.model == slot.model]
        earlier = [point for point in self._known if point.model == slot.model]
        searched = [trial for trial in own if not trial.is_default]
        new = (_read_point(trial, evaluations, self._experiment) for trial in searched)
        points = [*earlier, *(point for point in new if point)]
        tried = [json.loads(trial.hyperparameters) for trial in own]
        tried += self._proposed.setdefault(slot.model, [])
        for repeat in range(MOST_REPEATS):
            proposed = self._suggest(slot, space, points, repeat)
            if proposed not in tried:
                self._proposed[slot.model].append(proposed)
                return proposed
        return None

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


def _read_point(
    trial: TrialRecord, evaluations: Sequence[EvalRecord], experiment: Experiment
) -> EvaluatedPoint | None:
    """Return the point of a trial; None while it runs or if it has no evaluation."""
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
