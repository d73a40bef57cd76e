"""Draws the figures of the report with Matplotlib, which is imported only then."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING

from raycompare.analysis.comparison import Comparison
from raycompare.report.drawing.figure import ReportFigure
from raycompare.report.drawing.registry import shown_figures
from raycompare.report.drawing.style import LIGHT, THEMES, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Drawing = Figure
    """Type of a drawn figure, for modules that must not import Matplotlib."""

DPI = 130


def draw_figures(comparison: Comparison) -> dict[str, Figure]:
    """Draw every figure that has data, for light pages."""
    return {figure.name: draw(figure) for figure in shown_figures(comparison)}


def draw_images(comparison: Comparison) -> dict[str, Mapping[str, bytes]]:
    """Draw every figure that has data as PNGs, keyed by the suffix of the theme."""
    return {
        figure.name: {theme.suffix: _png(figure, theme) for theme in THEMES}
        for figure in shown_figures(comparison)
    }


def draw(figure: ReportFigure, theme: Theme = LIGHT) -> Figure:
    """Draw one figure in the colours of a theme."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(theme.settings):
        drawing = Figure(layout="constrained")
        figure.draw(drawing)
    return drawing


def _png(figure: ReportFigure, theme: Theme) -> bytes:
    """Return a PNG, always the same bytes for the same figure."""
    from matplotlib import rc_context

    stream = BytesIO()
    with rc_context(theme.settings):  # savefig looks colours up again
        draw(figure, theme).savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()
