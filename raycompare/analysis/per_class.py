"""Scores of the leader per label, and the labels that it confuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raycompare.analysis.statistics.predictions import FinalistPredictions
from raycompare.metrics import Floats, Margins

MOST_CONFUSED = 10


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """Scores of a model for one label; means over its seeds."""

    label: str
    rows: int
    """Test rows with this label."""
    precision: float
    """0 if the label was never predicted, as in scikit-learn."""
    recall: float
    f1: float


@dataclass(frozen=True, kw_only=True)
class Confused:
    """Rows of one label that were predicted as another."""

    label: str
    predicted: str
    rows: float
    """Mean number of rows over seeds."""
    share: float
    """Share of the rows of the label."""


@dataclass(frozen=True, kw_only=True)
class ClassReport:
    """Scores and confusion matrix of one model."""

    model: str
    labels: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]
    """Confusion matrix, shape (labels, predicted labels): numbers of rows, means over seeds."""
    scores: tuple[ClassScores, ...]

    @property
    def confused(self) -> tuple[Confused, ...]:
        """The labels that are confused most often, the most frequent pair first."""
        wrong = np.asarray(self.matrix)
        rows = wrong.sum(axis=1)
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSED]
        places = [divmod(int(place), len(self.labels)) for place in order]
        return tuple(
            Confused(
                label=self.labels[label],
                predicted=self.labels[predicted],
                rows=float(wrong[label, predicted]),
                share=float(wrong[label, predicted] / rows[label]),
            )
            for label, predicted in places
            if wrong[label, predicted]
        )


def class_report(answers: FinalistPredictions, model: str, names: Sequence[str]) -> ClassReport:
    """Score a model on each label; labels without a name get their number."""
    classes = max(answers.classes, len(names))
    labels = tuple(names) + tuple(str(number) for number in range(len(names), classes))
    predictions = answers.predictions[model]
    margins = Margins.of(answers.labels, predictions, classes)
    cells = classes * answers.labels + predictions
    counted = np.bincount(cells.ravel(), minlength=classes**2).reshape(classes, classes)
    precision, recall, f1 = (
        _share(part, whole).mean(axis=0)
        for part, whole in (
            (margins.correct, margins.predicted),
            (margins.correct, margins.actual),
            (2 * margins.correct, margins.predicted + margins.actual),
        )
    )
    rows = np.bincount(answers.labels, minlength=classes)
    return ClassReport(
        model=model,
        labels=labels,
        matrix=tuple(map(tuple, (counted / len(predictions)).tolist())),
        scores=tuple(
            ClassScores(
                label=label,
                rows=int(rows[place]),
                precision=float(precision[place]),
                recall=float(recall[place]),
                f1=float(f1[place]),
            )
            for place, label in enumerate(labels)
        ),
    )


def _share(part: Floats, whole: Floats) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0))
