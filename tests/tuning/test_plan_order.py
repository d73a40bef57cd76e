from __future__ import annotations

import pickle
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from raycompare.errors import RunError
from raycompare.experiment.settings import TuneSpec
from raycompare.records.messages import Message, Stop, TrialPlan
from raycompare.tuning import plan_order
from raycompare.tuning.plan_order import PlanOrder
from raycompare.tuning.rule_scheduler import RuleScheduler
from raycompare.tuning.schedulers.asha import Rungs
from raycompare.tuning.schedulers.base import Rule
from raycompare.tuning.schedulers.median import MedianStopping
from raycompare.tuning.schedulers.pasha import Pasha
from raycompare.tuning.schedulers.top_k import TopK
from raycompare.tuning.searcher import PLAN, config_of, pack
from tests.records.test_journal import END, START, evaluation
from tests.records.test_journal import journal as journal_of


def plan(model: str, order: int) -> TrialPlan:
    return TrialPlan(
        trial_id=f"{model}{order}", stage="tune", model=model, order=order, seed=1, is_default=False
    )


PLANS = [plan("slow", 0), plan("fast", 1), plan("slow", 2), plan("fast", 3)]


def comparing(rules: dict[str, Rule] | None = None, **settings: Any) -> RuleScheduler:
    rules = rules or {model: Rungs((10, 20), TuneSpec()) for model in ("slow", "fast")}
    made = RuleScheduler(rules, "accuracy", **settings)
    for each in PLANS:
        made.add(each)
    made.close()
    return made


class Controller:
    """A controller of Tune, as far as schedulers look at it."""

    def __init__(self, *statuses: str, starting: int | None = None) -> None:
        self.trials = [
            Trial("stub", stub=True, trial_id=str(number), config={PLAN: config_of(PLANS[number])})
            for number in range(len(statuses))
        ]
        for trial, status in zip(self.trials, statuses, strict=True):
            trial.set_status(status)
            trial.init_local_path = lambda: None  # these have no files
        self.stopped: list[Trial] = []
        self._actor_manager = SimpleNamespace(live_actors=["ready", "starting"])
        self._started_actors = {"ready"} if starting is not None else {"ready", "starting"}
        self._actor_to_trial = {"ready": None, "starting": self.trials[starting or 0]}

    def get_trials(self) -> list[Trial]:
        return self.trials

    def stop_trial(self, trial: Trial) -> None:
        self.stopped.append(trial)
        trial.set_status(Trial.TERMINATED)


def choose(scheduler: PlanOrder, controller: Any) -> Any:
    return scheduler.choose_trial_to_run(controller)


def hear(scheduler: PlanOrder, trial: Any, message: Message) -> str:
    if isinstance(trial, int):
        trial = SimpleNamespace(config={PLAN: config_of(PLANS[trial])})
    return scheduler.on_trial_result(None, trial, pack(message))  # type: ignore[arg-type]


def test_a_slow_starter_is_not_compared_with_other_models() -> None:
    scheduler = comparing()
    assert hear(scheduler, 1, evaluation(10, 0.9)) == TrialScheduler.CONTINUE
    assert hear(scheduler, 0, evaluation(10, 0.1)) == TrialScheduler.CONTINUE
    assert hear(scheduler, 2, evaluation(10, 0.2)) == TrialScheduler.CONTINUE
    assert hear(scheduler, 3, evaluation(10, 0.8)) == TrialScheduler.STOP
    words = "not in the best part of the rung at step 10"
    assert scheduler.stops == {"fast3": Stop("rung", words)}


def test_one_rule_may_serve_all_models() -> None:
    pooled = Rungs((10,), TuneSpec())
    scheduler = comparing({"slow": pooled, "fast": pooled})
    hear(scheduler, 0, evaluation(10, 0.1))
    hear(scheduler, 1, evaluation(10, 0.9))
    assert hear(scheduler, 2, evaluation(10, 0.2)) == TrialScheduler.STOP


def test_other_messages_decide_nothing() -> None:
    scheduler = comparing()
    for message in (START, END):
        assert hear(scheduler, 0, message) == TrialScheduler.CONTINUE


