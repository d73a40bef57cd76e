from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import get_args
from urllib.request import urlopen

import pytest
import ray
from ray.util.state import list_tasks

from raycompare.experiment.spec import ResourceSpec
from raycompare.records.clock import Clock
from raycompare.records.journal import Journal
from raycompare.records.messages import Evaluation, TrialEnd, TrialPlan, TrialStart
from raycompare.records.rows import Status
from raycompare.running.dashboard import Dashboard, Trials, trial_label
from raycompare.running.display import SideChannel
from raycompare.running.gauges import GAUGES, STATUSES, Gauges
from tests import ROOT
from tests.runs import experiment, scores

GRAFANA = ROOT / "docs" / "grafana" / "raycompare.json"
PATIENCE_S = 150.0
RAY_OWN = {"ray_node_gpus_utilization", "ray_node_cpu_utilization"}


def plan(model: str, order: int, **hyperparameters: float) -> TrialPlan:
    return TrialPlan(
        trial_id=f"{model}-tune-{order:08}",
        stage="tune",
        model=model,
        order=order,
        seed=42,
        is_default=not hyperparameters,
        hyperparameters=hyperparameters,
    )


def start() -> TrialStart:
    return TrialStart(
        started_at="2026-01-02T03:04:05+00:00",
        startup_seconds=0.5,
        planned_steps=100,
        examples_per_step=16,
        num_parameters=1000,
        device="cpu",
        precision="fp32",
        hostname="node-1",
        num_threads=2,
    )


def evaluation(mcc: float) -> Evaluation:
    return Evaluation(
        step=50,
        epoch=1.0,
        examples_seen=800,
        train_seconds=5.0,
        eval_seconds=1.0,
        metrics=scores(mcc),
    )


def half_done() -> Journal:
    """One trial of a has ended, one runs; b has one that waits."""
    journal = Journal("matthews_correlation", "max")
    plans = [plan("a", 0), plan("a", 1, learning_rate=3.14159e-5), plan("b", 2)]
    for each in plans:
        journal.add(each)
    for each, mcc in zip(plans[:2], (0.5, 0.75), strict=True):
        journal.start(each.trial_id)
        journal.record(each.trial_id, start())
        journal.record(each.trial_id, evaluation(mcc))
    end = TrialEnd(reason="full_budget", step=100, train_seconds=9.0, eval_seconds=2.0)
    journal.record(plans[0].trial_id, end)
    journal.end(plans[0].trial_id)
    for each in plans[:2]:
        journal.entries[each.trial_id].held = 3600.0
    return journal


@pytest.fixture(scope="module")
def small_ray() -> Iterator[None]:
    """Ray with one CPU and a dashboard, which exports its metrics every second."""
    with pytest.MonkeyPatch.context() as patched:
        ray.init(
            num_cpus=1,
            include_dashboard=True,
            log_to_driver=False,
            _system_config={"metrics_report_interval_ms": 1000},
        )
        patched.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
        yield
    ray.shutdown()


def read_metrics() -> dict[str, float]:
    """Return the gauges of raycompare, by name and tags; Ray's own tags are left out."""
    (node,) = ray.nodes()
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    found = {}
    for line in lines:
        if line.startswith("ray_raycompare_"):
            name, tags, value = re.fullmatch(r"(\w+)\{(.*)\} (\S+)", line).groups()  # type: ignore[union-attr]
            own = re.findall(r'(?:experiment|model|metric|status)="[^"]*"', tags)
            found[f"{name}{{{','.join(sorted(own))}}}"] = float(value)
    return found


def wait_for(what: Callable[[], bool], told: Callable[[], object] = read_metrics) -> None:
    until = monotonic() + PATIENCE_S
    while not what():
        assert monotonic() < until, told()
        sleep(0.5)


