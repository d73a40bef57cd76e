"""Finds the figures of the report: one in each module of `raycompare.report.figures`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from raycompare.analysis.comparison import Comparison
from raycompare.report import figures
from raycompare.report.drawing.figure import ReportFigure


def load_figures() -> list[type[ReportFigure]]:
    """Import the modules and return their figures in order."""
    names = [f"{figures.__name__}.{module.name}" for module in iter_modules(figures.__path__)]
    return sorted((kind for name in names for kind in _defined_in(name)), key=lambda k: k.order)


def _defined_in(module: str) -> Iterator[type[ReportFigure]]:
    for value in vars(import_module(module)).values():
        is_figure = isinstance(value, type) and issubclass(value, ReportFigure)
        if is_figure and value.__module__ == module:  # and not imported by it
            yield value


FIGURES = load_figures()


def figures_of(comparison: Comparison) -> list[ReportFigure]:
    """Return every figure, including those without data."""
    return [kind(comparison) for kind in FIGURES]


def shown_figures(comparison: Comparison) -> list[ReportFigure]:
    """Return the figures that have data."""
    return [figure for figure in figures_of(comparison) if figure.has_data]
