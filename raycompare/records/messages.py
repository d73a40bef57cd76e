"""Plans of trials, and the messages that a trial sends while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Stage = Literal["tune", "confirm"]
EndReason = Literal["full_budget", "patience", "diverged"]
"""Reasons for which a trial ends by itself."""
StopReason = Literal["rung", "budget", "max_usd", "refused"]
"""Reasons for which the scheduler ends or never starts a trial: other trials are better, a limit of
the search or of the cost is reached, or all trials of the model fail."""


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """One planned fine-tuning run; `order` counts the plans of a stage from 0."""

    trial_id: str
    stage: Stage
    model: str
    order: int
    seed: int
    is_default: bool
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


RungSteps = Callable[[TrialPlan], Sequence[int]]
"""Returns the optimizer steps at which a trial reaches the rungs of its model."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """An evaluation on the validation split, sent when it is done.

    `train_seconds` and `eval_seconds` are totals so far, without loading and reporting.
    """

    step: int
    epoch: float
    examples_seen: int
    train_seconds: float
    eval_seconds: float
    metrics: Mapping[str, float]
    is_last: bool = False
    """Whether the trial ends by itself after this evaluation."""


@dataclass(frozen=True, kw_only=True)
class TrialStart:
    """Sent when the model is loaded and training starts, or continues from a checkpoint.

    It replaces everything that an earlier start of the trial reported, except `earlier`.
    """

    started_at: str
    startup_seconds: float
    planned_steps: int
    examples_per_step: float
    """Effective batch size: texts per optimizer step, the mean if batches differ."""
    num_parameters: int
    device: str
    precision: str
    """bf16, fp16 or fp32: the precision of the forward and backward passes."""
    hostname: str
    num_threads: int
    trained_parameters: int | None = None
    """Number of parameters that are not frozen; smaller with LoRA or frozen layers."""
    halvings: int = 0
    """Number of times that the batch was halved because memory ran out; gradient accumulation keeps
    the effective batch size."""
    earlier: tuple[Evaluation, ...] = ()
    """The evaluations up to the checkpoint from which the trial continues."""


@dataclass(frozen=True, kw_only=True)
class TrialEnd:
    """The last message of a trial that ended by itself."""

    reason: EndReason
    step: int
    train_seconds: float
    eval_seconds: float
    detail: str = ""
    test_metrics: Mapping[str, float] | None = None
    test_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class TaskFailure:
    """The error of a task of the run, such as a trial."""

    cause: str
    """The error in one line."""
    error: str
    """The full traceback."""


@dataclass(frozen=True, kw_only=True)
class TrialFailure(TaskFailure):
    """The last message of a trial that raised an error, which a restart would not help."""

    disk_full: bool = False
    wrong_weights: bool = False
    """Whether the checkpoint can't be trained at all, in this or in any other trial."""


Message = TrialStart | Evaluation | TrialEnd | TrialFailure


@dataclass(frozen=True)
class Stop:
    """The scheduler's reason for ending a trial, or not starting it."""

    ending: StopReason
    reason: str
