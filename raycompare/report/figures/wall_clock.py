"""How long a confirm trial of each model took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING

from raycompare.formatting import duration
from raycompare.report.drawing.figure import ReportFigure
from raycompare.report.drawing.plot import ROW_HEIGHT, Plot, make_plot
from raycompare.report.drawing.style import (
    MEDIUM,
    SMALL,
    colour,
    label,
    legend_above,
    tidy,
    time_unit,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class WallClock:
    """Mean seconds of a model's confirm trials."""

    model: str
    train_seconds: float
    eval_seconds: float


class WallClockFigure(ReportFigure):
    """A bar per model: training, then evaluation."""

    order = 40

    @cached_property
    def clocks(self) -> list[WallClock]:
        """The times of each confirmed model, in the order of the leaderboard."""
        return [
            WallClock(
                model=row.model,
                train_seconds=row.train_seconds,
                eval_seconds=row.eval_seconds or 0.0,
            )
            for row in self.comparison.leaderboard
            if row.train_seconds is not None
        ]

    @property
    def has_data(self) -> bool:
        """Whether a model was confirmed."""
        return bool(self.clocks)

    def caption(self) -> str:
        """Say what the times leave out."""
        return (
            "Mean wall-clock of one confirm trial, without loading the model or the final test. "
            "Trials that shared a machine slowed each other down."
        )

    def draw(self, figure: Figure) -> None:
        """Draw horizontal bars, each with its total."""
        figure.set_size_inches(8.0, 1.3 + 0.36 * len(self.clocks))
        axes = figure.subplots()
        totals = [clock.train_seconds + clock.eval_seconds for clock in self.clocks]
        unit, seconds = time_unit(max(totals))
        train = [clock.train_seconds / seconds for clock in self.clocks]
        evaluation = [clock.eval_seconds / seconds for clock in self.clocks]
        places = range(len(totals))
        axes.barh(places, train, color=colour(0), height=0.68, label="training")
        bars = axes.barh(
            places, evaluation, left=train, color=colour(4), height=0.68, label="evaluation"
        )
        axes.bar_label(bars, [duration(total) for total in totals], padding=4, fontsize=SMALL)
        axes.set_yticks(places, [label(clock.model) for clock in self.clocks], fontsize=MEDIUM)
        axes.invert_yaxis()
        axes.set_xlim(0, max(totals) / seconds * 1.14)
        axes.set_xlabel(f"{unit} per trial, mean over the confirm trials", fontsize=MEDIUM)
        tidy(axes, grid="x")
        legend_above(figure, axes.get_legend_handles_labels()[0])

    def plot(self) -> Plot:
        """Return horizontal bars in minutes."""
        clocks = self.clocks[::-1]
        parts = {
            "training": [clock.train_seconds for clock in clocks],
            "evaluation": [clock.eval_seconds for clock in clocks],
        }
        bars = [
            {
                "type": "bar",
                "y": [escape(clock.model) for clock in clocks],
                "x": [seconds / 60 for seconds in times],
                "name": name,
                "orientation": "h",
                "hovertemplate": "%{y}, " + name + ": %{x:.1f} min<extra></extra>",
                "meta": {"place": place},
            }
            for place, (name, times) in enumerate(parts.items())
        ]
        height = 140 + ROW_HEIGHT * len(clocks)
        return make_plot(bars, "minutes of a confirm trial", "", barmode="stack", height=height)

    def rows(self) -> Iterator[dict[str, object]]:
        """Return a row per model."""
        return map(asdict, self.clocks)
