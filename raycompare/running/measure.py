"""Measures the inference of the finalists, in rounds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import numpy as np
import ray
from datasets import Dataset
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raycompare.analysis.leaderboard import tested_finalists
from raycompare.experiment.spec import ResourceSpec
from raycompare.formatting import number_of
from raycompare.records.journal import Journal
from raycompare.records.layout import weights_of
from raycompare.records.messages import TrialPlan
from raycompare.records.rows import (
    InferenceFailure,
    InferenceRecord,
    InferenceRound,
    TrialRecord,
)
from raycompare.running.inference_rounds import FirstLook, InferenceRounds, RayWorkers, TimedTurn
from raycompare.training.classifier import RawTexts
from raycompare.training.inference import MOST_TEXTS, InferenceTask, MeasuredModel, Timing, Turn
from raycompare.tuning.tuner import Shared, task_of

SMALLEST_SHARE = 0.0001
"""The smallest share of a CPU or GPU that Ray knows."""


def measure_finalists(
    shared: Shared, journal: Journal, test: Dataset, say: Callable[[str], None]
) -> None:
    """Measure the models with tested finalists, unless an earlier session measured all of them.

    Nothing else may run on the cluster. If a model can't be measured, its cause is recorded.
    """
    finalists, folder = _finalists(shared, journal), shared.folder
    if not finalists:
        return
    if {row.model for row in folder.read_rows(InferenceRecord)} >= finalists.keys():
        say(f"inference: all {len(finalists)} models are already measured")
        return
    say(f"inference: {number_of(len(finalists), 'model')}")
    measured = _measure_in_rounds(shared, finalists, test)
    failed = measured.failures.items()
    failures = [InferenceFailure(model=name, **asdict(failure)) for name, failure in failed]
    records = [record_of(look, measured.turns[name]) for name, look in measured.looks.items()]
    turns = [round_of(name, turn) for name, turns in measured.turns.items() for turn in turns]
    # The records are written last: they show that the rounds are complete.
    if failures:
        folder.write_rows(failures, InferenceFailure)
    folder.write_rows(turns, InferenceRound)
    folder.write_rows(records, InferenceRecord)
    rows: dict[str, InferenceRecord | InferenceFailure] = {
        **{row.model: row for row in records},
        **{row.model: row for row in failures},
    }
    for number, model in enumerate(finalists, 1):
        say(f"  [{number}/{len(finalists)}] {model}  {_describe(rows[model])}")


def _finalists(shared: Shared, journal: Journal) -> dict[str, list[TrialRecord]]:
    tested = tested_finalists(journal.trials(), journal.evaluations())
    by_model = {
        model.name: [trial for trial in tested if trial.model == model.name]
        for model in shared.experiment.models
    }
    return {model: trials for model, trials in by_model.items() if trials}


def _measure_in_rounds(
    shared: Shared, finalists: Mapping[str, Sequence[TrialRecord]], test: Dataset
) -> InferenceRounds:
    node = _MeasuringNode.of(shared, finalists, test)
    workers = RayWorkers(node.start, retries=shared.experiment.failure.max_failures)
    rounds = InferenceRounds(workers, shared.experiment.seed)
    try:
        rounds.measure(sorted(finalists, key=lambda model: -_size(finalists[model])))
    finally:
        workers.stop_all()
    return rounds


def _size(finalists: Sequence[TrialRecord]) -> int:
    return finalists[0].num_parameters or 0


def record_of(look: FirstLook, turns: Sequence[TimedTurn]) -> InferenceRecord:
    """Summarize the turns of a model."""
    timings = [turn.timing for turn in turns]
    times = [seconds for timing in timings for seconds in timing.seconds]
    p50, p95 = _percentiles(times)
    rates = [t.texts_per_second for t in timings if t.texts_per_second is not None]
    peaks = [look.facts.peak_memory_bytes, *(timing.peak_memory_bytes for timing in timings)]
    return InferenceRecord(
        **asdict(replace(look.facts, peak_memory_bytes=max(peaks))),
        texts=len(times),
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        texts_per_second=median(rates or [look.facts.batch_size / look.pace.batch_seconds]),
    )


def round_of(model: str, turn: TimedTurn) -> InferenceRound:
    """Summarize one turn of a model."""
    timing = turn.timing
    p50, p95 = _percentiles(timing.seconds)
    return InferenceRound(
        model=model,
        round=turn.number,
        place=turn.place,
        texts=len(timing.seconds),
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        texts_per_second=timing.texts_per_second,
        busy_cpus=timing.busy_cpus,
        cpus=timing.cpus,
        loaded_for_round=turn.loaded_for_round,
    )


def _percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 95th percentile, in milliseconds."""
    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95]).tolist()
    return p50, p95


