"""The metrics: their names, directions and columns; `margins` computes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Mode = Literal["max", "min"]
ScoreName = Literal["log_me", "h_score", "probe"]
"""What models are screened by; `transferability` has what they are."""
MetricName = Literal[
    "matthews_correlation", "accuracy", "macro_f1", "macro_precision", "macro_recall", "loss"
]

MODES: Mapping[MetricName, Mode] = {
    "matthews_correlation": "max",
    "accuracy": "max",
    "macro_f1": "max",
    "macro_precision": "max",
    "macro_recall": "max",
    "loss": "min",
}

LABELS: Mapping[str, str] = {
    "matthews_correlation": "MCC",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "loss": "loss",
}


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The value of every metric: columns of the records.

    A metric that is added needs a default, since older records do not have it.
    """

    loss: float
    matthews_correlation: float
    accuracy: float
    macro_f1: float
    macro_precision: float
    macro_recall: float


def better(value: float, than: float | None, mode: Mode) -> bool:
    """Say whether `value` beats `than`; anything beats None, and a tie beats nothing."""
    if than is None:
        return True
    return value > than if mode == "max" else value < than
