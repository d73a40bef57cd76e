"""How often the report's claims are true in a world."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Self

import numpy as np
from scipy import stats

from benchmarks.honesty.races import Rules, of_seeds, race_through
from benchmarks.honesty.worlds import Report, SimulatedWorld, World
from raycompare.analysis.statistics.contenders import standings_of, standings_of_baselines
from raycompare.analysis.statistics.estimate import Interval, ScoreEstimate
from raycompare.analysis.statistics.intervals import intervals, selected_interval
from raycompare.analysis.statistics.pairwise import CONFIDENCE, LEVEL, compare_estimates
from raycompare.metrics import MetricName

SEED_OF_GAPS = 1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one report claims, held against the truth."""

    false_difference: bool
    """Whether any two equal models are called different."""
    best_ruled_out: bool
    contenders: int
    """Number of models that may be the best."""
    missed: float
    """Mean of the differences that would have been missed, as stated."""
    ruled_out: float
    """Share of the other models that are ruled out."""
    covered: float
    """Share of the intervals that hold the truth."""
    leader_covered: bool
    trainings: float
    """Mean number of seeds per model."""
    best_set_aside: bool

    @classmethod
    def of(cls, report: Report, metric: MetricName, rules: Rules | None = None) -> Self:
        """Judge a report as raycompare does; with rules, after a race."""
        answers, race = report.answers, None
        if rules:
            finished = race_through(answers, rules, metric)
            answers, race = of_seeds(answers, finished.seeds), finished.race
        peeking = race.peeking if race else 1.0
        estimates = {name: ScoreEstimate.of(answers, name, metric) for name in answers.predictions}
        models = {name: own for name, own in estimates.items() if answers.seeds[name]}
        baselines = {name: own for name, own in estimates.items() if name not in models}
        standings = dict(race.standings) if race else standings_of(models, metric)
        standings |= standings_of_baselines(models, baselines, metric, peeking)
        tests = compare_estimates(estimates, peeking)
        contenders = [name for name in models if standings[name].may_be_best]
        leader = max(models, key=lambda name: models[name].mean)
        own = intervals(answers, list(report.truth), metric) if report.truth else {}
        rivals = [name for name in contenders if name != leader]
        return cls(
            false_difference=any(
                test.p_corrected < LEVEL
                for pair, test in tests.items()
                if set(pair) <= set(report.equals)
            ),
            best_ruled_out=not standings[report.best].may_be_best,
            contenders=len(contenders),
            missed=fmean(s.missed for s in standings.values() if s.missed is not None),
            ruled_out=fmean(
                not standings[name].may_be_best for name in standings if name != report.best
            ),
            covered=fmean(_holds(own[name], truth) for name, truth in report.truth.items())
            if own
            else 1.0,
            leader_covered=not own
            or _holds(selected_interval(answers, [leader, *rivals], metric), report.truth[leader]),
            trainings=fmean(len(answers.seeds[name]) for name in models),
            best_set_aside=race is not None and report.best in race.set_aside,
        )


def _holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How often something happened."""

    times: int
    replays: int

    @classmethod
    def of(cls, happened: Iterable[bool]) -> Self:
        """Count."""
        each = list(happened)
        return cls(times=sum(each), replays=len(each))

    @property
    def share(self) -> float:
        """Share of the replays."""
        return self.times / self.replays

    @property
    def upper(self) -> float:
        """Upper end of its exact 95 % interval (Clopper and Pearson)."""
        tail = (1 + CONFIDENCE) / 2
        if self.times == self.replays:
            return 1.0
        return float(stats.beta.ppf(tail, self.times + 1, self.replays - self.times))


@dataclass(frozen=True, kw_only=True)
class Result:
    """How the claims did in a world."""

    world: World
    outcomes: Sequence[Outcome]

    @property
    def false_differences(self) -> Rate:
        """How often any two equal models were called different."""
        return Rate.of(outcome.false_difference for outcome in self.outcomes)

    @property
    def best_ruled_out(self) -> Rate:
        """How often a model that is truly the best was ruled out."""
        return Rate.of(outcome.best_ruled_out for outcome in self.outcomes)

    @property
    def covered(self) -> float:
        """Share of the intervals that hold the truth."""
        return fmean(outcome.covered for outcome in self.outcomes)

    @property
    def leader_covered(self) -> float:
        """Share of the leaders' intervals that hold the truth."""
        return fmean(outcome.leader_covered for outcome in self.outcomes)

    @property
    def missed(self) -> float:
        """Mean of the differences that would have been missed, as stated."""
        return fmean(outcome.missed for outcome in self.outcomes)

    @property
    def ruled_out(self) -> float:
        """Share of the other models that were ruled out."""
        return fmean(outcome.ruled_out for outcome in self.outcomes)

    @property
    def trainings(self) -> float:
        """Mean number of seeds per model."""
        return fmean(outcome.trainings for outcome in self.outcomes)

    @property
    def best_set_aside(self) -> float:
        """How often the truly best model was set aside."""
        return fmean(outcome.best_set_aside for outcome in self.outcomes)

    @property
    def contenders(self) -> float:
        """Mean number of models that may be the best."""
        return fmean(outcome.contenders for outcome in self.outcomes)


def replay(world: World, replays: int, seed: int = 0) -> Result:
    """Judge this number of reports of a world, on all cores."""
    with ProcessPoolExecutor(initializer=_use_one_thread) as pool:
        chunk = max(1, replays // (8 * (os.cpu_count() or 1)))
        outcomes = pool.map(partial(_judge, world, seed), range(replays), chunksize=chunk)
        return Result(world=world, outcomes=list(outcomes))


def _use_one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"


def _judge(world: World, seed: int, number: int) -> Outcome:
    report = world.report(np.random.default_rng([seed, number]))
    return Outcome.of(report, world.metric, world.rules)


def replay_gap(world: SimulatedWorld, stated: float, replays: int) -> Result:
    """Replay a gap of the size that reports of this world say would probably be missed.

    What they say changes a little with the gap, so it is asked twice.
    """
    first = replay(replace(world, gap=stated), replays, SEED_OF_GAPS)
    return replay(replace(world, gap=first.missed), replays, SEED_OF_GAPS + 1)
