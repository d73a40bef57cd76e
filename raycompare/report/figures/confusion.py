"""Confusion matrix of the leader."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape as escape_html
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from raycompare.analysis.per_class import ClassReport
from raycompare.formatting import escape
from raycompare.report.drawing.figure import ReportFigure
from raycompare.report.drawing.plot import ROW_HEIGHT, Plot, make_axis, make_plot
from raycompare.report.drawing.style import SMALL, WIDTH, label, readable_on

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LABELS = 40
"""Largest number of labels in the figure."""
WIDEST = 8.0
"""Width in inches of a figure with many labels."""
MOST_NUMBERS = 15
"""Largest number of labels at which the cells show their shares."""


class ConfusionFigure(ReportFigure):
    """A matrix of labels and predictions."""

    order = 60

    @property
    def data(self) -> ClassReport | None:
        return self.comparison.judgement.classes

    @property
    def has_data(self) -> bool:
        return self.data is not None and len(self.data.labels) <= MOST_LABELS

    @property
    def _labels(self) -> tuple[str, ...]:
        return tuple(self.data.labels) if self.data else ()

    def _shares(self, whole: int = 1) -> NDArray[np.float64]:
        """Return the share of each label's rows with each prediction; in percent if whole=100."""
        assert self.data is not None
        rows = np.asarray(self.data.matrix)
        shares: NDArray[np.float64] = whole * rows / np.maximum(rows.sum(axis=1, keepdims=True), 1)
        return shares

    def caption(self) -> str:
        leader = escape(self.data.model) if self.data else ""
        seeds = self.comparison.leaderboard[0].seeds_done
        means = f"; means over {seeds} seeds" if seeds > 1 else ""
        return (
            f"Predictions of {leader} for the rows of each label, in percent of these rows{means}."
        )

    def draw(self, figure: Figure) -> None:
        names, shares = [label(name) for name in self._labels], self._shares()
        has_numbers = len(names) <= MOST_NUMBERS
        width = min(WIDTH, 3.6 + 0.45 * len(names)) if has_numbers else WIDEST
        figure.set_size_inches(width, width - 0.8)
        axes = figure.subplots()
        image = axes.imshow(shares, vmin=0, vmax=1)
        size = SMALL if has_numbers else SMALL - 2
        axes.set_xticks(
            range(len(names)), names, fontsize=size, rotation=45, ha="right", rotation_mode="anchor"
        )
        axes.set_yticks(range(len(names)), names, fontsize=size)
        axes.set_xlabel("predicted")
        axes.set_ylabel("label")
        axes.spines[:].set_visible(False)
        for (row, column), share in np.ndenumerate(shares) if has_numbers else ():
            ink = readable_on(image.cmap(float(share)))
            text = _percent(float(share))
            axes.text(column, row, text, ha="center", va="center", fontsize=SMALL, color=ink)
        bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, format="{x:.0%}")
        bar.outline.set_visible(False)

    def plot(self) -> Plot:
        names = [escape_html(name) for name in self._labels]
        heat = {
            "type": "heatmap",
            "z": self._shares(100).tolist(),
            "x": names,
            "y": names,
            "zmin": 0,
            "zmax": 100,
            "hovertemplate": "%{y} predicted as %{x}: %{z:.1f} %<extra></extra>",
        }
        layout = {
            "xaxis": make_axis("predicted", type="category"),
            "yaxis": make_axis("label", type="category", autorange="reversed"),
            "height": max(200 + ROW_HEIGHT * len(names), 360),
        }
        return make_plot([heat], "", "", **layout)

    def rows(self) -> Iterator[dict[str, object]]:
        if self.data is None:
            return
        for own, numbers in zip(self._labels, self.data.matrix, strict=True):
            for predicted, rows in zip(self._labels, numbers, strict=True):
                if rows:
                    pair = {"label": own, "predicted": predicted, "rows": rows}
                    yield {"model": self.data.model, **pair}


def _percent(share: float) -> str:
    return f"{100 * share:.{1 if share < 0.1 else 0}f}"  # noqa: PLR2004
