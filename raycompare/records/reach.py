"""How far trials got, in the unit that `tune.time_attr` compares them in."""

from __future__ import annotations

from collections.abc import Sequence

from raycompare.experiment.settings import TimeAttr
from raycompare.records.rows import TrialRecord


def got_furthest(
    trials: Sequence[TrialRecord], time_attr: TimeAttr, at_least: int = 1
) -> list[TrialRecord]:
    """Return the trials that got furthest: `at_least` this many, and all that equal the last one.

    Trials with other batch sizes reach the same position in the middle of a step, and are evaluated
    after it. So a trial equals another if it passed the point before the other's last step.
    """
    farthest_first = sorted(trials, key=lambda trial: -_position(trial, trial.steps, time_attr))
    needed = farthest_first[:at_least]
    if not needed:
        return []
    least = _position(needed[-1], needed[-1].steps - 1, time_attr)
    return [trial for trial in trials if _position(trial, trial.steps, time_attr) > least]


def _position(trial: TrialRecord, step: int, time_attr: TimeAttr) -> float:
    per_step = trial.examples_per_step or 1.0
    return step * per_step if time_attr == "examples" else step
