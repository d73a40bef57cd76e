"""Which models give the most for the time a text takes: the Pareto front of latency and score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from raycompare.analysis.intervals import Interval
from raycompare.analysis.leaderboard import ModelRow
from raycompare.metrics import MODES, MetricName
from raycompare.records.rows import InferenceRecord


@dataclass(frozen=True, kw_only=True)
class ParetoPoint:
    """A tested model that was measured."""

    model: str
    latency_ms: float
    """Of a text, the median."""
    value: float
    """The mean test value."""
    low: float | None
    """Of the 95 % interval; None, as `high` is, where there is no interval."""
    high: float | None
    on_front: bool
    """No other model is as quick and as good, and better in one of the two."""


def pareto_points(
    rows: Iterable[ModelRow],
    inference: Sequence[InferenceRecord],
    intervals: Mapping[str, Mapping[MetricName, Interval]],
    metric: MetricName,
) -> tuple[ParetoPoint, ...]:
    """Return a point for each model of the leaderboard that was tested and measured, in its order.

    There are none where the models were measured on different processors.
    """
    if not on_one_processor(inference):
        return ()
    latencies = {record.model: record.latency_p50_ms for record in inference}
    found = {
        row.model: (latencies[row.model], row.test[metric].mean)
        for row in rows
        if row.model in latencies and row.test and math.isfinite(row.test[metric].mean)
    }
    best = front(found, MODES[metric] == "max")
    return tuple(
        ParetoPoint(
            model=model,
            latency_ms=latency,
            value=value,
            low=interval.low if interval else None,
            high=interval.high if interval else None,
            on_front=model in best,
        )
        for model, (latency, value) in found.items()
        for interval in [intervals.get(model, {}).get(metric)]
    )


def on_one_processor(inference: Iterable[InferenceRecord]) -> bool:
    """Say whether the times can be compared: all from processors or cards of one kind."""
    return len({(record.device.split(":")[0], record.processor) for record in inference}) <= 1


def front(points: Mapping[str, tuple[float, float]], higher_is_better: bool) -> set[str]:
    """Return the names of the points that no other dominates; a point is (latency, value).

    From the quickest on, those that are better than all before; points that are equal stand or
    fall together.
    """
    sign = -1.0 if higher_is_better else 1.0
    kept: set[str] = set()
    least, latest = math.inf, (math.nan, math.nan)
    for name in sorted(points, key=lambda name: (points[name][0], sign * points[name][1])):
        loss = sign * points[name][1]
        if loss < least or points[name] == latest:
            kept.add(name)
            least, latest = loss, points[name]
    return kept
