"""Write the report of a run folder: Markdown, HTML, tables and figures; always the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from raycompare.analysis.analytics import mirrors
from raycompare.analysis.comparison import Comparison, compare_run
from raycompare.formatting import join_parts, unbroken_values
from raycompare.records.layout import REPORT, SUMMARY
from raycompare.records.run_folder import RunFolder
from raycompare.records.run_records import Records
from raycompare.report.drawing.draw import draw_images
from raycompare.report.listing import write_listing
from raycompare.report.page.page import AroundFigures, page
from raycompare.report.sections import classes as report_classes
from raycompare.report.sections import cost as report_cost
from raycompare.report.sections import data as report_data
from raycompare.report.sections import doubtful_rows as report_doubtful_rows
from raycompare.report.sections import figures as report_figures
from raycompare.report.sections import health as report_health
from raycompare.report.sections import hyperparameters as report_hyperparameters
from raycompare.report.sections import importance as report_importance
from raycompare.report.sections import inference as report_inference
from raycompare.report.sections import mirrors as report_mirrors
from raycompare.report.sections import overview as report_overview
from raycompare.report.sections import pairs as report_pairs
from raycompare.report.sections import run as report_run
from raycompare.report.sections import scores as report_scores
from raycompare.report.sections import screening as report_screening
from raycompare.report.sections import search as report_search
from raycompare.report.summary import summary
from raycompare.report.tables import csv_text, tables

SECTIONS = (
    report_scores.leaderboard_section,
    report_health.health_section,
    report_pairs.pairs_section,
)
SECTIONS_AFTER_PAIRS = (
    report_inference.inference_section,
    report_hyperparameters.hyperparameters_section,
    report_importance.importance_section,
    report_search.search_section,
    report_screening.screening_section,
    report_classes.classes_section,
    report_doubtful_rows.doubtful_rows_section,
)
SECTIONS_AFTER_FIGURES = (
    report_cost.cost_section,
    report_run.failures_section,
    report_run.trials_section,
    report_mirrors.mirrors_section,
    report_data.data_section,
    report_run.environment_section,
    report_run.reproduce_section,
)


WRITTEN = ("figures", "tables", "analytics")
"""Folders that a report is written to."""


def write_report(folder: RunFolder) -> Comparison:
    """Write the report from the records of a folder: Markdown, HTML, tables and figures.

    Raises:
        UserError: the folder is not that of a finished run.
    """
    records = Records.of(folder)
    folder.require_own(WRITTEN)
    comparison = compare_run(folder, records)
    figures = {}
    for name, themes in draw_images(comparison).items():
        figures[name] = {suffix: f"figures/{name}{suffix}.png" for suffix in themes}
        for suffix, png in themes.items():
            folder.write_bytes(figures[name][suffix], png)
    for name, table in tables(comparison).items():
        folder.write_text(f"tables/{name}.csv", csv_text(table))
        folder.write_table(f"tables/{name}.parquet", table)
    for name, text in mirrors(records).items():
        folder.write_text(name, text)
    folder.write_text(REPORT, render(comparison, figures))
    folder.write_text(SUMMARY, summary(comparison, figures))
    folder.write_text("report.html", page(comparison, around_figures(comparison)))
    write_listing(folder, records)
    return comparison


def render(comparison: Comparison, figures: report_figures.Images) -> str:
    """Return the report as Markdown; `figures` contains the paths of its figures."""
    text = around_figures(comparison)
    lead, pairs = (
        report_figures.figures_at(place, comparison, figures) for place in ("verdict", "pairs")
    )
    shown = report_figures.figures_section(comparison, figures)
    return join_parts(text.first, lead, text.pairs, pairs, text.before, shown, text.after) + "\n"


def around_figures(comparison: Comparison) -> AroundFigures:
    """Return the Markdown around the figures."""
    first = [
        f"# {comparison.experiment.name}",
        report_search.partial_section(comparison),
        report_cost.budget_section(comparison),
        report_overview.first_section(comparison),
    ]
    return AroundFigures(
        first=join_parts(*first),
        pairs=_join_sections(comparison, SECTIONS),
        before=_join_sections(comparison, SECTIONS_AFTER_PAIRS),
        after=_join_sections(comparison, SECTIONS_AFTER_FIGURES),
    )


def _join_sections(comparison: Comparison, sections: Iterable[Callable[[Comparison], str]]) -> str:
    """Join sections so that no line of their prose is broken within a value."""
    text = join_parts(*(section(comparison) for section in sections))
    return "".join(map(_keep_values, text.splitlines(keepends=True)))


def _keep_values(line: str) -> str:
    """Keep the values of a line together, unless it is part of a table or of a command."""
    is_prose = line.startswith(("- ", "*")) or line[:1].isupper() or line[:1].isdigit()
    return unbroken_values(line) if is_prose else line
