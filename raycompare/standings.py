"""The lines of the leaderboard: the models, and between them what is simpler than any of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from raycompare.leaderboard import ModelRow, place
from raycompare.margins import Margins, scores
from raycompare.metrics import MODES, MetricName
from raycompare.record import BaselineRecord


@dataclass(frozen=True, kw_only=True)
class BaselineRow:
    """What a baseline scores on the test split; it has a place by its score, but no rank."""

    model: str
    """What the tables call it."""
    test: Mapping[MetricName, float]
    """Without what it has no value of."""
    trial_id: str | None = None
    """Of its stored predictions."""
    validation: float | None = None
    """By the experiment's metric."""
    num_parameters: int | None = None
    seconds: float | None = None
    """Wall-clock of choosing, fitting and testing."""

    @classmethod
    def of(cls, record: BaselineRecord) -> Self:
        """Take what the record of a fitted baseline says."""
        return cls(
            model=record.name,
            test={name: getattr(record, name) for name in MODES},
            trial_id=record.trial_id,
            validation=record.validation,
            num_parameters=record.num_parameters,
            seconds=record.seconds,
        )


Line = ModelRow | BaselineRow


def majority(label_counts: Mapping[str, int]) -> BaselineRow:
    """Return what always answering the most frequent test label scores.

    Among equals it is the first by name. Macro averages are over the labels that the test split
    has. It has no loss, since it gives no probabilities.
    """
    names = sorted(label_counts)
    actual = np.array([label_counts[name] for name in names], float)
    most = np.arange(len(names)) == actual.argmax()
    margins = Margins(
        correct=np.where(most, actual, 0.0),
        predicted=np.where(most, actual.sum(), 0.0),
        actual=actual,
    )
    return BaselineRow(
        model=f"majority class ({names[actual.argmax()]})",
        test={name: float(scores(name, margins)) for name in MODES if name != "loss"},
    )


def baseline_rows(
    records: Sequence[BaselineRecord], data: Mapping[str, Any]
) -> tuple[BaselineRow, ...]:
    """Return a row for each fitted baseline, and for the majority where its labels are known.

    `data` is that of the manifest.
    """
    counts = data.get("test_label_counts")
    fitted = [BaselineRow.of(record) for record in records]
    return (*fitted, majority(counts)) if counts else tuple(fitted)


def standings(
    rows: Sequence[ModelRow], baselines: Sequence[BaselineRow], metric: MetricName
) -> tuple[Line, ...]:
    """Put the baselines between the models, which are in order, by their test value.

    A model stands before a baseline of the same value; below both is what has no value.
    """
    return tuple(sorted((*rows, *baselines), key=lambda line: _place(line, metric)))


def _place(line: Line, metric: MetricName) -> tuple[int, float]:
    if isinstance(line, BaselineRow):
        return place(line.test.get(metric, math.nan), metric)
    return place(line.test[metric].mean, metric) if line.test else (2, 0.0)
