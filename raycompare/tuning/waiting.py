"""Says so when no trial runs because the cluster has no room for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial

from raycompare.experiment.spec import ResourceSpec
from raycompare.formatting import duration
from raycompare.tuning.searcher import plan_of

FIRST_S, AGAIN_S = 60.0, 600.0
"""Seconds without a running trial before the first notice, and before each further one."""


class WaitingNotice(tune.Callback):
    """Prints a line while trials wait and none runs, with what they need and what is free."""

    def __init__(self, say: Callable[[str], None], resources: Mapping[str, ResourceSpec]) -> None:
        """Print with `say`; `resources` are those of one trial, keyed by model name."""
        self._say, self._resources = say, resources
        self._since: float | None = None
        self._next = FIRST_S

    def __reduce__(self) -> tuple[type[tune.Callback], tuple[()]]:
        """Pickle a stub, as the other callbacks do."""
        return tune.Callback, ()

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Look whether a trial runs."""
        first = _waits(trials)
        if first is None:
            self._since, self._next = None, FIRST_S
            return
        now = monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since >= self._next:
            self._say(self._describe(first, now - self._since))
            self._next = now - self._since + AGAIN_S

    def _describe(self, trial: Trial, seconds: float) -> str:
        needs = self._resources[plan_of(trial).model]
        free = ray.available_resources()
        return (
            f"  no trial has run for {duration(seconds)}. The next one needs cpu {needs.cpu:g}, "
            f"gpu {needs.gpus:g}; free in the whole cluster are cpu {free.get('CPU', 0):g}, gpu "
            f"{free.get('GPU', 0):g}. Other jobs may use the rest, or machines may be starting: "
            "see `ray status`"
        )


def _waits(trials: list[Trial]) -> Trial | None:
    """Return the first trial that waits for a worker, or None if one runs or none waits."""
    if any(trial.status == Trial.RUNNING for trial in trials):
        return None
    return next((trial for trial in trials if trial.status == Trial.PENDING), None)
