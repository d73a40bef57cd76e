"""Section of the report with warnings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from raycompare.analysis.comparison import Comparison
from raycompare.analysis.health.flag import Flag
from raycompare.formatting import escape, name_first, table

MOST_SUBJECTS = 5
"""Largest number of models that are named in one warning."""


def health_section(comparison: Comparison) -> str:
    """List the findings, each with a suggestion; return nothing if there are none."""
    if not comparison.flags:
        return ""
    rows = [
        [name_first([escape(name) for name in names], MOST_SUBJECTS), escape(found), advice]
        for (found, advice), names in group_flags(comparison.flags).items()
    ]
    return f"## Warnings\n\n{table(['subject', 'finding', 'suggestion'], rows, left=3)}"


def group_flags(flags: Iterable[Flag]) -> Mapping[tuple[str, str], Sequence[str]]:
    """Return the subjects of each finding and its suggestion."""
    subjects: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for flag in flags:
        subjects[flag.found, flag.advice].append(flag.about)
    return subjects
