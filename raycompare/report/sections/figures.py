"""Section of the report with the figures and their captions."""

from __future__ import annotations

from collections.abc import Mapping

from raycompare.analysis.comparison import Comparison
from raycompare.formatting import unbroken_values
from raycompare.report.drawing.figure import Place, ReportFigure
from raycompare.report.drawing.registry import figures_of

Images = Mapping[str, Mapping[str, str]]
"""Paths keyed by the name of the figure, then by the suffix of the theme."""


def figures_section(comparison: Comparison, images: Images) -> str:
    """Show the figures that were drawn, in the reader's light or dark theme."""
    shown = figures_at("figures", comparison, images)
    return f"## Figures\n\n{shown}" if shown else ""


def figures_at(place: Place, comparison: Comparison, images: Images) -> str:
    """Show the figures that belong to a place of the report."""
    return "\n\n".join(
        f"{_picture(figure, images[figure.name])}\n\n{unbroken_values(figure.caption())}"
        for figure in figures_of(comparison)
        if figure.name in images and figure.place == place
    )


def _picture(figure: ReportFigure, paths: Mapping[str, str]) -> str:
    return (
        "<picture>\n"
        f'  <source media="(prefers-color-scheme: dark)" srcset="{paths["-dark"]}">\n'
        f'  <img src="{paths[""]}" alt="{figure.title}">\n'
        "</picture>"
    )
