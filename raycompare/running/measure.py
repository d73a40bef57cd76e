"""The stage of a run that measures what it takes to use each finalist, one after another."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import ray
from datasets import Dataset
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raycompare.analysis.leaderboard import tested_finalists
from raycompare.records.journal import Journal
from raycompare.records.layout import weights_of
from raycompare.records.messages import TrialPlan
from raycompare.records.rows import InferenceFailure, InferenceRecord, TrialRecord
from raycompare.training.classifier import RawTexts
from raycompare.training.failures import failure_of
from raycompare.training.inference import MOST_TEXTS, InferenceTask, measure_inference
from raycompare.tuning.tuner import Shared, task_of


def measure_finalists(
    shared: Shared, journal: Journal, test: Dataset, say: Callable[[str], None]
) -> None:
    """Measure the models whose finalists were tested and that no earlier run has measured.

    Nothing else may run on the cluster. A model that can't be measured is recorded with the cause.
    """
    finalists = _finalists(shared, journal)
    records = shared.folder.read_rows(InferenceRecord)
    failures: list[InferenceFailure] = []
    todo = [model for model in finalists if model not in {row.model for row in records}]
    if not todo:
        if finalists:
            say(f"inference: all {len(finalists)} models were measured before")
        return
    say(f"inference: {len(todo)} models")
    place = _MeasuringNode.of(shared, test)
    for number, model in enumerate(todo, 1):
        found = place.measure(finalists[model])
        if isinstance(found, InferenceRecord):
            records.append(found)
            shared.folder.write_rows(records, InferenceRecord)
        else:
            failures.append(found)
            shared.folder.write_rows(failures, InferenceFailure)
        say(f"  [{number}/{len(todo)}] {model}  {_in_words(found)}")


def _finalists(shared: Shared, journal: Journal) -> dict[str, list[TrialRecord]]:
    """Return the tested finalists of each model that has any, in the experiment's order."""
    tested = tested_finalists(journal.trials(), journal.evaluations())
    by_model = {
        model.name: [trial for trial in tested if trial.model == model.name]
        for model in shared.experiment.models
    }
    return {model: trials for model, trials in by_model.items() if trials}


def _in_words(found: InferenceRecord | InferenceFailure) -> str:
    if isinstance(found, InferenceFailure):
        return f"could not be measured ({found.cause})"
    return (
        f"{found.latency_p50_ms:.1f} ms a text (95 % within {found.latency_p95_ms:.1f} ms), "
        f"{found.texts_per_second:,.0f} texts a second in batches of {found.batch_size}"
    )


@dataclass(frozen=True)
class _MeasuringNode:
    """One machine of the cluster, with the texts to measure on."""

    shared: Shared
    texts: ray.ObjectRef[RawTexts]
    machine: NodeAffinitySchedulingStrategy

    @classmethod
    def of(cls, shared: Shared, test: Dataset) -> _MeasuringNode:
        experiment = shared.experiment
        rows = max(experiment.inference.texts, MOST_TEXTS)
        texts = RawTexts.of(test, rows, experiment.seed)
        return cls(shared, ray.put(texts), _largest_machine())

    def measure(self, finalists: list[TrialRecord]) -> InferenceRecord | InferenceFailure:
        """Measure a model in a process of its own."""
        model = finalists[0].model
        resources = self.shared.resources[model]
        remote = ray.remote(
            num_cpus=resources.cpu,
            num_gpus=math.ceil(resources.gpus),  # nobody else on a card that trials shared
            max_calls=1,
            max_retries=self.shared.experiment.failure.max_failures,
        )(_measure).options(scheduling_strategy=self.machine)
        try:
            record: InferenceRecord = ray.get(
                remote.remote(self.shared, finalists, self.texts, self._weight_bytes(finalists))
            )
        except RayError as error:
            cause = error.cause if isinstance(error, RayTaskError) else error
            failure = failure_of(cause)
            return InferenceFailure(model=model, cause=failure.cause, error=str(error))
        return record

    def _weight_bytes(self, finalists: list[TrialRecord]) -> int | None:
        """Return the bytes of the weights that the run has kept of one of the finalists."""
        folder = self.shared.folder
        for trial in finalists:
            files = folder.sizes(weights_of(trial.trial_id))
            if size := sum(files[name] for name in files if name.endswith(".safetensors")):
                return size
        return None


def _largest_machine() -> NodeAffinitySchedulingStrategy:
    """Choose a machine for all models, so that they can be compared; another if it is lost."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    resources = {node["NodeID"]: node["Resources"] for node in alive}
    largest = max(
        sorted(resources),
        key=lambda node: (resources[node].get("GPU", 0), resources[node].get("CPU", 0)),
    )
    return NodeAffinitySchedulingStrategy(node_id=largest, soft=True)


def _measure(
    shared: Shared, finalists: list[TrialRecord], texts: RawTexts, weight_bytes: int | None
) -> InferenceRecord:
    """Measure in a worker of Ray."""
    asked = shared.resources[finalists[0].model]
    alone = asked.model_copy(update={"gpu": float(math.ceil(asked.gpus))})
    trial = task_of(shared, plan_of(finalists[0]), alone)
    halvings = max(finalist.halvings or 0 for finalist in finalists)
    return measure_inference(
        InferenceTask(
            trial=replace(trial, halvings=halvings),
            texts=texts,
            timed=shared.experiment.inference.texts,
            weight_bytes=weight_bytes,
        )
    )


def plan_of(trial: TrialRecord) -> TrialPlan:
    """Return the plan that a trial was run by."""
    return TrialPlan(
        trial_id=trial.trial_id,
        stage=trial.stage,
        model=trial.model,
        order=trial.order,
        seed=trial.seed,
        is_default=trial.is_default,
        hyperparameters=json.loads(trial.hyperparameters),
    )
