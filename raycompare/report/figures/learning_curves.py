"""Validation scores of the trials over optimizer steps."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from html import escape
from itertools import chain
from typing import TYPE_CHECKING, Any

from raycompare.analysis.curves import Curve, learning_curves
from raycompare.formatting import number_of
from raycompare.metrics import MODES, MetricName
from raycompare.records.rows import TrialRecord
from raycompare.report.drawing.figure import ReportFigure
from raycompare.report.drawing.plot import Plot, make_plot, make_trace
from raycompare.report.drawing.style import (
    MOST_LINES,
    SMALL,
    WIDTH,
    colour,
    ink,
    label,
    legend_above,
    y_limits,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CURVES = 30
"""Largest number of curves in the panel of a model."""
PANEL_COLUMNS = {1: 1, 2: 2, 3: 3, 4: 2}
MOST_COLUMNS = 3
LONGEST_TITLES = {1: 36, 2: 30, 3: 21}
"""Widths of the names above the panels, by the number of columns."""
SOME_OTHERS = "some other trials"
GAP = (None,)
"""Separates two curves of one trace."""
PALE, STRONG = 0.45, 1.0


class LearningCurvesFigure(ReportFigure):
    """A panel per model, with its best trial as a thick line."""

    order = 10

    @cached_property
    def _all_curves(self) -> tuple[Curve, ...]:
        return learning_curves(self.comparison.records)

    @cached_property
    def data(self) -> list[Curve]:
        return select_curves(self._all_curves, self.metric)

    @property
    def _hidden(self) -> int:
        return len(self._all_curves) - len(self.data)

    def caption(self) -> str:
        lines = [
            f"Validation {self.metric_label} over optimizer steps, one panel per model: "
            f"{'some trials' if self._hidden else 'all trials'} of the tune stage, or of the "
            "confirm stage if the model was not tuned. The thick line is the model's best trial."
        ]
        if any(curve.stopped_early for curve in self.data):
            lines.append("A cross marks the end of a trial that was stopped early.")
        if self._hidden:
            lines.append(
                f"At most {MOST_CURVES} trials of each model are drawn, evenly spaced from the "
                "best to the worst by their best value; evaluations.parquet has the other "
                f"{number_of(self._hidden, 'trial')}."
            )
        if self.metric == "loss":
            lines.append("Losses far above those of the best trials are outside the axes.")
        models = len(_by_model(self.data))
        if models > MOST_LINES:
            lines.append(
                f"Only the first {MOST_LINES} of {models} models; evaluations.parquet has all."
            )
        return " ".join(lines)

    def page_caption(self) -> str:
        hidden = f" {self._hidden:,} more are in evaluations.parquet." if self._hidden else ""
        return (
            f"Validation {self.metric_label} over optimizer steps. Hover over a curve to identify "
            "its trial. Click a model to hide it, double-click to hide all others. The thick line "
            "is the model's best trial; an open circle marks the end of a trial that was stopped "
            f"early.{hidden}"
        )

    def draw(self, figure: Figure) -> None:
        by_model = _by_model(self.data)
        drawn = [model for model in self.models if model in by_model][:MOST_LINES]
        columns = PANEL_COLUMNS.get(len(drawn), MOST_COLUMNS)
        rows = math.ceil(len(drawn) / columns)
        figure.set_size_inches(WIDTH, 1.0 + (1.7 if columns == MOST_COLUMNS else 2.3) * rows)
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        panels: list[Axes] = list(grid.flat)
        for index, (panel, model) in enumerate(zip(panels, drawn, strict=False)):
            _draw_panel(panel, by_model[model], colour(index))
            panel.set_title(label(model, LONGEST_TITLES[columns]), fontsize=SMALL)
            panel.xaxis.set_tick_params(labelbottom=index + columns >= len(drawn))
        for unused in panels[len(drawn) :]:
            unused.set_visible(False)
        panels[0].set_xlim(left=0)
        panels[0].set_ylim(*self._limits())
        figure.supxlabel("optimizer steps")
        figure.supylabel(f"validation {self.metric_label}")
        self._draw_legend(figure)

    def _limits(self) -> tuple[float, float]:
        best = [value for curve in self.data if curve.is_best for value in curve.values]
        return y_limits([v for curve in self.data for v in curve.values], best, self.metric)

    def _draw_legend(self, figure: Figure) -> None:
        from matplotlib.lines import Line2D

        others = SOME_OTHERS if self._hidden else "other trials"
        handles = [Line2D([], [], color=ink(), linewidth=2.2, label="best trial of the model")]
        if not all(curve.is_best for curve in self.data):
            handles.append(Line2D([], [], color=ink(), linewidth=0.9, alpha=0.6, label=others))
        if any(curve.stopped_early for curve in self.data):
            handles.append(
                Line2D([], [], color=ink(), marker="x", linestyle="", label="stopped early here")
            )
        legend_above(figure, handles)

    def plot(self) -> Plot:
        trials = {trial.trial_id: trial for trial in self.comparison.trials}
        by_model = _by_model(self.data)
        traces = [
            _trace(curves, trials, place, is_best)
            for place, model in enumerate(self.models)
            for is_best in (False, True)
            if (curves := [c for c in by_model.get(model, ()) if c.is_best == is_best])
        ]
        return make_plot(traces, "optimizer steps", f"validation {self.metric_label}")


def select_curves(
    curves: Sequence[Curve], metric: MetricName, most: int = MOST_CURVES
) -> list[Curve]:
    """Select at most this many curves of each model, keeping their order.

    The selection contains the best trial, the worst, and evenly spaced ones between them by best
    value, so a panel shows how the trials spread.
    """
    ranked = sorted(curves, key=lambda curve: (not curve.is_best, _rank(curve, metric)))
    kept = {
        curve.trial_id for own in _by_model(ranked).values() for curve in _select_evenly(own, most)
    }
    return [curve for curve in curves if curve.trial_id in kept]


def _by_model(curves: Iterable[Curve]) -> dict[str, list[Curve]]:
    by_model: defaultdict[str, list[Curve]] = defaultdict(list)
    for curve in curves:
        by_model[curve.model].append(curve)
    return by_model


def _rank(curve: Curve, metric: MetricName) -> float:
    return min(curve.values) if MODES[metric] == "min" else -max(curve.values)


def _select_evenly(ranked: Sequence[Curve], most: int) -> Sequence[Curve]:
    if len(ranked) <= most:
        return ranked
    last = len(ranked) - 1
    return [ranked[last * place // (most - 1)] for place in range(most)]


def _draw_panel(panel: Axes, curves: Iterable[Curve], line_colour: str) -> None:
    for curve in sorted(curves, key=lambda curve: curve.is_best):
        width, alpha = (2.2, STRONG) if curve.is_best else (0.9, PALE)
        (line,) = panel.plot(curve.steps, curve.values, color=line_colour, linewidth=width)
        line.set(alpha=alpha, marker="." if len(curve.steps) == 1 else "")
        if curve.stopped_early:
            panel.plot(curve.steps[-1], curve.values[-1], "x", color=ink(), markersize=5)
    panel.grid(axis="y")


def _trace(
    curves: Sequence[Curve], trials: dict[str, TrialRecord], place: int, is_best: bool
) -> dict[str, Any]:
    texts = ([_describe(trials[curve.trial_id])] * (len(curve.steps) + 1) for curve in curves)
    return make_trace(
        curves[0].model,
        place,
        x=list(chain.from_iterable((*curve.steps, *GAP) for curve in curves)),
        y=list(chain.from_iterable((*curve.values, *GAP) for curve in curves)),
        text=list(chain.from_iterable(texts)),
        marker={"symbol": list(chain.from_iterable(map(_symbols, curves))), "size": 7},
        legendgroup=str(place),
        showlegend=is_best,
        mode="lines+markers",
        line={"width": 3 if is_best else 1},
        opacity=STRONG if is_best else PALE,
        hovertemplate="%{text}<br>step %{x:,}: %{y:.4f}<extra></extra>",
    )


def _symbols(curve: Curve) -> list[str]:
    last = "circle-open" if curve.stopped_early else "circle"
    return [*["circle"] * (len(curve.steps) - 1), last, "circle"]


def _describe(trial: TrialRecord) -> str:

    searched = json.loads(trial.hyperparameters)
    values = [f"{name} {_short(searched[name])}" for name in sorted(searched)]
    return "<br>".join(map(escape, [trial.trial_id, *(values or ["untuned default"])]))


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
