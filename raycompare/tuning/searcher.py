"""How plans reach Tune: one after another, when it asks for them."""

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
    """Make the config that Tune hands to a trial."""
    return asdict(plan)


def plan_of(trial: HasConfig) -> TrialPlan:
    """Read the plan back from a trial of Tune."""
    return TrialPlan(**trial.config[PLAN])


def pack(message: Message) -> dict[str, Any]:
    """Return the metrics of a report; the message is not a dict, since Tune would flatten it."""
    return {MESSAGE: message}


def unpack(result: Mapping[str, Any]) -> Message:
    """Read the message of a result."""
    message: Message = result[MESSAGE]
    return message


class Planned(tune.search.Searcher):
    """Passes plans to Tune one after another.

    A grid of the plans would also work, but Tune copies the whole grid for each trial.
    """

    def __init__(
        self, plans: Iterator[TrialPlan], has_room: Callable[[int], bool] | None = None
    ) -> None:
        """Pass on plans in this order.

        `has_room` gets the number of trials that have not ended, and returns whether another plan
        may be made. A plan that depends on earlier trials should be made when it can start.
        """
        super().__init__()
        self._plans, self._has_room = plans, has_room
        self._live: set[str] = set()

    def __reduce__(self) -> tuple[type[tune.search.Searcher], tuple[()]]:
        """Tune pickles searchers for `Tuner.restore`, which is not used (docs/decisions/0002)."""
        return tune.search.Searcher, ()

    def suggest(self, trial_id: str) -> Any:
        """Return the config of the next trial, or None if Tune should ask again later."""
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
