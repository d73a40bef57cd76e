"""One replayed experiment: draw its trials, run the tune stage, choose, confirm, name a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from statistics import fmean

import numpy as np

from benchmarks.replay.contenders import METRIC, MODE, Contender
from benchmarks.replay.curves import Curve, Key, Recording
from benchmarks.replay.simulator import Outcome, SimulatedTrial, Timeline, TrialOutcome, simulate
from raycompare.experiment.spec import Arguments, Experiment
from raycompare.metrics import better
from raycompare.records.rows import TrialRecord
from raycompare.tuning.plans import choose, make_plan

TOLERANCE = 0.002
"""How far below the best model's test metric a named model may be and still be right."""
POINTS = 100
"""Points in a whole unit of a metric."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a replayed experiment named, how good that is, and what its tune stage took."""

    named: str
    """The model with the best confirmed test metric."""
    right: bool
    """Whether it is at most `TOLERANCE` worse than the truly best."""
    exact: bool
    """Whether it is the truly best."""
    regret: float
    """Points by which what it chose falls short of the best configuration of the best model."""
    shortfall: float
    """Points by which a model's chosen configuration falls short of the model's best, on average
    over the models, also those that are not named."""
    steps: int
    """Optimizer steps."""
    seconds: float
    """Simulated seconds of training and evaluation."""
    makespan: float
    """Simulated seconds from the first start to the last end."""
    evaluations: int


@dataclass(frozen=True)
class Archive:
    """A recording with all that is the same in each replay of it."""

    recording: Recording

    @cached_property
    def timelines(self) -> Mapping[Key, Timeline]:
        """Each curve, laid out in time."""
        paces = {model: self.recording.pace_of(model) for model in self.recording.models}
        curves = self.recording.curves
        return {key: Timeline.of(curve, paces[curve.model]) for key, curve in curves.items()}

    @cached_property
    def best_so_far(self) -> Mapping[Key, tuple[float, ...]]:
        """The best validation metric of each curve up to each of its evaluations."""
        return {key: tuple(_running_best(c)) for key, c in self.recording.curves.items()}

    @cached_property
    def confirmed(self) -> Mapping[str, Mapping[int, float]]:
        """What the confirm stage finds for each configuration of each model.

        The test metric, its mean over all recorded seeds.
        """
        return {
            model: {config: self.recording.test_mean(model, config, METRIC) for config in seeds}
            for model, seeds in self.recording.seeds.items()
        }

    @cached_property
    def truth(self) -> Mapping[str, float]:
        """The test metric of each model's best configuration."""
        return {model: max(found.values()) for model, found in self.confirmed.items()}

    @cached_property
    def experiment(self) -> Experiment:
        """An experiment with the recorded models and the program's defaults."""
        return Experiment.model_validate(
            {"name": "replay", "data": {"dataset": "recorded"}, "models": self.recording.models}
        )


def _running_best(curve: Curve) -> Iterator[float]:
    best: float | None = None
    for evaluation in curve.evaluations:
        value = evaluation.metrics[METRIC]
        best = value if best is None or better(value, best, MODE) else best
        yield best


def draw(
    archive: Archive, random: np.random.Generator, configurations: int
) -> tuple[SimulatedTrial, ...]:
    """Draw the trials of an experiment, planned as `raycompare.tuning.plans.tune_plans` does.

    Of each model its default and up to `configurations` - 1 others, each with one of its
    recorded seeds: the defaults first, the models in random order, then the rest, shuffled over
    all models.
    """
    recorded = archive.recording.seeds
    models = [archive.recording.models[at] for at in random.permutation(len(recorded))]
    rest = [
        (model, int(config))
        for model in models
        for config in random.permutation([c for c in recorded[model] if c])[: configurations - 1]
    ]
    shuffled = (rest[at] for at in random.permutation(len(rest)))
    return tuple(
        _trial(archive, order, (model, config, int(random.choice(recorded[model][config]))))
        for order, (model, config) in enumerate(chain(((m, 0) for m in models), shuffled))
    )


def _trial(archive: Archive, order: int, key: Key) -> SimulatedTrial:
    model, config, seed = key
    # A configuration's number stands for its hyperparameters.
    searched: Arguments = {"config": config} if config else {}
    return SimulatedTrial.of(
        make_plan("tune", order, model, searched, seed), archive.timelines[key]
    )


def replay(
    archive: Archive, trials: tuple[SimulatedTrial, ...], contender: Contender, workers: int
) -> Finding:
    """Run one experiment with one scheduler and hold what it names to the truth."""
    scheduler = contender.make([trial.plan for trial in trials])
    outcome = simulate(trials, scheduler, workers, contender.max_t)
    chosen = chosen_configurations(archive, outcome)
    confirmed = {model: archive.confirmed[model][config] for model, config in chosen.items()}
    named = max(confirmed, key=confirmed.__getitem__)
    best = max(archive.truth.values())
    return Finding(
        named=named,
        right=archive.truth[named] >= best - TOLERANCE,
        exact=archive.truth[named] == best,
        regret=(best - confirmed[named]) * POINTS,
        shortfall=fmean(archive.truth[each] - confirmed[each] for each in confirmed) * POINTS,
        steps=outcome.steps,
        seconds=outcome.seconds,
        makespan=outcome.makespan,
        evaluations=outcome.evaluations,
    )


def chosen_configurations(archive: Archive, outcome: Outcome) -> dict[str, int]:
    """Choose a configuration of each model by the program's own rule."""
    records = [_record(archive, trial) for trial in outcome.trials]
    chosen = choose(archive.experiment, records, set(archive.recording.models))
    return {model: _config(searched) for model, searched in chosen.items()}


def _config(searched: Arguments) -> int:
    config = searched.get("config", 0)
    assert isinstance(config, int)
    return config


def _record(archive: Archive, outcome: TrialOutcome) -> TrialRecord:
    plan = outcome.trial.plan
    key = (plan.model, _config(dict(plan.hyperparameters)), plan.seed)
    return TrialRecord(
        trial_id=plan.trial_id,
        stage=plan.stage,
        model=plan.model,
        order=plan.order,
        seed=plan.seed,
        is_default=plan.is_default,
        hyperparameters=json.dumps(plan.hyperparameters),
        status="completed" if outcome.completed else "stopped_early",
        ending="full_budget" if outcome.completed else "rung",
        reason="",
        steps=outcome.steps,
        best_value=archive.best_so_far[key][outcome.evaluations - 1],
    )
