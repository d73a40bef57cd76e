"""One trial while its run continues, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from raycompare.records.messages import (
    Evaluation,
    Stop,
    TrialEnd,
    TrialFailure,
    TrialPlan,
    TrialStart,
)
from raycompare.records.rows import STATUS_OF, Ending, Status

Phase = Literal["waiting", "running", "paused", "ended"]
"""Where a trial is in this run; one that lost its worker waits again."""
StatusNow = Literal["waiting", "running", "paused", Status]
"""The status of a trial while the run continues."""


@dataclass
class TrialState:
    """All that is known of one trial of this run."""

    plan: TrialPlan
    start: TrialStart | None = None
    evaluations: list[tuple[Evaluation, float]] = field(default_factory=list)
    """Each with the seconds since the run began."""
    best: Evaluation | None = None
    """The best evaluation on the validation split; the first of equals."""
    end: TrialEnd | None = None
    ended_at: float = 0.0
    stop: Stop | None = None
    failure: TrialFailure | None = None
    refusal: Stop | None = None
    """Why the trial was not started, if it was ruled out."""
    starts: int = 0
    """How often a worker began it, or went on with it."""
    losses: list[str] = field(default_factory=list)
    """The causes of lost workers, after which the trial was started again."""
    phase: Phase = "waiting"
    held: float = 0.0
    """Seconds for which it held its resources, up to when it last gave them back."""
    held_since: float | None = None
    """When it was last given its resources, in seconds since the run began; None if it has none."""

    @property
    def ending(self) -> Ending:
        """How the trial ended, were the run to end now."""
        if self.failure is not None:
            return "error"
        if self.end is not None:
            return self.end.reason
        if self.stop is not None:
            return self.stop.ending
        if self.phase == "running" or self.start:
            return "cut_short"
        return self.refusal.ending if self.refusal else "not_run"

    @property
    def status(self) -> Status:
        """How the trial stands, were the run to end now."""
        return "not_run" if self.refusal and not self.start else STATUS_OF[self.ending]

    @property
    def status_now(self) -> StatusNow:
        """Return how the trial stands while the run continues."""
        return self.status if self.phase == "ended" else self.phase

    @property
    def reason(self) -> str:
        """Why the trial ended, in a few words."""
        if self.failure:
            return self.failure.cause
        stop = self.stop or self.refusal
        detail = self.end.detail if self.end else stop.reason if stop else ""
        return detail or self.ending.replace("_", " ")

    def held_until(self, now: float) -> float:
        """Return the seconds for which the trial has held its resources by now."""
        return self.held + (now - self.held_since if self.held_since is not None else 0.0)

    def give_back(self, now: float) -> None:
        """Note that the trial has no resources any more."""
        self.held, self.held_since = self.held_until(now), None

    @property
    def last_step(self) -> int:
        """The optimizer steps taken, as far as reported."""
        if self.end is not None:
            return self.end.step
        return self.evaluations[-1][0].step if self.evaluations else 0
