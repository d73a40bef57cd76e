"""Section of the report with warnings."""

from __future__ import annotations

from raycompare.analysis.comparison import Comparison
from raycompare.formatting import escape, table


def health_section(comparison: Comparison) -> str:
    """List the findings, each with a suggestion; return nothing if there are none."""
    if not comparison.flags:
        return ""
    rows = [[escape(flag.about), escape(flag.found), flag.advice] for flag in comparison.flags]
    return f"## Warnings\n\n{table(['subject', 'finding', 'suggestion'], rows, left=3)}"
