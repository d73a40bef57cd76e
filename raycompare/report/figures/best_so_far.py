"""The best validation value of each model while the run went on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING

from raycompare.metrics import MODES, MetricName, better
from raycompare.records.rows import EvalRecord
from raycompare.report.drawing.figure import ReportFigure
from raycompare.report.drawing.plot import Plot, make_plot, visibility
from raycompare.report.drawing.style import MEDIUM, draw_lines, leaders, name_leaders, time_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The improvements of a model's best validation value during the tune stage."""

    seconds: tuple[float, ...]
    """Since the run began; rising."""
    values: tuple[float, ...]
    ended_at: float
    """Seconds at the model's last evaluation."""

    @classmethod
    def of(cls, rows: Sequence[EvalRecord], metric: MetricName) -> Progress:
        """Return the progress over some evaluations in any order."""
        sign = 1 if MODES[metric] == "min" else -1
        improvements: list[tuple[float, float]] = []
        for time, signed in sorted(
            (row.experiment_seconds, sign * getattr(row, metric)) for row in rows
        ):
            value = sign * signed
            if better(value, improvements[-1][1] if improvements else None, MODES[metric]):
                improvements.append((time, value))
        seconds, values = zip(*improvements, strict=True)
        return cls(
            seconds=seconds, values=values, ended_at=max(row.experiment_seconds for row in rows)
        )

    @property
    def to_the_end(self) -> tuple[list[float], list[float]]:
        """Seconds and values of a line that reaches to the model's last evaluation."""
        return [*self.seconds, self.ended_at], [*self.values, self.values[-1]]


class BestSoFarFigure(ReportFigure):
    """A line per model over the clock of the run."""

    order = 20

    @cached_property
    def progress(self) -> dict[str, Progress]:
        """Progress of each model that was evaluated in the tune stage."""
        rows: defaultdict[str, list[EvalRecord]] = defaultdict(list)
        for row in self.comparison.records.evaluations:
            if row.stage == "tune" and row.split == "validation":
                rows[row.model].append(row)
        return {
            model: Progress.of(rows[model], self.metric) for model in self.models if rows[model]
        }

    @property
    def has_data(self) -> bool:
        """Whether a trial of the tune stage was evaluated."""
        return bool(self.progress)

    def caption(self) -> str:
        """Explain the clock, and that trials share it."""
        return (
            f"Best validation {self.metric_label} so far against the wall-clock of the run, tune "
            "stage only. Trials of different models ran side by side."
            f"{name_leaders(len(self.progress), self.name)}"
        )

    def draw(self, figure: Figure) -> None:
        """Draw steps with a dot at each improvement."""
        drawn = leaders(self.progress)
        unit, seconds = time_unit(max(line.ended_at for line in drawn.values()))
        lines = {
            model: ([x / seconds for x in line.to_the_end[0]], line.to_the_end[1])
            for model, line in drawn.items()
        }
        look = {"drawstyle": "steps-post", "markevery": slice(0, -1)}
        axes = draw_lines(figure, lines, self.metric, **look)
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{unit} since the run began", fontsize=MEDIUM)
        axes.set_ylabel(f"best validation {self.metric_label} so far", fontsize=MEDIUM)

    def plot(self) -> Plot:
        """Return steps over minutes."""
        traces = [
            {
                "type": "scatter",
                "x": [seconds / 60 for seconds in line.to_the_end[0]],
                "y": line.to_the_end[1],
                "name": escape(model),
                "visible": visibility(self.models.index(model)),
                "mode": "lines",
                "line": {"shape": "hv", "width": 2},
                "hovertemplate": "%{x:.1f} min: %{y:.4f}",
                "meta": {"place": self.models.index(model)},
            }
            for model, line in self.progress.items()
        ]
        return make_plot(traces, "minutes", f"best validation {self.metric_label} so far")

    def rows(self) -> Iterator[dict[str, object]]:
        """Return a row per improvement."""
        for model, line in self.progress.items():
            for seconds, value in zip(line.seconds, line.values, strict=True):
                yield {"model": model, "seconds": seconds, "value": value}
