"""Mean duration of a confirm trial of each model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING

from raycompare.formatting import duration
from raycompare.report.drawing.figure import ReportFigure
from raycompare.report.drawing.plot import ROW_HEIGHT, Plot, make_plot
from raycompare.report.drawing.style import (
    SMALL,
    WIDTH,
    colour,
    label,
    legend_above,
    row_height,
    time_unit,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class WallClockFigure(ReportFigure):
    """A bar per model: training, then evaluation."""

    order = 40

    @cached_property
    def data(self) -> list[tuple[str, float, float]]:
        """Name, mean training and mean evaluation time in seconds of each confirmed model."""
        return [
            (row.model, row.train_seconds, row.eval_seconds or 0.0)
            for row in self.comparison.leaderboard
            if row.train_seconds is not None
        ]

    def caption(self) -> str:
        return (
            "Mean wall-clock time of a confirm trial, without loading the model and the final "
            "test. Trials that share a machine slow each other down."
        )

    def draw(self, figure: Figure) -> None:
        figure.set_size_inches(WIDTH, 1.3 + row_height(len(self.data)) * len(self.data))
        axes = figure.subplots()
        totals = [training + evaluation for _, training, evaluation in self.data]
        unit, length = time_unit(max(totals))
        train = [seconds / length for _, seconds, _ in self.data]
        evaluation = [seconds / length for _, _, seconds in self.data]
        places = range(len(totals))
        axes.barh(places, train, color=colour(0), height=0.68, label="training")
        bars = axes.barh(
            places, evaluation, left=train, color=colour(4), height=0.68, label="evaluation"
        )
        axes.bar_label(bars, [duration(total) for total in totals], padding=4, fontsize=SMALL)
        axes.set_yticks(places, [label(model) for model, _, _ in self.data])
        axes.set_ylim(len(totals) - 0.4, -0.6)
        axes.set_xlim(0, max(totals) / length * 1.18)
        axes.set_xlabel(f"{unit} per trial, mean over the confirm trials")
        axes.grid(axis="x")
        legend_above(figure, axes.get_legend_handles_labels()[0])

    def plot(self) -> Plot:
        models, *times = zip(*self.data[::-1], strict=True)
        bars = [
            {
                "type": "bar",
                "y": list(map(escape, models)),
                "x": [seconds / 60 for seconds in times[place]],
                "name": name,
                "orientation": "h",
                "hovertemplate": "%{y}, " + name + ": %{x:.1f} min<extra></extra>",
                "meta": {"place": place},
            }
            for place, name in enumerate(("training", "evaluation"))
        ]
        height = 140 + ROW_HEIGHT * len(models)
        return make_plot(bars, "minutes of a confirm trial", "", barmode="stack", height=height)

    def rows(self) -> Iterator[dict[str, object]]:
        for model, train, evaluation in self.data:
            yield {"model": model, "train_seconds": train, "eval_seconds": evaluation}
