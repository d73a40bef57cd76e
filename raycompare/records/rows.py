"""The rows that a run stores: one per trial, evaluation, baseline, measured model and prediction.

Rows of trials and evaluations are made from the messages of trials: `TrialPlan`, `TrialStart`,
`Evaluation` and `TrialEnd`. Without a `TrialEnd` a trial has not finished, whatever Tune's `done`
says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from raycompare.metrics import ScoreName, Scores
from raycompare.records.messages import EndReason, Stage, StopReason, TaskFailure


@dataclass(frozen=True, kw_only=True)
class Screened:
    """Scores of a model's frozen features, as computed in `transferability`."""

    model: str
    rows: int
    """Number of training rows used."""
    log_me: float | None = None
    h_score: float | None = None
    probe: float | None = None
    """MCC of a logistic regression on the features, on a held-out quarter of the rows."""
    seconds: float | None = None
    cached: bool = False
    """Whether the scores come from an earlier run."""
    cause: str | None = None
    """The error, for a model that could not be scored."""

    def score(self, name: ScoreName) -> float:
        """Return the score of this name."""
        value: float | None = getattr(self, name)
        assert value is not None
        return value


@dataclass(frozen=True, kw_only=True)
class ScreenRecord(Screened):
    """A row of screen.parquet: a screened model, best first."""

    rank: int | None
    """Rank by the deciding score, from 1; None without scores."""
    kept: bool


Split = Literal["validation", "test"]
Status = Literal["completed", "stopped_early", "errored", "interrupted", "not_run"]
Ending = EndReason | StopReason | Literal["error", "cut_short", "not_run"]
"""How a trial ended: by itself, by the scheduler, by an error, with the run, or not at all.

A trial that the scheduler never started has the scheduler's reason and the status `not_run`.
"""

STATUS_OF: Mapping[Ending, Status] = {
    "full_budget": "completed",
    "patience": "completed",
    "diverged": "stopped_early",
    "rung": "stopped_early",
    "budget": "stopped_early",
    "max_usd": "stopped_early",
    "error": "errored",
    "cut_short": "interrupted",
    "refused": "not_run",
    "not_run": "not_run",
}
FINISHED: tuple[Status, ...] = ("completed", "stopped_early")
"""Statuses of trials that a resumed run keeps; it repeats all others."""


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """A row of trials.parquet: a trial of any status, even if it never ran."""

    trial_id: str
    stage: Stage
    model: str
    order: int
    seed: int
    is_default: bool
    hyperparameters: str
    """JSON object of the hyperparameters that were searched, without fixed ones."""
    status: Status
    ending: Ending
    reason: str
    """The ending in words; for an error, its first line."""
    error: str | None = None
    """Full traceback of a failed trial."""
    steps: int = 0
    planned_steps: int | None = None
    examples_per_step: float | None = None
    """Texts per optimizer step, the mean if batches differ."""
    best_step: int | None = None
    """Step of the best evaluation by the metric of the experiment."""
    best_value: float | None = None
    num_parameters: int | None = None
    trained_parameters: int | None = None
    """Number of parameters that are not frozen."""
    train_seconds: float | None = None
    eval_seconds: float | None = None
    test_seconds: float | None = None
    startup_seconds: float | None = None
    started_at: str | None = None
    """Time of the start in UTC, ISO 8601."""
    device: str | None = None
    precision: str | None = None
    hostname: str | None = None
    num_threads: int | None = None
    halvings: int | None = None
    """Number of times that the batch was halved because memory ran out."""
    retries: int = 0
    """Restarts after a lost worker or machine, in the last session."""
    starts: int = 0
    """Number of times that a worker started or continued the trial, over all sessions."""
    held_seconds: float | None = None
    """Seconds for which the trial held its resources over all starts, without pauses."""


@dataclass(frozen=True, kw_only=True)
class _Evaluated:
    trial_id: str
    stage: Stage
    model: str
    split: Split
    step: int
    epoch: float
    examples_seen: int
    train_seconds: float
    experiment_seconds: float
    """Wall-clock from the beginning of the run until the driver received the evaluation."""


