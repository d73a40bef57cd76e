from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from raycompare.messages import PLAN, config_of, pack
from raycompare.record import TrialPlan
from raycompare.rungs import Rungs
from raycompare.schedulers import PerModelHalving, PlanOrder
from tests.test_journal import END, START, evaluation


def plan(model: str, order: int) -> TrialPlan:
    return TrialPlan(
        trial_id=f"{model}{order}", stage="tune", model=model, order=order, seed=1, is_default=False
    )


PLANS = [plan("slow", 0), plan("fast", 1), plan("slow", 2), plan("fast", 3)]


def halving() -> PerModelHalving:
    return PerModelHalving(PLANS, "accuracy", lambda _: Rungs((10, 20), 2, "max"))


def trial_of(order: int) -> Any:
    return SimpleNamespace(config={PLAN: config_of(PLANS[order])})


def hear(scheduler: PerModelHalving, order: int, step: int, value: float) -> str:
    result = pack(evaluation(step, value))
    return scheduler.on_trial_result(None, trial_of(order), result)  # type: ignore[arg-type]


def test_a_slow_starter_is_not_compared_with_other_models() -> None:
    scheduler = halving()
    assert hear(scheduler, 1, 10, 0.9) == TrialScheduler.CONTINUE
    assert hear(scheduler, 0, 10, 0.1) == TrialScheduler.CONTINUE
    assert hear(scheduler, 2, 10, 0.2) == TrialScheduler.CONTINUE
    assert hear(scheduler, 3, 10, 0.8) == TrialScheduler.STOP
    assert scheduler.stops == {"fast3": "not in the best part of the rung at step 10"}


def test_other_messages_decide_nothing() -> None:
    scheduler = halving()
    for message in (START, END):
        decision = scheduler.on_trial_result(None, trial_of(0), pack(message))  # type: ignore[arg-type]
        assert decision == TrialScheduler.CONTINUE


def test_a_failed_trial_does_not_hold_up_the_others() -> None:
    scheduler = halving()
    scheduler.on_trial_error(None, trial_of(0))  # type: ignore[arg-type]
    assert hear(scheduler, 2, 10, 0.1) == TrialScheduler.CONTINUE
    assert scheduler.stops == {}


def test_a_resumed_run_decides_as_if_it_had_never_stopped() -> None:
    scheduler = halving()
    scheduler.replay(PLANS[0], [(10, 0.5), (20, 0.7)])
    assert hear(scheduler, 2, 10, 0.4) == TrialScheduler.STOP


def controller_of(statuses: list[str], starting: int) -> Any:
    """A controller of Tune with trials of these statuses; a worker starts for one of them."""
    trials = [Trial("stub", stub=True, trial_id=str(order)) for order in range(len(statuses))]
    for trial, status in zip(trials, statuses, strict=True):
        trial.set_status(status)
    return SimpleNamespace(
        get_trials=lambda: trials,
        _actor_manager=SimpleNamespace(live_actors=["ready", "starting"]),
        _started_actors={"ready"},
        _actor_to_trial={"ready": trials[0], "starting": trials[starting]},
    )


def test_a_free_worker_leaves_the_trial_whose_own_worker_is_starting() -> None:
    statuses = [Trial.TERMINATED, Trial.RUNNING, Trial.PENDING, Trial.PENDING, Trial.PENDING]
    controller = controller_of(statuses, starting=2)
    scheduler = PlanOrder()
    assert scheduler.choose_trial_to_run(controller) is controller.get_trials()[3]
    controller._started_actors.add("starting")
    assert scheduler.choose_trial_to_run(controller) is controller.get_trials()[2]


def test_nothing_is_chosen_where_nothing_waits() -> None:
    controller = controller_of([Trial.TERMINATED, Trial.RUNNING, Trial.PENDING], starting=2)
    assert PlanOrder().choose_trial_to_run(controller) is None
