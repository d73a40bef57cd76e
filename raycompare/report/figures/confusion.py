"""Which labels the leader predicts instead of which."""

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
from raycompare.report.drawing.style import MEDIUM, SMALL, label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LABELS = 40
"""Labels that a figure can name."""
MOST_NUMBERS = 15
"""Labels of a figure whose cells have numbers in them."""


class ConfusionFigure(ReportFigure):
    """A matrix of labels and predictions, for the leader of the comparison."""

    order = 60

    @property
    def data(self) -> ClassReport | None:
        """The leader's rows by label and prediction."""
        return self.comparison.judgement.classes

    @property
    def has_data(self) -> bool:
        """Whether the leader was tested, on few enough labels."""
        return self.data is not None and len(self.data.labels) <= MOST_LABELS

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the order of the data set."""
        return tuple(self.data.labels) if self.data else ()

    def shares(self, whole: int = 1) -> NDArray[np.float64]:
        """Return the share of each label's rows that got each prediction; of 100, in percent."""
        assert self.data is not None
        rows = np.asarray(self.data.matrix)
        shares: NDArray[np.float64] = whole * rows / np.maximum(rows.sum(axis=1, keepdims=True), 1)
        return shares

    def caption(self) -> str:
        """Explain rows and cells."""
        leader = escape(self.data.model) if self.data else ""
        return (
            f"What {leader} took the rows of each label for, in percent of the label's rows, the "
            "mean over seeds."
        )

    def draw(self, figure: Figure) -> None:
        """Draw a cell per pair of labels; numbers only where they are readable."""
        names, shares = [label(name) for name in self.labels], self.shares()
        has_numbers = len(names) <= MOST_NUMBERS
        side = 3.0 + (0.45 if has_numbers else 0.2) * len(names)
        figure.set_size_inches(side + 1.0, side)
        axes = figure.subplots()
        image = axes.imshow(shares, vmin=0, vmax=1)
        size = SMALL if has_numbers else SMALL - 2
        axes.set_xticks(
            range(len(names)), names, fontsize=size, rotation=45, ha="right", rotation_mode="anchor"
        )
        axes.set_yticks(range(len(names)), names, fontsize=size)
        axes.set_xlabel("predicted", fontsize=MEDIUM)
        axes.set_ylabel("label", fontsize=MEDIUM)
        axes.spines[:].set_visible(False)
        for (row, column), share in np.ndenumerate(shares) if has_numbers else ():
            ink = _readable_on(image.cmap(float(share)))
            text = _percent(float(share))
            axes.text(column, row, text, ha="center", va="center", fontsize=SMALL, color=ink)
        bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, format="{x:.0%}")
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=SMALL)

    def plot(self) -> Plot:
        """Return a heat map in percent."""
        names = [escape_html(name) for name in self.labels]
        heat = {
            "type": "heatmap",
            "z": self.shares(100).tolist(),
            "x": names,
            "y": names,
            "zmin": 0,
            "zmax": 100,
            "hovertemplate": "%{y} taken for %{x}: %{z:.1f} %<extra></extra>",
        }
        return make_plot(
            [heat],
            "",
            "",
            xaxis=make_axis("predicted", type="category"),
            yaxis=make_axis("label", type="category", autorange="reversed"),
            height=max(200 + ROW_HEIGHT * len(names), 360),
        )

    def rows(self) -> Iterator[dict[str, object]]:
        """Return a row for each pair of labels that occurred."""
        if self.data is None:
            return
        for own, numbers in zip(self.labels, self.data.matrix, strict=True):
            for predicted, number in zip(self.labels, numbers, strict=True):
                if number:
                    yield {
                        "model": self.data.model,
                        "label": own,
                        "predicted": predicted,
                        "rows": number,
                    }


def _percent(share: float) -> str:
    return f"{100 * share:.{1 if share < 0.1 else 0}f}"  # noqa: PLR2004


def _readable_on(shade: tuple[float, float, float, float]) -> str:
    red, green, blue, _ = shade
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R BT.601
    return "#1a1a1a" if luminance > 0.5 else "#ffffff"  # noqa: PLR2004
