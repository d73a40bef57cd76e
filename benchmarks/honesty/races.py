"""Races of models whose further seeds depend on their scores so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean

import numpy as np

from raycompare.analysis.statistics.estimate import ScoreEstimate
from raycompare.analysis.statistics.predictions import FinalistPredictions
from raycompare.analysis.statistics.race import Criteria, Race, price_of_peeking
from raycompare.experiment.settings import ConfirmSpec
from raycompare.metrics import MetricName

OfSeeds = Callable[[str, tuple[int, ...]], ScoreEstimate]
"""Returns the estimate of a model from some of its seeds."""


def free(seed: int, confirm: ConfirmSpec) -> float:
    """Return the price of peeking for those who think that there is none."""
    return 1.0


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How seeds are added, and what looking after every round costs."""

    name: str = "seeds: auto"
    """How the page calls them."""

    confirm: ConfirmSpec = field(default_factory=lambda: ConfirmSpec(seeds="auto"))
    price: Callable[[int, ConfirmSpec], float] = price_of_peeking


@dataclass(frozen=True, kw_only=True)
class FinishedRace:
    """A race to its end."""

    race: Race
    seeds: Mapping[str, tuple[int, ...]]
    """Seeds of each model."""

    @property
    def trainings(self) -> float:
        """Mean number of seeds per model."""
        return fmean(map(len, self.seeds.values()))


def run_race(
    models: list[str], of_seeds: OfSeeds, rules: Rules, metric: MetricName
) -> FinishedRace:
    """Add seeds as a run does, until the race is decided or all seeds are used."""
    confirm, race = rules.confirm, None
    seeds = dict.fromkeys(models, confirm.sure_seeds)
    criteria = Criteria(metric=metric, confirm=confirm)
    for last in range(len(confirm.sure_seeds), len(confirm.all_seeds) + 1):
        if race is not None:
            seeds |= {name: (*seeds[name], last) for name in race.racing}
        estimates = {name: of_seeds(name, own) for name, own in seeds.items()}
        race = Race.after(race, estimates, criteria, rules.price(last, confirm))
        if race.is_decided:
            break
    assert race is not None
    return FinishedRace(race=race, seeds=seeds)


def race_through(answers: FinalistPredictions, rules: Rules, metric: MetricName) -> FinishedRace:
    """Run a race between models that answered with all seeds there may be."""

    def estimate(model: str, seeds: tuple[int, ...]) -> ScoreEstimate:
        return ScoreEstimate.of(of_seeds(answers, {model: seeds}), model, metric)

    return run_race([m for m, seeds in answers.seeds.items() if seeds], estimate, rules, metric)


def of_seeds(
    answers: FinalistPredictions, seeds: Mapping[str, tuple[int, ...]]
) -> FinalistPredictions:
    """Return the predictions of baselines, and of some seeds, counted from 1, of models."""
    rows = {
        model: np.array(seeds.get(model, (1,))) - 1
        for model, own in answers.seeds.items()
        if model in seeds or not own
    }
    return replace(
        answers,
        predictions={model: answers.predictions[model][own] for model, own in rows.items()},
        seeds={model: seeds.get(model, ()) for model in rows},
    )