def test_each_trial_reaches_a_rung_at_its_own_step() -> None:
    scheduler = comparing(
        {m: Rungs((80,), TuneSpec()) for m in ("slow", "fast")},
        rung_steps=lambda plan: (10,) if plan.order else (5,),
    )
    hear(scheduler, 0, evaluation(5, 0.9))
    assert hear(scheduler, 2, evaluation(9, 0.1)) == TrialScheduler.CONTINUE
    assert hear(scheduler, 2, evaluation(10, 0.1)) == TrialScheduler.STOP


def test_a_whole_run_is_not_compared_with_the_first_part_of_others() -> None:
    scheduler = comparing()
    hear(scheduler, 0, replace(evaluation(40, 0.9), is_last=True))
    scheduler.end(PLANS[0])
    assert hear(scheduler, 2, evaluation(10, 0.1)) == TrialScheduler.CONTINUE


def test_the_last_evaluation_counts_for_a_rung_at_its_own_step() -> None:
    scheduler = comparing()
    hear(scheduler, 0, replace(evaluation(10, 0.9), is_last=True))
    assert hear(scheduler, 2, evaluation(10, 0.1)) == TrialScheduler.STOP


@pytest.mark.parametrize("rule", [Rungs, TopK, Pasha, MedianStopping])
def test_a_trial_at_its_last_step_is_neither_stopped_nor_paused(rule: type[Rule]) -> None:
    rules = {m: rule((10, 20), TuneSpec(top_k=1)) for m in ("slow", "fast")}
    scheduler = comparing(rules, gate=Closing())
    for number, value in ((0, 0.9), (1, 0.8), (2, 0.1), (3, 0.1)):
        last = replace(evaluation(20, value), is_last=True)
        assert hear(scheduler, number, last) == TrialScheduler.CONTINUE
        scheduler.end(PLANS[number])
    assert scheduler.stops == {}
    assert scheduler.paused == {}


def test_a_late_decision_ends_a_trial_at_its_last_step_as_it_would_have_before() -> None:
    scheduler = comparing()
    assert hear(scheduler, 2, evaluation(10, 0.1)) == TrialScheduler.CONTINUE
    hear(scheduler, 0, evaluation(10, 0.9))
    last = replace(evaluation(40, 0.95), is_last=True)
    assert hear(scheduler, 2, last) == TrialScheduler.STOP
    assert scheduler.stops["slow2"].reason.endswith("at step 10")


def test_tune_can_pickle_a_scheduler_whatever_its_gate_knows() -> None:
    class Gate:
        """Can't be pickled, as no local class can."""

    assert pickle.dumps(PlanOrder(Gate()))  # type: ignore[arg-type]


def test_a_report_without_the_metric_is_an_error() -> None:
    with pytest.raises(RunError, match="reported loss, but not accuracy"):
        hear(comparing(), 0, replace(evaluation(10, 0.1), metrics={"loss": 0.1}))


def test_a_trial_that_failed_does_not_hold_up_the_others() -> None:
    scheduler, trial = comparing(), Controller(Trial.RUNNING).trials[0]
    scheduler.on_trial_error(None, trial)  # type: ignore[arg-type]
    assert hear(scheduler, 2, evaluation(10, 0.1)) == TrialScheduler.CONTINUE
    hear(scheduler, 3, evaluation(10, 0.1))
    assert scheduler.stops == {}


def test_a_trial_that_is_started_again_is_still_waited_for_and_comes_first() -> None:
    rules: dict[str, Rule] = {m: TopK((10,), TuneSpec(top_k=1)) for m in ("slow", "fast")}
    scheduler = comparing(rules)
    controller = Controller(Trial.RUNNING, Trial.RUNNING, Trial.RUNNING, Trial.PENDING)
    lost = controller.trials[0]
    lost.max_failures = 2
    lost.set_status(Trial.ERROR)
    scheduler.on_trial_error(controller, lost)  # type: ignore[arg-type]
    lost.set_status(Trial.PENDING)
    controller.trials.append(controller.trials.pop(0))  # as Tune does
    waiting = controller.trials[1]
    assert hear(scheduler, waiting, evaluation(10, 0.1)) == TrialScheduler.PAUSE
    waiting.set_status(Trial.PAUSED)
    assert choose(scheduler, controller) is lost


