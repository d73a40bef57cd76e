"""The metrics: names, directions, values from a confusion matrix, and derivatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

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


Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Margins:
    """What every metric needs of a confusion matrix; each of shape (..., classes)."""

    correct: Floats
    """The diagonal."""
    predicted: Floats
    """How often each class was predicted."""
    actual: Floats
    """How often each class was the label."""

    @classmethod
    def of(cls, labels: Integers, predictions: Integers, classes: int) -> Self:
        """Count labels of shape (examples,) and predictions of shape (seeds, examples)."""
        cells = [
            np.bincount(classes * labels + predicted, minlength=classes**2)
            for predicted in predictions
        ]
        matrices = np.stack(cells).reshape(-1, classes, classes).astype(float)
        return cls(
            correct=np.diagonal(matrices, axis1=1, axis2=2),
            predicted=matrices.sum(axis=1),
            actual=matrices.sum(axis=2),
        )


def scores(metric: MetricName, margins: Margins) -> Floats:
    """Return the metric, shape (...), as scikit-learn defines it; the loss has none."""
    correct, predicted, actual = margins.correct, margins.predicted, margins.actual
    if metric == "accuracy":
        return _ratio(correct.sum(axis=-1), actual.sum(axis=-1))
    if metric == "matthews_correlation":
        parts = _mcc_parts(margins)
        return _ratio(parts.covariance, parts.scale)
    shares = {
        "macro_f1": (2 * correct, predicted + actual),
        "macro_precision": (correct, predicted),
        "macro_recall": (correct, actual),
    }
    return np.asarray(_ratio(*shares[metric]).sum(axis=-1) / _present(margins))


def influences(metric: MetricName, labels: Integers, predictions: Integers, classes: int) -> Floats:
    """Return how each example moves the mean score over seeds, shape (examples,).

    It is the derivative by the example's weight. The sum of squares is the infinitesimal
    jackknife's variance of the mean score over test examples (Efron 1982, section 6).
    """
    slopes = _slopes(metric, Margins.of(labels, predictions, classes))
    total = np.zeros(len(labels))
    for seed, predicted in enumerate(predictions):
        total += slopes.predicted[seed, predicted] + slopes.actual[seed, labels]
        total += np.where(predicted == labels, slopes.correct[seed, labels], 0.0)
    return total / len(predictions)


@dataclass(frozen=True, eq=False)
class _MccParts:
    covariance: Floats
    predicted: Floats
    actual: Floats

    @property
    def scale(self) -> Floats:
        return np.asarray(np.sqrt(self.predicted * self.actual))


def _mcc_parts(margins: Margins) -> _MccParts:
    predicted, actual = margins.predicted, margins.actual
    total = actual.sum(axis=-1)
    return _MccParts(
        covariance=total * margins.correct.sum(axis=-1) - (predicted * actual).sum(axis=-1),
        predicted=total**2 - (predicted**2).sum(axis=-1),
        actual=total**2 - (actual**2).sum(axis=-1),
    )


def _slopes(metric: MetricName, margins: Margins) -> Margins:
    correct, predicted, actual = margins.correct, margins.predicted, margins.actual
    if metric == "matthews_correlation":
        return _mcc_slopes(margins)
    if metric == "accuracy":
        total = actual.sum(axis=-1, keepdims=True)
        mean = _ratio(correct.sum(axis=-1, keepdims=True), total) / total
        return Margins(np.ones_like(correct) / total, np.zeros_like(correct), 0 * actual - mean)
    both = {"macro_f1": (1, 1), "macro_precision": (1, 0), "macro_recall": (0, 1)}
    by_predicted, by_actual = both[metric]
    size = by_predicted * predicted + by_actual * actual
    present = _present(margins)[..., None]
    factor = by_predicted + by_actual
    by_size = _ratio(factor * correct, size**2) / present
    return Margins(
        _ratio(factor * np.ones_like(size), size) / present,
        -by_predicted * by_size,
        -by_actual * by_size,
    )


def _mcc_slopes(margins: Margins) -> Margins:
    parts = _mcc_parts(margins)
    mcc = _ratio(parts.covariance, parts.scale)[..., None]
    total = margins.actual.sum(axis=-1, keepdims=True)
    scale, by_predicted, by_actual = (
        _ratio(np.ones_like(part), part)[..., None]
        for part in (parts.scale, parts.predicted, parts.actual)
    )
    right = margins.correct.sum(axis=-1, keepdims=True)
    return Margins(
        scale * total + 0 * margins.correct,
        mcc * by_predicted * margins.predicted - scale * margins.actual,
        scale * (right - margins.predicted)
        - mcc * (total * by_predicted + (total - margins.actual) * by_actual),
    )


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.zeros_like(whole, float), where=whole > 0))


def _present(margins: Margins) -> Floats:
    return np.asarray((margins.predicted + margins.actual > 0).sum(axis=-1), float)


def classification_metrics(labels: Integers, predictions: Integers) -> dict[str, float]:
    """Compute every metric but the loss for `labels` and `predictions` of shape (n,).

    Macro averages run over the classes present in either array; a class never predicted counts
    with precision 0, as scikit-learn's `zero_division=0` has it. Tests hold all to scikit-learn.
    """
    classes = int(max(labels.max(), predictions.max())) + 1
    margins = Margins.of(labels, predictions[None], classes)
    return {name: float(scores(name, margins)[0]) for name in MODES if name != "loss"}
