"""The figures of the HTML page, for Plotly: data first, colours when the page is shown.

Plotly reads a little HTML in its texts (`<b>`, `<a>`), so what users named is escaped here. A
trace with a `place` in its `meta` has the colour and the dash of the model at that place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from itertools import chain
from typing import Any

import numpy as np
import plotly.graph_objects as go

from raycompare.analysis.comparison import Comparison
from raycompare.analysis.curves import MOST_LINES, Curve, select_curves
from raycompare.analysis.per_class import ClassReport
from raycompare.metrics import LABELS
from raycompare.records.rows import TrialRecord
from raycompare.report.figures.confusion import MOST_LABELS
from raycompare.report.page.trials import explorer

GAP = (None,)
"""Between two curves of one trace."""
HEIGHT, ROW_HEIGHT = 460, 26
GREY = "#888888"
FEW_TRIALS = 20
"""That an axis can name one by one."""
PALE, STRONG = 0.45, 1.0
CAPTION = (
    "Validation {metric} against optimizer steps. Point at a curve to see its trial; a click on a "
    "model hides it, a double click hides the others. The thick line is the model's best trial, "
    "an open circle the end of a trial that was stopped early.{hidden}"
)


def plot_figures(comparison: Comparison) -> dict[str, go.Figure]:
    """Return the figures that there is data for, by the names of the report's."""
    found = {
        "trial_explorer": explorer(comparison),
        "learning_curves": _learning_curves(comparison),
        "best_so_far": _best_so_far(comparison),
        "expected_best": _expected_best(comparison),
        "wall_clock": _wall_clock(comparison),
        "pareto": _pareto(comparison),
        "confusion": _confusion(comparison.judgement.classes),
    }
    return {name: figure for name, figure in found.items() if figure.data}


def curve_caption(comparison: Comparison) -> str:
    """Say how to read the learning curves, and how many there are not."""
    hidden = len(comparison.curves) - len(select_curves(comparison.curves, comparison.metric))
    more = f" {hidden:,} more are in evaluations.parquet." if hidden else ""
    return CAPTION.format(metric=LABELS[comparison.metric], hidden=more)


def _figure(traces: Iterable[Any], x: str, y: str, **layout: Any) -> go.Figure:
    base = {
        "template": "none",
        "height": HEIGHT,
        "margin": {"l": 70, "r": 20, "t": 20, "b": 60},
        "hovermode": "closest",
        "legend": {"orientation": "v"},
        "xaxis": {"title": {"text": x}, "automargin": True},
        "yaxis": {"title": {"text": y}, "automargin": True},
    }
    return go.Figure(list(traces), {**base, **layout})


def _models(comparison: Comparison) -> list[str]:
    return [row.model for row in comparison.leaderboard]


def _visibility(place: int) -> Any:
    """Leave out models after the first dozen until they are asked for."""
    return True if place < MOST_LINES else "legendonly"


def _learning_curves(comparison: Comparison) -> go.Figure:
    metric = comparison.metric
    curves = select_curves(comparison.curves, metric)
    trials = {trial.trial_id: trial for trial in comparison.trials}
    traces: list[Any] = []
    for place, model in enumerate(_models(comparison)):
        own = [curve for curve in curves if curve.model == model]
        best = [curve for curve in own if curve.is_best]
        others = [curve for curve in own if not curve.is_best]
        traces += [
            _lines(part, trials, place, is_best)
            for part, is_best in ((others, False), (best, True))
            if part
        ]
    return _figure(traces, "optimizer steps", f"validation {LABELS[metric]}")


def _lines(
    curves: Sequence[Curve], trials: dict[str, TrialRecord], place: int, is_best: bool
) -> go.Scatter:
    model = curves[0].model
    return go.Scatter(
        x=list(chain.from_iterable((*curve.steps, *GAP) for curve in curves)),
        y=list(chain.from_iterable((*curve.values, *GAP) for curve in curves)),
        text=list(
            chain.from_iterable(
                [_about(trials[curve.trial_id])] * (len(curve.steps) + 1) for curve in curves
            )
        ),
        marker={
            "symbol": list(chain.from_iterable(map(_symbols, curves))),
            "size": 7,
        },
        name=escape(model),
        legendgroup=str(place),
        showlegend=is_best,
        visible=_visibility(place),
        mode="lines+markers",
        line={"width": 3 if is_best else 1},
        opacity=STRONG if is_best else PALE,
        hovertemplate="%{text}<br>step %{x:,}: %{y:.4f}<extra></extra>",
        meta={"place": place},
    )


def _symbols(curve: Curve) -> list[str]:
    last = "circle-open" if curve.stopped_early else "circle"
    return [*["circle"] * (len(curve.steps) - 1), last, "circle"]


