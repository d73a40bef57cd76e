"""The stage's Tuner with trials that do as they please, on a Ray of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any

import pytest
import ray
from ray import tune

from raycompare.backends import connected
from raycompare.errors import RunError
from raycompare.journal import Journal
from raycompare.messages import PLAN, pack
from raycompare.record import TrialPlan
from raycompare.results import RunFolder
from raycompare.rungs import Rungs
from raycompare.schedulers import Comparing
from raycompare.search import drawn_plans
from raycompare.tuner import Queue, Shared, run_stage
from tests.test_journal import END, START, evaluation
from tests.test_search import experiment

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]

SLOW_SECONDS = 4.0
"""Longer than the 2 s that Tune gives a stopped trial to unwind unless it is told otherwise."""


@pytest.fixture(scope="module", autouse=True)
def on_ray() -> Iterator[None]:
    with connected():
        yield


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


def run(trainable: Any, place: Path) -> Journal:
    of = experiment(models=["a"], tune={"num_samples": 4, "metric": "accuracy"})
    plans = drawn_plans(of)
    journal = Journal("accuracy", "max")
    scheduler = Comparing({"a": Rungs((10,), 2, "max")}, "accuracy")
    for plan in plans:
        journal.add(plan)
        scheduler.add(plan)
    scheduler.close()
    shared = Shared(
        experiment=of,
        folder=RunFolder.at(place),
        label_names=(),
        data={},
        lengths={},
        rungs={},
        resources={},
    )
    queue = Queue(stage="tune", plans=iter(plans), most=len(plans))
    resources = tune.with_resources(trainable, {"cpu": ray.cluster_resources()["CPU"]})
    run_stage(shared, queue, journal, scheduler, lambda: None, resources)
    return journal


def test_a_trial_that_is_slow_to_unwind_does_not_hang_the_run(tmp_path: Path) -> None:
    journal = run(slow_to_unwind, tmp_path)
    assert [trial.status for trial in journal.trials()] == [
        "completed",
        "stopped_early",
        "stopped_early",
        "stopped_early",
    ]


def test_a_metric_that_is_missing_ends_the_run_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="reported matthews_correlation and no accuracy"):
        run(without_the_metric, tmp_path)
