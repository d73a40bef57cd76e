"""The task of a trial, and the reporter that receives its messages and files."""

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
    """Everything that one trial needs."""

    plan: TrialPlan
    model: ModelSpec
    arguments: Arguments
    data: SearchData
    """`TokenizedData`, with the test split, for finalists only."""
    label_names: tuple[str, ...]
    metric: MetricName
    mode: Mode
    num_threads: int
    gpu_share: float = 1.0
    """Share of the memory of a GPU; with 0, the trial computes on the CPU."""
    evaluate_at: tuple[int, ...] = ()
    """Optimizer steps, besides the last, at which to evaluate; empty if the arguments decide."""
    may_pause: bool = False
    """Whether the scheduler may pause the trial at an evaluation."""
    checkpoint_every_s: float = math.inf
    """Longest training time that is repeated after a worker is lost, in seconds."""
    pairs: bool = False
    """Whether each row has two texts."""
    halvings: int = 0
    """How often the number of texts that are computed at once is halved from the start."""

    @property
    def is_finalist(self) -> bool:
        """Whether the trial keeps its best weights and is tested; other trials only search."""
        return self.plan.stage == "confirm"

    @property
    def tested(self) -> TokenizedData:
        """Data of a finalist, including the test split."""
        assert isinstance(self.data, TokenizedData)
        return self.data

    def __post_init__(self) -> None:
        """Remove the test split from the data of a trial that searches, and cards from others."""
        if self.gpu_share == 0:
            object.__setattr__(self, "arguments", {**self.arguments, "use_cpu": True})
        if isinstance(self.data, TokenizedData) and not self.is_finalist:
            object.__setattr__(self, "data", self.data.for_search)


class TrialReporter(Protocol):
    """Receives the messages and files of a trial, and returns its checkpoint."""

    def report(self, message: Message) -> None:
        """Handle a message; does not return if the scheduler stops the trial."""

    def save_predictions(self, table: pa.Table) -> None:
        """Store a finalist's predictions for the test split."""

    def save_weights(self, folder: Path) -> None:
        """Store the folder of a finalist's model, which `from_pretrained` can load."""

    def save_checkpoint(self, folder: Path) -> None:
        """Store the folder of a checkpoint, replacing the trial's earlier one."""

    def checkpoint(self, scratch: Path) -> Path | None:
        """Return the folder of the trial's last checkpoint, or None if there is none.

        A checkpoint that is stored elsewhere is copied to the folder `scratch`.
        """
