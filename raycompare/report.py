"""From a run folder to its report: Markdown, tables and figures; the same bytes every time."""

from __future__ import annotations

from collections.abc import Sequence

from raycompare import (
    report_classes,
    report_cost,
    report_data,
    report_figures,
    report_health,
    report_inference,
    report_mirrors,
    report_pairs,
    report_run,
    report_scores,
    report_screening,
    report_search,
)
from raycompare.analytics import mirrors
from raycompare.compare import Comparison, compare
from raycompare.figures import images
from raycompare.page import page
from raycompare.records import Records
from raycompare.report_tables import csv_text, tables
from raycompare.results import RunFolder

SECTIONS = (
    report_scores.leaderboard_section,
    report_pairs.pairs_section,
    report_inference.inference_section,
    report_scores.hyperparameters_section,
    report_search.search_section,
    report_screening.screening_section,
    report_classes.classes_section,
    report_health.health_section,
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


def write_report(folder: RunFolder) -> Comparison:
    """Write report.md and .html, tables/, analytics/ and figures/ from a folder's records.

    Raises:
        UserError: the folder is not that of a finished run.
    """
    records = Records.of(folder)
    comparison = compare(records, folder.read_predictions())
    figures = {}
    for name, themes in images(comparison).items():
        figures[name] = {suffix: f"figures/{name}{suffix}.png" for suffix in themes}
        for suffix, png in themes.items():
            folder.write_bytes(figures[name][suffix], png)
    for name, table in tables(comparison).items():
        folder.write_text(f"tables/{name}.csv", csv_text(table))
        folder.write_table(f"tables/{name}.parquet", table)
    for name, text in mirrors(records).items():
        folder.write_text(name, text)
    folder.write_text("report.md", render(comparison, figures))
    folder.write_text("report.html", page(comparison, *around_figures(comparison)))
    return comparison


def render(comparison: Comparison, figures: report_figures.Images) -> str:
    """Return the report as Markdown; `figures` has the paths of its figures."""
    before, after = around_figures(comparison)
    parts = [before, report_figures.figures_section(comparison, figures), after]
    return _joined(parts) + "\n"


def around_figures(comparison: Comparison) -> tuple[str, str]:
    """Return the Markdown before the figures, and what comes after them."""
    before = [
        f"# {comparison.experiment.name}",
        report_search.partial_section(comparison),
        report_cost.budget_section(comparison),
        comparison.verdict,
        *(section(comparison) for section in SECTIONS),
    ]
    after = [section(comparison) for section in SECTIONS_AFTER_FIGURES]
    return _joined(before), _joined(after)


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(part for part in parts if part)
