"""Runs one stage of sleeping trials through the machinery of a real run, and times it."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from ray import tune

from benchmarks.scale.processes import cpu_seconds, own_memory
from benchmarks.scale.simulated import STEPS_BETWEEN, Work, simulate
from raycompare.experiment.settings import TuneSpec
from raycompare.experiment.spec import Experiment
from raycompare.metrics import MODES, MetricName
from raycompare.records.journal import Journal
from raycompare.records.run_folder import RunFolder
from raycompare.records.trial_state import TrialState
from raycompare.tuning.plans import drawn_plans
from raycompare.tuning.rule_scheduler import RuleScheduler
from raycompare.tuning.schedulers.asha import Rungs
from raycompare.tuning.schedulers.base import milestones
from raycompare.tuning.tuner import Queue, Shared, run_stage

MODELS = tuple(f"model-{number}" for number in range(4))
METRIC: MetricName = "matthews_correlation"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One stage: what was worked, and what it cost the driver and Ray."""

    nodes: int
    work: Work
    trials: int
    messages: int
    stopped: int
    worked: float
    """Seconds of sleep, as asked for, of all trials."""
    wall: float
    start: float
    """Seconds until every node had begun its first trial."""
    steady: float
    """Seconds from then until the last trial began; all nodes have work in this time."""
    steady_worked: float
    steady_trials: float
    """Trials that ended in that time."""
    serial: float
    """CPU seconds of the driver's main thread, in which Tune, scheduler and journal take turns."""
    cpu: Mapping[str, float]
    """CPU seconds of the whole driver, and of Ray's processes by kind."""
    memory: int
    """Bytes that Ray's processes hold for themselves, at the end."""

    @property
    def utilisation(self) -> float:
        """The share of the nodes' time that was worked, while all had work."""
        return self.steady_worked / (self.nodes * self.steady)

    @property
    def idle(self) -> float:
        """Seconds that a worker did not work, for each trial."""
        return (self.nodes * self.steady - self.steady_worked) / self.steady_trials


def measure(nodes: int, trials: int, work: Work) -> Measured:
    """Run the trials on a cluster of this many nodes, each of which holds one trial."""
    experiment = _experiment(trials)
    plans = drawn_plans(experiment)
    scheduler = RuleScheduler({model: _rungs(work) for model in MODELS}, METRIC)
    journal = Journal(METRIC, MODES[METRIC])
    starts: dict[str, float] = {}

    def note_start(trial: TrialState) -> None:
        starts.setdefault(trial.plan.trial_id, journal.elapsed)

    journal.observers.append(note_start)
    for plan in plans:
        journal.add(plan)
        scheduler.add(plan)
    scheduler.close()
    queue = Queue(stage="tune", plans=iter(plans), most=len(plans))
    with tempfile.TemporaryDirectory() as place:
        shared = Shared(
            experiment=experiment,
            folder=RunFolder.at(place),
            label_names=(),
            data={},
            lengths={},
            rungs={},
            text_lengths={},
            resources={},
        )
        trainable = tune.with_resources(tune.with_parameters(simulate, work=work), {"cpu": 1})
        before, serial, began = cpu_seconds(), time.thread_time(), time.perf_counter()
        run_stage(shared, queue, journal, scheduler, trainable)
        wall, serial = time.perf_counter() - began, time.thread_time() - serial
    used = {kind: seconds - before.get(kind, 0.0) for kind, seconds in cpu_seconds().items()}
    costs = {"wall": wall, "serial": serial, "cpu": used, "memory": own_memory()}
    return _measured(nodes, work, list(journal.entries.values()), list(starts.values()), costs)


def _measured(
    nodes: int,
    work: Work,
    entries: list[TrialState],
    starts: list[float],
    costs: Mapping[str, Any],
) -> Measured:
    assert all(entry.status in ("completed", "stopped_early") for entry in entries)
    start, last = starts[nodes - 1], starts[-1]
    heard = [seconds for entry in entries for _, seconds in entry.evaluations]
    return Measured(
        nodes=nodes,
        work=work,
        trials=len(entries),
        messages=sum(map(_messages, entries)),
        stopped=sum(entry.status == "stopped_early" for entry in entries),
        worked=work.asleep * len(heard),
        start=start,
        steady=last - start,
        steady_worked=work.asleep * sum(start < seconds <= last for seconds in heard),
        steady_trials=sum(start < entry.ended_at <= last for entry in entries),
        **costs,
    )


def _messages(entry: TrialState) -> int:
    return (entry.start is not None) + len(entry.evaluations) + (entry.end is not None)


def _experiment(trials: int) -> Experiment:
    """An experiment of as many trials, on models that nobody loads."""
    content = {
        "name": "scale",
        "data": {"dataset": "none"},
        "models": list(MODELS),
        "search_space": {"learning_rate": {"loguniform": [1e-5, 1e-4]}},
        "tune": {"num_samples": trials // len(MODELS), "metric": METRIC},
    }
    return TypeAdapter(Experiment).validate_json(json.dumps(content))


def _rungs(work: Work) -> Rungs:
    steps = work.evaluations * STEPS_BETWEEN
    return Rungs(milestones(2 * STEPS_BETWEEN, 2, steps), TuneSpec(metric=METRIC))
