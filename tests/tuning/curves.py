"""What trials of a stage do in its tests; without torch, since each worker of Ray imports this."""

from __future__ import annotations

from dataclasses import replace
from time import sleep
from typing import Any

from ray import tune

from raycompare.records.messages import TrialPlan
from raycompare.tuning.searcher import PLAN, pack
from tests.records.test_journal import END, START, evaluation

SLOW_SECONDS = 4.0
"""Longer than the 2 s that Tune gives a stopped trial to unwind unless it is told otherwise."""


def slow_to_unwind(config: dict[str, Any]) -> None:
    plan = TrialPlan(**config[PLAN])
    tune.report(pack(START))
    try:
        for step in (10, 20, 40):
            tune.report(pack(evaluation(step, 1 / (1 + plan.order))))
    finally:
        if plan.order:
            sleep(SLOW_SECONDS)
    tune.report(pack(END))


def without_the_metric(config: dict[str, Any]) -> None:
    tune.report(pack(START))
    tune.report(pack(replace(evaluation(10, 0.5), metrics={"matthews_correlation": 0.5})))


def learning(config: dict[str, Any]) -> None:
    """A curve of 40 steps that rises to a height of the trial's own; from its first step on."""
    plan = TrialPlan(**config[PLAN])
    height = 0.9 - (plan.order * 7 % 8) / 20
    tune.report(pack(replace(START, planned_steps=40)))
    for step in (10, 20, 40):
        value = height * (1 - 1 / (step + 1))
        tune.report(pack(replace(evaluation(step, value), is_last=step == 40)))
    tune.report(pack(END))
