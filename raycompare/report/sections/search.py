"""The sections of the report that say how the search went: whole or not, what was stopped."""

from __future__ import annotations

from typing import get_args

from raycompare.analysis.comparison import Comparison, Savings
from raycompare.experiment.settings import SCHEDULERS
from raycompare.formatting import count, escape, number_of, share, table
from raycompare.records.endings import STATUS_WORDS
from raycompare.records.rows import FINISHED, Status


def partial_section(comparison: Comparison) -> str:
    """Warn of a report on a run that was interrupted; nothing for a whole one."""
    if comparison.manifest.complete:
        return ""
    ended = sum(trial.status in FINISHED for trial in comparison.trials)
    return (
        f"> **Partial.** The run was interrupted after {ended} of the "
        f"{number_of(len(comparison.trials), 'trial')} planned so far; nothing here is final. "
        "`raycompare run --resume` with this folder goes on."
    )


def search_section(comparison: Comparison) -> str:
    """Count the trials, and the steps that were not trained."""
    statuses: tuple[Status, ...] = get_args(Status)
    headers = ["model", *(STATUS_WORDS[status] for status in statuses)]
    rows = [
        [escape(row.model), *(count(row.counts[status]) for status in statuses)]
        for row in comparison.leaderboard
    ]
    parts = [
        "## How the search went",
        table(headers, rows),
        "Trials of both stages; each is counted once.",
        _savings(comparison),
    ]
    return "\n\n".join(part for part in parts if part)


def _savings(comparison: Comparison) -> str:
    if not comparison.stopped.planned_steps:
        return "No trial of the tune stage was trained."
    lines = [_scheduler_line(comparison)]
    if comparison.out_of_patience.trials:
        lines.append(f"- Patience ended {_describe_savings(comparison.out_of_patience)}.")
    if comparison.out_of_budget.trials:
        lines.append(f"- The budget ended {_describe_savings(comparison.out_of_budget)}.")
    if comparison.diverged.trials:
        lines.append(f"- A loss that was no number ended {_describe_savings(comparison.diverged)}.")
    halved = [trial for trial in comparison.trials if trial.halvings]
    if halved:
        fewest = 2 ** max(trial.halvings or 0 for trial in halved)
        lines.append(
            f"- Memory ran out in {number_of(len(halved), 'trial')} of both stages: down to "
            f"1/{fewest} of a batch was computed at once, with the effective batch as it was."
        )
    return "\n".join(lines)


def _scheduler_line(comparison: Comparison) -> str:
    scheduler = comparison.experiment.tune.scheduler
    if scheduler == "fifo":
        return "- The scheduler was FIFO, which stops no trial."
    return f"- {SCHEDULERS[scheduler].subject} stopped {_describe_savings(comparison.stopped)}."


def _describe_savings(savings: Savings) -> str:
    return (
        f"{number_of(savings.trials, 'trial')} of the tune stage early and saved "
        f"{count(savings.steps)} of {number_of(savings.planned_steps, 'planned step')} "
        f"({share(savings.steps, savings.planned_steps)})"
    )