def _describe(row: InferenceRecord | InferenceFailure) -> str:
    if isinstance(row, InferenceFailure):
        return f"could not be measured ({row.cause})"
    return (
        f"{row.latency_p50_ms:.1f} ms per text (95 % within {row.latency_p95_ms:.1f} ms), "
        f"{row.texts_per_second:,.0f} texts per second in batches of {row.batch_size}"
    )


@dataclass(frozen=True)
class _MeasuringNode:
    shared: Shared
    finalists: Mapping[str, Sequence[TrialRecord]]
    texts: ray.ObjectRef[RawTexts]
    node_id: str

    @classmethod
    def of(
        cls, shared: Shared, finalists: Mapping[str, Sequence[TrialRecord]], test: Dataset
    ) -> _MeasuringNode:
        experiment = shared.experiment
        rows = max(experiment.inference.texts, MOST_TEXTS)
        texts = RawTexts.of(test, rows, experiment.seed)
        return cls(shared, finalists, ray.put(texts), _largest_node())

    def start(self, model: str) -> Any:
        finalists = self.finalists[model]
        resources = self.shared.resources[model]
        # Trials may have shared a GPU, but nothing else runs now.
        whole = resources.model_copy(update={"gpu": float(math.ceil(resources.gpus))})
        # All models may be loaded together, but only one computes at a time.
        share = math.floor(1 / SMALLEST_SHARE / len(self.finalists)) * SMALLEST_SHARE
        options: dict[str, Any] = {
            "num_cpus": whole.cpu * share,
            "num_gpus": share if whole.gpus else 0,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(self.node_id, soft=True),
        }
        actor: Any = ray.remote(**options)(_Worker).remote()
        size = self._saved_weight_bytes(finalists)
        ray.get(actor.load.remote(self.shared, finalists, whole, self.texts, size))
        return actor

    def _saved_weight_bytes(self, finalists: Sequence[TrialRecord]) -> int | None:
        folder = self.shared.folder
        for trial in finalists:
            files = folder.sizes(weights_of(trial.trial_id))
            if size := sum(files[name] for name in files if name.endswith(".safetensors")):
                return size
        return None


def _largest_node() -> str:
    """Choose one machine for all models, so that they are comparable."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    resources: dict[str, dict[str, float]] = {n["NodeID"]: n["Resources"] for n in alive}
    return max(
        sorted(resources),
        key=lambda node: (resources[node].get("GPU", 0), resources[node].get("CPU", 0)),
    )


class _Worker:
    def load(
        self,
        shared: Shared,
        finalists: Sequence[TrialRecord],
        resources: ResourceSpec,
        texts: RawTexts,
        weight_bytes: int | None,
    ) -> None:
        trial = task_of(shared, plan_of(finalists[0]), resources)
        halvings = max(finalist.halvings or 0 for finalist in finalists)
        trial, timed = replace(trial, halvings=halvings), shared.experiment.inference.texts
        self._model = MeasuredModel(
            InferenceTask(trial=trial, texts=texts, timed=timed, weight_bytes=weight_bytes)
        )

    def look(self, may_halve: bool) -> FirstLook:
        pace = self._model.measure_pace(may_halve)
        facts, fitting = self._model.describe(pace.halvings), self._model.count_fitting()
        return FirstLook(facts=facts, pace=pace, fitting=fitting)

    def take_turn(self, turn: Turn) -> Timing:
        return self._model.take_turn(turn)


def plan_of(trial: TrialRecord) -> TrialPlan:
    """Return the plan of a trial."""
    return TrialPlan(
        trial_id=trial.trial_id,
        stage=trial.stage,
        model=trial.model,
        order=trial.order,
        seed=trial.seed,
        is_default=trial.is_default,
        hyperparameters=json.loads(trial.hyperparameters),
    )
