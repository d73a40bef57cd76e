"""Shows each running trial in Ray's dashboard under a readable name.

Tune's workers can't do that: Ray records the name of an actor once, when it is created, and Tune
reuses its actors for many trials. Therefore a separate actor, which needs no CPU, has a task for
each running trial, named by model, seed and learning rate. The tasks are listed in the dashboard
under Jobs, in *Ray Core Overview* and *Task Table*.
"""

from __future__ import annotations

from itertools import count
from threading import Event
from typing import Any

import ray

from raycompare.records.messages import TrialPlan
from raycompare.records.trial_state import TrialState
from raycompare.running.display import SideChannel

LEARNING_RATE = "learning_rate"
MOST_AT_ONCE = 500
"""Number of threads of the actor; if more trials run at once, only the first ones are shown."""
ENDS = "ends"
"""A concurrency group with its own thread, so that waiting tasks don't block calls of `end`."""
HEAD = {"node:__internal_head__": 0.001}
"""A resource that only the head has: other nodes come and go."""


def trial_label(plan: TrialPlan) -> str:
    """Name a trial by stage, model and seed, and by its learning rate if that is searched."""
    rate = plan.hyperparameters.get(LEARNING_RATE)
    searched = f"{LEARNING_RATE} {rate:.3g}" if isinstance(rate, float) else plan.trial_id[-8:]
    own = "default" if plan.is_default else searched
    return f"{plan.stage} {plan.model} seed {plan.seed} {own}"


class Trials:
    """The actor: a call of `trial` lasts as long as the trial, and blocks a thread."""

    def __init__(self) -> None:
        """Start without trials."""
        self._ends: dict[int, Event] = {}

    def trial(self, number: int) -> None:
        """Wait until trial `number` ends."""
        self._ends.setdefault(number, Event()).wait()
        del self._ends[number]

    @ray.method(concurrency_group=ENDS)
    def end(self, number: int) -> None:
        """End the call of `trial` with this number, which may not have started yet."""
        self._ends.setdefault(number, Event()).set()


class Dashboard:
    """Shows running trials as tasks of an actor, whose failures don't affect the run."""

    def __init__(self, channel: SideChannel) -> None:
        """Start the actor on the head."""
        self._channel = channel
        threads = {"max_concurrency": MOST_AT_ONCE, "concurrency_groups": {ENDS: 1}}
        options: dict[str, Any] = {"num_cpus": 0, "resources": HEAD, **threads}
        self._actor: Any = ray.remote(**options)(Trials).remote()
        self._numbers = count()
        self._shown: dict[str, int] = {}

    def show(self, trial: TrialState) -> None:
        """Start the task of a trial that has started, or end the task of one that has ended."""
        self._channel.call(self._show, trial)

    def _show(self, trial: TrialState) -> None:
        number = self._shown.get(trial.plan.trial_id)
        if trial.phase == "running" and number is None:
            self._shown[trial.plan.trial_id] = number = next(self._numbers)
            self._actor.trial.options(name=trial_label(trial.plan)).remote(number)
        elif trial.phase != "running" and number is not None:
            self._actor.end.remote(self._shown.pop(trial.plan.trial_id))
