from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from raycompare.experiment.spec import Experiment
from raycompare.records import clock as clock_module
from raycompare.records import journal as journal_module
from raycompare.records.clock import Clock as RunClock
from raycompare.records.journal import Journal
from raycompare.records.messages import Stop, TrialFailure, TrialPlan
from raycompare.tuning.limits import Budgets, MaxCost
from tests.records.test_journal import END, START, evaluation

SPENT = Stop("max_usd", "the budget is spent (max_usd: 3)")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (journal_module, clock_module):
        monkeypatch.setattr(module, "perf_counter", made)
    return made


def two_machines(**earlier: float) -> RunClock:
    made = RunClock(earlier_machine=earlier)
    with made.counting(lambda: 2):
        return made


def experiment(**changes: Any) -> Experiment:
    content = {"name": "x", "data": {"dataset": "x"}, "models": ["a", "b"]} | changes
    return TypeAdapter(Experiment).validate_json(json.dumps(content))


def plan(model: str, order: int) -> TrialPlan:
    return TrialPlan(
        trial_id=f"{model}{order}",
        stage="tune",
        model=model,
        order=order,
        seed=1,
        is_default=order < 2,
        hyperparameters={} if order < 2 else {"learning_rate": order},
    )


def made(**changes: Any) -> tuple[Budgets, Journal]:
    of = experiment(**changes)
    journal = Journal("accuracy", "max")
    for order in range(8):
        journal.add(plan("ab"[order % 2], order))
    return Budgets(of, journal, two_machines(), at_once=2), journal


def words(stop: Stop | None) -> str:
    assert stop is not None
    return stop.reason


def fail(journal: Journal, trial_id: str) -> None:
    journal.start(trial_id)
    journal.record(trial_id, TrialFailure(cause="ValueError: no", error="Traceback"))
    journal.end(trial_id)


def complete(journal: Journal, trial_id: str) -> None:
    """A trial of 40 steps, 0.125 s each."""
    journal.start(trial_id)
    for message in (START, evaluation(40, 0.5), END):
        journal.record(trial_id, message)
    journal.end(trial_id)


def test_without_a_budget_everything_may_start_and_go_on(clock: Clock) -> None:
    limits, journal = made()
    clock.now = 1e9
    journal.starts["a"] = 9
    assert limits.refuses(plan("a", 4)) is limits.cuts(plan("a", 4)) is None


def test_a_model_whose_first_trials_all_fail_is_taken_out_and_the_others_go_on() -> None:
    limits, journal = made(failure={"max_model_failures": 2})
    fail(journal, "a0")
    assert limits.refuses(plan("a", 4)) is None
    fail(journal, "a2")
    assert limits.refuses(plan("a", 4)) == Stop(
        "refused",
        "a was dropped because its first 2 trials failed; the first error was ValueError: no",
    )
    assert limits.refuses(plan("b", 5)) is None


def test_a_model_that_has_once_worked_is_not_taken_out() -> None:
    limits, journal = made(failure={"max_model_failures": 2})
    complete(journal, "a0")
    for trial in ("a2", "a4", "a6"):
        fail(journal, trial)
    assert limits.refuses(plan("a", 6)) is None


def test_when_the_time_is_spent_nothing_starts_but_what_each_model_must_have(
    clock: Clock,
) -> None:
    limits, journal = made(tune={"time_budget_s": 100, "min_trials_per_model": 2})
    journal.starts.update({"a": 2, "b": 1})
    clock.now = 99.0
    assert limits.refuses(plan("a", 4)) is None
    clock.now = 100.0
    assert limits.refuses(plan("a", 4)) == Stop(
        "budget", "the budget is spent (time_budget_s: 100)"
    )
    assert limits.refuses(plan("b", 5)) is None


def test_running_trials_are_cut_but_for_the_defaults(clock: Clock) -> None:
    limits, _ = made(tune={"time_budget_s": 100})
    clock.now = 101.0
    assert "time_budget_s" in words(limits.cuts(plan("a", 4)))
    assert limits.cuts(plan("a", 0)) is None


def test_the_time_that_confirm_needs_is_kept_for_it(clock: Clock) -> None:
    limits, journal = made(tune={"time_budget_s": 100}, confirm={"seeds": [1, 2, 3]})
    assert limits.reserve == 0.0
    complete(journal, "a0")
    complete(journal, "b1")
    assert limits.refuses(plan("a", 4)) is None
    # 2 models x 3 seeds x 40 steps of 0.125 s, two at a time.
    assert limits.reserve == pytest.approx(15.0)
    clock.now = 84.9
    assert limits.refuses(plan("a", 4)) is None
    clock.now = 85.1
    assert limits.refuses(plan("a", 4)) == Stop(
        "budget",
        "the budget is spent (time_budget_s: 100, with 15 s reserved for the confirm stage)",
    )


