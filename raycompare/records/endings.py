"""Endings of trials: one line per trial, and the first failure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from raycompare.records.rows import FINISHED, Ending, Status, TrialRecord

STATUS_WORDS: Mapping[Status, str] = {
    "completed": "completed",
    "stopped_early": "stopped early",
    "errored": "failed",
    "interrupted": "interrupted",
    "not_run": "not run",
}
_GRAVITY: Mapping[Status | Ending, int] = {
    "errored": 3,
    "diverged": 2,
    "interrupted": 1,
    "not_run": 1,
}
_old_max_usd = re.compile(r"the budget is spent \(max_usd: [^,]+\)")


def name_ending(trial: TrialRecord) -> TrialRecord:
    """Correct the ending of a trial of an older run, where only `reason` names `tune.max_usd`."""
    old = trial.ending in ("budget", "not_run") and _old_max_usd.fullmatch(trial.reason)
    return replace(trial, ending="max_usd") if old else trial


def first_line(trial: TrialRecord) -> str:
    """Return why the trial ended, in one line."""
    return next(iter(trial.reason.splitlines()), trial.status)


def first_cause(trials: Iterable[TrialRecord]) -> TrialRecord | None:
    """Return the first trial with the worst ending: an error, then divergence, then a cut-off."""
    wrong = [trial for trial in trials if _gravity(trial)]
    return min(wrong, key=lambda t: (-_gravity(t), t.stage != "tune", t.order), default=None)


def _gravity(trial: TrialRecord) -> int:
    return max(_GRAVITY.get(trial.status, 0), _GRAVITY.get(trial.ending, 0))


def has_value(trial: TrialRecord) -> bool:
    """Return whether the value of a trial can be compared with that of other trials."""
    is_finite = trial.best_value is not None and math.isfinite(trial.best_value)
    return is_finite and trial.status in FINISHED and trial.ending != "diverged"
