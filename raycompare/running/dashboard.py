"""Shows each running trial in Ray's dashboard under a name that a person can read.

Tune's workers can't do that: Ray takes down what an actor is called when it is made, and Tune
gives the actor to one trial after the other. So an actor of our own, which needs no CPU, has a
task for each trial that runs, named by model, seed and learning rate, from its start to its end.
They stand in the dashboard under Jobs, *Ray Core Overview* and *Task Table*.
"""

from __future__ import annotations

from itertools import count
from threading import Event
from typing import Any

import ray

from raycompare.records.messages import TrialPlan
from raycompare.records.trial_state import TrialState

LEARNING_RATE = "learning_rate"
MOST_AT_ONCE = 500
"""Threads that the actor has; of more trials at once, the first are shown as running."""
ENDS = "ends"
"""The concurrency group with a thread of its own, so that ends are heard whatever waits."""
HEAD = {"node:__internal_head__": 0.001}
"""A resource that Ray gives to the head alone: workers come and go."""


def trial_label(plan: TrialPlan) -> str:
    """Name a trial by stage, model and seed, and by its learning rate where that is searched."""
    rate = plan.hyperparameters.get(LEARNING_RATE)
    said = f"{LEARNING_RATE} {rate:.3g}" if isinstance(rate, float) else plan.trial_id[-8:]
    own = "default" if plan.is_default else said
    return f"{plan.stage} {plan.model} seed {plan.seed} {own}"


class Trials:
    """The actor: a call of `trial` lasts as long as the trial, and holds a thread meanwhile."""

    def __init__(self) -> None:
        """Know of no trial."""
        self._ends: dict[int, Event] = {}

    def trial(self, number: int) -> None:
        """Wait until the trial of this number is over."""
        self._ends.setdefault(number, Event()).wait()
        del self._ends[number]

    @ray.method(concurrency_group=ENDS)
    def end(self, number: int) -> None:
        """Have the call for the trial return; this one may well run before that one."""
        self._ends.setdefault(number, Event()).set()


class Dashboard:
    """The trials that run, as tasks; what becomes of the actor is of no consequence to a run."""

    def __init__(self) -> None:
        """Start the actor on the head."""
        threads = {"max_concurrency": MOST_AT_ONCE, "concurrency_groups": {ENDS: 1}}
        options: dict[str, Any] = {"num_cpus": 0, "resources": HEAD, **threads}
        self._actor: Any = ray.remote(**options)(Trials).remote()
        self._numbers = count()
        self._shown: dict[str, int] = {}

    def show(self, trial: TrialState) -> None:
        """Begin the task of a trial that runs; end the task of one that no longer does."""
        number = self._shown.get(trial.plan.trial_id)
        if trial.phase == "running" and number is None:
            self._shown[trial.plan.trial_id] = number = next(self._numbers)
            self._actor.trial.options(name=trial_label(trial.plan)).remote(number)
        elif trial.phase != "running" and number is not None:
            self._actor.end.remote(self._shown.pop(trial.plan.trial_id))
