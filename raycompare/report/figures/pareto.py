"""Test score of the models over their latency, with the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from raycompare.analysis.recommendation import on_one_processor
from raycompare.metrics import MODES
from raycompare.report.drawing.figure import ReportFigure
from raycompare.report.drawing.plot import Plot, make_axis, make_plot, make_trace
from raycompare.report.drawing.style import WIDTH, colour, ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from raycompare.report.drawing.point_labels import Segment, Spot

LOG_FROM = 10.0
"""Ratio of the longest to the shortest time above which the axis is logarithmic."""
MOST_LABELLED = 12
"""Number of models above which only those on the front are named."""
POINT_SIZE, THIN, THICK = 6.0, 1.0, 1.8
GREY = "#888888"


@dataclass(frozen=True, kw_only=True)
class ParetoPoint:
    """A model that was tested, and measured for inference."""

    model: str
    latency_ms: float
    """Median latency of a text."""
    latency_low_ms: float | None
    """Lowest median of a round; None without rounds."""
    latency_high_ms: float | None
    value: float
    """Mean test score."""
    low: float | None
    """Lower bound of the 95 % interval; None without an interval."""
    high: float | None
    on_front: bool
    """Whether no other model is at least as fast and as good, and better in one of the two."""

    @property
    def spot(self) -> Spot:
        """Position in the units of the axes."""
        return self.latency_ms, self.value


class ParetoFigure(ReportFigure):
    """A point per model, and a line along the Pareto front."""

    order = 50

    @cached_property
    def data(self) -> list[ParetoPoint]:
        """Measured models, best first; empty if they were measured on different processors."""
        inference, intervals = self.comparison.inference, self.comparison.judgement.intervals
        if not on_one_processor(inference):
            return []
        latencies = {record.model: record.latency_p50_ms for record in inference}
        spots = {
            row.model: (latencies[row.model], row.test[self.metric].mean)
            for row in self.comparison.leaderboard
            if row.model in latencies and row.test and math.isfinite(row.test[self.metric].mean)
        }
        speed = self.comparison.speed
        best = front(spots, MODES[self.metric] == "max")
        return [
            ParetoPoint(
                model=model,
                latency_ms=latency,
                latency_low_ms=min(speed.of(model), default=None),
                latency_high_ms=max(speed.of(model), default=None),
                value=value,
                low=interval.low if interval else None,
                high=interval.high if interval else None,
                on_front=model in best,
            )
            for model, (latency, value) in spots.items()
            for interval in [intervals.get(model, {}).get(self.metric)]
        ]

    @property
    def _best(self) -> list[ParetoPoint]:
        return sorted((p for p in self.data if p.on_front), key=lambda point: point.latency_ms)

    @property
    def has_data(self) -> bool:
        return len(self.data) > 1

    def caption(self) -> str:
        rounds = " (horizontal: its range over the rounds)" if self.comparison.speed.rounds else ""
        return (
            f"Mean test {self.metric_label} with its 95 % interval, if there is one, over the "
            f"median latency of a text{rounds}. No model has both a lower median and a better mean "
            "than those on the line."
        )

    def draw(self, figure: Figure) -> None:
        from raycompare.report.drawing.point_labels import name_points

        figure.set_size_inches(WIDTH, 4.4)
        axes = figure.subplots()
        best, others = self._best, [point for point in self.data if not point.on_front]
        _draw_points(axes, others, ink())
        _draw_points(axes, best, colour(0))
        times, values = [p.latency_ms for p in best], [p.value for p in best]
        axes.plot(times, values, color=colour(0), linewidth=THICK, drawstyle="steps-post", zorder=1)
        _scale(axes, [point.latency_ms for point in self.data])
        axes.set_xlabel("median latency of a text, ms")
        axes.set_ylabel(f"test {self.metric_label}")
        axes.grid()
        named = [*best, *others] if len(self.data) <= MOST_LABELLED else best
        names = {point.model: point.spot for point in named}
        lines = [*_intervals(self.data), *_steps(best)]
        name_points(axes, names, [point.spot for point in self.data], lines, POINT_SIZE)

    def plot(self) -> Plot:
        line = {
            "type": "scatter",
            "x": [point.latency_ms for point in self._best],
            "y": [point.value for point in self._best],
            "mode": "lines",
            "line": {"dash": "dot", "color": GREY},
            "hoverinfo": "skip",
            "showlegend": False,
        }
        points = [
            make_trace(
                point.model,
                self.models.index(point.model),
                x=[point.latency_ms],
                y=[point.value],
                error_x=_error_bar(point.latency_ms, point.latency_low_ms, point.latency_high_ms),
                error_y=_error_bar(point.value, point.low, point.high),
                visible=None,
                mode="markers",
                marker={"size": 12, "symbol": "circle" if point.on_front else "circle-open"},
                hovertemplate="%{x:.3g} ms, %{y:.4f}",
            )
            for point in self.data
        ]
        latency = make_axis("median latency of a text, ms", type="log")
        return make_plot([line, *points], "", f"test {self.metric_label}", xaxis=latency)

    def rows(self) -> Iterator[dict[str, object]]:
        return map(asdict, self.data)


def front(points: Mapping[str, tuple[float, float]], higher_is_better: bool) -> set[str]:
    """Return the names of the points (latency, value) that no other point dominates.

    These are, from the fastest on, the ones better than all before. Equal points are kept together.
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


def _error_bar(value: float, low: float | None, high: float | None) -> dict[str, object]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [(high or value) - value],
        "arrayminus": [value - (low or value)],
        "visible": low is not None,
    }


def _draw_points(axes: Axes, points: Sequence[ParetoPoint], point_colour: str) -> None:
    for start, end, width in _intervals(points):
        (left, low), (right, high) = start, end
        axes.plot((left, right), (low, high), color=point_colour, linewidth=width, alpha=0.45)
    times, values = [p.latency_ms for p in points], [p.value for p in points]
    axes.plot(times, values, "o", color=point_colour, markersize=POINT_SIZE)


def _scale(axes: Axes, times: Sequence[float]) -> None:
    from matplotlib.ticker import LogLocator

    axes.margins(x=0.12)
    if max(times) / min(times) > LOG_FROM:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    else:
        axes.set_xlim(left=0)


def _intervals(points: Sequence[ParetoPoint]) -> Iterator[Segment]:
    for point in points:
        if point.low is not None and point.high is not None:
            yield (point.latency_ms, point.low), (point.latency_ms, point.high), THIN
        if point.latency_low_ms is not None and point.latency_high_ms is not None:
            yield (point.latency_low_ms, point.value), (point.latency_high_ms, point.value), THIN


def _steps(best: Sequence[ParetoPoint]) -> Iterator[Segment]:
    for (start, value), (end, next_value) in pairwise(point.spot for point in best):
        yield (start, value), (end, value), THICK
        yield (end, value), (end, next_value), THICK
