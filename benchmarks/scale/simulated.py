"""A trial that sleeps. Workers import this module: neither torch nor transformers is behind it."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from typing import Any

from ray import tune

from raycompare.metrics import MODES
from raycompare.records.messages import Evaluation, TrialEnd, TrialStart
from raycompare.tuning.searcher import PLAN, pack

STEPS_BETWEEN = 100
"""Optimizer steps between two evaluations."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a trial does that is not stopped."""

    seconds: float
    """As it would take."""
    evaluations: int
    factor: float
    """By which the sleep is shortened."""

    @property
    def asleep(self) -> float:
        """Seconds of sleep before each evaluation."""
        return self.seconds / self.evaluations / self.factor


def simulate(config: dict[str, Any], work: Work) -> None:
    """Report what a trial reports, after sleeps instead of training; seeded by the plan."""
    chance = random.Random(config[PLAN]["trial_id"])
    quality, speed = chance.uniform(0.5, 0.9), chance.uniform(0.3, 1.0)
    tune.report(pack(_start(work)))
    for number in range(1, work.evaluations + 1):
        time.sleep(work.asleep)
        value = quality * (1 - math.exp(-speed * number)) + chance.gauss(0, 0.005)
        tune.report(pack(_evaluation(work, number, value)))
    tune.report(pack(_end(work)))


def _start(work: Work) -> TrialStart:
    return TrialStart(
        started_at="",
        startup_seconds=0.0,
        planned_steps=work.evaluations * STEPS_BETWEEN,
        examples_per_step=1.0,
        num_parameters=1,
        device="cpu",
        precision="fp32",
        hostname="",
        num_threads=1,
    )


def _evaluation(work: Work, number: int, value: float) -> Evaluation:
    return Evaluation(
        step=number * STEPS_BETWEEN,
        epoch=number / work.evaluations,
        examples_seen=number * STEPS_BETWEEN,
        train_seconds=number * work.asleep,
        eval_seconds=0.0,
        metrics=dict.fromkeys(MODES, value),
    )


def _end(work: Work) -> TrialEnd:
    return TrialEnd(
        reason="full_budget",
        step=work.evaluations * STEPS_BETWEEN,
        train_seconds=work.evaluations * work.asleep,
        eval_seconds=0.0,
    )
