"""The state of one trial while its run continues."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from raycompare.records.messages import (
    Evaluation,
    Stop,
    TaskFailure,
    TrialEnd,
    TrialPlan,
    TrialStart,
)
from raycompare.records.rows import STATUS_OF, Ending, Status

Phase = Literal["waiting", "running", "paused", "ended"]
"""Phase of a trial in this session; it waits again after its worker was lost."""
StatusNow = Literal["waiting", "running", "paused", Status]
"""The status of a trial while the run continues."""


@dataclass
class TrialState:
    """The messages and the state of one trial of this run."""

    plan: TrialPlan
    start: TrialStart | None = None
    evaluations: list[tuple[Evaluation, float]] = field(default_factory=list)
    """Each evaluation with the seconds from the beginning of the run to its arrival."""
    best: Evaluation | None = None
    """The best evaluation on the validation split; the first one in case of a tie."""
    end: TrialEnd | None = None
    ended_at: float = 0.0
    stop: Stop | None = None
    failure: TaskFailure | None = None
    refusal: Stop | None = None
    """Why the scheduler never started the trial."""
    starts: int = 0
    """Number of times that a worker started or continued the trial."""
    losses: list[str] = field(default_factory=list)
    """The cause of each restart after a lost worker."""
    phase: Phase = "waiting"
    held: float = 0.0
    """Seconds for which the trial held its resources, until it last released them."""
    held_since: float | None = None
    """When the trial got the resources it holds, in seconds since the run began; else None."""

    @property
    def ending(self) -> Ending:
        """The ending that is recorded if the run ends now."""
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
        """The status that is recorded if the run ends now."""
        return "not_run" if self.refusal and not self.start else STATUS_OF[self.ending]

    @property
    def status_now(self) -> StatusNow:
        """The status while the run continues."""
        return self.status if self.phase == "ended" else self.phase

    @property
    def reason(self) -> str:
        """The ending in words."""
        if self.failure:
            return self.failure.cause
        stop = self.stop or self.refusal
        detail = self.end.detail if self.end else stop.reason if stop else ""
        return detail or self.ending.replace("_", " ")

    def held_until(self, now: float) -> float:
        """Return the seconds for which the trial has held its resources until `now`."""
        return self.held + (now - self.held_since if self.held_since is not None else 0.0)

    def give_back(self, now: float) -> None:
        """Record that the trial has released its resources."""
        self.held, self.held_since = self.held_until(now), None

    @property
    def last_step(self) -> int:
        """The last optimizer step that the trial reported."""
        if self.end is not None:
            return self.end.step
        return self.evaluations[-1][0].step if self.evaluations else 0
