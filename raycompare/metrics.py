"""The metrics: their names and directions; `scoring` computes them."""

from __future__ import annotations

from collections.abc import Mapping
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


def better(value: float, than: float | None, mode: Mode) -> bool:
    """Say whether `value` beats `than`; anything beats None, and a tie beats nothing."""
    if than is None:
        return True
    return value > than if mode == "max" else value < than
