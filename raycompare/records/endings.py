"""How trials ended: in one line, and what went wrong first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from raycompare.records.rows import FINISHED, Ending, Status, TrialRecord

STATUS_WORDS: Mapping[Status, str] = {
    "completed": "completed",
    "stopped_early": "stopped early",
    "errored": "failed",
    "interrupted": "interrupted",
    "not_run": "not run",
}
_GRAVITY: Mapping[Ending, int] = {"error": 3, "diverged": 2, "cut_short": 1, "not_run": 1}


def budget_spent(name: str) -> str:
    """Say that a budget is spent; `name` is the setting with its value."""
    return f"the budget is spent ({name})"


def dollars_spent(max_usd: float) -> str:
    """Say that `tune.max_usd` is spent, with nothing of it kept for a later stage."""
    return budget_spent(f"max_usd: {max_usd:g}")


def first_line(trial: TrialRecord) -> str:
    """Return why the trial ended, in one line."""
    return next(iter(trial.reason.splitlines()), trial.status)


def first_cause(trials: Iterable[TrialRecord]) -> TrialRecord | None:
    """Return the first trial with the gravest ending: an error, divergence, a run cut short."""
    wrong = [trial for trial in trials if trial.ending in _GRAVITY]
    return min(wrong, key=lambda t: (-_GRAVITY[t.ending], t.stage != "tune", t.order), default=None)


def has_value(trial: TrialRecord) -> bool:
    """Say whether a trial ended with a value that others can be compared with."""
    known = trial.best_value is not None and math.isfinite(trial.best_value)
    return known and trial.status in FINISHED and trial.ending != "diverged"
