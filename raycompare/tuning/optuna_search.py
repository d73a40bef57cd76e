"""Configurations from Optuna's TPE, with one study per model.

A suggestion depends only on the records of the model's trials and on the number of its turn, so a
run can be resumed without a saved searcher.
"""

from __future__ import annotations

import json
import logging
from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from ray.tune.search.optuna import OptunaSearch

from raycompare.experiment.hyperparameters import all_settings
from raycompare.experiment.settings import DEFAULT_SAMPLES
from raycompare.experiment.space import SearchSpace
from raycompare.experiment.spec import Arguments, Experiment
from raycompare.metrics import MODES
from raycompare.records.journal import Journal
from raycompare.records.rows import FINISHED, TrialRecord
from raycompare.tuning.earlier_trials import EvaluatedPoint
from raycompare.tuning.plans import Slot, random_of
from raycompare.tuning.sampling import tune_domain

MOST_REPEATS = 20
"""Repeated suggestions in a row after which a search space counts as exhausted."""
RANDOM_SHARE, LEAST_RANDOM, MOST_RANDOM = 1 / 3, 3, 10
"""Share of a model's trials that are drawn at random before TPE takes over, and the bounds of their
number. Optuna's default of 10 could be all trials of a small search."""


@dataclass(frozen=True)
class SearchOutcome:
    """A trial of the search with its validation values so far."""

    trial: TrialRecord
    values: Sequence[float]


News = Callable[[], Iterable[SearchOutcome]]
"""Returns the trials that were planned, or have ended, since the last call."""


class JournalNews:
    """The news of a search from the journal of its run; each call looks at new events only."""

    def __init__(self, journal: Journal) -> None:
        """Start with the trials that earlier sessions finished."""
        self._journal = journal
        self._planned = self._ended = 0
        self._unread = [
            SearchOutcome(trial, [getattr(row, journal.metric) for row in rows])
            for trial in journal.kept
            if (rows := journal.kept_evaluations(trial.trial_id)) is not None
        ]

    def __call__(self) -> Iterable[SearchOutcome]:
        """Return the news since the last call."""
        journal = self._journal
        planned = list(islice(journal.entries.values(), self._planned, None))
        ended = journal.endings[self._ended :]
        self._planned, self._ended = self._planned + len(planned), self._ended + len(ended)
        news, self._unread = self._unread, []
        news += [
            SearchOutcome(
                journal.make_record(entry),
                [evaluation.metrics[journal.metric] for evaluation, _ in entry.evaluations],
            )
            for entry in (*planned, *ended)
        ]
        return news


class Tpe:
    """Proposes configurations that are likely to improve on a model's trials so far."""

    def __init__(
        self, experiment: Experiment, news: News, known: Sequence[EvaluatedPoint] = ()
    ) -> None:
        """Read `news` at each call; `known` are points of earlier runs."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logging.getLogger("ray.tune.search.optuna").setLevel(logging.ERROR)
        self._experiment, self._news = experiment, news
        self._tried: dict[str, set[str]] = defaultdict(set)
        self._studies = {
            settings.name: _Study(
                settings.space,
                MODES[experiment.tune.metric],
                [point for point in known if point.model == settings.name],
            )
            for settings in all_settings(experiment)
            if settings.space
        }

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
        self._read_news()
        tried = self._tried[slot.model]
        for repeat in range(MOST_REPEATS):
            proposed = self._suggest(slot, repeat)
            key = json.dumps(proposed, sort_keys=True)
            if key not in tried:
                tried.add(key)
                return proposed
        return None

    def _read_news(self) -> None:
        for outcome in self._news():
            trial = outcome.trial
            if trial.stage != "tune" or trial.model not in self._studies:
                continue
            self._tried[trial.model].add(trial.hyperparameters)
            if not trial.is_default and (point := _read_point(outcome)):
                self._studies[trial.model].add(trial.order, point)

    def _suggest(self, slot: Slot, repeat: int) -> Arguments:
        settings = self._experiment.tune
        random = random_of(self._experiment.seed, slot.model, slot.number, repeat)
        sampler = optuna.samplers.TPESampler(
            seed=int(random.integers(2**31)),
            n_startup_trials=_random_trials(settings.num_samples or DEFAULT_SAMPLES),
        )
        return self._studies[slot.model].suggest(sampler)


class _Study:
    """The study of one model. Its points are in plan order, since TPE weighs them by their order.

    A point that comes late makes a new study. All others are added to the one that there is, which
    is what takes most time.
    """

    def __init__(self, space: SearchSpace, mode: str, earlier: Sequence[EvaluatedPoint]) -> None:
        self._distributions: Mapping[str, BaseDistribution] = OptunaSearch.convert_search_space(
            {key: tune_domain(domain) for key, domain in space.items()}
        )
        self._direction = StudyDirection.MAXIMIZE if mode == "max" else StudyDirection.MINIMIZE
        self._earlier = [self._freeze(point) for point in earlier]
        self._frozen: dict[int, FrozenTrial] = {}
        self._orders: list[int] = []
        self._study = self._make()
        self._added = 0
        """Number of points in the study, in the order of `_orders`."""

    def add(self, order: int, point: EvaluatedPoint) -> None:
        if order in self._frozen:
            return
        if self._orders[: self._added] and order < self._orders[self._added - 1]:
            self._study, self._added = self._make(), 0
        insort(self._orders, order)
        self._frozen[order] = self._freeze(point)

    def suggest(self, sampler: optuna.samplers.BaseSampler) -> Arguments:
        self._study.add_trials([self._frozen[order] for order in self._orders[self._added :]])
        self._added = len(self._orders)
        self._study.sampler = sampler
        trial = self._study.ask(dict(self._distributions))
        self._study.tell(trial, state=TrialState.FAIL)  # TPE does not look at failed trials
        return dict(trial.params)

    def _make(self) -> optuna.Study:
        study = optuna.create_study(direction=self._direction)
        study.add_trials(self._earlier)
        return study

    def _freeze(self, point: EvaluatedPoint) -> FrozenTrial:
        return create_trial(
            state=TrialState.PRUNED if point.pruned else TrialState.COMPLETE,
            value=point.value,
            params=dict(point.hyperparameters),
            distributions=dict(self._distributions),
            intermediate_values=dict(enumerate(point.intermediate)),
        )


def _random_trials(samples: int) -> int:
    return min(max(round(samples * RANDOM_SHARE), LEAST_RANDOM), MOST_RANDOM)


def _read_point(outcome: SearchOutcome) -> EvaluatedPoint | None:
    """Return the point of a trial; None while it runs or if it has no evaluation."""
    trial = outcome.trial
    if trial.best_value is None or trial.status not in FINISHED:
        return None
    return EvaluatedPoint(
        model=trial.model,
        hyperparameters=json.loads(trial.hyperparameters),
        value=trial.best_value,
        intermediate=tuple(outcome.values),
        pruned=trial.status == "stopped_early",
    )
