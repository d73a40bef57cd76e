"""The stage's Tuner with trials that do as they please, on a Ray of its own."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import ray
from ray import tune
from rich.console import Console

from raycompare.cluster.connection import connect
from raycompare.cluster.machines import Node
from raycompare.errors import RunError
from raycompare.experiment.settings import SCHEDULERS, SchedulerName
from raycompare.experiment.spec import ResourceSpec
from raycompare.records.clock import Clock
from raycompare.records.journal import Journal
from raycompare.records.run_folder import RunFolder
from raycompare.running.display import Display
from raycompare.running.stages import Stages
from raycompare.tuning import tuner
from raycompare.tuning.schedulers.registry import TOP_K, rung_positions
from raycompare.tuning.tuner import Shared
from tests.tuning.curves import learning, slow_to_unwind, without_the_metric
from tests.tuning.test_plans import experiment

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]


@pytest.fixture(scope="module", autouse=True)
def on_ray() -> Iterator[None]:
    with connect():
        yield


class Search:
    """The tune stage of an experiment, with trials that train nothing."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._place, self._monkeypatch = place, monkeypatch

    def run(self, trainable: Any, cpus: float, **settings: Any) -> Journal:
        of = experiment(
            models=["a", "b"],
            tune={"num_samples": 4, "metric": "accuracy", **settings},
            search_space={"weight_decay": {"uniform": [0.0, 0.1]}},
        )
        with_cpus = tune.with_resources(trainable, {"cpu": cpus})
        self._monkeypatch.setattr(tuner, "_fine_tuning", lambda _: with_cpus)
        lengths = {(model.name, of.data.max_length): np.full(100, 20) for model in of.models}
        shared = Shared(
            experiment=of,
            folder=RunFolder.at(self._place),
            label_names=(),
            data={},
            lengths={},
            rungs=rung_positions(of.tune, {"a": 40, "b": 40}),
            text_lengths=lengths,
            resources={model.name: ResourceSpec() for model in of.models},
            machines=[Node(hostname="here", cpus=2, gpus=0, memory_bytes=1)],
        )
        journal, display = Journal("accuracy", "max"), Display(Console(file=io.StringIO()))
        Stages(shared, journal, display, {}, Clock()).tune()
        return journal


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    return Search(tmp_path, monkeypatch)


def test_a_trial_that_is_slow_to_unwind_does_not_hang_the_run(search: Search) -> None:
    journal = search.run(slow_to_unwind, ray.cluster_resources()["CPU"], grace_period=10)
    assert Counter(trial.status for trial in journal.trials()) == {
        "completed": 2,
        "stopped_early": 6,
    }


def test_a_metric_that_is_missing_ends_the_run_with_what_to_do(search: Search) -> None:
    with pytest.raises(RunError, match="reported matthews_correlation, but not accuracy"):
        search.run(without_the_metric, 1)


SEARCHES: tuple[dict[str, Any], ...] = (
    {"search_alg": "random"},
    {"search_alg": "optuna"},
    {"search_alg": "optuna", "max_trials": 5},
    {"search_alg": "optuna", "max_concurrent_trials": 1},
)
ONE_OF_EACH = [(name, way) for name in get_args(SchedulerName) for way in SEARCHES[:2]]
THAT_PAUSE = [
    (name, way)
    for name in get_args(SchedulerName)
    for way in SEARCHES[2:]
    if SCHEDULERS[name].pauses
]


@pytest.mark.parametrize(("scheduler", "way"), [*ONE_OF_EACH, *THAT_PAUSE], ids=str)
def test_every_scheduler_with_every_search_ends(
    scheduler: SchedulerName, way: dict[str, Any], search: Search
) -> None:
    """A rule that pauses trials waits for the end of the plan, which a search makes as it goes."""
    settings = way | ({"top_k": 1} if scheduler == TOP_K else {})
    trials = search.run(learning, 1, scheduler=scheduler, **settings).trials()
    counts = Counter(trial.status for trial in trials)
    assert set(counts) <= {"completed", "stopped_early"}
    assert sum(counts.values()) == way.get("max_trials", 8)
    if scheduler == "fifo":
        assert set(counts) == {"completed"}
    if scheduler == TOP_K:
        assert counts["completed"] == 2
    if not SCHEDULERS[scheduler].pauses:
        assert all(trial.starts == 1 for trial in trials)
    for model in ("a", "b"):
        own = [trial for trial in trials if trial.model == model]
        best = max(own, key=lambda trial: trial.best_value or 0.0)
        assert best.steps == max(trial.steps for trial in own), "the best got furthest"
