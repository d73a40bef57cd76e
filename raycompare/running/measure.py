"""Measures the inference of the finalists, one model after another."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import ray
from datasets import Dataset

from raycompare.analysis.leaderboard import tested_finalists
from raycompare.cluster.tasks import run_alone
from raycompare.experiment.spec import ResourceSpec
from raycompare.formatting import number_of
from raycompare.records.journal import Journal
from raycompare.records.layout import weights_of
from raycompare.records.messages import TaskFailure, TrialPlan
from raycompare.records.rows import InferenceFailure, InferenceRecord, TrialRecord
from raycompare.training.classifier import RawTexts
from raycompare.training.inference import MOST_TEXTS, InferenceTask, measure_inference
from raycompare.tuning.tuner import Shared, task_of


def measure_finalists(
    shared: Shared, journal: Journal, test: Dataset, say: Callable[[str], None]
) -> None:
    """Measure the models with tested finalists that no earlier session has measured.

    Nothing else may run on the cluster. If a model can't be measured, its cause is recorded.
    """
    finalists = _finalists(shared, journal)
    records = shared.folder.read_rows(InferenceRecord)
    failures: list[InferenceFailure] = []
    todo = [model for model in finalists if model not in {row.model for row in records}]
    if not todo:
        if finalists:
            say(f"inference: all {len(finalists)} models are already measured")
        return
    say(f"inference: {number_of(len(todo), 'model')}")
    node = _MeasuringNode.of(shared, test)
    for number, model in enumerate(todo, 1):
        row = node.measure(finalists[model])
        if isinstance(row, InferenceRecord):
            records.append(row)
            shared.folder.write_rows(records, InferenceRecord)
        else:
            failures.append(row)
            shared.folder.write_rows(failures, InferenceFailure)
        say(f"  [{number}/{len(todo)}] {model}  {_describe(row)}")


def _finalists(shared: Shared, journal: Journal) -> dict[str, list[TrialRecord]]:
    tested = tested_finalists(journal.trials(), journal.evaluations())
    by_model = {
        model.name: [trial for trial in tested if trial.model == model.name]
        for model in shared.experiment.models
    }
    return {model: trials for model, trials in by_model.items() if trials}


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
    texts: ray.ObjectRef[RawTexts]
    node_id: str

    @classmethod
    def of(cls, shared: Shared, test: Dataset) -> _MeasuringNode:
        experiment = shared.experiment
        rows = max(experiment.inference.texts, MOST_TEXTS)
        texts = RawTexts.of(test, rows, experiment.seed)
        return cls(shared, ray.put(texts), _largest_node())

    def measure(self, finalists: list[TrialRecord]) -> InferenceRecord | InferenceFailure:
        model = finalists[0].model
        resources = self.shared.resources[model]
        # Trials may have shared a GPU, but nothing else runs now.
        whole = resources.model_copy(update={"gpu": float(math.ceil(resources.gpus))})
        record = run_alone(
            _measure,
            self.shared,
            finalists,
            whole,
            self.texts,
            self._saved_weight_bytes(finalists),
            resources=whole,
            retries=self.shared.experiment.failure.max_failures,
            node_id=self.node_id,
        ).result()
        if isinstance(record, TaskFailure):
            return InferenceFailure(model=model, cause=record.cause, error=record.error)
        return record

    def _saved_weight_bytes(self, finalists: list[TrialRecord]) -> int | None:
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


def _measure(
    shared: Shared,
    finalists: list[TrialRecord],
    resources: ResourceSpec,
    texts: RawTexts,
    weight_bytes: int | None,
) -> InferenceRecord:
    trial = task_of(shared, plan_of(finalists[0]), resources)
    halvings = max(finalist.halvings or 0 for finalist in finalists)
    trial, timed = replace(trial, halvings=halvings), shared.experiment.inference.texts
    return measure_inference(
        InferenceTask(trial=trial, texts=texts, timed=timed, weight_bytes=weight_bytes)
    )


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
