"""Section of the report with the leader's scores by label."""

from __future__ import annotations

from raycompare.analysis.comparison import Comparison
from raycompare.analysis.per_class import ClassReport, ClassScores
from raycompare.formatting import count, escape, fold_if_long, join_parts, score, table

MOST_LABELS = 30
"""Largest number of labels in the table, those with the lowest F1."""
ALL_SHOWN = 12
"""Largest number of labels in a table that is not folded."""


def classes_section(comparison: Comparison) -> str:
    """Show the leader's scores by label, and its most frequent confusions."""
    report = comparison.judgement.classes
    if report is None:
        return ""
    heading = f"## Scores by label: {escape(report.model)}"
    seeds = comparison.leaderboard[0].seeds_done
    return join_parts(heading, _scores(report, seeds), _list_confusions(report))


def _scores(report: ClassReport, seeds: int) -> str:
    shown = list(report.scores)
    note = f"Means over {seeds} seeds." if seeds > 1 else ""
    if len(shown) > MOST_LABELS:
        shown = sorted(shown, key=lambda row: (not row.rows, row.f1))[:MOST_LABELS]
        note = (
            f"The {MOST_LABELS} of {len(report.scores)} labels with the lowest F1; "
            "tables/classes.csv lists all labels."
        )
    rows = table(["label", "test rows", "precision", "recall", "F1"], map(_row, shown))
    return join_parts(fold_if_long(rows, len(shown), "label", ALL_SHOWN), note)


def _row(scores: ClassScores) -> list[str]:
    values = (scores.precision, scores.recall, scores.f1)
    return [escape(scores.label), count(scores.rows), *map(score, values)]


def _list_confusions(report: ClassReport) -> str:
    if not report.confused:
        return "No row was predicted as another label."
    rows = [
        [escape(pair.label), escape(pair.predicted), f"{pair.rows:,.1f}", f"{pair.share:.1%}"]
        for pair in report.confused
    ]
    return table(["label", "predicted as", "rows", "share of the label"], rows, left=2)
