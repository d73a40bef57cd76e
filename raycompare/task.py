"""What a trial is given: its task, and where to send what it has to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from raycompare.metrics import MetricName, Mode
from raycompare.record import Message, TrialPlan
from raycompare.spec import Arguments, ModelSpec
from raycompare.tokens import TokenizedData


@dataclass(frozen=True, kw_only=True)
class TrialTask:
    """All that one trial needs to know."""

    plan: TrialPlan
    model: ModelSpec
    arguments: Arguments
    data: TokenizedData
    label_names: tuple[str, ...]
    metric: MetricName
    mode: Mode
    num_threads: int
    gpu_share: float = 1.0
    """Of the memory of a card that trials share."""
    evaluate_at: tuple[int, ...] = ()
    """Optimizer steps to evaluate at beside the last, where the arguments do not say."""

    @property
    def is_finalist(self) -> bool:
        """Finalists keep their best weights and are tested; other trials only search."""
        return self.plan.stage == "confirm"


class Sink(Protocol):
    """Where a trial sends what it has to say."""

    def report(self, message: Message) -> None:
        """Take a message; may not return if the scheduler stops the trial."""

    def save_predictions(self, table: pa.Table) -> None:
        """Store the finalist's predictions on the test split."""
