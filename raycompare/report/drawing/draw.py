"""Draws the figures of the report with Matplotlib, which is imported only then."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, filterwarnings

from raycompare.analysis.comparison import Comparison
from raycompare.report.drawing.figure import ReportFigure
from raycompare.report.drawing.registry import shown_figures
from raycompare.report.drawing.style import LIGHT, THEMES, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Drawing = Figure
    """Type of a drawn figure, for modules that must not import Matplotlib."""

DPI = 130
FALLBACKS = (
    *(f"Noto Sans CJK {region}" for region in ("SC", "JP", "TC", "KR", "HK")),
    *(f"Noto Sans {region}" for region in ("SC", "JP", "TC", "KR", "HK")),
    "Source Han Sans SC",
    "Source Han Sans",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Arial Unicode MS",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "Noto Sans Hebrew",
    "Noto Sans Thai",
)
"""Fonts for scripts that Matplotlib's own doesn't cover, in the order of preference."""


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

    with rc_context(_settings(theme)):
        drawing = Figure(layout="constrained")
        figure.draw(drawing)
    return drawing


def _png(figure: ReportFigure, theme: Theme) -> bytes:
    """Return a PNG, always the same bytes for the same figure and fonts."""
    from matplotlib import rc_context

    stream = BytesIO()
    with rc_context(_settings(theme)), catch_warnings():  # savefig looks colours up
        # The page shows these characters with the fonts of the browser; docs/troubleshooting.md
        # says which fonts the images look for.
        filterwarnings("ignore", message="Glyph .* missing from font")
        draw(figure, theme).savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def _settings(theme: Theme) -> dict[Any, Any]:
    """Return Matplotlib's settings for a theme, with installed fonts."""
    return {**theme.settings, "font.family": font_families()}


@cache
def font_families() -> list[str]:
    """Return Matplotlib's own font, and installed ones for scripts that it doesn't cover."""
    from matplotlib import rcParams
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    return [*rcParams["font.sans-serif"][:1], *(name for name in FALLBACKS if name in installed)]
