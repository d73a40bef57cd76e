"""A summary of the report that is short enough for a comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from raycompare.analysis.comparison import Comparison
from raycompare.analysis.leaderboard import BaselineRow
from raycompare.formatting import NOTHING, duration, escape, join_parts, score, table
from raycompare.metrics import LABELS
from raycompare.records.layout import REPORT
from raycompare.report.sections.figures import Images, figures_at
from raycompare.report.sections.overview import first_section
from raycompare.report.sections.scores import standing_cells

MOST_ROWS = 10


def summary(comparison: Comparison, images: Images) -> str:
    """Return verdict, leading figure and the first rows of the leaderboard, as Markdown."""
    lines = list(_rows(comparison))
    headers = ["model", f"test {LABELS[comparison.metric]}", "95 %", "may be best", "training"]
    more = len(lines) - MOST_ROWS
    note = f" This table has the first {MOST_ROWS} of {len(lines)} rows." if more > 0 else ""
    return (
        join_parts(
            f"# {escape(comparison.experiment.name)}",
            first_section(comparison).replace("(#warnings)", f"({REPORT}#warnings)"),
            figures_at("verdict", comparison, images),
            table(headers, lines[:MOST_ROWS]),
            f"The whole report is in [{REPORT}]({REPORT}).{note}",
        )
        + "\n"
    )


def _rows(comparison: Comparison) -> Iterator[list[str]]:
    for line in comparison.standings:
        interval, may_be_best, _ = standing_cells(comparison, line.model)
        if isinstance(line, BaselineRow):
            value, seconds = line.test.get(comparison.metric), line.seconds
        else:
            value = line.test[comparison.metric].mean if line.test else None
            seconds = line.train_seconds
        shown = score(value) if value is not None else NOTHING
        yield [escape(line.model), shown, interval, may_be_best, duration(seconds)]
