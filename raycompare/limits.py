"""What a run may still start: budgets of time, money and trials, and models that only fail."""

from __future__ import annotations

import math
from statistics import median

from raycompare.endings import budget_spent, dollars_spent
from raycompare.journal import Entry, Journal
from raycompare.markdown import duration
from raycompare.prices import price_of
from raycompare.record import TrialPlan
from raycompare.spec import Experiment

SECONDS_PER_HOUR = 3600


class Cap:
    """The gate of every stage: what a run may cost in dollars, which nothing is kept from."""

    def __init__(self, experiment: Experiment, journal: Journal, machines: int) -> None:
        """Watch the journal of a run on so many machines."""
        self._journal, self._usd = journal, experiment.tune.max_usd
        self._seconds = _affordable(experiment, machines)

    def refuses(self, plan: TrialPlan) -> str:
        """Return why the trial must not start; empty if it may."""
        return self.spent

    def cuts(self, plan: TrialPlan) -> str:
        """Return why the trial must end at its next evaluation; empty if it may go on."""
        return self.spent

    @property
    def spent(self) -> str:
        """Say that the run has cost all that it may; empty while it has not."""
        if self._usd is None or self._journal.elapsed < self._seconds:
            return ""
        return dollars_spent(self._usd)


class Limits:
    """The gate of the tune stage: it keeps what the confirm stage needs, and the cap."""

    def __init__(
        self, experiment: Experiment, journal: Journal, machines: int, at_once: int
    ) -> None:
        """Watch the journal of a run on `machines`, with room for so many trials `at_once`."""
        self._experiment, self._journal, self._at_once = experiment, journal, at_once
        self._cap = Cap(experiment, journal, machines)
        self._seconds, self._name = _limit(experiment, machines)
        self._seen = 0
        self._failures: dict[str, list[Entry]] = {}
        self._worked: set[str] = set()
        self._paces: dict[str, list[float]] = {}
        self._steps: dict[str, int] = {}

    def refuses(self, plan: TrialPlan) -> str:
        """Return why the trial must not start; empty if it may."""
        capped = self._cap.refuses(plan)
        if capped:
            return capped
        self._look()
        failed = self._failures.get(plan.model, [])
        if plan.model not in self._worked and len(failed) >= self._most_failures:
            return (
                f"{plan.model} was taken out: its first {len(failed)} trials failed, "
                f"the first with {failed[0].reason}"
            )
        if self._journal.starts[plan.model] < self._experiment.tune.min_trials_per_model:
            return ""
        return self._spent()

    def cuts(self, plan: TrialPlan) -> str:
        """Return why the trial must end at its next evaluation; empty if it may go on."""
        capped = self._cap.cuts(plan)
        if capped:
            return capped
        if math.isinf(self._seconds) or plan.is_default:
            return ""
        self._look()
        return self._spent()

    @property
    def _most_failures(self) -> int:
        return self._experiment.failure.max_model_failures

    def _spent(self) -> str:
        if math.isinf(self._seconds) or self._journal.elapsed + self.reserve < self._seconds:
            return ""
        kept = f", {duration(self.reserve)} of it kept for the confirm stage" if self._paces else ""
        return budget_spent(f"{self._name}{kept}")

    @property
    def reserve(self) -> float:
        """Seconds that the confirm stage will take: every model and seed, to its full budget."""
        seeds = len(self._experiment.confirm.seeds)
        work = [median(paces) * self._steps[model] for model, paces in self._paces.items()]
        # Whole rounds: the last trials of a stage leave machines idle.
        rounds = math.ceil(len(work) * seeds / self._at_once) if work else 0
        return rounds * (sum(work) / len(work)) if work else 0.0

    def _look(self) -> None:
        """Take in the trials that have ended since the last look."""
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
            pace = (last.train_seconds + last.eval_seconds) / last.step
            self._paces.setdefault(model, []).append(pace)
            if entry.plan.is_default:
                self._steps[model] = entry.start.planned_steps
            self._steps.setdefault(model, entry.start.planned_steps)


def _limit(experiment: Experiment, machines: int) -> tuple[float, str]:
    """Return the seconds that a run may take, and the setting that says so."""
    settings = experiment.tune
    limits = [(math.inf, "")]
    if settings.time_budget_s:
        limits.append((settings.time_budget_s, f"time_budget_s: {settings.time_budget_s:g}"))
    if settings.max_usd:
        limits.append((_affordable(experiment, machines), f"max_usd: {settings.max_usd:g}"))
    return min(limits)


def _affordable(experiment: Experiment, machines: int) -> float:
    """Return the seconds of all machines that `tune.max_usd` buys."""
    price, usd = price_of(experiment.cost), experiment.tune.max_usd
    if price is None or usd is None:
        return math.inf
    return usd / (price.usd_per_hour * machines) * SECONDS_PER_HOUR
