"""Draws which models give the most for the time a text takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath
from matplotlib.ticker import LogLocator
from matplotlib.transforms import Affine2D, Transform

from raycompare.analysis.pareto import ParetoPoint
from raycompare.metrics import LABELS, MetricName
from raycompare.report.figures.label_layout import Anchor, Box, Ground, place_labels
from raycompare.report.figures.style import MEDIUM, SMALL, colour, label, tidy

LOG_FROM = 10.0
"""The ratio of the longest to the shortest time from which the axis is logarithmic."""
MOST_LABELLED = 12
"""Models whose names fit beside their points; of more, only those on the front are named."""
POINTS_PER_INCH = 72
POINT_SIZE, LINE_HEIGHT = 6.0, 1.2
NEAR_ENOUGH = 10.0
"""Points of a figure. A label that is farther from its point has a line to it."""
THIN, THICK = 1.0, 1.8
Spot = tuple[float, float]
"""Milliseconds and test value."""


def draw_pareto(points: Sequence[ParetoPoint], metric: MetricName) -> Figure:
    """Draw the test value of each model against its latency, and the front as a line."""
    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    axes = figure.subplots()
    best = sorted((p for p in points if p.on_front), key=lambda point: point.latency_ms)
    others = [point for point in points if not point.on_front]
    for chosen, line_colour in ((others, rcParams["text.color"]), (best, colour(0))):
        _draw_points(axes, chosen, str(line_colour))
    times, values = [p.latency_ms for p in best], [p.value for p in best]
    axes.plot(times, values, color=colour(0), linewidth=THICK, drawstyle="steps-post", zorder=1)
    _scale(axes, [point.latency_ms for point in points])
    axes.set_xlabel("milliseconds for a text, median", fontsize=MEDIUM)
    axes.set_ylabel(f"test {LABELS[metric]}", fontsize=MEDIUM)
    tidy(axes, grid="both")
    _name_points(axes, points, [*best, *others] if len(points) <= MOST_LABELLED else best)
    return figure


def _draw_points(axes: Axes, points: Sequence[ParetoPoint], point_colour: str) -> None:
    for point in points:
        if point.low is not None and point.high is not None:
            axes.vlines(
                point.latency_ms,
                point.low,
                point.high,
                color=point_colour,
                linewidth=THIN,
                alpha=0.45,
            )
    times, values = [p.latency_ms for p in points], [p.value for p in points]
    axes.plot(times, values, "o", color=point_colour, markersize=POINT_SIZE)


def _scale(axes: Axes, times: Sequence[float]) -> None:
    if max(times) / min(times) > LOG_FROM:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        axes.margins(x=0.12)
    else:
        axes.margins(x=0.12)
        axes.set_xlim(left=0)


def _name_points(axes: Axes, points: Sequence[ParetoPoint], named: Sequence[ParetoPoint]) -> None:
    """Write names beside their points; the layout is made first, and they don't change it."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    to_points = axes.transData + Affine2D().scale(POINTS_PER_INCH / figure.dpi)
    texts = [label(point.model) for point in named]
    anchors = [_anchor(to_points, p, text) for p, text in zip(named, texts, strict=True)]
    boxes = place_labels(anchors, _ground(axes, to_points, points))
    for point, text, anchor, box in zip(named, texts, anchors, boxes, strict=True):
        written = axes.annotate(
            text,
            (point.latency_ms, point.value),
            xytext=(box.left - anchor.x, (box.bottom + box.top) / 2 - anchor.y),
            textcoords="offset points",
            va="center_baseline",
            fontsize=SMALL,
            arrowprops=_line(anchor, box),
            path_effects=[withStroke(linewidth=2, foreground=rcParams["axes.facecolor"])],
        )
        written.set_in_layout(False)


def _line(anchor: Anchor, box: Box) -> dict[str, object] | None:
    """Return a line from the nearest side of a label to its point; none where it is near."""
    if box.distance(anchor.x, anchor.y) <= NEAR_ENOUGH:
        return None
    across = (anchor.x - box.left) / anchor.width
    along = (anchor.y - box.bottom) / anchor.height
    return {
        "arrowstyle": "-",
        "color": rcParams["text.color"],
        "linewidth": 0.6,
        "relpos": (min(max(across, 0), 1), min(max(along, 0), 1)),
        "shrinkA": 0,
        "shrinkB": POINT_SIZE / 2,
    }


def _anchor(to_points: Transform, point: ParetoPoint, text: str) -> Anchor:
    x, y = to_points.transform((point.latency_ms, point.value))
    width = TextPath((0, 0), text, size=SMALL).get_extents().width
    return Anchor(float(x), float(y), width=width, height=LINE_HEIGHT * SMALL)


def _ground(axes: Axes, to_points: Transform, points: Sequence[ParetoPoint]) -> Ground:
    """Return where points and lines are, in points of the figure."""

    def box(first: Spot, last: Spot, width: float) -> Box:
        corners = to_points.transform([first, last])
        left, bottom = corners.min(axis=0) - width / 2
        right, top = corners.max(axis=0) + width / 2
        return Box(float(left), float(bottom), float(right), float(top))

    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    intervals = [
        ((p.latency_ms, p.low), (p.latency_ms, p.high))
        for p in points
        if p.low is not None and p.high is not None
    ]
    return Ground(
        frame=box((left, low), (right, high), 0),
        points=[box(spot, spot, POINT_SIZE) for spot in map(_spot, points)],
        lines=[
            *(box(*ends, THIN) for ends in intervals),
            *(box(*ends, THICK) for ends in _steps(points)),
        ],
    )


def _spot(point: ParetoPoint) -> Spot:
    return point.latency_ms, point.value


def _steps(points: Sequence[ParetoPoint]) -> Iterator[tuple[Spot, Spot]]:
    """Yield the ends of the lines that the front is drawn with."""
    best = sorted(_spot(point) for point in points if point.on_front)
    for (start, value), (end, next_value) in pairwise(best):
        yield (start, value), (end, value)
        yield (end, value), (end, next_value)
