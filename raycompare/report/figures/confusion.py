"""Draws which labels a model takes for which."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps, rcParams
from matplotlib.figure import Figure

from raycompare.analysis.per_class import ClassReport
from raycompare.report.figures.style import MEDIUM, SMALL, label

MOST_LABELS = 40
"""That a figure can name."""
MOST_NUMBERS = 15
"""Labels of a figure whose cells have numbers in them."""


def draw_confusion(report: ClassReport) -> Figure:
    """Draw the share of the rows of each label by what was predicted."""
    names = [label(name) for name in report.labels]
    rows = np.asarray(report.matrix)
    shares = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1)
    side = 3.0 + (0.45 if len(names) <= MOST_NUMBERS else 0.2) * len(names)
    figure = Figure(figsize=(side + 1.0, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=1)
    size = SMALL if len(names) <= MOST_NUMBERS else SMALL - 2
    axes.set_xticks(
        range(len(names)), names, fontsize=size, rotation=45, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set_xlabel("predicted", fontsize=MEDIUM)
    axes.set_ylabel("label", fontsize=MEDIUM)
    axes.spines[:].set_visible(False)
    if len(names) <= MOST_NUMBERS:
        for (row, column), share in np.ndenumerate(shares):
            ink = _readable_on(float(share))
            text = _percent(float(share))
            axes.text(column, row, text, ha="center", va="center", fontsize=SMALL, color=ink)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, format="{x:.0%}")
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL)
    return figure


def _percent(share: float) -> str:
    return f"{100 * share:.{1 if share < 0.1 else 0}f}"  # noqa: PLR2004


def _readable_on(share: float) -> str:
    red, green, blue, _ = colormaps[str(rcParams["image.cmap"])](share)
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R BT.601
    return "#1a1a1a" if luminance > 0.5 else "#ffffff"  # noqa: PLR2004
