"""Races on public results: how often is the named model the best, and what did it cost?

`model_recycling.parquet` has the scores of 20 trainings of six encoders on 36 data sets (accuracy;
for stsb Spearman's correlation), from github.com/IBM/model-recycling (Apache-2.0), commit 1c1d4228,
results/models_results_*_pretrain.csv (Choshen et al. 2022, arXiv 2211.00107). There are no
predictions, so test rows are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from typing import Self

import numpy as np
import pyarrow.parquet as pq

from benchmarks.honesty.races import Rules, run_race
from raycompare.analysis.statistics.contenders import Standing, standings_of
from raycompare.analysis.statistics.estimate import ScoreEstimate
from raycompare.metrics import Floats

PATH = Path(__file__).with_name("model_recycling.parquet")
Scores = Mapping[str, Floats]
"""Scores of the trainings of each model on one data set, in the order of their seeds."""
NO_ROWS = np.zeros(2)
"""Influences of test rows that are taken as they are."""


@cache
def load() -> Mapping[str, Scores]:
    """Read the scores of each data set."""
    frame = pq.read_table(PATH).to_pandas().astype({"data_set": str, "model": str})
    return {
        str(name): {
            str(model): own["score"].to_numpy(np.float64) for model, own in part.groupby("model")
        }
        for name, part in frame.groupby("data_set")
    }


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The model that was named on one data set."""

    named_best: bool
    """Whether it is the one with the best mean of all trainings."""
    trainings: float
    """Trainings per model."""
    best_ruled_out: bool
    contenders: int
    """Models that were not ruled out."""

    @classmethod
    def of(
        cls, scores: Scores, seeds: Mapping[str, tuple[int, ...]], standings: Mapping[str, Standing]
    ) -> Self:
        """Name the model with the best mean of these seeds."""
        means = {name: estimate(scores, name, own).mean for name, own in seeds.items()}
        best = max(scores, key=lambda name: float(scores[name].mean()))
        left = [name for name in scores if name not in standings or standings[name].may_be_best]
        return cls(
            named_best=max(means, key=lambda name: means[name]) == best,
            trainings=fmean(map(len, seeds.values())),
            best_ruled_out=best not in left,
            contenders=len(left),
        )


def estimate(scores: Scores, model: str, seeds: tuple[int, ...]) -> ScoreEstimate:
    """Return the estimate from some seeds, counted from 1."""
    return ScoreEstimate(scores=scores[model][np.array(seeds) - 1], influence=NO_ROWS)


def fixed(number: int, scores: Scores) -> Choice:
    """Choose with the same number of seeds for every model."""
    seeds = dict.fromkeys(scores, tuple(range(1, number + 1)))
    estimates = {name: estimate(scores, name, own) for name, own in seeds.items()}
    return Choice.of(scores, seeds, standings_of(estimates, "accuracy"))


def raced(rules: Rules, scores: Scores) -> Choice:
    """Choose after a race."""
    finished = run_race(list(scores), partial(estimate, scores), rules, "accuracy")
    return Choice.of(scores, finished.seeds, finished.race.standings)


@dataclass(frozen=True, kw_only=True)
class Choices:
    """All choices that were made in one way."""

    name: str
    choices: Sequence[Choice]

    @property
    def named_best(self) -> float:
        """Share of the choices that are the best."""
        return fmean(choice.named_best for choice in self.choices)

    @property
    def trainings(self) -> float:
        """Mean number of trainings per model."""
        return fmean(choice.trainings for choice in self.choices)

    @property
    def best_ruled_out(self) -> float:
        """How often the best model was ruled out."""
        return fmean(choice.best_ruled_out for choice in self.choices)

    @property
    def contenders(self) -> float:
        """Mean number of models that were not ruled out."""
        return fmean(choice.contenders for choice in self.choices)


def choose(name: str, way: Callable[[Scores], Choice], replays: int) -> Choices:
    """Choose on every data set, with the trainings in this number of random orders."""
    with ProcessPoolExecutor() as pool:
        chosen = pool.map(partial(_choose, way), range(replays))
        return Choices(name=name, choices=[choice for each in chosen for choice in each])


def _choose(way: Callable[[Scores], Choice], replay: int) -> list[Choice]:
    return [
        way(_shuffled(scores.items(), [place, replay]))
        for place, scores in enumerate(load().values())
    ]


def _shuffled(scores: Iterable[tuple[str, Floats]], seed: list[int]) -> Scores:
    chance = np.random.default_rng(seed)
    return {name: chance.permutation(own) for name, own in scores}