def _about(trial: TrialRecord) -> str:
    """Name a trial and what was searched, for a small box."""
    searched = json.loads(trial.hyperparameters)
    values = [f"{name} {_value(searched[name])}" for name in sorted(searched)]
    return "<br>".join(map(escape, [trial.trial_id, *(values or ["untuned default"])]))


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _best_so_far(comparison: Comparison) -> go.Figure:
    places = {model: place for place, model in enumerate(_models(comparison))}
    traces = [
        go.Scatter(
            x=[seconds / 60 for seconds in (*row.seconds, row.ended_at)],
            y=[*row.values, row.values[-1]],
            name=escape(row.model),
            visible=_visibility(places[row.model]),
            mode="lines",
            line={"shape": "hv", "width": 2},
            hovertemplate="%{x:.1f} min: %{y:.4f}",
            meta={"place": places[row.model]},
        )
        for row in comparison.best_so_far
    ]
    return _figure(traces, "minutes", f"best validation {LABELS[comparison.metric]} so far")


def _expected_best(comparison: Comparison) -> go.Figure:
    places = {model: place for place, model in enumerate(_models(comparison))}
    traces = [
        go.Scatter(
            x=list(range(1, len(row.values) + 1)),
            y=list(row.values),
            name=escape(row.model),
            visible=_visibility(places[row.model]),
            mode="lines+markers",
            hovertemplate="%{x} trials: %{y:.4f}",
            meta={"place": places[row.model]},
        )
        for row in comparison.expected_best
    ]
    figure = _figure(traces, "trials", f"expected best validation {LABELS[comparison.metric]}")
    if max((len(row.values) for row in comparison.expected_best), default=0) <= FEW_TRIALS:
        figure.layout.xaxis.dtick = 1
    return figure


def _wall_clock(comparison: Comparison) -> go.Figure:
    rows = comparison.wall_clock[::-1]
    names = [escape(row.model) for row in rows]
    parts = {
        "training": [row.train_seconds for row in rows],
        "evaluation": [row.eval_seconds for row in rows],
    }
    bars = [
        go.Bar(
            y=names,
            x=[value / 60 for value in values],
            name=name,
            orientation="h",
            hovertemplate="%{y}, " + name + ": %{x:.1f} min<extra></extra>",
            meta={"place": place},
        )
        for place, (name, values) in enumerate(parts.items())
        if rows
    ]
    height = 140 + ROW_HEIGHT * len(rows)
    return _figure(bars, "minutes of a confirm trial", "", barmode="stack", height=height)


def _pareto(comparison: Comparison) -> go.Figure:
    places = {model: place for place, model in enumerate(_models(comparison))}
    if len(comparison.pareto) <= 1:
        return go.Figure()
    front = sorted((p for p in comparison.pareto if p.on_front), key=lambda p: p.latency_ms)
    line = go.Scatter(
        x=[point.latency_ms for point in front],
        y=[point.value for point in front],
        mode="lines",
        line={"dash": "dot", "color": GREY},
        hoverinfo="skip",
        showlegend=False,
    )
    traces = [
        go.Scatter(
            x=[point.latency_ms],
            y=[point.value],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [(point.high or point.value) - point.value],
                "arrayminus": [point.value - (point.low or point.value)],
                "visible": point.low is not None,
            },
            name=escape(point.model),
            mode="markers",
            marker={"size": 12, "symbol": "circle" if point.on_front else "circle-open"},
            hovertemplate="%{x:.3g} ms, %{y:.4f}",
            meta={"place": places[point.model]},
        )
        for point in comparison.pareto
    ]
    latency = {"title": {"text": "ms for a text, median"}, "type": "log", "automargin": True}
    return _figure([line, *traces], "", f"test {LABELS[comparison.metric]}", xaxis=latency)


def _confusion(report: ClassReport | None) -> go.Figure:
    if report is None or len(report.labels) > MOST_LABELS:
        return go.Figure()
    rows = np.asarray(report.matrix)
    shares = 100 * rows / np.maximum(rows.sum(axis=1, keepdims=True), 1)
    names = [escape(name) for name in report.labels]
    heat = go.Heatmap(
        z=shares.tolist(),
        x=names,
        y=names,
        zmin=0,
        zmax=100,
        hovertemplate="%{y} taken for %{x}: %{z:.1f} %<extra></extra>",
    )
    side = 200 + ROW_HEIGHT * len(names)
    axis = {"type": "category", "automargin": True}
    return _figure(
        [heat],
        "",
        "",
        xaxis={**axis, "title": {"text": "predicted"}},
        yaxis={**axis, "title": {"text": "label"}, "autorange": "reversed"},
        height=max(side, 360),
    )
