"""The schedulers that are compared, each with its settings.

A contender is a name, its settings, and a function that makes a fresh scheduler from the plans
of one experiment; add one by writing such a function and listing it in `contenders`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from benchmarks.replay.curves import Recording
from benchmarks.replay.simulator import STEP
from raycompare.metrics import MODES
from raycompare.record import TrialPlan
from raycompare.rungs import DEFAULT_GRACE, Rungs, milestones
from raycompare.schedulers import Comparing
from raycompare.settings import TuneSpec

DEFAULTS = TuneSpec()
METRIC = DEFAULTS.metric
MODE = MODES[METRIC]

EXHAUSTIVE, POOLED, PER_MODEL = "FIFO (exhaustive)", "pooled ASHA (Ray's)", "per-model halving"

GRACES = (Fraction(1, 16), Fraction(1, 8), DEFAULT_GRACE)
FACTORS = (DEFAULTS.reduction_factor, 3, 4)

SchedulerFactory = Callable[[Sequence[TrialPlan]], TrialScheduler]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A scheduler with its settings."""

    scheduler: str
    grace: Fraction | None = None
    """Share of the full budget before a trial can be stopped."""
    factor: int | None = None
    """The best 1/factor of a rung pass it."""
    make: SchedulerFactory
    max_t: float = math.inf
    """Optimizer steps at which the scheduler itself ends every trial."""

    @property
    def is_default(self) -> bool:
        """Whether this is what the program does unless told otherwise."""
        of_program = (PER_MODEL, DEFAULT_GRACE, DEFAULTS.reduction_factor)
        return (self.scheduler, self.grace, self.factor) == of_program


def contenders(recording: Recording) -> list[Contender]:
    """List what is compared: no stopping first, then each way to stop on the same grid."""
    grid = [(grace, factor) for grace in GRACES for factor in FACTORS]
    return [
        exhaustive(),
        *(pooled_asha(recording, grace, factor) for grace, factor in grid),
        *(per_model_halving(recording, grace, factor) for grace, factor in grid),
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
    """Stop as this program does; the rungs follow the budget of the model's default."""

    def make_rungs(model: str) -> Rungs:
        most = recording.budget_of(model)
        return Rungs(milestones(math.ceil(most * grace), factor, most), factor, MODE)

    def make(plans: Sequence[TrialPlan]) -> TrialScheduler:
        scheduler = Comparing({plan.model: make_rungs(plan.model) for plan in plans}, METRIC)
        for plan in plans:
            scheduler.add(plan)
        scheduler.close()
        return scheduler

    return Contender(scheduler=PER_MODEL, grace=grace, factor=factor, make=make)
