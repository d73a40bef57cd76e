"""The schedulers that are compared, each with its settings.

A contender is a name, its settings, and a function that makes a fresh scheduler from the plans
of one experiment; add one by writing such a function and listing it in `contenders`. The program's
own schedulers are made from settings of an experiment file, by the program's own rule book.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from benchmarks.replay.curves import Recording
from benchmarks.replay.simulator import STEP
from raycompare.experiment.settings import TuneSpec
from raycompare.metrics import MODES
from raycompare.records.messages import TrialPlan
from raycompare.tuning.rule_scheduler import RuleScheduler
from raycompare.tuning.schedulers.base import DEFAULT_GRACE
from raycompare.tuning.schedulers.registry import rules_for, rung_positions

DEFAULTS = TuneSpec()
METRIC = DEFAULTS.metric
MODE = MODES[METRIC]

EXHAUSTIVE, POOLED, PER_MODEL = "FIFO (exhaustive)", "pooled ASHA (Ray's)", "per-model halving"

GRACES = (Fraction(1, 16), Fraction(1, 8), DEFAULT_GRACE)
FACTORS = (DEFAULTS.reduction_factor, 3, 4)
TOPS = (1, 2, 3)

SchedulerFactory = Callable[[Sequence[TrialPlan]], TrialScheduler]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A scheduler with its settings."""

    scheduler: str
    grace: Fraction | None = None
    """Share of the full budget before a trial can be stopped or paused."""
    factor: int | None = None
    """Ratio of the steps of consecutive rungs; with halving, the best 1/factor pass a rung."""
    top_k: int | None = None
    """Number of trials of each model that continue after the first rung."""
    make: SchedulerFactory
    max_t: float = math.inf
    """Optimizer steps at which the scheduler itself ends every trial."""

    @property
    def setting(self) -> str:
        """The settings it has, in words."""
        named = {"grace": self.grace, "factor": self.factor, "top k": self.top_k}
        found = [f"{name} {value}" for name, value in named.items() if value is not None]
        return ", ".join(found) or "nothing to set"

    @property
    def is_default(self) -> bool:
        """Whether this is what the program does unless told otherwise."""
        of_program = (PER_MODEL, DEFAULT_GRACE, DEFAULTS.reduction_factor)
        return (self.scheduler, self.grace, self.factor) == of_program


def contenders(recording: Recording) -> list[Contender]:
    """List what is compared: no stopping first, then each way to stop on a grid of its settings."""
    grid = list(product(GRACES, FACTORS))
    return [
        exhaustive(),
        *(pooled_asha(recording, grace, factor) for grace, factor in grid),
        *(per_model_halving(recording, grace, factor) for grace, factor in grid),
        *(top_k_after_first_rung(recording, grace, k) for grace, k in product(GRACES, TOPS)),
        *(pasha(recording, grace, factor) for grace, factor in product(GRACES[:2], FACTORS[:2])),
        *(median(recording, grace) for grace in GRACES[1:]),
    ]


def exhaustive() -> Contender:
    """Train every trial to its full budget."""
    return Contender(scheduler=EXHAUSTIVE, make=lambda _: FIFOScheduler())


def pooled_asha(recording: Recording, grace: Fraction, factor: int) -> Contender:
    """Stop with Ray's own ASHA: one bracket for all models, in optimizer steps."""
    most = max(curve.budget for curve in recording.curves.values())

    def make(plans: Sequence[TrialPlan]) -> TrialScheduler:
        return AsyncHyperBandScheduler(
            time_attr=STEP,
            metric=METRIC,
            mode=MODE,
            max_t=most,
            grace_period=math.ceil(most * grace),
            reduction_factor=factor,
        )

    return Contender(scheduler=POOLED, grace=grace, factor=factor, make=make, max_t=most)


def per_model_halving(recording: Recording, grace: Fraction, factor: int) -> Contender:
    """Stop as this program does unless told otherwise."""
    settings = TuneSpec(scheduler="asha", reduction_factor=factor)
    make = _factory(recording, settings, grace)
    return Contender(scheduler=PER_MODEL, grace=grace, factor=factor, make=make)


def top_k_after_first_rung(recording: Recording, grace: Fraction, k: int) -> Contender:
    """Let all trials of a model wait at the first rung; the best k go on."""
    settings = TuneSpec(scheduler="top-k-after-first-rung", top_k=k)
    make = _factory(recording, settings, grace)
    return Contender(scheduler=settings.scheduler, grace=grace, top_k=k, make=make)


def pasha(recording: Recording, grace: Fraction, factor: int) -> Contender:
    """Train on only while longer training changes the ranking."""
    settings = TuneSpec(scheduler="pasha", reduction_factor=factor)
    make = _factory(recording, settings, grace)
    return Contender(scheduler=settings.scheduler, grace=grace, factor=factor, make=make)


def median(recording: Recording, grace: Fraction) -> Contender:
    """Stop what is worse than the median of earlier trials; rungs are as far apart as usual."""
    settings = TuneSpec(scheduler="median")
    make = _factory(recording, settings, grace)
    factor = settings.reduction_factor
    return Contender(scheduler=settings.scheduler, grace=grace, factor=factor, make=make)


def _factory(recording: Recording, settings: TuneSpec, grace: Fraction) -> SchedulerFactory:
    """Make schedulers as the program does; the rungs follow the budget of a model's default."""
    rungs: dict[str, tuple[int, ...]] = {}
    for model in recording.models:
        budget = recording.budget_of(model)
        of_model = settings.model_copy(update={"grace_period": math.ceil(budget * grace)})
        rungs |= rung_positions(of_model, {model: budget})

    def make(plans: Sequence[TrialPlan]) -> TrialScheduler:
        scheduler = RuleScheduler(rules_for(settings, rungs), METRIC)
        for plan in plans:
            scheduler.add(plan)
        scheduler.close()
        return scheduler

    return make
