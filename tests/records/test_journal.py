from __future__ import annotations

from dataclasses import replace

import pytest

from raycompare.metrics import MODES
from raycompare.records import journal as journal_module
from raycompare.records.journal import Journal
from raycompare.records.messages import (
    Evaluation,
    Stop,
    TrialEnd,
    TrialFailure,
    TrialPlan,
    TrialStart,
)
from raycompare.records.rows import TrialRecord

START = TrialStart(
    started_at="2026-01-02T03:04:05+00:00",
    startup_seconds=0.5,
    planned_steps=40,
    examples_per_step=16.0,
    num_parameters=100,
    device="cpu",
    precision="fp32",
    hostname="here",
    num_threads=1,
)
END = TrialEnd(reason="full_budget", step=40, train_seconds=4.0, eval_seconds=1.0)


def plan(number: int = 0) -> TrialPlan:
    return TrialPlan(
        trial_id=f"t{number}",
        stage="tune",
        model="a",
        order=number,
        seed=1,
        is_default=False,
        hyperparameters={"learning_rate": 0.1},
    )


def evaluation(step: int, value: float) -> Evaluation:
    return Evaluation(
        step=step,
        epoch=step / 10,
        examples_seen=step * 8,
        train_seconds=step / 10,
        eval_seconds=step / 40,
        metrics=dict.fromkeys(MODES, value),
    )


def journal(trials: int = 1) -> Journal:
    made = Journal("accuracy", "max")
    for number in range(trials):
        made.add(plan(number))
    return made


def only(made: Journal) -> TrialRecord:
    (trial,) = made.trials()
    return trial


def test_a_trial_that_said_so_is_completed() -> None:
    made = journal()
    made.start("t0")
    for message in (START, evaluation(20, 0.5), evaluation(40, 0.4), END):
        made.record("t0", message)
    made.end("t0")
    trial = only(made)
    assert (trial.status, trial.ending, trial.steps) == ("completed", "full_budget", 40)
    assert (trial.best_step, trial.best_value) == (20, 0.5)
    assert (trial.train_seconds, trial.hostname) == (4.0, "here")
    assert trial.hyperparameters == '{"learning_rate": 0.1}'


def test_a_trial_that_tune_calls_done_without_its_own_word_was_cut_short() -> None:
    made = journal()
    made.start("t0")
    made.record("t0", START)
    made.record("t0", evaluation(20, 0.5))
    made.end("t0")
    assert (only(made).status, only(made).steps) == ("interrupted", 20)


def test_a_trial_that_never_started_was_not_run() -> None:
    made = journal()
    made.end("t0")
    assert (only(made).status, only(made).planned_steps) == ("not_run", None)


def test_a_stopped_trial_has_the_words_of_the_scheduler() -> None:
    made = journal()
    made.start("t0")
    made.record("t0", START)
    made.record("t0", evaluation(20, 0.5))
    made.end("t0", Stop("rung", "not among the best"))
    trial = only(made)
    assert (trial.status, trial.ending) == ("stopped_early", "rung")
    assert trial.reason == "not among the best"


def test_a_diverged_trial_is_stopped_early_with_the_detail() -> None:
    made = journal()
    made.start("t0")
    made.record("t0", replace(END, reason="diverged", detail="loss is nan at step 40"))
    made.end("t0")
    assert (only(made).status, only(made).reason) == ("stopped_early", "loss is nan at step 40")


def test_a_failed_trial_keeps_cause_and_traceback() -> None:
    made = journal()
    made.start("t0")
    made.record("t0", TrialFailure(cause="ValueError: no", error="Traceback ..."))
    made.end("t0")
    trial = only(made)
    assert (trial.status, trial.reason, trial.error) == (
        "errored",
        "ValueError: no",
        "Traceback ...",
    )


def test_what_a_trial_said_before_it_began_anew_is_forgotten() -> None:
    made = journal()
    made.start("t0")
    made.record("t0", START)
    made.record("t0", evaluation(20, 0.9))
    made.lose("t0", "ActorDiedError: the worker is gone")
    made.start("t0")
    assert [row.accuracy for row in made.evaluations()] == [0.9], "until it says where it begins"
    made.record("t0", START)
    assert made.evaluations() == []
    made.record("t0", evaluation(20, 0.1))
    assert [row.accuracy for row in made.evaluations()] == [0.1]
    assert only(made).starts == 2
    assert only(made).best_value == 0.1


def test_a_trial_that_goes_on_brings_what_it_said_before_its_checkpoint() -> None:
    made = journal()
    made.start("t0")
    made.record("t0", START)
    for step, value in ((10, 0.9), (20, 0.8), (30, 0.7)):
        made.record("t0", evaluation(step, value))
    seen = [row.experiment_seconds for row in made.evaluations()]
    made.start("t0")
    made.record("t0", replace(START, earlier=(evaluation(10, 0.9), evaluation(20, 0.8))))
    assert [row.step for row in made.evaluations()] == [10, 20]
    assert [row.experiment_seconds for row in made.evaluations()] == seen[:2], "when they arrived"
    assert only(made).best_step == 10