@pytest.mark.ray
@pytest.mark.timeout(400)
def test_prometheus_reads_how_a_run_stands(small_ray: None) -> None:
    run = experiment("a", "b", cost={"usd_per_hour": 2.0})
    takes = {"a": ResourceSpec(cpu=2, gpu=0.5), "b": ResourceSpec(cpu=1)}
    clock = Clock(earlier_machine={"total": 1800.0})
    with clock.counting(lambda: 3):
        Gauges(run, half_done(), takes, clock, print).update()
    best = 'ray_raycompare_best_score{experiment="ag-news",metric="matthews_correlation",model="a"}'
    wait_for(lambda: best in read_metrics())
    found = read_metrics()
    assert found[best] == 0.75
    standing = {
        key: value
        for key, value in found.items()
        if key.startswith("ray_raycompare_trials") and value
    }
    assert standing == {
        'ray_raycompare_trials{experiment="ag-news",model="a",status="completed"}': 1,
        'ray_raycompare_trials{experiment="ag-news",model="a",status="running"}': 1,
        'ray_raycompare_trials{experiment="ag-news",model="b",status="waiting"}': 1,
    }
    assert found['ray_raycompare_gpu_hours{experiment="ag-news"}'] == pytest.approx(1.0, abs=0.1)
    assert found['ray_raycompare_cpu_hours{experiment="ag-news"}'] == pytest.approx(4.0, abs=0.4)
    assert 1 < found['ray_raycompare_cost_usd{experiment="ag-news"}'] < 1.1


@pytest.mark.ray
@pytest.mark.timeout(400)
def test_a_trial_that_has_ended_is_no_longer_running(small_ray: None) -> None:
    journal = half_done()
    takes = dict.fromkeys("ab", ResourceSpec())
    gauges = Gauges(experiment("a", "b", name="ends"), journal, takes, Clock(), print)
    with gauges.follow():
        journal.end("a-tune-00000001")
    running = 'ray_raycompare_trials{experiment="ends",model="a",status="running"}'
    wait_for(lambda: read_metrics().get(running) == 0)
    assert journal.observers == []
    assert 'ray_raycompare_cost_usd{experiment="ends"}' not in read_metrics()


@pytest.mark.ray
@pytest.mark.timeout(400)
def test_the_dashboard_has_a_task_by_name_for_each_trial_that_runs(small_ray: None) -> None:
    journal = half_done()
    board = Dashboard(SideChannel("the trials", print))
    journal.observers.append(board.show)
    journal.record("a-tune-00000001", evaluation(0.75))
    name = "tune a seed 42 learning_rate 3.14e-05"
    wait_for(lambda: states().get(name) == "RUNNING", told=states)
    journal.end("a-tune-00000001")
    wait_for(lambda: states().get(name) == "FINISHED", told=states)
    assert [task for task in states() if task.startswith("tune ")] == [name]


def test_a_trial_returns_whose_end_was_heard_before_it_began() -> None:
    trials = Trials()
    trials.end(3)
    trials.trial(3)


def states() -> dict[str, str]:
    return {str(task.name): str(task.state) for task in list_tasks(limit=100)}


@pytest.mark.parametrize(
    ("one", "label"),
    [
        (plan("a/b", 0), "tune a/b seed 42 default"),
        (plan("a", 1, learning_rate=1e-4), "tune a seed 42 learning_rate 0.0001"),
        (plan("a", 2, weight_decay=0.1), "tune a seed 42 00000002"),
    ],
)
def test_a_trial_is_called_by_what_sets_it_apart(one: TrialPlan, label: str) -> None:
    assert trial_label(one) == label


def test_every_status_of_a_trial_is_counted() -> None:
    assert set(get_args(Status)) < set(STATUSES)


def test_the_panels_ask_for_gauges_that_there_are() -> None:
    panels = json.loads(GRAFANA.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"\bray_\w+", query)}
    assert asked - RAY_OWN == {f"ray_{name}" for name in GAUGES}
    for query in queries:
        names = [name.removeprefix("ray_") for name in re.findall(r"\bray_raycompare_\w+", query)]
        tags = {tag for name in names for tag in ("experiment", *GAUGES[name].tags)}
        used = re.findall(r"by \(([^)]*)\)", query) + re.findall(r"[{,](\w+)=", query)
        assert not names or {tag.strip() for part in used for tag in part.split(",")} <= tags


def test_the_panels_do_not_overlap() -> None:
    panels = json.loads(GRAFANA.read_text())["panels"]
    places = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)
