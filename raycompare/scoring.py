"""The metrics of a set of predictions, as scikit-learn computes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, matthews_corrcoef, precision_recall_fscore_support


def classification_metrics(
    labels: np.ndarray[Any, Any], predictions: np.ndarray[Any, Any]
) -> dict[str, float]:
    """Compute every metric but the loss for integer `labels` and `predictions` of shape (n,).

    Macro averages run over the classes present in either array; a class never predicted counts
    with precision 0, as scikit-learn's `zero_division=0` defines it.
    """
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predictions, average="macro", zero_division=0
    )
    return {
        "matthews_correlation": float(matthews_corrcoef(labels, predictions)),
        "accuracy": float(accuracy_score(labels, predictions)),
        "macro_f1": float(f1),
        "macro_precision": float(precision),
        "macro_recall": float(recall),
    }
