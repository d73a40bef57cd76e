"""What other libraries compute, to hold our own code to."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, matthews_corrcoef, precision_recall_fscore_support


def sklearn_metrics(
    labels: np.ndarray[Any, Any],
    predictions: np.ndarray[Any, Any],
    weights: np.ndarray[Any, Any] | None = None,
) -> dict[str, float]:
    """Compute every metric but the loss with scikit-learn; `weights` are of the examples."""
    weighted: dict[str, Any] = {"sample_weight": weights}
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predictions, average="macro", zero_division=0, **weighted
    )
    return {
        "matthews_correlation": float(matthews_corrcoef(labels, predictions, **weighted)),
        "accuracy": float(accuracy_score(labels, predictions, **weighted)),
        "macro_f1": float(f1),
        "macro_precision": float(precision),
        "macro_recall": float(recall),
    }
