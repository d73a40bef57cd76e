"""The stage's Tuner with trials that do as they please, on a Ray of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import ray
from ray import tune

from raycompare.cluster.connection import connect
from raycompare.errors import RunError
from raycompare.experiment.settings import SCHEDULERS, SchedulerName
from raycompare.records.journal import Journal
from raycompare.records.run_folder import RunFolder
from raycompare.tuning.plan_order import PlanOrder, RuleScheduler
from raycompare.tuning.plans import drawn_plans
from raycompare.tuning.schedulers.registry import TOP_K, rules_for, rung_positions
from raycompare.tuning.tuner import Queue, Shared, run_stage
from tests.tuning.curves import learning, slow_to_unwind, without_the_metric
from tests.tuning.test_plans import experiment

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]


@pytest.fixture(scope="module", autouse=True)
def on_ray() -> Iterator[None]:
    with connect():
        yield


def run(trainable: Any, place: Path, cpus: float | None = None, **settings: Any) -> Journal:
    of = experiment(models=["a", "b"], tune={"num_samples": 4, "metric": "accuracy", **settings})
    plans = drawn_plans(of)
    journal = Journal("accuracy", "max")
    rungs = rung_positions(of.tune, {"a": 40, "b": 40})
    rules = rules_for(of.tune, rungs)
    scheduler = RuleScheduler(rules, "accuracy") if rules else PlanOrder()
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
    whole = ray.cluster_resources()["CPU"]
    resources = tune.with_resources(trainable, {"cpu": cpus or whole})
    run_stage(shared, queue, journal, scheduler, resources)
    return journal


def test_a_trial_that_is_slow_to_unwind_does_not_hang_the_run(tmp_path: Path) -> None:
    journal = run(slow_to_unwind, tmp_path, grace_period=10)
    assert Counter(trial.status for trial in journal.trials()) == {
        "completed": 2,
        "stopped_early": 6,
    }


def test_a_metric_that_is_missing_ends_the_run_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="reported matthews_correlation, but not accuracy"):
        run(without_the_metric, tmp_path)


@pytest.mark.parametrize("scheduler", get_args(SchedulerName))
def test_every_scheduler_runs_a_stage_to_its_end(scheduler: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"scheduler": scheduler}
    if SCHEDULERS[scheduler].pauses:
        settings |= {"top_k": 1} if scheduler == TOP_K else {}
    trials = run(learning, tmp_path, cpus=1, **settings).trials()
    counts = Counter(trial.status for trial in trials)
    assert set(counts) <= {"completed", "stopped_early"}
    assert sum(counts.values()) == 8
    paused = [trial for trial in trials if trial.starts > 1]
    if scheduler == "fifo":
        assert counts == {"completed": 8}
    if scheduler == TOP_K:
        assert counts == {"completed": 2, "stopped_early": 6}
    if not SCHEDULERS[
        scheduler
    ].pauses:  # of those that pause, one that arrives last goes on at once
        assert not paused
    for model in ("a", "b"):
        own = [trial for trial in trials if trial.model == model]
        best = max(own, key=lambda trial: trial.best_value or 0.0)
        assert best.steps == max(trial.steps for trial in own), "the best got furthest"
