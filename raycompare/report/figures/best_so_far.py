"""Best validation score of each model over the time of the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from raycompare.metrics import MODES, MetricName, better
from raycompare.records.rows import EvalRecord
from raycompare.report.drawing.figure import ReportFigure
from raycompare.report.drawing.plot import Plot, make_plot, make_trace
from raycompare.report.drawing.style import Line, draw_lines, leaders, name_leaders, time_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class BestSoFarFigure(ReportFigure):
    """A line per model over the time of the run."""

    order = 20

    @cached_property
    def data(self) -> dict[str, Line]:
        """Improvements of each model in the tune stage, followed by its last evaluation."""
        rows: defaultdict[str, list[EvalRecord]] = defaultdict(list)
        for row in self.comparison.records.evaluations:
            if row.stage == "tune" and row.split == "validation":
                rows[row.model].append(row)
        return {m: improvements(rows[m], self.metric) for m in self.models if rows[m]}

    def caption(self) -> str:
        together = (
            " Models take turns, so the time includes trials of the others."
            if len(self.data) > 1
            else ""
        )
        return (
            f"Best validation {self.metric_label} so far over the wall-clock time of the run, tune "
            f"stage only.{together}"
            f"{name_leaders(len(self.data), self.name)}"
        )

    def draw(self, figure: Figure) -> None:
        drawn = leaders(self.data)
        unit, length = time_unit(max(seconds[-1] for seconds, _ in drawn.values()))
        lines = {m: ([x / length for x in seconds], y) for m, (seconds, y) in drawn.items()}
        look = {"drawstyle": "steps-post", "markevery": slice(0, -1)}
        axes = draw_lines(figure, lines, self.metric, **look)
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{unit} since the run began")
        axes.set_ylabel(f"best validation {self.metric_label} so far")

    def plot(self) -> Plot:
        traces = [
            make_trace(
                model,
                self.models.index(model),
                x=[x / 60 for x in seconds],
                y=values,
                mode="lines",
                line={"shape": "hv", "width": 2},
                hovertemplate="%{x:.1f} min: %{y:.4f}",
            )
            for model, (seconds, values) in self.data.items()
        ]
        return make_plot(traces, "minutes", f"best validation {self.metric_label} so far")

    def rows(self) -> Iterator[dict[str, object]]:
        for model, (times, values) in self.data.items():
            for seconds, value in zip(times[:-1], values[:-1], strict=True):
                yield {"model": model, "seconds": seconds, "value": value}


def improvements(rows: Sequence[EvalRecord], metric: MetricName) -> Line:
    """Return times in seconds and values of improvements; the last point repeats the best value."""
    best: list[tuple[float, float]] = []
    sign = 1 if MODES[metric] == "min" else -1
    for time, signed in sorted((r.experiment_seconds, sign * getattr(r, metric)) for r in rows):
        if better(sign * signed, best[-1][1] if best else None, MODES[metric]):
            best.append((time, sign * signed))
    best.append((max(row.experiment_seconds for row in rows), best[-1][1]))
    return [seconds for seconds, _ in best], [value for _, value in best]
