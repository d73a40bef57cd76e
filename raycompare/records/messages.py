"""The messages a trial sends while it runs, and the plan it was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Stage = Literal["tune", "confirm"]
EndReason = Literal["full_budget", "patience", "diverged"]
"""How a trial can end by itself."""
StopReason = Literal["rung", "budget", "max_usd", "refused"]
"""Why the scheduler ends a trial, or never starts it: others are better, what the search may take
or what the run may cost is spent, or the trials of its model only fail."""


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """One fine-tuning run to be done.

    `order` counts the plans of one stage from 0; schedulers decide in this order.
    """

    trial_id: str
    stage: Stage
    model: str
    order: int
    seed: int
    is_default: bool
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Sent after each evaluation on the validation split.

    `train_seconds` and `eval_seconds` are the sums so far; neither counts loading or reporting.
    """

    step: int
    epoch: float
    examples_seen: int
    train_seconds: float
    eval_seconds: float
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class TrialStart:
    """Sent when the model is loaded and training is about to begin, or to go on.

    A trial that was lost, paused or cut off starts again; what it said before holds no more but
    for `earlier`.
    """

    started_at: str
    startup_seconds: float
    planned_steps: int
    examples_per_step: float
    """The effective batch: texts per optimizer step, the mean where batches differ."""
    num_parameters: int
    device: str
    precision: str
    """bf16, fp16 or fp32: what the forward and backward passes compute in."""
    hostname: str
    num_threads: int
    trained_parameters: int | None = None
    """Those that are not frozen: fewer with LoRA or frozen layers."""
    halvings: int = 0
    """How often the texts that are computed at once were halved for want of memory; the effective
    batch stays as it is."""
    earlier: tuple[Evaluation, ...] = ()
    """The evaluations up to the checkpoint from which the trial goes on."""


@dataclass(frozen=True, kw_only=True)
class TrialEnd:
    """Sent once, as the last message of a trial that ended by itself."""

    reason: EndReason
    step: int
    train_seconds: float
    eval_seconds: float
    detail: str = ""
    test_metrics: Mapping[str, float] | None = None
    test_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrialFailure:
    """Sent as the last message of a trial that raised; to run it again would not help."""

    cause: str
    """One line."""
    error: str
    """The whole traceback."""
    disk_full: bool = False


Message = TrialStart | Evaluation | TrialEnd | TrialFailure
"""What a trial reports."""


@dataclass(frozen=True)
class Stop:
    """Why the scheduler ended a trial, or did not start it."""

    ending: StopReason
    reason: str
