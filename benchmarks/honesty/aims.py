"""Aims that rates of errors and of coverage are held to."""

from __future__ import annotations

from benchmarks.honesty.replays import Rate
from benchmarks.page import Goal
from raycompare.analysis.statistics.pairwise import LEVEL

MOST_ERRORS, FEWEST_COVERED = 0.065, 0.93


def at_most(name: str, rate: Rate) -> Goal:
    """Aim at a rate of at most 5 %, of which the upper bound is not much larger."""
    return Goal(
        name=name,
        aim=f"<= {LEVEL:.0%}, certainly <= {MOST_ERRORS:.1%}",
        measured=f"{rate.share:.1%} (up to {rate.upper:.1%})",
        met=rate.share <= LEVEL and rate.upper <= MOST_ERRORS,
    )


def holds_truth(name: str, share: float) -> Goal:
    """Aim at intervals that hold the truth often enough."""
    return Goal(
        name=name,
        aim=f">= {FEWEST_COVERED:.0%}",
        measured=f"{share:.1%}",
        met=share >= FEWEST_COVERED,
    )
