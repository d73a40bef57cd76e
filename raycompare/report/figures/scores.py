"""Test score of each model and baseline with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from raycompare.analysis.leaderboard import BaselineRow, Line
from raycompare.formatting import score
from raycompare.report.drawing.figure import ReportFigure
from raycompare.report.drawing.plot import ROW_HEIGHT, Plot, make_plot
from raycompare.report.drawing.style import WIDTH, colour, ink, label, legend_above, row_height

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GROUPS = ("may be the best", "ruled out", "not tested", "baseline")
SYMBOLS = {"may be the best": "o", "ruled out": "o", "not tested": "x", "baseline": "D"}


@dataclass(frozen=True, kw_only=True)
class ScorePoint:
    """A model or a baseline of the figure."""

    model: str
    value: float
    low: float
    """Lower bound of the interval; the value without an interval."""
    high: float
    group: str
    """One of `GROUPS`."""


class ScoresFigure(ReportFigure):
    """A point with an interval for each model and baseline, the best on top."""

    order = 5
    place = "verdict"

    @cached_property
    def data(self) -> list[ScorePoint]:
        """Models and fitted baselines with a finite score, best first; empty without a model."""
        if not self.comparison.leaderboard[0].test:
            return []
        lines = [(line, self._value(line)) for line in self.comparison.standings]
        return [self._point(line, value) for line, value in lines if math.isfinite(value)]

    def _value(self, line: Line) -> float:
        if isinstance(line, BaselineRow):
            # Beside the majority class, the other scores would all be at one edge.
            return line.test[self.metric] if line.trial_id else math.nan
        return line.test[self.metric].mean if line.test else math.nan

    def _point(self, line: Line, value: float) -> ScorePoint:
        judgement = self.comparison.judgement
        interval = judgement.intervals.get(line.model, {}).get(self.metric)
        may_be_best = judgement.may_be_best(line.model)
        group = {True: "may be the best", False: "ruled out", None: "not tested"}[may_be_best]
        return ScorePoint(
            model=line.model,
            value=value,
            low=interval.low if interval else value,
            high=interval.high if interval else value,
            group="baseline" if isinstance(line, BaselineRow) else group,
        )

    @property
    def title(self) -> str:
        return f"Test {self.metric_label} of each model"

    def caption(self) -> str:
        kinds = "model and baseline" if self._of("baseline") else "model"
        has_interval = [point.low < point.high for point in self.data]
        interval = " with its 95 % interval" if any(has_interval) else ""
        partly = ", if there is one" if interval and not all(has_interval) else ""
        return f"Mean test {self.metric_label} of each {kinds}{interval}{partly}."

    def draw(self, figure: Figure) -> None:
        figure.set_size_inches(WIDTH, 1.2 + row_height(len(self.data)) * len(self.data))
        axes = figure.subplots()
        for group in GROUPS:
            points = [(place, p) for place, p in enumerate(self.data) if p.group == group]
            if points:
                _draw_group(axes, group, points)
        axes.set_yticks(range(len(self.data)), [label(point.model) for point in self.data])
        axes.set_ylim(len(self.data) - 0.4, -0.6)
        axes.set_xlabel(f"test {self.metric_label}")
        axes.grid(axis="x")
        legend_above(figure, axes.get_legend_handles_labels()[0])

    def plot(self) -> Plot:
        traces = [self._trace(group) for group in GROUPS if self._of(group)]
        return make_plot(
            traces,
            f"test {self.metric_label}",
            "",
            height=160 + ROW_HEIGHT * len(self.data),
            margin={"l": 70, "r": 20, "t": 50, "b": 60},
            legend={"orientation": "h", "y": 1, "yanchor": "bottom"},
            yaxis={
                "automargin": True,
                "range": [len(self.data) - 0.4, -0.6],
                "type": "category",
                "categoryorder": "array",
                "categoryarray": [escape(point.model) for point in self.data],
            },
        )

    def _of(self, group: str) -> list[ScorePoint]:
        return [point for point in self.data if point.group == group]

    def _trace(self, group: str) -> dict[str, Any]:
        points = self._of(group)
        symbols = {"o": "circle", "x": "x-thin-open", "D": "diamond"}
        return {
            "type": "scatter",
            "mode": "markers",
            "name": group,
            "x": [point.value for point in points],
            "y": [escape(point.model) for point in points],
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [point.high - point.value for point in points],
                "arrayminus": [point.value - point.low for point in points],
            },
            "marker": {"size": 10, "symbol": symbols[SYMBOLS[group]]},
            "text": [f"{score(point.low)} to {score(point.high)}" for point in points],
            "hovertemplate": "%{y}: %{x:.4f}, %{text}<extra></extra>",
            "meta": {"place": GROUPS.index(group)},
        }


def _draw_group(axes: Axes, group: str, points: Sequence[tuple[int, ScorePoint]]) -> None:
    of_group = colour(0) if group == "may be the best" else ink()
    is_open = group in {"ruled out", "baseline"}
    places = [place for place, _ in points]
    axes.hlines(
        places,
        [point.low for _, point in points],
        [point.high for _, point in points],
        color=of_group,
        linewidth=1.8,
    )
    axes.plot(
        [point.value for _, point in points],
        places,
        SYMBOLS[group],
        color=of_group,
        markerfacecolor=axes.get_facecolor() if is_open else of_group,
        markersize=6,
        label=group,
    )
