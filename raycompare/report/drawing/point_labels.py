"""Writes names next to the points of a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D, Transform

from raycompare.report.drawing.label_layout import Anchor, Box, Ground, place_labels
from raycompare.report.drawing.style import SMALL, label

POINTS_PER_INCH = 72
LINE_HEIGHT = 1.2
NEAR_ENOUGH = 10.0
"""Distance in points above which a label is connected to its point by a line."""
Spot = tuple[float, float]
"""A position in the units of the axes."""
Segment = tuple[Spot, Spot, float]
"""Two ends, and a width in points."""


def name_points(
    axes: Axes,
    names: Mapping[str, Spot],
    points: Sequence[Spot],
    lines: Sequence[Segment],
    point_size: float,
) -> None:
    """Write names next to points without changing the layout of the figure.

    Names hide no points, and as little of the lines as possible.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    to_points = axes.transData + Affine2D().scale(POINTS_PER_INCH / figure.dpi)
    texts = [label(name) for name in names]
    anchors = [
        _anchor(to_points, spot, text) for spot, text in zip(names.values(), texts, strict=True)
    ]
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    ground = Ground(
        frame=_box(to_points, (left, low), (right, high), 0),
        points=[_box(to_points, spot, spot, point_size) for spot in points],
        lines=[_box(to_points, *line) for line in lines],
    )
    boxes = place_labels(anchors, ground)
    for spot, text, anchor, box in zip(names.values(), texts, anchors, boxes, strict=True):
        written = axes.annotate(
            text,
            spot,
            xytext=(box.left - anchor.x, (box.bottom + box.top) / 2 - anchor.y),
            textcoords="offset points",
            va="center_baseline",
            fontsize=SMALL,
            arrowprops=_connect(anchor, box, point_size),
            path_effects=[withStroke(linewidth=2, foreground=rcParams["axes.facecolor"])],
        )
        written.set_in_layout(False)


def _connect(anchor: Anchor, box: Box, point_size: float) -> dict[str, object] | None:
    """Return a line from a label to its point; None if the label is near enough."""
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
        "shrinkB": point_size / 2,
    }


def _anchor(to_points: Transform, spot: Spot, text: str) -> Anchor:
    x, y = to_points.transform(spot)
    width = TextPath((0, 0), text, size=SMALL).get_extents().width
    return Anchor(float(x), float(y), width=width, height=LINE_HEIGHT * SMALL)


def _box(to_points: Transform, first: Spot, last: Spot, width: float) -> Box:
    corners = to_points.transform([first, last])
    left, bottom = corners.min(axis=0) - width / 2
    right, top = corners.max(axis=0) + width / 2
    return Box(float(left), float(bottom), float(right), float(top))
