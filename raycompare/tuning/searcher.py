"""Passes plans to Tune, one at a time when it requests them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Protocol

from ray import tune

from raycompare.records.messages import Message, TrialPlan

PLAN, MESSAGE = "plan", "message"


class HasConfig(Protocol):
    """The attributes of Tune's trials that are used here."""

    config: dict[str, Any]


def config_of(plan: TrialPlan) -> dict[str, Any]:
    """Return the config that Tune passes to a trial."""
    return asdict(plan)


def plan_of(trial: HasConfig) -> TrialPlan:
    """Return the plan of a Tune trial."""
    return TrialPlan(**trial.config[PLAN])


def pack(message: Message) -> dict[str, Any]:
    """Return the metrics of a report; the message is not a dict, since Tune would flatten it."""
    return {MESSAGE: message}


def unpack(result: Mapping[str, Any]) -> Message:
    """Return the message of a result."""
    message: Message = result[MESSAGE]
    return message


class PlanSearcher(tune.search.Searcher):
    """Passes plans to Tune one at a time; Tune would copy a whole grid of plans for each trial."""

    def __init__(
        self, plans: Iterator[TrialPlan], has_room: Callable[[int], bool] | None = None
    ) -> None:
        """Pass on plans in this order, if `has_room` allows it for the number of live trials.

        A plan that depends on earlier trials should be made only when it can start.
        """
        super().__init__()
        self._plans, self._has_room = plans, has_room
        self._live: set[str] = set()

    def __reduce__(self) -> tuple[type[tune.search.Searcher], tuple[()]]:
        """Pickle a stub: `Tuner.restore`, which needs it, is not used (docs/decisions/0002)."""
        return tune.search.Searcher, ()

    def suggest(self, trial_id: str) -> Any:
        """Return the config of the next trial, or None if Tune should call again later."""
        if self._has_room and not self._has_room(len(self._live)):
            return None
        plan = next(self._plans, None)
        if plan is None:
            return str(tune.search.Searcher.FINISHED)
        self._live.add(trial_id)
        return {PLAN: config_of(plan)}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Record that a trial has ended; its results are in the journal."""
        self._live.discard(trial_id)
