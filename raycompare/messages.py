"""How plans and messages travel through Tune: each whole, under one key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

from raycompare.record import Message, TrialPlan

PLAN, MESSAGE = "plan", "message"


class HasConfig(Protocol):
    """A trial of Tune, as far as it matters here."""

    config: dict[str, Any]


def config_of(plan: TrialPlan) -> dict[str, Any]:
    """Make the config that Tune hands to a trial."""
    return asdict(plan)


def plan_of(trial: HasConfig) -> TrialPlan:
    """Read the plan back from a trial of Tune."""
    return TrialPlan(**trial.config[PLAN])


def pack(message: Message) -> dict[str, Any]:
    """Make the metrics that a trial reports; no dict, since Tune flattens those for schedulers."""
    return {MESSAGE: message}


def unpack(result: Mapping[str, Any]) -> Message:
    """Read the message of a result."""
    message: Message = result[MESSAGE]
    return message
