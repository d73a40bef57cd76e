"""What happened: the messages a trial sends while it runs, and the rows a run leaves behind.

A trial is planned (`TrialPlan`), says that it started (`TrialStart`), reports each evaluation on
the validation split (`Evaluation`) and says how it ended (`TrialEnd`). Without a `TrialEnd` a
trial has not finished, whatever Tune's `done` says. From these the records are made, one row per
trial, per evaluation, and per test example of a finalist; `SCHEMAS` declares their Parquet files.
Beside the trials stand what simpler methods score and what it takes to use each finalist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from raycompare.metrics import ScoreName, Scores
from raycompare.records.arrow import schema_of
from raycompare.records.messages import EndReason, Stage, StopReason


@dataclass(frozen=True, kw_only=True)
class Screened:
    """What a look at a model's frozen features has found; see `transferability` for the scores."""

    model: str
    rows: int
    """Of train."""
    log_me: float | None = None
    h_score: float | None = None
    probe: float | None = None
    """MCC of a logistic regression on the features, on a quarter of the rows."""
    seconds: float | None = None
    cached: bool = False
    """Whether an earlier run has found it."""
    cause: str | None = None
    """Why there are no scores, if there are none."""

    def score(self, name: ScoreName) -> float:
        """Return one of the scores."""
        value: float | None = getattr(self, name)
        assert value is not None
        return value


@dataclass(frozen=True, kw_only=True)
class ScreenRecord(Screened):
    """One row of screen.parquet, best first: a model that was screened, and what came of it."""

    rank: int | None
    """By the score that decides, from 1; None without scores."""
    kept: bool


Split = Literal["validation", "test"]
Status = Literal["completed", "stopped_early", "errored", "interrupted", "not_run"]
Ending = EndReason | StopReason | Literal["error", "cut_short", "not_run"]
"""How a trial can end: by itself, by the scheduler, by an error, with the run, or not at all.

One that the scheduler did not start has the scheduler's reason and the status `not_run`.
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
"""The statuses that a resumed run keeps; every other trial is run again."""


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One row of trials.parquet: a trial of any status, also one that never ran."""

    trial_id: str
    stage: Stage
    model: str
    order: int
    seed: int
    is_default: bool
    hyperparameters: str
    """A JSON object; holds what was searched, not what was fixed."""
    status: Status
    ending: Ending
    reason: str
    """The ending in words; of an error its first line."""
    error: str | None = None
    """The whole traceback of an errored trial."""
    steps: int = 0
    planned_steps: int | None = None
    examples_per_step: float | None = None
    """Texts per optimizer step, the mean where batches differ."""
    best_step: int | None = None
    """The step of the best evaluation by the experiment's metric."""
    best_value: float | None = None
    num_parameters: int | None = None
    trained_parameters: int | None = None
    """Those that were not frozen."""
    train_seconds: float | None = None
    eval_seconds: float | None = None
    test_seconds: float | None = None
    startup_seconds: float | None = None
    started_at: str | None = None
    """UTC, ISO 8601."""
    device: str | None = None
    precision: str | None = None
    hostname: str | None = None
    num_threads: int | None = None
    halvings: int | None = None
    """How often the texts that are computed at once were halved for want of memory."""
    retries: int = 0
    """How often it was started again because its worker or machine was lost, in the last run."""
    starts: int = 0
    """How often a worker began the trial, or went on with it, over all runs of the folder."""
    held_seconds: float | None = None
    """How long it held its resources over all starts, lost ones counted and pauses not."""


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
    """Wall-clock since the run began, as the driver saw the report arrive."""


@dataclass(frozen=True, kw_only=True)
class EvalRecord(Scores, _Evaluated):
    """One row of evaluations.parquet: one evaluation of one trial on one split."""

    eval_seconds: float | None = None
    """The sum so far; `train_seconds` does not count it."""


@dataclass(frozen=True, kw_only=True)
class _BaselineFit:
    name: str
    trial_id: str
    """Names its predictions, which stand beside those of the finalists."""
    hyperparameters: str
    """A JSON object: what was chosen by cross-validation on the training split."""
    num_parameters: int
    seconds: float
    """Wall-clock of choosing, fitting and testing."""
    hostname: str
    validation: float
    """By the experiment's metric."""


@dataclass(frozen=True, kw_only=True)
class BaselineRecord(Scores, _BaselineFit):
    """One row of baselines.parquet: what something simpler than a network scores on the test."""


@dataclass(frozen=True, kw_only=True)
class BaselineFailure:
    """One row of baseline_failures.parquet: a baseline that could not be fitted."""

    name: str
    cause: str
    """One line."""
    error: str
    """The whole traceback."""


@dataclass(frozen=True, kw_only=True)
class InferenceRecord:
    """One row of inference.parquet: what it takes to use a model's finalist, alone on a machine."""

    model: str
    device: str
    hostname: str
    processor: str | None
    """The name of the GPU, or of the CPU without one."""
    num_threads: int
    precision: str
    texts: int
    """That the latency was measured on, one at a time, after a warm-up."""
    latency_p50_ms: float
    """From a text to its probabilities, tokenising included; so is the 95th percentile."""
    latency_p95_ms: float
    batch_size: int
    texts_per_second: float
    """In batches of like lengths, tokenising included."""
    num_parameters: int
    weight_bytes: int
    """Of the safetensors file."""
    peak_memory_bytes: int
    """Of the card, or of the process without one, at the batch size."""


@dataclass(frozen=True, kw_only=True)
class InferenceFailure:
    """One row of inference_failures.parquet: a model that could not be measured."""

    model: str
    cause: str
    """One line."""
    error: str
    """The whole traceback."""


SCHEMAS: Mapping[str, pa.Schema] = {
    "trials": schema_of(TrialRecord),
    "evaluations": schema_of(EvalRecord),
    "baselines": schema_of(BaselineRecord),
    "baseline_failures": schema_of(BaselineFailure),
    "inference": schema_of(InferenceRecord),
    "inference_failures": schema_of(InferenceFailure),
    "screen": schema_of(ScreenRecord),
    "predictions": pa.schema(
        [
            pa.field("trial_id", pa.string(), nullable=False),
            pa.field("model", pa.string(), nullable=False),
            pa.field("seed", pa.int64(), nullable=False),
            pa.field("example_id", pa.int64(), nullable=False),
            pa.field("label", pa.int64(), nullable=False),
            pa.field("prediction", pa.int64(), nullable=False),
            pa.field("probabilities", pa.list_(pa.float32()), nullable=False),
        ]
    ),
}
"""The Parquet files of a run; `predictions` is a folder with a file per finalist and seed.

`example_id` is the row number in the test split as its source has it, before any limit.
"""
