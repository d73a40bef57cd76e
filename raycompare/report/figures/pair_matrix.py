"""Differences between the test scores of many models: a cell for each pair."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from html import escape
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from raycompare.analysis.statistics.pairwise import Pair
from raycompare.analysis.verdict import p_text
from raycompare.formatting import change
from raycompare.report.drawing.figure import ReportFigure
from raycompare.report.drawing.plot import Plot, make_axis, make_plot
from raycompare.report.drawing.style import SMALL, label, readable_on, row_height

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

MOST_LISTED = 8
"""Largest number of models whose pairs the report lists in a table instead."""
MOST_SHOWN = 50
"""Largest number of models and baselines in the figure."""
MOST_NUMBERS = 12
"""Largest number of models and baselines at which the cells show their differences."""
MOST_SHADES = 6
WIDEST = 8.0
"""Width of the figure in inches."""
PLOT_ROW_HEIGHT = 20
SAME, UNTESTED = "○", "\N{MULTIPLICATION SIGN}"
BASELINE = "b"
Spot = tuple[int, int]
"""Column and row of a cell."""


class PairMatrixFigure(ReportFigure):
    """A lower triangle of cells: the shade is the difference, a mark means not significant."""

    order = 6
    place = "pairs"

    @cached_property
    def data(self) -> list[Pair]:
        """Pairs of the first models and baselines; empty if a table can list all pairs."""
        names = set(self._names)
        models = names - self._baselines
        if len(models) <= MOST_LISTED:
            return []
        pairs = self.comparison.judgement.pairs
        return [pair for pair in pairs if pair.first in names and pair.second in names]

    @cached_property
    def _all_names(self) -> list[str]:
        pairs = self.comparison.judgement.pairs
        return list(dict.fromkeys(name for pair in pairs for name in (pair.first, pair.second)))

    @property
    def _names(self) -> list[str]:
        return self._all_names[:MOST_SHOWN]

    @property
    def _baselines(self) -> set[str]:
        return {row.model for row in self.comparison.baselines}

    @cached_property
    def _cells(self) -> dict[Spot, Pair]:
        place = {name: index for index, name in enumerate(self._names)}
        return {(place[pair.first], place[pair.second]): pair for pair in self.data}

    @cached_property
    def _steps(self) -> list[float]:
        return steps_below(max(map(_size, self.data)))

    @property
    def _numbers(self) -> list[str]:
        """Numbers of the models in the leaderboard, and a letter for the baseline."""
        ranks = {model: str(rank) for rank, model in enumerate(self.models, 1)}
        return [ranks.get(name, BASELINE) for name in self._names]

    @property
    def title(self) -> str:
        return f"Differences in test {self.metric_label} between pairs of models"

    def caption(self) -> str:
        baseline = f", {BASELINE} is the baseline" if BASELINE in self._numbers else ""
        sentences = [
            f"Each cell compares two models: the shade is the difference in mean test "
            f"{self.metric_label}, and the model of the column has the better score. Numbers are "
            f"those of the leaderboard{baseline}.",
            *self._explain_marks(),
        ]
        if len(self._all_names) > MOST_SHOWN:
            sentences.append(f"Only the first {MOST_SHOWN} of {len(self._all_names)} are shown.")
        return " ".join(sentences)

    def _explain_marks(self) -> Iterable[str]:
        if self._of_mark(SAME):
            yield f"{SAME}: not significantly different. Cells without a mark are significant."
        elif any(pair.apart for pair in self.data):
            yield "All tested differences are significant."
        if not self._has_tests:
            yield "No pair was tested."
        elif self._of_mark(UNTESTED):
            yield f"{UNTESTED}: not tested."

    def _of_mark(self, mark: str) -> list[Spot]:
        return [spot for spot, pair in self._cells.items() if self._mark(pair) == mark]

    def _mark(self, pair: Pair) -> str:
        if pair.test is None:
            return UNTESTED if self._has_tests else ""
        return "" if pair.apart else SAME

    @property
    def _has_tests(self) -> bool:
        return any(pair.test for pair in self.data)

    def _shades(self) -> NDArray[np.float64]:
        """Return the place of the shade of each cell, NaN for cells without a difference."""
        size = len(self._names)
        shades = np.full((size, size), np.nan)
        for (column, row), pair in self._cells.items():
            if math.isfinite(pair.difference):
                shades[row, column] = sum(_size(pair) >= step for step in self._steps)
        return shades

    def draw(self, figure: Figure) -> None:
        names = self._names
        figure.set_size_inches(WIDEST, 0.5 + row_height(len(names)) * len(names))
        axes = figure.subplots()
        shades = _load_shades()
        axes.pcolormesh(
            self._shades(), cmap=shades, vmin=0, vmax=MOST_SHADES - 1,
            edgecolors=axes.get_facecolor(), linewidth=0.5,
        )  # fmt: skip
        self._draw_axes(axes)
        self._draw_marks(axes, shades)
        self._draw_legend(axes, shades)

    def _draw_axes(self, axes: Axes) -> None:
        names, numbers = self._names, self._numbers
        middles = np.arange(len(names)) + 0.5
        size = SMALL if len(names) <= MOST_NUMBERS else SMALL - 2
        rows = [f"{label(name)}  {number}" for name, number in zip(names, numbers, strict=True)]
        axes.set_yticks(middles, rows, fontsize=size)
        axes.set_xticks(middles[:-1], numbers[:-1], fontsize=size)
        axes.tick_params(length=0)
        axes.invert_yaxis()
        axes.spines[:].set_visible(False)

    def _draw_marks(self, axes: Axes, shades: Colormap) -> None:
        has_numbers = len(self._names) <= MOST_NUMBERS
        places = self._shades()
        for (column, row), pair in self._cells.items():
            shade = places[row, column]
            ink = readable_on(shades(int(shade))) if math.isfinite(shade) else None
            text = f"{_size(pair):.3f}" if has_numbers and math.isfinite(shade) else ""
            text = " ".join(filter(None, [text, self._mark(pair)]))
            axes.text(
                column + 0.5, row + 0.5, text,
                ha="center", va="center_baseline", fontsize=SMALL - 2, color=ink,
            )  # fmt: skip

    def _draw_legend(self, axes: Axes, shades: Colormap) -> None:
        from matplotlib.patches import Patch

        handles = [
            Patch(facecolor=shades(place), label=text)
            for place, text in enumerate(_name_shades(self._steps))
        ]
        title = f"difference in {self.metric_label}"
        axes.legend(handles=handles, loc="upper right", title=title, title_fontsize=SMALL)

    def plot(self) -> Plot:
        names = [escape(name) for name in self._names]
        places = list(range(len(names)))
        marked = [spot for mark in (SAME, UNTESTED) for spot in self._of_mark(mark)]
        labels = _name_shades(self._steps)
        heat = {
            "type": "heatmap",
            "z": [[None if math.isnan(z) else z for z in row] for row in self._shades().tolist()],
            "zmin": -1,
            "zmax": len(labels) - 1,
            "text": self._describe_cells(),
            "hovertemplate": "%{text}<extra></extra>",
            "hoverongaps": False,
            "xgap": 1,
            "ygap": 1,
            "colorbar": {"tickvals": list(range(len(labels))), "ticktext": labels},
        }
        marks = {
            "type": "scatter",
            "mode": "text",
            "x": [column for column, _ in marked],
            "y": [row for _, row in marked],
            "text": [self._mark(self._cells[spot]) for spot in marked],
            "hoverinfo": "skip",
            "showlegend": False,
        }
        rows = [f"{name}  {number}" for name, number in zip(names, self._numbers, strict=True)]
        bare = {"tickvals": places, "showgrid": False, "zeroline": False, "tickfont": {"size": 10}}
        ends = [len(names) - 0.5, -0.5]
        layout = {
            "xaxis": make_axis("", ticktext=self._numbers, tickangle=0, **bare),
            "yaxis": make_axis("", ticktext=rows, range=ends, **bare),
            "height": 120 + PLOT_ROW_HEIGHT * len(names),
        }
        return make_plot([heat, marks], "", "", **layout)

    def _describe_cells(self) -> list[list[str]]:
        size = range(len(self._names))
        texts = [["" for _ in size] for _ in size]
        for (column, row), pair in self._cells.items():
            texts[row][column] = _describe(pair)
        return texts


def steps_below(largest: float) -> list[float]:
    """Return the lower bounds of all shades but the first, such as 0.01, 0.02, 0.05 and 0.1.

    The steps depend on the order of magnitude alone, so that one model that is far behind does not
    make all others look alike.
    """
    if largest <= 0:
        return []
    exponent = math.floor(math.log10(largest))
    scales = product(range(exponent - 2, exponent + 1), (1, 2, 5))
    steps = [float(f"{digit}e{power}") for power, digit in scales]
    return [step for step in steps if step < largest][1 - MOST_SHADES :]


def _load_shades() -> Colormap:
    """Return the shades of the current theme; the first one differs from the page too."""
    from matplotlib import colormaps, rcParams
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps[rcParams["image.cmap"]](np.linspace(0.1, 1, MOST_SHADES)))


def _name_shades(steps: Sequence[float]) -> list[str]:
    if not steps:
        return ["0"]
    between = [f"{low:g} to {high:g}" for low, high in pairwise(steps)]
    return [f"below {steps[0]:g}", *between, f"{steps[-1]:g} or more"]


def _size(pair: Pair) -> float:
    return abs(pair.difference) if math.isfinite(pair.difference) else 0.0


def _describe(pair: Pair) -> str:
    """Return the text that is shown when the pointer is over a cell."""
    lines = [f"{pair.first} and", pair.second, f"difference {change(pair.difference)}"]
    if pair.test:
        low, high = pair.test.interval.low, pair.test.interval.high
        lines[-1] += f" [{change(low)}, {change(high)}]"
        significant = "significant" if pair.apart else "not significant"
        lines.append(f"{significant}, corrected {p_text(pair.test.p_corrected)}")
    else:
        lines.append("not tested")
    return "<br>".join(map(escape, lines))
