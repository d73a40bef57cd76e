from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace

import pytest

from raycompare.journal import Journal
from raycompare.metrics import MODES
from raycompare.record import (
    SCHEMAS,
    EvalRecord,
    Evaluation,
    TrialEnd,
    TrialPlan,
    TrialRecord,
    TrialStart,
)

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
    made.add([plan(number) for number in range(trials)])
    return made


def only(made: Journal) -> TrialRecord:
    (trial,) = made.trials()
    return trial


def test_a_trial_that_said_so_is_completed() -> None:
    made = journal()
    made.started("t0")
    for message in (START, evaluation(20, 0.5), evaluation(40, 0.4), END):
        made.heard("t0", message)
    made.ended("t0")
    trial = only(made)
    assert (trial.status, trial.ending, trial.steps) == ("completed", "full_budget", 40)
    assert (trial.best_step, trial.best_value) == (20, 0.5)
    assert (trial.train_seconds, trial.hostname) == (4.0, "here")
    assert trial.hyperparameters == '{"learning_rate": 0.1}'


def test_a_trial_that_tune_calls_done_without_its_own_word_was_cut_short() -> None:
    made = journal()
    made.started("t0")
    made.heard("t0", START)
    made.heard("t0", evaluation(20, 0.5))
    made.ended("t0")
    assert (only(made).status, only(made).steps) == ("interrupted", 20)


def test_a_trial_that_never_started_was_not_run() -> None:
    made = journal()
    made.ended("t0")
    assert (only(made).status, only(made).planned_steps) == ("not_run", None)


def test_a_stopped_trial_has_the_words_of_the_scheduler() -> None:
    made = journal()
    made.started("t0")
    made.heard("t0", START)
    made.heard("t0", evaluation(20, 0.5))
    made.ended("t0", "not among the best")
    trial = only(made)
    assert (trial.status, trial.ending) == ("stopped_early", "rung")
    assert trial.reason == "not among the best"


def test_a_diverged_trial_is_stopped_early_with_the_detail() -> None:
    made = journal()
    made.started("t0")
    made.heard("t0", replace(END, reason="diverged", detail="loss is nan at step 40"))
    made.ended("t0")
    assert (only(made).status, only(made).reason) == ("stopped_early", "loss is nan at step 40")


def test_a_failed_trial_keeps_cause_and_traceback() -> None:
    made = journal()
    made.started("t0")
    made.failed("t0", "ValueError: no", "Traceback ...")
    trial = only(made)
    assert (trial.status, trial.reason, trial.error) == (
        "errored",
        "ValueError: no",
        "Traceback ...",
    )


def test_what_a_restarted_trial_said_before_is_forgotten() -> None:
    made = journal()
    made.started("t0")
    made.heard("t0", evaluation(20, 0.9))
    made.started("t0")
    made.heard("t0", evaluation(20, 0.1))
    assert [row.accuracy for row in made.evaluations()] == [0.1]


def test_the_test_of_a_finalist_is_a_row_of_its_own() -> None:
    made = journal()
    made.started("t0")
    made.heard("t0", evaluation(40, 0.5))
    made.heard("t0", replace(END, test_metrics=dict.fromkeys(MODES, 0.7), test_seconds=1.0))
    made.ended("t0")
    assert [(row.split, row.accuracy) for row in made.evaluations()] == [
        ("validation", 0.5),
        ("test", 0.7),
    ]


def test_finished_trials_of_an_earlier_run_are_kept_and_not_planned_again() -> None:
    first = journal(2)
    first.started("t0")
    for message in (START, evaluation(40, 0.5), END):
        first.heard("t0", message)
    first.ended("t0")
    first.started("t1")
    second = Journal("accuracy", "max")
    second.keep(first.trials(), first.evaluations())
    assert [todo.trial_id for todo in second.add([plan(0), plan(1)])] == ["t1"]
    assert [trial.trial_id for trial in second.trials()] == ["t0", "t1"]
    assert [row.step for row in second.kept_evaluations("t0")] == [40]
    assert second.kept_evaluations("t1") == []


@pytest.mark.parametrize(("name", "row"), [("trials", TrialRecord), ("evaluations", EvalRecord)])
def test_every_field_has_its_column(name: str, row: type) -> None:
    schemas: Mapping[str, object] = {name: SCHEMAS[name].names}
    assert schemas[name] == [field.name for field in fields(row)]
