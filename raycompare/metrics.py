"""The metrics: names, directions, values from a confusion matrix, and derivatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

Mode = Literal["max", "min"]
ScoreName = Literal["log_me", "h_score", "probe"]
"""Scores that models are screened by, computed in `training.transferability`."""
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
    """Values of all metrics, which are columns of the records.

    A new metric needs a default value, because older records don't contain it.
    """

    loss: float
    matthews_correlation: float
    accuracy: float
    macro_f1: float
    macro_precision: float
    macro_recall: float


def better(value: float, than: float | None, mode: Mode) -> bool:
    """Return whether `value` is better than `than`; any value is better than None, a tie is not."""
    if than is None:
        return True
    return value > than if mode == "max" else value < than


Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Margins:
    """Diagonal and marginal sums of confusion matrices, each of shape (..., classes)."""

    correct: Floats
    """Number of correct predictions of each class."""
    predicted: Floats
    """Number of predictions of each class."""
    actual: Floats
    """Number of labels of each class."""

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
    """Return a metric other than the loss, of shape (...), as scikit-learn defines it."""
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
    """Return derivatives of the mean score over seeds by example weights, of shape (examples,).

    The sum of squares is the infinitesimal jackknife's estimate of the variance of the mean score
    over test examples (Efron 1982, section 6).
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
    """Compute all metrics except the loss for `labels` and `predictions` of shape (n,).

    Macro averages are over the classes present in either array; a class that is never predicted
    has precision 0, as with `zero_division=0` in scikit-learn.
    """
    classes = int(max(labels.max(), predictions.max())) + 1
    margins = Margins.of(labels, predictions[None], classes)
    return {name: float(scores(name, margins)[0]) for name in MODES if name != "loss"}
