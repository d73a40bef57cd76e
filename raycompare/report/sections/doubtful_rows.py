"""Section of the report on test rows whose labels may be wrong."""

from __future__ import annotations

from raycompare.analysis.comparison import Comparison
from raycompare.analysis.doubtful_rows import DoubtfulRow, DoubtfulRows
from raycompare.formatting import count, escape, join_parts, number_of, score, table

MOST_ROWS = 10
MOST_CHARACTERS = 200
"""Longer texts are cut in the report."""


def doubtful_rows_section(comparison: Comparison) -> str:
    """List the rows that every finalist confidently predicts as the same other label."""
    doubtful = comparison.doubtful_rows
    if doubtful is None:
        return ""
    heading = "## Rows that every finalist gets wrong"
    if not doubtful.rows:
        return join_parts(heading, _claim(doubtful))
    return join_parts(heading, _claim(doubtful), _table(doubtful), _note(comparison, doubtful))


def _claim(doubtful: DoubtfulRows) -> str:
    finalists = (
        f"all {number_of(doubtful.finalists, 'finalist')} of {number_of(doubtful.models, 'model')}"
    )
    if not doubtful.rows:
        return f"No test row is predicted as the same other label by {finalists} with confidence."
    are = "is" if len(doubtful.rows) == 1 else "are"
    return (
        f"{count(len(doubtful.rows))} of {number_of(doubtful.examples, 'test row')} {are} "
        f"predicted as the same other label by {finalists} with confidence. Either the label "
        "is wrong, which is often the case for the first rows of the table, or the text is "
        "ambiguous or hard."
    )


def _table(doubtful: DoubtfulRows) -> str:
    has_texts = any(row.text is not None for row in doubtful.rows)
    headers = ["row", "label", "predicted as", *(["text"] if has_texts else []), "confidence"]
    rows = [_cells(row, has_texts) for row in doubtful.rows[:MOST_ROWS]]
    return table(headers, rows, left=len(headers) - 1)


def _cells(row: DoubtfulRow, has_texts: bool) -> list[str]:
    text = [_shorten(row)] if has_texts else []
    # No thousands separators: the number is to be looked up.
    place = str(row.example_id)
    return [place, escape(row.label), escape(row.predicted), *text, score(row.confidence)]


def _shorten(row: DoubtfulRow) -> str:
    text = " / ".join(part for part in (row.text, row.text_pair) if part is not None)
    # Control characters could change a terminal.
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    cut = line[:MOST_CHARACTERS].rstrip() + "…" if len(line) > MOST_CHARACTERS else line
    return escape(cut)


def _note(comparison: Comparison, doubtful: DoubtfulRows) -> str:
    more = len(doubtful.rows) - MOST_ROWS
    others = f"tables/doubtful_rows.csv has {number_of(more, 'more row')}. " if more > 0 else ""
    return (
        f"{others}*Row* is the index in {_place(comparison)}, from 0 and without a header. "
        "*Confidence* is the mean probability of the predicted label; the finalists are at least "
        "as sure of it as they are on average for rows that have that label. Read these rows and "
        "correct labels that are wrong. Don't just remove the rows: that would favour the models "
        "that were trained."
    )


def _place(comparison: Comparison) -> str:
    """Name the split of the source that the test rows come from; older runs don't record it."""
    data = comparison.manifest.data
    stated = comparison.experiment.data.splits.test
    split = data.get("source_splits", {}).get("test", stated if isinstance(stated, str) else None)
    source = escape(str(data.get("dataset", comparison.experiment.data.dataset)))
    if split is None:
        return f"the split of {source} that the test rows were taken from"
    return f"split {escape(split)} of {source}"
