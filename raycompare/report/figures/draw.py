"""Which figures a report has, each for light and for dark pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from matplotlib import rc_context
from matplotlib.figure import Figure

from raycompare.analysis.comparison import Comparison
from raycompare.analysis.curves import MOST_LINES
from raycompare.report.figures.confusion import MOST_LABELS, draw_confusion
from raycompare.report.figures.pareto import draw_pareto
from raycompare.report.figures.style import LIGHT, draw_themed
from raycompare.report.figures.training import (
    draw_best_so_far,
    draw_expected_best,
    draw_learning_curves,
    draw_wall_clock,
)

Drawing = Figure
"""For those that don't import matplotlib."""


def drawings(comparison: Comparison) -> dict[str, Callable[[], Figure]]:
    """Return how to draw each figure that there is data for, by the name of its file."""
    metric, classes = comparison.metric, comparison.judgement.classes
    models = [row.model for row in comparison.leaderboard]
    found: dict[str, Callable[[], Figure]] = {}
    if comparison.curves:
        found["learning_curves"] = lambda: draw_learning_curves(comparison.curves, models, metric)
    if comparison.best_so_far:
        found["best_so_far"] = lambda: draw_best_so_far(comparison.best_so_far[:MOST_LINES], metric)
    if comparison.expected_best:
        found["expected_best"] = lambda: draw_expected_best(
            comparison.expected_best[:MOST_LINES], metric
        )
    if comparison.wall_clock:
        found["wall_clock"] = lambda: draw_wall_clock(comparison.wall_clock)
    if len(comparison.pareto) > 1:
        found["pareto"] = lambda: draw_pareto(comparison.pareto, metric)
    if classes and len(classes.labels) <= MOST_LABELS:
        found["confusion"] = lambda: draw_confusion(classes)
    return found


def images(comparison: Comparison) -> dict[str, Mapping[str, bytes]]:
    """Draw every figure; of each the PNGs by the suffix of their names."""
    return {name: draw_themed(draw) for name, draw in drawings(comparison).items()}


def draw_figures(comparison: Comparison) -> dict[str, Figure]:
    """Draw every figure for light pages."""
    with rc_context(LIGHT.settings):
        return {name: draw() for name, draw in drawings(comparison).items()}
