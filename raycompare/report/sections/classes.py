"""The section of the report that says how the leader does on each label."""

from __future__ import annotations

from raycompare.analysis.comparison import Comparison
from raycompare.analysis.per_class import ClassReport, ClassScores
from raycompare.formatting import count, escape, folded, number_of, score, table

MOST_LABELS = 30
"""That the table shows; of more, those that the model does worst on."""
ALL_SHOWN = 12
"""Labels of a table that is not folded away."""


def classes_section(comparison: Comparison) -> str:
    """Show the leader's scores by label, and what it takes for what."""
    report = comparison.judgement.classes
    if report is None:
        return ""
    parts = [f"## By label: {escape(report.model)}", _scores(report), _list_confusions(report)]
    return "\n\n".join(part for part in parts if part)


def _scores(report: ClassReport) -> str:
    shown = list(report.scores)
    note = "Means over seeds."
    if len(shown) > MOST_LABELS:
        shown = sorted(shown, key=lambda row: (not row.rows, row.f1))[:MOST_LABELS]
        note = (
            f"The {MOST_LABELS} labels of {len(report.scores)} with the lowest F1; "
            "tables/classes.csv has all."
        )
    rows = table(["label", "test rows", "precision", "recall", "F1"], map(_row, shown))
    if len(shown) > ALL_SHOWN:
        rows = folded(number_of(len(shown), "label"), rows)
    return f"{rows}\n\n{note}"


def _row(scores: ClassScores) -> list[str]:
    values = (scores.precision, scores.recall, scores.f1)
    return [escape(scores.label), count(scores.rows), *map(score, values)]


def _list_confusions(report: ClassReport) -> str:
    pairs = report.confused
    if not pairs:
        return "No row was taken for another label."
    rows = [
        [escape(pair.label), escape(pair.predicted), f"{pair.rows:,.1f}", f"{pair.share:.1%}"]
        for pair in pairs
    ]
    headers = ["label", "taken for", "rows", "of the label"]
    return table(headers, rows, left=2)
