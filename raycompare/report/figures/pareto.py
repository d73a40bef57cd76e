"""Which models give the most for the time that a text takes: score against latency."""

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
from raycompare.report.drawing.style import MEDIUM, colour, ink, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from raycompare.report.drawing.point_labels import Line, Spot

LOG_FROM = 10.0
"""The ratio of the longest to the shortest time from which the axis is logarithmic."""
MOST_LABELLED = 12
"""Models whose names fit beside their points; of more, only those on the front are named."""
POINT_SIZE, THIN, THICK = 6.0, 1.0, 1.8
GREY = "#888888"


@dataclass(frozen=True, kw_only=True)
class ParetoPoint:
    """A tested model that was measured."""

    model: str
    latency_ms: float
    """The median latency of a text."""
    value: float
    """The mean test value."""
    low: float | None
    """Bound of the 95 % interval; None, as `high` is, where there is no interval."""
    high: float | None
    on_front: bool
    """No other model is as quick and as good, and better in one of the two."""

    @property
    def spot(self) -> Spot:
        """Where the point is drawn."""
        return self.latency_ms, self.value


class ParetoFigure(ReportFigure):
    """A point per model, and a line through those that no other model dominates."""

    order = 50

    @cached_property
    def data(self) -> list[ParetoPoint]:
        """The models that were tested and measured, in the order of the leaderboard.

        There are none where the models were measured on different processors.
        """
        inference, intervals = self.comparison.inference, self.comparison.judgement.intervals
        if not on_one_processor(inference):
            return []
        latencies = {record.model: record.latency_p50_ms for record in inference}
        spots = {
            row.model: (latencies[row.model], row.test[self.metric].mean)
            for row in self.comparison.leaderboard
            if row.model in latencies and row.test and math.isfinite(row.test[self.metric].mean)
        }
        best = front(spots, MODES[self.metric] == "max")
        return [
            ParetoPoint(
                model=model,
                latency_ms=latency,
                value=value,
                low=interval.low if interval else None,
                high=interval.high if interval else None,
                on_front=model in best,
            )
            for model, (latency, value) in spots.items()
            for interval in [intervals.get(model, {}).get(self.metric)]
        ]

    @property
    def best(self) -> list[ParetoPoint]:
        """The points on the front, quickest first."""
        return sorted((p for p in self.data if p.on_front), key=lambda point: point.latency_ms)

    @property
    def has_data(self) -> bool:
        """Whether there are two models to compare."""
        return len(self.data) > 1

    def caption(self) -> str:
        """Explain the points and the line."""
        return (
            f"Mean test {self.metric_label} with its 95 % interval, where it has one, against the "
            "median latency of a text. No model is both quicker and better than those on the line."
        )

    def draw(self, figure: Figure) -> None:
        """Draw points with their intervals and names, and the front as steps."""
        from raycompare.report.drawing.point_labels import name_points

        figure.set_size_inches(8.0, 5.0)
        axes = figure.subplots()
        best, others = self.best, [point for point in self.data if not point.on_front]
        _draw_points(axes, others, ink())
        _draw_points(axes, best, colour(0))
        times, values = [p.latency_ms for p in best], [p.value for p in best]
        axes.plot(times, values, color=colour(0), linewidth=THICK, drawstyle="steps-post", zorder=1)
        _scale(axes, [point.latency_ms for point in self.data])
        axes.set_xlabel("milliseconds for a text, median", fontsize=MEDIUM)
        axes.set_ylabel(f"test {self.metric_label}", fontsize=MEDIUM)
        tidy(axes, grid="both")
        named = [*best, *others] if len(self.data) <= MOST_LABELLED else best
        names = {point.model: point.spot for point in named}
        lines = [*_intervals(self.data), *_steps(best)]
        name_points(axes, names, [point.spot for point in self.data], lines, POINT_SIZE)

    def plot(self) -> Plot:
        """Return points with their intervals, and the front as a dotted line."""
        line = {
            "type": "scatter",
            "x": [point.latency_ms for point in self.best],
            "y": [point.value for point in self.best],
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
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": [(point.high or point.value) - point.value],
                    "arrayminus": [point.value - (point.low or point.value)],
                    "visible": point.low is not None,
                },
                visible=None,
                mode="markers",
                marker={"size": 12, "symbol": "circle" if point.on_front else "circle-open"},
                hovertemplate="%{x:.3g} ms, %{y:.4f}",
            )
            for point in self.data
        ]
        latency = make_axis("ms for a text, median", type="log")
        return make_plot([line, *points], "", f"test {self.metric_label}", xaxis=latency)

    def rows(self) -> Iterator[dict[str, object]]:
        """Return a row per model."""
        return map(asdict, self.data)


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


def _draw_points(axes: Axes, points: Sequence[ParetoPoint], point_colour: str) -> None:
    for (time, low), (_, high), _ in _intervals(points):
        axes.vlines(time, low, high, color=point_colour, linewidth=THIN, alpha=0.45)
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


def _intervals(points: Sequence[ParetoPoint]) -> Iterator[Line]:
    for point in points:
        if point.low is not None and point.high is not None:
            yield (point.latency_ms, point.low), (point.latency_ms, point.high), THIN


def _steps(best: Sequence[ParetoPoint]) -> Iterator[Line]:
    """Yield the lines that the front is drawn with."""
    for (start, value), (end, next_value) in pairwise(point.spot for point in best):
        yield (start, value), (end, value), THICK
        yield (end, value), (end, next_value), THICK