def test_a_trial_that_was_lost_for_good_has_failed() -> None:
    made = journal()
    made.start("t0")
    made.fail("t0", TrialFailure(cause="ActorDiedError: gone", error="Traceback ..."))
    assert (only(made).status, only(made).reason) == ("errored", "ActorDiedError: gone")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(journal_module, "perf_counter", made)
    return made


def test_a_trial_holds_its_resources_from_its_start_to_its_end(clock: Clock) -> None:
    made = journal()
    assert only(made).held_seconds is None
    clock.now = 10.0
    made.start("t0")
    clock.now = 14.0
    assert only(made).held_seconds == 4.0, "so far"
    made.end("t0")
    clock.now = 99.0
    assert only(made).held_seconds == 4.0


def test_starts_that_were_lost_are_held_and_pauses_are_not(clock: Clock) -> None:
    made = journal()
    steps = [
        (0.0, lambda: made.start("t0")),
        (3.0, lambda: made.lose("t0", "ActorDiedError: gone")),
        (10.0, lambda: made.start("t0")),
        (14.0, lambda: made.pause("t0")),
        (50.0, lambda: made.start("t0")),
        (55.0, lambda: made.fail("t0", TrialFailure(cause="x", error="x"))),
    ]
    for now, happens in steps:
        clock.now = now
        happens()
    assert only(made).held_seconds == 3.0 + 4.0 + 5.0


def test_what_a_trial_held_in_an_earlier_run_is_kept_and_added_to(clock: Clock) -> None:
    first = journal(2)
    for trial in ("t0", "t1"):
        first.start(trial)
    clock.now = 6.0
    for message in (START, evaluation(40, 0.5), END):
        first.record("t0", message)
    first.end("t0")
    second = Journal("accuracy", "max")
    second.keep(first.trials(), first.evaluations())
    assert [second.add(plan(number)) for number in (0, 1)] == [False, True]
    second.start("t1")
    clock.now = 8.0
    second.end("t1")
    assert [trial.held_seconds for trial in second.trials()] == [6.0, 8.0]


def test_every_change_shows_how_its_trial_stands_now() -> None:
    made, seen = journal(2), list[tuple[str, str]]()
    with made.observed_by(lambda trial: seen.append((trial.plan.trial_id, trial.status_now))):
        made.start("t0")
        made.record("t0", START)
        made.lose("t0", "ActorDiedError: gone")
        made.start("t0")
        made.pause("t0")
        made.end("t0", Stop("rung", "not among the best"))
        made.refuse("t1", Stop("max_usd", "the budget is spent"))
    made.end("t1")
    assert seen == [
        *(("t0", status) for status in ("running", "running", "waiting", "running", "paused")),
        ("t0", "stopped_early"),
        ("t1", "not_run"),
    ]


def test_a_trial_that_was_ruled_out_says_why_it_was_not_run() -> None:
    made = journal()
    made.refuse("t0", Stop("max_usd", "the budget is spent"))
    trial = only(made)
    assert (trial.status, trial.ending) == ("not_run", "max_usd")
    assert trial.reason == "the budget is spent"


def test_a_paused_trial_does_not_run_and_has_not_ended() -> None:
    made = journal()
    made.start("t0")
    made.record("t0", START)
    made.pause("t0")
    entry = made.entries["t0"]
    assert (entry.phase, only(made).status) == ("paused", "interrupted")
    made.start("t0")
    assert (entry.phase, made.starts["a"]) == ("running", 1)


def test_the_test_of_a_finalist_is_a_row_of_its_own() -> None:
    made = journal()
    made.start("t0")
    made.record("t0", evaluation(40, 0.5))
    made.record("t0", replace(END, test_metrics=dict.fromkeys(MODES, 0.7), test_seconds=1.0))
    made.end("t0")
    assert [(row.split, row.accuracy) for row in made.evaluations()] == [
        ("validation", 0.5),
        ("test", 0.7),
    ]


def test_finished_trials_of_an_earlier_run_are_kept_and_not_planned_again() -> None:
    first = journal(2)
    first.start("t0")
    for message in (START, evaluation(40, 0.5), END):
        first.record("t0", message)
    first.end("t0")
    first.start("t1")
    second = Journal("accuracy", "max")
    second.keep(first.trials(), first.evaluations())
    assert [second.add(plan(number)) for number in (0, 1)] == [False, True]
    assert sorted(second.earlier_plans("tune")) == [0, 1]
    assert second.earlier_plans("confirm") == {}
    assert second.trials()[1].starts == 1, "of the run before"
    assert [trial.trial_id for trial in second.trials()] == ["t0", "t1"]
    assert [row.step for row in second.kept_evaluations("t0")] == [40]
    assert second.kept_evaluations("t1") == []


def test_a_trial_of_an_older_run_keeps_its_shorter_id() -> None:
    first = journal()
    first.start("t0")
    first.record("t0", START)
    first.record("t0", END)
    first.end("t0")
    (ended,) = first.trials()
    resumed = Journal("accuracy", "max")
    resumed.keep([replace(ended, trial_id="m-tune-01234567")], [])
    today = replace(plan(0), trial_id="m-tune-0123456789abcdef")
    assert resumed.with_recorded_id(today).trial_id == "m-tune-01234567"
    for other in (replace(today, order=1), replace(today, trial_id="m-tune-1123456789abcdef")):
        assert resumed.with_recorded_id(other) == other
