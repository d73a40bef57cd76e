"""What a trial is given: its task, and where to send what it has to say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from raycompare.data.tokens import SearchData, TokenizedData
from raycompare.experiment.spec import Arguments, ModelSpec
from raycompare.metrics import MetricName, Mode
from raycompare.records.messages import Message, TrialPlan


@dataclass(frozen=True, kw_only=True)
class TrialTask:
    """All that one trial needs to know."""

    plan: TrialPlan
    model: ModelSpec
    arguments: Arguments
    data: SearchData
    """With the test split, as `TokenizedData`, for finalists; never for others."""
    label_names: tuple[str, ...]
    metric: MetricName
    mode: Mode
    num_threads: int
    gpu_share: float = 1.0
    """Of the memory of a card that trials share."""
    evaluate_at: tuple[int, ...] = ()
    """Optimizer steps to evaluate at beside the last, where the arguments do not say."""
    may_pause: bool = False
    """Whether the scheduler may end the trial at an evaluation and have it go on later."""
    checkpoint_every_s: float = math.inf
    """Seconds of work that may be lost with a worker."""
    halvings: int = 0
    """How often to halve the texts that are computed at once, to begin with."""

    @property
    def is_finalist(self) -> bool:
        """Finalists keep their best weights and are tested; other trials only search."""
        return self.plan.stage == "confirm"

    @property
    def tested(self) -> TokenizedData:
        """The data of a finalist, the test split among it."""
        assert isinstance(self.data, TokenizedData)
        return self.data

    def __post_init__(self) -> None:
        """Take the test split from a trial that searches, whatever it was given."""
        if isinstance(self.data, TokenizedData) and not self.is_finalist:
            object.__setattr__(self, "data", self.data.for_search)


class TrialReporter(Protocol):
    """Where a trial sends what it has to say, and finds where it stood."""

    def report(self, message: Message) -> None:
        """Take a message; may not return if the scheduler stops the trial."""

    def save_predictions(self, table: pa.Table) -> None:
        """Store the finalist's predictions on the test split."""

    def save_weights(self, folder: Path) -> None:
        """Take the folder of a finalist's model, which can be loaded by `from_pretrained`."""

    def save_checkpoint(self, folder: Path) -> None:
        """Take the folder of a checkpoint, in place of the trial's earlier one."""

    def checkpoint(self) -> Path | None:
        """Return a folder with the trial's last checkpoint, or None if it has none."""
