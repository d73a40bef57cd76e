"""Draws the figures of what was measured while training; nothing here is global."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from raycompare.analysis.curves import BestSoFar, Curve, WallClock, select_curves
from raycompare.analysis.expected_best import ExpectedBest
from raycompare.formatting import SECONDS_PER_HOUR, SECONDS_PER_MINUTE, duration
from raycompare.metrics import LABELS, MetricName
from raycompare.report.figures.style import (
    MEDIUM,
    SMALL,
    colour,
    label,
    legend_above,
    line_style,
    tidy,
)

PANEL_COLUMNS = {1: 1, 2: 2, 3: 3, 4: 2, 5: 3, 6: 3, 7: 4, 8: 4}
MOST_COLUMNS = 4
UPPER_BOUND, LOSS_HEADROOM = 1.0, 1.5
SOME_OTHERS = "some of the other trials, from the best to the worst"
MARGIN, SMALLEST_MARGIN = 0.06, 0.01


def draw_learning_curves(
    curves: Sequence[Curve], models: Sequence[str], metric: MetricName
) -> Figure:
    """Draw a panel per model: its trials thin, the best one thick; of very many only some."""
    given, curves = len(curves), select_curves(curves, metric)
    drawn = [model for model in models if any(curve.model == model for curve in curves)]
    columns = PANEL_COLUMNS.get(len(drawn), MOST_COLUMNS)
    rows = math.ceil(len(drawn) / columns)
    figure = Figure(figsize=(max(6.4, 2.9 * columns), 1.0 + 2.3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels: list[Axes] = list(grid.flat)
    for index, (panel, model) in enumerate(zip(panels, drawn, strict=False)):
        own = [curve for curve in curves if curve.model == model]
        _draw_panel(panel, own, colour(index))
        panel.set_title(label(model), fontsize=MEDIUM)
        panel.xaxis.set_tick_params(labelbottom=index + columns >= len(drawn))
    for unused in panels[len(drawn) :]:
        unused.set_visible(False)
    panels[0].set_xlim(left=0)
    panels[0].set_ylim(*_curve_limits(curves, metric))
    figure.supxlabel("optimizer steps", fontsize=MEDIUM)
    figure.supylabel(f"validation {LABELS[metric]}", fontsize=MEDIUM)
    _curve_legend(figure, curves, others="other trials" if len(curves) == given else SOME_OTHERS)
    return figure


def _draw_panel(panel: Axes, curves: Iterable[Curve], line_colour: str) -> None:
    for curve in sorted(curves, key=lambda curve: curve.is_best):
        width, alpha = (2.2, 1.0) if curve.is_best else (0.9, 0.45)
        marker = "." if len(curve.steps) == 1 else None
        panel.plot(
            curve.steps,
            curve.values,
            color=line_colour,
            linewidth=width,
            alpha=alpha,
            marker=marker,
        )
        if curve.stopped_early:
            panel.plot(curve.steps[-1], curve.values[-1], "x", color=_ink(), markersize=5)
    tidy(panel)


def _curve_limits(curves: Sequence[Curve], metric: MetricName) -> tuple[float, float]:
    best = [value for curve in curves if curve.is_best for value in curve.values]
    return y_limits([value for curve in curves for value in curve.values], best, metric)


def _curve_legend(figure: Figure, curves: Sequence[Curve], others: str) -> None:
    handles = [Line2D([], [], color=_ink(), linewidth=2.2, label="best trial of the model")]
    if not all(curve.is_best for curve in curves):
        handles.append(Line2D([], [], color=_ink(), linewidth=0.9, alpha=0.6, label=others))
    if any(curve.stopped_early for curve in curves):
        handles.append(
            Line2D([], [], color=_ink(), marker="x", linestyle="", label="stopped early here")
        )
    legend_above(figure, handles)


def draw_best_so_far(progress: Sequence[BestSoFar], metric: MetricName) -> Figure:
    """Draw each model's best validation value against the clock of the run."""
    figure = Figure(figsize=(8.0, max(3.8, 1.4 + 0.24 * len(progress))), layout="constrained")
    axes = figure.subplots()
    unit, seconds = time_unit(max(model.ended_at for model in progress))
    for index, model in enumerate(progress):
        times = [time / seconds for time in (*model.seconds, model.ended_at)]
        axes.plot(
            times,
            [*model.values, model.values[-1]],
            drawstyle="steps-post",
            color=colour(index),
            linestyle=line_style(index),
            linewidth=1.8,
            marker="o",
            markersize=3,
            markevery=range(len(model.values)),
            label=label(model.model),
        )
    values = [value for model in progress for value in model.values]
    axes.set_ylim(*y_limits(values, values, metric))
    axes.set_xlim(left=0)
    axes.set_xlabel(f"{unit} since the run began", fontsize=MEDIUM)
    axes.set_ylabel(f"best validation {LABELS[metric]} so far", fontsize=MEDIUM)
    tidy(axes)
    figure.legend(loc="outside right upper", fontsize=SMALL, frameon=False, handlelength=3)
    return figure


