"""Limits of a run: budgets of time, money and trials, and models whose trials all fail."""

from __future__ import annotations

import math
from statistics import median

from raycompare.experiment.prices import price_of
from raycompare.experiment.spec import Experiment
from raycompare.formatting import duration
from raycompare.records.clock import Clock
from raycompare.records.journal import Journal
from raycompare.records.messages import Stop, TrialPlan
from raycompare.records.trial_state import TrialState


class MaxCost:
    """The gate of every stage: the cost limit of the run, of which nothing is reserved."""

    def __init__(self, experiment: Experiment, clock: Clock) -> None:
        """Watch the clock of a run, which counts its machines."""
        self._clock, self._usd = clock, experiment.tune.max_usd
        self._price = price_of(experiment.cost)

    def refuses(self, plan: TrialPlan) -> Stop | None:
        """Return why the trial must not start; None if it may."""
        return self.spent

    def cuts(self, plan: TrialPlan) -> Stop | None:
        """Return why the trial must end at its next evaluation; None if it may continue."""
        return self.spent

    @property
    def spent(self) -> Stop | None:
        """Why no more trials may run, once the run has reached its cost limit; None before."""
        if self._usd is None or not self.ends_within(0):
            return None
        return Stop("max_usd", f"the budget is spent (max_usd: {self._usd:g})")

    def ends_within(self, seconds: float) -> bool:
        """Return whether the current machines reach the cost limit within this many seconds."""
        if self._usd is None or self._price is None:
            return False
        machine = self._clock.machine_total + seconds * self._clock.machines
        return self._price.usd(machine) >= self._usd


class SeedBudget:
    """The gate of a confirm stage that adds seeds: the cap, and the time for further seeds."""

    def __init__(self, experiment: Experiment, journal: Journal, clock: Clock) -> None:
        """Watch the journal and the clock of a run."""
        self._cap, self._journal = MaxCost(experiment, clock), journal
        self._sure, self._limit = experiment.confirm.sure_seeds, experiment.tune.time_budget_s

    def refuses(self, plan: TrialPlan) -> Stop | None:
        """Return why the trial must not start; None if it may."""
        capped = self._cap.refuses(plan)
        if capped or self._limit is None or plan.seed in self._sure:
            return capped
        held = self._held_seconds(plan.model)
        if self._journal.elapsed + (median(held) if held else 0.0) < self._limit:
            return None
        return Stop("budget", f"the budget is spent (time_budget_s: {self._limit:g})")

    def _held_seconds(self, model: str) -> list[float]:
        """Return how long the model's finalists have held their resources."""
        now = self._journal.elapsed
        entries = [e for e in self._journal.entries.values() if e.plan.stage == "confirm"]
        held = [e.held_until(now) for e in entries if e.plan.model == model]
        held += [
            trial.held_seconds or 0.0
            for trial in self._journal.kept
            if trial.stage == "confirm" and trial.model == model
        ]
        return [seconds for seconds in held if seconds]

    def cuts(self, plan: TrialPlan) -> Stop | None:
        """Return why the trial must end at its next evaluation; None if it may continue."""
        return self._cap.cuts(plan)


class Budgets:
    """The gate of the tune stage: its budgets, with time reserved for confirm, and the cap."""

    def __init__(
        self, experiment: Experiment, journal: Journal, clock: Clock, at_once: int
    ) -> None:
        """Watch the journal and the clock of a run that can run `at_once` trials in parallel."""
        self._experiment, self._journal, self._at_once = experiment, journal, at_once
        self._cap, self._settings = MaxCost(experiment, clock), experiment.tune
        self._seen = 0
        self._failures: dict[str, list[TrialState]] = {}
        self._worked: set[str] = set()
        self._paces: dict[str, list[float]] = {}
        self._steps: dict[str, int] = {}

    def refuses(self, plan: TrialPlan) -> Stop | None:
        """Return why the trial must not start; None if it may."""
        capped = self._cap.refuses(plan)
        if capped:
            return capped
        self._read_endings()
        failed = self._failures.get(plan.model, [])
        most_failures = self._experiment.failure.max_model_failures
        if plan.model not in self._worked and len(failed) >= most_failures:
            return Stop(
                "refused",
                f"{plan.model} was dropped because its first {len(failed)} trials failed; "
                f"the first error was {failed[0].reason}",
            )
        if self._journal.starts[plan.model] < self._experiment.tune.min_trials_per_model:
            return None
        return self._spent

    def cuts(self, plan: TrialPlan) -> Stop | None:
        """Return why the trial must end at its next evaluation; None if it may continue."""
        capped = self._cap.cuts(plan)
        if capped:
            return capped
        if plan.is_default:
            return None
        self._read_endings()
        return self._spent

    @property
    def _spent(self) -> Stop | None:
        budget = self._budget
        if not budget:
            return None
        reserved = f", with {duration(self.reserve)} reserved for the confirm stage"
        return Stop("budget", f"the budget is spent ({budget}{reserved if self._paces else ''})")

    @property
    def _budget(self) -> str:
        """Return the budget of which only the reserve is left; empty if there is none."""
        time = self._settings.time_budget_s
        if time and self._journal.elapsed + self.reserve >= time:
            return f"time_budget_s: {time:g}"
        if self._settings.max_usd and self._cap.ends_within(self.reserve):
            return f"max_usd: {self._settings.max_usd:g}"
        return ""

    @property
    def reserve(self) -> float:
        """Estimated seconds of the confirm stage: every model and seed, with its full steps.

        With `seeds: auto`, of the seeds that are sure and one more.
        """
        confirm = self._experiment.confirm
        seeds = len(confirm.sure_seeds) + confirm.is_race
        work = [median(paces) * self._steps[model] for model, paces in self._paces.items()]
        # Round up to whole rounds: machines are idle while the last trials of a stage run.
        rounds = math.ceil(len(work) * seeds / self._at_once) if work else 0
        return rounds * (sum(work) / len(work)) if work else 0.0

    def _read_endings(self) -> None:
        """Read the trials that have ended since the last call."""
        new = self._journal.endings[self._seen :]
        self._seen += len(new)
        for entry in new:
            model = entry.plan.model
            if entry.failure:
                self._failures.setdefault(model, []).append(entry)
            if not entry.evaluations or not entry.start:
                continue
            self._worked.add(model)
            last = entry.evaluations[-1][0]
            pace = (last.train_seconds + last.eval_seconds) / max(last.step, 1)
            self._paces.setdefault(model, []).append(pace)
            if entry.plan.is_default:
                self._steps[model] = entry.start.planned_steps
            self._steps.setdefault(model, entry.start.planned_steps)
