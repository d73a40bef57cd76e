"""The metrics of a set of predictions."""

from __future__ import annotations

from raycompare.margins import Integers, Margins, scores
from raycompare.metrics import MODES


def classification_metrics(labels: Integers, predictions: Integers) -> dict[str, float]:
    """Compute every metric but the loss for `labels` and `predictions` of shape (n,).

    Macro averages run over the classes present in either array; a class never predicted counts
    with precision 0, as scikit-learn's `zero_division=0` has it. Tests hold all to scikit-learn.
    """
    classes = int(max(labels.max(), predictions.max())) + 1
    margins = Margins.of(labels, predictions[None], classes)
    return {name: float(scores(name, margins)[0]) for name in MODES if name != "loss"}
