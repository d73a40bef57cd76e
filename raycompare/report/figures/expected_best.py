"""Expected best validation score for each number of trials of a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from raycompare.metrics import MODES, MetricName
from raycompare.report.drawing.figure import ReportFigure
from raycompare.report.drawing.plot import Plot, make_axis, make_plot, make_trace
from raycompare.report.drawing.style import draw_lines, leaders, name_leaders

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OPTUNA = " Optuna learns from earlier trials, so later ones are better than average."
FEW_TRIALS = 20
"""Largest number of trials at which the axis of the page labels each."""


class ExpectedBestFigure(ReportFigure):
    """A line per model over the number of its trials."""

    order = 30

    @cached_property
    def data(self) -> dict[str, list[float]]:
        """Expected best validation scores of 1, 2, ... trials of the tune stage.

        Models with one trial are left out. Trials that were stopped early count with their best
        value.
        """
        values: dict[str, list[float]] = {model: [] for model in self.models}
        for trial in self.comparison.records.trials:
            if trial.stage == "tune" and trial.best_value is not None:
                values[trial.model].append(trial.best_value)
        return {model: best_of(own, self.metric) for model, own in values.items() if len(own) > 1}

    def caption(self) -> str:
        optuna = self.comparison.experiment.tune.search_alg == "optuna"
        return (
            f"Expected best validation {self.metric_label} of a number of trials, averaged over "
            "all choices of that many trials of the model. If a curve still rises at its end, more "
            "trials may find better configurations. Trials that were stopped early count with "
            "their best value so far."
            f"{OPTUNA if optuna else ''}{name_leaders(len(self.data), self.name)}"
        )

    def draw(self, figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        lines = {
            model: (range(1, len(values) + 1), values)
            for model, values in leaders(self.data).items()
        }
        axes = draw_lines(figure, lines, self.metric)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("trials of the model")
        axes.set_ylabel(f"expected best validation {self.metric_label}")

    def plot(self) -> Plot:
        traces = [
            make_trace(
                model,
                self.models.index(model),
                x=list(range(1, len(values) + 1)),
                y=values,
                mode="lines+markers",
                hovertemplate="%{x} trials: %{y:.4f}",
            )
            for model, values in self.data.items()
        ]
        few = max(map(len, self.data.values())) <= FEW_TRIALS
        axis = make_axis("trials", **({"dtick": 1} if few else {}))
        return make_plot(traces, "", f"expected best validation {self.metric_label}", xaxis=axis)

    def rows(self) -> Iterator[dict[str, object]]:
        for model, values in self.data.items():
            for number, value in enumerate(values, 1):
                yield {"model": model, "trials": number, "value": value}


def best_of(values: Sequence[float], metric: MetricName) -> list[float]:
    """Return the expected best of 1, 2, ... values drawn without replacement.

    This estimate is unbiased (Tang et al. 2020, "Showing Your Work Doesn't Always Work"), unlike
    that of Dodge et al. (2019), which draws with replacement.
    """
    sign = 1.0 if MODES[metric] == "max" else -1.0
    rising = np.sort(sign * np.asarray(values, float))
    number = len(rising)
    expected = []
    chances = np.full(number, 1 / number)  # that the value at each place is the best one drawn
    for drawn in range(1, number + 1):
        expected.append(sign * float(chances @ rising))
        # C(place, drawn) / C(number, drawn + 1), from C(place, drawn - 1) / C(number, drawn)
        places = np.arange(number)
        chances = chances * np.maximum(places - drawn + 1, 0) / drawn
        chances = chances * (drawn + 1) / max(number - drawn, 1)
    return expected
