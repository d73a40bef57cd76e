"""The scheduler that applies a rule of `raycompare.tuning.schedulers` in Tune."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raycompare.errors import RunError
from raycompare.metrics import MetricName
from raycompare.records.messages import (
    Evaluation,
    Message,
    RungSteps,
    TrialPlan,
    TrialStart,
)
from raycompare.records.rows import EvalRecord
from raycompare.tuning.plan_order import PlanOrder, StartPolicy
from raycompare.tuning.schedulers.base import Rule, Ruling
from raycompare.tuning.schedulers.registry import rungs_reached


class RuleScheduler(PlanOrder):
    """Applies each model's rule to decide which trials continue, pause or end."""

    def __init__(
        self,
        rules: Mapping[str, Rule],
        metric: MetricName,
        gate: StartPolicy | None = None,
        rung_steps: RungSteps | None = None,
    ) -> None:
        """Use these rules, keyed by model name; models may share a rule.

        `rung_steps` returns the steps at which a trial reaches the rungs of its model. By default,
        they are the positions of the rungs.
        """
        super().__init__(gate)
        self._rules, self._own_metric = rules, metric
        self._rung_steps = rung_steps or (lambda plan: rules[plan.model].steps)

    def add(self, plan: TrialPlan) -> None:
        """Add a trial before it starts; calls come in the order of the plan."""
        self._rules[plan.model].add(plan.trial_id)

    def replay(
        self, plan: TrialPlan, evaluations: Sequence[EvalRecord], ended_by_itself: bool
    ) -> None:
        """Add a trial that an earlier session finished."""
        rows = [row for row in evaluations if row.split == "validation"]
        for number, row in enumerate(rows, 1):
            is_last = ended_by_itself and number == len(rows)
            self._record(plan, row.step, getattr(row, self._own_metric), is_last)
        self.end(plan)

    def close(self) -> None:
        """Record that no more trials will be added."""
        for rule in self._rules.values():
            rule.close()

    def standing(self, plan: TrialPlan) -> Ruling:
        """Return the decision of the model's rule."""
        return self._rules[plan.model].standing(plan.trial_id)

    def take_in(self, plan: TrialPlan, message: Message) -> None:
        """Record an evaluation, or those from before a checkpoint."""
        for evaluation in message.earlier if isinstance(message, TrialStart) else (message,):
            assert isinstance(evaluation, Evaluation)
            value = evaluation.metrics.get(self._own_metric)
            if value is None:
                raise RunError(
                    f"{plan.trial_id} reported {', '.join(evaluation.metrics)}, but not "
                    f"{self._own_metric}, which trials are compared by. Report it at every "
                    "evaluation, or set tune.metric to one that is reported."
                )
            self._record(plan, evaluation.step, value, evaluation.is_last)

    def _record(self, plan: TrialPlan, step: int, value: float, is_last: bool) -> None:
        rungs = rungs_reached(self._rung_steps(plan), step, is_last)
        self._rules[plan.model].record(plan.trial_id, rungs, value)

    def end(self, plan: TrialPlan) -> None:
        """Record the end of a trial in the rule of its model."""
        self._rules[plan.model].end(plan.trial_id)
