"""Test rows that every finalist confidently predicts as the same other label.

Such labels are often wrong. The threshold of confidence is that of confident learning (Northcutt,
Jiang and Chuang 2021): the mean probability of a label over the rows that have it. So a label that
the finalists are rarely sure of needs less.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pyarrow as pa

from raycompare.metrics import Floats, Integers
from raycompare.records.rows import StoredText, TrialRecord

FEWEST_FINALISTS = 2


@dataclass(frozen=True, kw_only=True)
class DoubtfulRow:
    """A test row whose label may be wrong."""

    example_id: int
    label: str
    predicted: str
    confidence: float
    """Probability of the predicted label, mean over the finalists."""
    text: str | None = None
    """None unless the run has stored the texts."""
    text_pair: str | None = None


@dataclass(frozen=True, kw_only=True)
class DoubtfulRows:
    """Rows of the test split whose labels may be wrong, the most confident prediction first."""

    rows: tuple[DoubtfulRow, ...]
    finalists: int
    models: int
    examples: int
    """Number of test rows."""


@dataclass(frozen=True, eq=False)
class _Agreement:
    """Rows that all tables so far predict as the same other label, and sums over the tables."""

    example_ids: Integers
    labels: Integers
    predicted: Integers
    is_doubtful: np.ndarray[Any, np.dtype[np.bool_]]
    confidence: Floats
    """Probability of the prediction."""
    self_confidence: Floats
    """Probability of the label."""

    @classmethod
    def of(cls, table: pa.Table) -> Self:
        ids, labels, predicted = (
            np.asarray(table[name]) for name in ("example_id", "label", "prediction")
        )
        column = table["probabilities"].combine_chunks()
        probabilities = np.asarray(column.flatten(), np.float64).reshape(len(labels), -1)
        order, rows = np.argsort(ids, kind="stable"), np.arange(len(labels))
        return cls(
            ids[order],
            labels[order],
            predicted[order],
            (predicted != labels)[order],
            probabilities[rows, predicted][order],
            probabilities[rows, labels][order],
        )

    def with_next(self, other: Self) -> Self | None:
        """Return what both agree on, or None if they have different rows."""
        same = ((self.example_ids, other.example_ids), (self.labels, other.labels))
        if not all(np.array_equal(*pair) for pair in same):
            return None
        return type(self)(
            self.example_ids,
            self.labels,
            self.predicted,
            self.is_doubtful & (self.predicted == other.predicted),
            self.confidence + other.confidence,
            self.self_confidence + other.self_confidence,
        )

    def rows(self, finalists: int) -> list[tuple[int, int, int, float]]:
        """Return example ids, labels, predictions and mean confidence, most confident first."""
        classes = int(max(self.labels.max(), self.predicted.max())) + 1
        counts = np.bincount(self.labels, minlength=classes)
        sums = np.bincount(self.labels, self.self_confidence, classes)
        # The finalists are never sure of a label without rows.
        usual = np.divide(sums, counts, out=np.full(classes, np.inf), where=counts > 0)
        chosen = np.flatnonzero(self.is_doubtful & (self.confidence >= usual[self.predicted]))
        chosen = chosen[np.argsort(-self.confidence[chosen], kind="stable")]
        confidence = self.confidence[chosen] / finalists
        columns = (self.example_ids[chosen], self.labels[chosen], self.predicted[chosen])
        return list(zip(*(column.tolist() for column in columns), confidence.tolist(), strict=True))


@dataclass(kw_only=True)
class DoubtfulRowSearch:
    """Finds test rows whose labels may be wrong while others read the predictions."""

    finalists: Sequence[TrialRecord]
    """Confirm trials that were tested."""
    _seen: set[str] = field(default_factory=set)
    _total: _Agreement | None = None
    _differ: bool = False
    """Whether the finalists were tested on different rows."""

    def watch(self, predictions: Iterable[tuple[str, pa.Table]]) -> Iterator[tuple[str, pa.Table]]:
        """Yield trial ids and tables; those without probabilities are not searched."""
        wanted = {trial.trial_id for trial in self.finalists}
        for trial_id, table in predictions:
            if trial_id in wanted and "probabilities" in table.column_names:
                self._add(trial_id, _Agreement.of(table))
            yield trial_id, table

    def _add(self, trial_id: str, own: _Agreement) -> None:
        both = self._total.with_next(own) if self._total else own
        self._total, self._differ = both or own, self._differ or both is None
        self._seen.add(trial_id)

    def result(
        self, label_names: Sequence[str] = (), texts: Iterable[StoredText] = ()
    ) -> DoubtfulRows | None:
        """Return the rows, once all predictions were read.

        They are None for fewer than two finalists, if predictions of one are missing, and if the
        finalists were tested on different rows.
        """
        tables = len(self._seen)
        too_few = tables < max(FEWEST_FINALISTS, len(self.finalists))
        if self._total is None or self._differ or too_few:
            return None
        stored = {text.example_id: text for text in texts}
        return DoubtfulRows(
            rows=tuple(
                _row(row, label_names, stored.get(row[0])) for row in self._total.rows(tables)
            ),
            finalists=tables,
            models=len({trial.model for trial in self.finalists}),
            examples=len(self._total.labels),
        )


def _row(
    row: tuple[int, int, int, float], names: Sequence[str], text: StoredText | None
) -> DoubtfulRow:
    example_id, label, predicted, confidence = row
    named: Mapping[int, str] = dict(enumerate(names))
    return DoubtfulRow(
        example_id=example_id,
        label=named.get(label, str(label)),
        predicted=named.get(predicted, str(predicted)),
        confidence=confidence,
        text=text.text if text else None,
        text_pair=text.text_pair if text else None,
    )