def test_dollars_are_time_at_the_price_of_all_machines(clock: Clock) -> None:
    limits, journal = made(tune={"max_usd": 3}, cost={"usd_per_hour": 1.5})
    journal.starts["a"] = 1
    clock.now = 3599.0
    assert limits.refuses(plan("a", 4)) is None
    clock.now = 3600.0
    assert limits.refuses(plan("a", 4)) == SPENT


def test_an_instance_type_gives_the_price_too(clock: Clock) -> None:
    limits, journal = made(tune={"max_usd": 2.012}, cost={"instance": "g5.xlarge"})
    journal.starts["a"] = 1
    clock.now = 3599.0
    assert limits.refuses(plan("a", 4)) is None
    clock.now = 3600.0
    assert "max_usd" in words(limits.refuses(plan("a", 4)))


def test_no_trial_starts_or_goes_on_beyond_the_dollars_not_even_a_default(clock: Clock) -> None:
    limits, _ = made(tune={"max_usd": 3, "min_trials_per_model": 2}, cost={"usd_per_hour": 1.5})
    default = plan("a", 0)
    clock.now = 3599.0
    assert limits.refuses(default) is limits.cuts(default) is None
    clock.now = 3600.0
    assert limits.refuses(default) == limits.cuts(default) == SPENT


def capped(**changes: Any) -> MaxCost:
    return MaxCost(experiment(**changes), two_machines())


def test_the_confirm_stage_ends_with_the_dollars_and_keeps_nothing_back(clock: Clock) -> None:
    cap = capped(tune={"max_usd": 3}, cost={"usd_per_hour": 1.5})
    confirm = replace(plan("a", 0), stage="confirm")
    clock.now = 3599.9
    assert cap.refuses(confirm) is cap.cuts(confirm) is None
    clock.now = 3600.0
    assert cap.refuses(confirm) == cap.cuts(confirm) == SPENT


def test_time_is_no_hard_cap_and_a_price_alone_neither(clock: Clock) -> None:
    clock.now = 1e9
    assert capped(tune={"time_budget_s": 1}, cost={"usd_per_hour": 1.5}).spent is None
    assert capped(cost={"usd_per_hour": 1.5}).spent is None


def test_the_dollars_of_an_earlier_session_count_too(clock: Clock) -> None:
    of = experiment(tune={"max_usd": 3}, cost={"usd_per_hour": 1.5})
    cap = MaxCost(of, two_machines(tune=7000.0, total=7199.0))
    assert cap.spent is None
    clock.now = 0.5
    assert cap.spent == SPENT


def test_a_machine_that_joins_later_costs_from_then_on(clock: Clock) -> None:
    workers = 0
    of = experiment(tune={"max_usd": 3}, cost={"usd_per_hour": 1.5})
    run_clock = RunClock()
    cap = MaxCost(of, run_clock)
    with run_clock.counting(lambda: workers):
        clock.now = 36_000.0
        assert cap.spent is None, "a head without CPUs waits for nothing"
        workers = 4
        clock.now += 1.0
        assert cap.spent is None
        clock.now += 1798.0
        assert cap.spent is None
        clock.now += 1.0
        assert cap.spent == SPENT


def test_dollars_are_kept_for_the_confirm_stage_on_the_machines_of_now(clock: Clock) -> None:
    limits, journal = made(tune={"max_usd": 3}, cost={"usd_per_hour": 1.5}, confirm={"seeds": [1]})
    complete(journal, "a0")
    complete(journal, "b1")
    assert limits.refuses(plan("a", 4)) is None
    assert limits.reserve == pytest.approx(5.0)
    clock.now = 3594.9
    assert limits.refuses(plan("a", 4)) is None
    clock.now = 3595.1
    assert limits.refuses(plan("a", 4)) == Stop(
        "budget", "the budget is spent (max_usd: 3, with 5.0 s reserved for the confirm stage)"
    )


def test_the_tighter_budget_counts(clock: Clock) -> None:
    limits, _ = made(tune={"max_usd": 3, "time_budget_s": 10}, cost={"usd_per_hour": 1.5})
    clock.now = 11.0
    assert "time_budget_s" in words(limits.cuts(plan("a", 4)))


def test_what_an_earlier_run_took_counts_too(clock: Clock) -> None:
    _, journal = made()
    clock.now = 50.0
    complete(journal, "a0")
    later = Journal("accuracy", "max")
    later.keep(journal.trials(), [replace(row) for row in journal.evaluations()])
    assert later.elapsed == pytest.approx(50.0)
    assert later.starts == {"a": 1}