def test_a_trial_that_is_lost_while_it_waits_for_a_worker_is_given_up_and_not_waited_for() -> None:
    rules: dict[str, Rule] = {m: TopK((10,), TuneSpec(top_k=1)) for m in ("slow", "fast")}
    scheduler = comparing(rules)
    controller = Controller(*[Trial.RUNNING] * 4)
    given_up, waiting = controller.trials[0], controller.trials[2]
    given_up.max_failures = 2
    given_up.set_status(Trial.ERROR)
    scheduler.on_trial_error(controller, given_up)  # type: ignore[arg-type]
    given_up.set_status(Trial.PENDING)
    assert hear(scheduler, waiting, evaluation(10, 0.1)) == TrialScheduler.PAUSE
    waiting.set_status(Trial.PAUSED)
    scheduler.on_trial_error(controller, given_up)  # type: ignore[arg-type]
    given_up.set_status(Trial.ERROR)
    assert choose(scheduler, controller) is waiting


def test_a_resumed_run_decides_as_if_it_had_never_stopped() -> None:
    lived, told = comparing(), comparing()
    made = journal_of()
    made.start("t0")
    for message in (START, evaluation(10, 0.5), evaluation(20, 0.7), END):
        made.record("t0", message)
        hear(lived, 0, message)
    lived.end(PLANS[0])
    told.replay(PLANS[0], made.evaluations(), ended_by_itself=True)
    for scheduler in (lived, told):
        assert hear(scheduler, 2, evaluation(10, 0.4)) == TrialScheduler.STOP


def test_a_trial_that_goes_on_brings_its_evaluations_and_may_end_at_once() -> None:
    scheduler = comparing()
    hear(scheduler, 0, evaluation(10, 0.5))
    going_on = replace(START, earlier=(evaluation(10, 0.4),))
    assert hear(scheduler, 2, going_on) == TrialScheduler.STOP


def test_trials_wait_at_a_rung_without_a_worker_until_it_is_full() -> None:
    rules: dict[str, Rule] = {m: TopK((10,), TuneSpec(top_k=1)) for m in ("slow", "fast")}
    scheduler = comparing(rules)
    controller = Controller(Trial.RUNNING, Trial.TERMINATED, Trial.RUNNING, Trial.TERMINATED)
    first, second = controller.trials[0], controller.trials[2]
    assert hear(scheduler, first, evaluation(10, 0.3)) == TrialScheduler.PAUSE
    first.set_status(Trial.PAUSED)
    assert choose(scheduler, controller) is None
    assert list(scheduler.paused) == ["slow0"]
    assert hear(scheduler, second, evaluation(10, 0.5)) == TrialScheduler.CONTINUE
    assert choose(scheduler, controller) is None
    assert controller.stopped == [first]
    assert scheduler.paused == {}
    assert scheduler.stops["slow0"].reason.startswith("not among the best")


def test_a_paused_trial_that_may_go_on_comes_before_those_that_have_not_begun() -> None:
    rules: dict[str, Rule] = {m: TopK((10,), TuneSpec(top_k=1)) for m in ("slow", "fast")}
    scheduler = comparing(rules)
    controller = Controller(Trial.RUNNING, Trial.TERMINATED, Trial.RUNNING, Trial.PENDING)
    first, second = controller.trials[0], controller.trials[2]
    hear(scheduler, first, evaluation(10, 0.6))
    first.set_status(Trial.PAUSED)
    assert choose(scheduler, controller) is controller.trials[3]
    assert hear(scheduler, second, evaluation(10, 0.5)) == TrialScheduler.STOP
    assert choose(scheduler, controller) is first
    first.set_status(Trial.PENDING)
    assert choose(scheduler, controller) is first, "until its worker is there"
    first.set_status(Trial.RUNNING)
    assert hear(scheduler, first, replace(START, earlier=(evaluation(10, 0.6),))) == "CONTINUE"
    assert scheduler.paused == {}