@dataclass(frozen=True, kw_only=True)
class EvalRecord(Scores, _Evaluated):
    """A row of evaluations.parquet: an evaluation of a trial on a split."""

    eval_seconds: float | None = None
    """Total time of evaluations so far, which `train_seconds` does not include."""


@dataclass(frozen=True, kw_only=True)
class _OfBaseline:
    name: str


@dataclass(frozen=True, kw_only=True)
class _BaselineFit(_OfBaseline):
    trial_id: str
    """Name of the file of its predictions, without extension."""
    hyperparameters: str
    """JSON object of the hyperparameters chosen by cross-validation on the training split."""
    num_parameters: int
    seconds: float
    """Wall-clock of the cross-validation, the fit and the test."""
    hostname: str
    validation: float
    """Validation score in the metric of the experiment."""


@dataclass(frozen=True, kw_only=True)
class BaselineRecord(Scores, _BaselineFit):
    """A row of baselines.parquet: test scores of a simple method."""


@dataclass(frozen=True, kw_only=True)
class BaselineFailure(TaskFailure, _OfBaseline):
    """A row of baseline_failures.parquet: a baseline that could not be fitted."""


@dataclass(frozen=True, kw_only=True)
class _OfModel:
    model: str


@dataclass(frozen=True, kw_only=True)
class ModelFacts(_OfModel):
    """Where and how a finalist was measured, and how large it is."""

    device: str
    hostname: str
    processor: str | None
    """Name of the GPU, or of the CPU on a machine without one."""
    num_threads: int
    precision: str
    batch_size: int
    num_parameters: int
    weight_bytes: int
    """Size of the safetensors file."""
    peak_memory_bytes: int
    """Peak memory of the GPU, or of the process without one, at the batch size."""


@dataclass(frozen=True, kw_only=True)
class InferenceRecord(ModelFacts):
    """A row of inference.parquet: speed and memory of a finalist, over all rounds."""

    texts: int
    """Number of times for the latency, of one text each, after a warm-up."""
    latency_p50_ms: float
    """Median time from a text to its probabilities, including tokenization."""
    latency_p95_ms: float
    """95th percentile of the time from a text to its probabilities."""
    texts_per_second: float
    """Median throughput in batches of similar lengths, including tokenization."""


@dataclass(frozen=True, kw_only=True)
class InferenceRound(_OfModel):
    """A row of inference_rounds.parquet: the turn of a finalist in one round.

    Each model has one turn per round. Runs from before rounds were introduced have none of these.
    """

    round: int
    """Number of the round, from 1."""
    place: int
    """Place of the model in the random order of the round, from 1."""
    texts: int
    latency_p50_ms: float
    latency_p95_ms: float
    texts_per_second: float | None
    """None if one batch takes too long for every round."""
    busy_cpus: float
    """Mean number of CPUs that other processes used during the turn."""
    cpus: int
    """CPUs of the machine."""
    loaded_for_round: bool
    """Whether the model was loaded for this round, because memory did not hold all models."""


@dataclass(frozen=True, kw_only=True)
class InferenceFailure(TaskFailure, _OfModel):
    """A row of inference_failures.parquet: a model that could not be measured."""


@dataclass(frozen=True, kw_only=True)
class StoredText:
    """A row of test_texts.parquet, which exists only if the experiment sets `report.texts`."""

    example_id: int
    """As in the prediction files."""
    text: str
    text_pair: str | None = None


PREDICTIONS_SCHEMA = pa.schema(
    [
        pa.field("trial_id", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("example_id", pa.int64(), nullable=False),
        pa.field("label", pa.int64(), nullable=False),
        pa.field("prediction", pa.int64(), nullable=False),
        pa.field("probabilities", pa.list_(pa.float32()), nullable=False),
    ]
)
"""Columns of the prediction files, of which there is one per finalist and seed, and per baseline.

`example_id` is the index of the row, from 0, in the split of the source that the test rows come
from, before shares and limits.
"""