def draw_expected_best(models: Sequence[ExpectedBest], metric: MetricName) -> Figure:
    """Draw what the best of so many trials is on average, by model."""
    figure = Figure(figsize=(8.0, max(3.8, 1.4 + 0.24 * len(models))), layout="constrained")
    axes = figure.subplots()
    for index, model in enumerate(models):
        axes.plot(
            range(1, len(model.values) + 1),
            model.values,
            color=colour(index),
            linestyle=line_style(index),
            linewidth=1.8,
            marker="o",
            markersize=3,
            label=label(model.model),
        )
    values = [value for model in models for value in model.values]
    axes.set_ylim(*y_limits(values, values, metric))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trials of the model", fontsize=MEDIUM)
    axes.set_ylabel(f"expected best validation {LABELS[metric]}", fontsize=MEDIUM)
    tidy(axes)
    figure.legend(loc="outside right upper", fontsize=SMALL, frameon=False, handlelength=3)
    return figure


def draw_wall_clock(models: Sequence[WallClock]) -> Figure:
    """Draw a bar per model: training, and evaluation behind it."""
    figure = Figure(figsize=(8.0, 1.3 + 0.36 * len(models)), layout="constrained")
    axes = figure.subplots()
    totals = [model.train_seconds + model.eval_seconds for model in models]
    unit, seconds = time_unit(max(totals))
    train = [model.train_seconds / seconds for model in models]
    evaluation = [model.eval_seconds / seconds for model in models]
    places = range(len(models))
    axes.barh(places, train, color=colour(0), height=0.68, label="training")
    bars = axes.barh(
        places, evaluation, left=train, color=colour(4), height=0.68, label="evaluation"
    )
    axes.bar_label(bars, [duration(total) for total in totals], padding=4, fontsize=SMALL)
    axes.set_yticks(places, [label(model.model) for model in models], fontsize=MEDIUM)
    axes.invert_yaxis()
    axes.set_xlim(0, max(totals) / seconds * 1.14)
    axes.set_xlabel(f"{unit} per trial, mean over the confirm trials", fontsize=MEDIUM)
    tidy(axes, grid="x")
    legend_above(figure, axes.get_legend_handles_labels()[0])
    return figure


def y_limits(
    values: Sequence[float], of_the_best: Sequence[float], metric: MetricName
) -> tuple[float, float]:
    """Return limits that show every value, but for losses far above those of the best trials."""
    low, high = min(values), max(values)
    if metric == "loss":
        high = min(high, LOSS_HEADROOM * max(of_the_best))
    margin = MARGIN * (high - low) + SMALLEST_MARGIN
    if metric == "loss":
        return max(low - margin, 0.0), high + margin
    return low - margin, min(high + margin, UPPER_BOUND + SMALLEST_MARGIN)


def time_unit(longest: float) -> tuple[str, int]:
    """Return the unit that suits a time of so many seconds, and its length in seconds."""
    if longest < 3 * SECONDS_PER_MINUTE:
        return "seconds", 1
    if longest < 3 * SECONDS_PER_HOUR:
        return "minutes", SECONDS_PER_MINUTE
    return "hours", SECONDS_PER_HOUR


def _ink() -> str:
    return str(rcParams["text.color"])