class Closing:
    """A gate that lets nothing begin."""

    def refuses(self, plan: TrialPlan) -> Stop | None:
        return Stop("refused", "no fast") if plan.model == "fast" else None

    def cuts(self, plan: TrialPlan) -> Stop | None:
        return Stop("budget", "enough") if plan.model == "fast" else None


def test_what_the_gate_refuses_is_not_started() -> None:
    scheduler = PlanOrder(Closing())
    controller = Controller(Trial.TERMINATED, Trial.PENDING, Trial.PENDING, Trial.PENDING)
    assert choose(scheduler, controller) is controller.trials[2]
    assert controller.stopped == [controller.trials[1]]
    assert scheduler.refusals == {"fast1": Stop("refused", "no fast")}


def test_what_the_gate_cuts_ends_at_its_next_evaluation() -> None:
    scheduler = PlanOrder(Closing())
    assert hear(scheduler, 1, START) == TrialScheduler.CONTINUE
    assert hear(scheduler, 1, evaluation(10, 0.5)) == TrialScheduler.STOP
    assert hear(scheduler, 0, evaluation(10, 0.5)) == TrialScheduler.CONTINUE
    assert scheduler.stops == {"fast1": Stop("budget", "enough")}


def test_a_free_worker_leaves_the_trial_whose_own_worker_is_starting() -> None:
    statuses = [Trial.TERMINATED, Trial.RUNNING, Trial.PENDING, Trial.PENDING]
    controller = Controller(*statuses, starting=2)
    scheduler = PlanOrder()
    assert choose(scheduler, controller) is controller.trials[3]
    controller._started_actors.add("starting")
    assert choose(scheduler, controller) is controller.trials[2]


def test_nothing_is_chosen_where_nothing_waits() -> None:
    controller = Controller(Trial.TERMINATED, Trial.RUNNING, Trial.PENDING, starting=2)
    assert choose(PlanOrder(), controller) is None


def test_trials_that_all_wait_for_one_another_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 10_000, 25))
    monkeypatch.setattr(plan_order, "monotonic", lambda: float(next(now)))
    rules: dict[str, Rule] = {m: TopK((10,), TuneSpec(top_k=1)) for m in ("slow", "fast")}
    scheduler = RuleScheduler(rules, "accuracy")
    for each in PLANS:
        scheduler.add(each)  # and never closed: the fault that hung runs with optuna
    controller = Controller(*[Trial.RUNNING] * 4)
    for trial in controller.trials:
        assert hear(scheduler, trial, evaluation(10, 0.5)) == TrialScheduler.PAUSE
        trial.set_status(Trial.PAUSED)
    assert choose(scheduler, controller) is None
    with pytest.raises(RunError, match="4 trials that have not ended are paused and wait"):
        list(iter(lambda: choose(scheduler, controller), "never"))


def test_trials_that_wait_while_another_runs_are_not() -> None:
    scheduler = comparing({m: TopK((10,), TuneSpec(top_k=1)) for m in ("slow", "fast")})
    controller = Controller(Trial.PAUSED, Trial.RUNNING, Trial.TERMINATED, Trial.TERMINATED)
    scheduler.paused["0"] = controller.trials[0]
    choose(scheduler, controller)
    assert scheduler._all_wait_since is None


def test_nothing_is_decided_about_paused_trials_while_nothing_is_reported() -> None:
    """With thousands of paused trials, each step of Tune would take a tenth of a second."""
    scheduler = comparing({m: TopK((10,), TuneSpec(top_k=1)) for m in ("slow", "fast")})
    controller = Controller(Trial.RUNNING, Trial.RUNNING, Trial.TERMINATED, Trial.TERMINATED)
    hear(scheduler, controller.trials[0], evaluation(10, 0.5))
    controller.trials[0].set_status(Trial.PAUSED)
    with patch.object(scheduler, "standing", wraps=scheduler.standing) as standing:
        for _ in range(50):
            choose(scheduler, controller)
        assert standing.call_count < 10
