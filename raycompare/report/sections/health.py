"""The section of the report that says what to look at."""

from __future__ import annotations

from raycompare.analysis.comparison import Comparison
from raycompare.formatting import escape, table


def health_section(comparison: Comparison) -> str:
    """Show each flag with what to do; nothing if there is none."""
    if not comparison.flags:
        return ""
    rows = [[escape(flag.about), escape(flag.found), flag.advice] for flag in comparison.flags]
    return "\n\n".join(
        ["## What to look at", table(["about", "found", "what to do"], rows, left=3)]
    )
