"""Sections of the report on the search: completeness, states of trials, early stopping."""

from __future__ import annotations

from typing import get_args

from raycompare.analysis.comparison import Comparison, Savings
from raycompare.experiment.settings import SCHEDULERS
from raycompare.formatting import count, escape, fold_if_long, join_parts, number_of, share, table
from raycompare.records.endings import STATUS_WORDS
from raycompare.records.rows import FINISHED, Status
from raycompare.report.sections.scores import MOST_OPEN


def partial_section(comparison: Comparison) -> str:
    """Return a warning if the run is incomplete, else nothing."""
    if comparison.manifest.complete:
        return ""
    ended = sum(trial.status in FINISHED for trial in comparison.trials)
    return (
        f"> **Partial.** The run was interrupted after {ended} of the "
        f"{number_of(len(comparison.trials), 'trial')} planned so far; nothing here is final. "
        "To continue it, use `raycompare run --resume` with this folder."
    )


def search_section(comparison: Comparison) -> str:
    """Count the trials by status, and the steps saved by early stopping."""
    statuses: tuple[Status, ...] = get_args(Status)
    headers = ["model", *(STATUS_WORDS[status] for status in statuses)]
    rows = [
        [escape(row.model), *(count(row.counts[status]) for status in statuses)]
        for row in comparison.leaderboard
    ]
    note = "Number of trials in both stages, by final status."
    counts = fold_if_long(table(headers, rows), len(rows), "model", MOST_OPEN)
    return join_parts("## Search", counts, note, _savings(comparison))


def _savings(comparison: Comparison) -> str:
    if not comparison.stopped.planned_steps:
        return "No trials were trained in the tune stage."
    lines = [_scheduler_line(comparison)]
    if comparison.out_of_patience.trials:
        lines.append(f"- Patience ended {_describe_savings(comparison.out_of_patience)}.")
    if comparison.out_of_budget.trials:
        lines.append(f"- The budget ended {_describe_savings(comparison.out_of_budget)}.")
    if comparison.diverged.trials:
        lines.append(f"- A non-finite loss ended {_describe_savings(comparison.diverged)}.")
    halved = [trial for trial in comparison.trials if trial.halvings]
    if halved:
        fewest = 2 ** max(trial.halvings or 0 for trial in halved)
        lines.append(
            f"- {number_of(len(halved), 'trial')} ran out of memory and continued with batches "
            f"split into up to {fewest} parts; the effective batch size did not change."
        )
    return "\n".join(lines)


def _scheduler_line(comparison: Comparison) -> str:
    scheduler = comparison.experiment.tune.scheduler
    if scheduler == "fifo":
        return "- The FIFO scheduler stops no trials early."
    return f"- {SCHEDULERS[scheduler].subject} stopped {_describe_savings(comparison.stopped)}."


def _describe_savings(savings: Savings) -> str:
    if not savings.trials:
        return "no trial of the tune stage early"
    return (
        f"{number_of(savings.trials, 'trial')} in the tune stage early, which saved "
        f"{count(savings.steps)} of {number_of(savings.planned_steps, 'planned step')} "
        f"({share(savings.steps, savings.planned_steps)})"
    )
