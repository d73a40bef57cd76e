from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from raycompare.experiment.hyperparameters import all_settings
from raycompare.experiment.ranges import in_range
from raycompare.experiment.spec import Arguments
from raycompare.records.rows import TrialRecord
from raycompare.training.unused_arguments import OPTUNA_KINDS
from raycompare.tuning.earlier_trials import EvaluatedPoint
from raycompare.tuning.optuna_search import JournalNews, SearchOutcome, Tpe, _random_trials
from raycompare.tuning.plans import Slot
from tests.records.test_journal import END, START, evaluation
from tests.records.test_journal import journal as journal_of
from tests.tuning.test_plans import experiment, trial

SPACE = {"learning_rate": {"loguniform": [1e-6, 1e-1]}, "optim": {"choice": ["sgd", "adafactor"]}}
TRIALS = 24


def searched(metric: str = "matthews_correlation", **tune: Any) -> Any:
    settings = {"num_samples": TRIALS, "search_alg": "optuna", "metric": metric} | tune
    return experiment(search_space=SPACE, tune=settings)


def worth(configuration: Arguments) -> float:
    """Best at a rate of 1e-3 with sgd."""
    rate, optim = configuration["learning_rate"], configuration["optim"]
    assert isinstance(rate, float)
    return 1 - abs(np.log10(rate) + 3) / 4 - (0.3 if optim == "adafactor" else 0.0)


def search(
    of: Any,
    value: Callable[[Arguments], float] = worth,
    known: tuple[EvaluatedPoint, ...] = (),
    from_trials: list[TrialRecord] | None = None,
) -> list[TrialRecord]:
    """Run a whole search on a made-up landscape, one trial after another."""
    trials = list(from_trials or [])
    tpe = Tpe(of, lambda: [SearchOutcome(trial, []) for trial in trials], known)
    for number in range(len(trials) + 1, TRIALS):
        found = tpe(Slot(order=number, model="a", number=number))
        assert found is not None
        trials.append(trial("a", number, value(found), hyperparameters=json.dumps(found)))
    return trials


def mean(trials: list[TrialRecord]) -> float:
    return float(np.mean([t.best_value for t in trials if t.best_value is not None]))


def test_it_learns_from_the_trials_before() -> None:
    trials = search(searched())
    assert mean(trials[-8:]) > mean(trials[:8]) + 0.1


def test_a_low_loss_is_what_is_looked_for() -> None:
    trials = search(searched(metric="loss"), lambda found: -worth(found))
    assert mean(trials[-8:]) < mean(trials[:8]) - 0.1


def test_the_same_records_give_the_same_suggestions_so_that_nothing_else_is_kept() -> None:
    whole = search(searched())
    assert search(searched()) == whole
    assert search(searched(), from_trials=whole[:9]) == whole, "as after a resume"


def test_models_do_not_share_what_they_draw() -> None:
    tpe = Tpe(searched(), list)
    one, other = (tpe(Slot(order=1, model=model, number=1)) for model in ("a", "b"))
    assert one != other


def test_what_an_earlier_run_has_found_is_used_from_the_first_suggestion() -> None:
    told = tuple(
        EvaluatedPoint(model="a", hyperparameters=json.loads(t.hyperparameters), value=t.best_value)
        for t in search(searched())
        if t.best_value is not None
    )
    warm = search(searched(), known=told)[:4]
    assert mean(warm) > mean(search(searched())[:4]) + 0.1


def test_no_configuration_is_tried_twice_and_an_exhausted_space_ends_the_search() -> None:
    of = experiment(
        search_space={"optim": {"choice": ["sgd", "adafactor"]}},
        tune={"num_samples": 9, "search_alg": "optuna"},
    )
    tpe = Tpe(of, list)
    found = [tpe(Slot(order=n, model="a", number=n)) for n in range(1, 5)]
    assert found[2:] == [None, None]
    assert {str(each) for each in found[:2]} == {"{'optim': 'sgd'}", "{'optim': 'adafactor'}"}


def test_a_stopped_trial_counts_by_how_far_it_came() -> None:
    rows = [trial("a", 0, 0.1)]
    stopped: dict[str, Any] = {"status": "stopped_early", "ending": "rung"}
    for number in range(1, 16):
        rate = 10 ** -(1 + number % 5)
        configuration = json.dumps({"learning_rate": rate, "optim": "sgd"})
        rows.append(trial("a", number, 0.9 - rate, hyperparameters=configuration, **stopped))
    news = [SearchOutcome(row, [row.best_value or 0.0]) for row in rows]
    proposed = Tpe(searched(), lambda: news)(Slot(order=16, model="a", number=16))
    assert proposed is not None
    assert set(proposed) == set(SPACE)


def test_a_point_that_comes_late_counts_as_if_it_had_come_in_its_turn() -> None:
    """Several workers end trials out of order; a resumed run reads them in order."""
    outcomes = [SearchOutcome(trial, []) for trial in search(searched())]
    slot = Slot(order=TRIALS, model="a", number=TRIALS)
    batches = iter([outcomes[5:], outcomes[:5], []])
    late = Tpe(searched(), lambda: next(batches))
    late(replace(slot, number=TRIALS + 1))
    assert late(slot) == Tpe(searched(), lambda: outcomes)(slot)


def test_news_of_a_journal_are_read_once() -> None:
    journal = journal_of(3)
    news = JournalNews(journal)
    assert [outcome.trial.trial_id for outcome in news()] == ["t0", "t1", "t2"]
    journal.start("t1")
    for message in (START, evaluation(10, 0.5), END):
        journal.record("t1", message)
    assert list(news()) == []
    journal.end("t1")
    (outcome,) = news()
    assert outcome.trial.status == "completed"
    assert outcome.values == [0.5]
    assert list(news()) == []


def test_values_are_plain_numbers_of_the_kind_that_the_range_has() -> None:
    of = experiment(
        search_space={
            "warmup_steps": {"randint": [0, 10]},
            "weight_decay": {"quniform": [0, 1, 0.25]},
            "num_train_epochs": {"choice": [1, 2]},
        },
        tune={"num_samples": 9, "search_alg": "optuna"},
    )
    tpe = Tpe(of, list)
    for number in range(1, 9):
        found = tpe(Slot(order=number, model="a", number=number))
        assert found is not None
        assert found["warmup_steps"] in range(10)
        assert type(found["warmup_steps"]) is int
        assert found["weight_decay"] in (0, 0.25, 0.5, 0.75, 1)
        assert found["num_train_epochs"] in (1, 2)


@pytest.mark.parametrize(("samples", "random"), [(4, 3), (8, 3), (24, 8), (100, 10)])
def test_a_third_is_drawn_at_random_within_bounds(samples: int, random: int) -> None:
    assert _random_trials(samples) == random


@pytest.mark.parametrize(
    "domain",
    [
        {"uniform": [0.0, 0.3]},
        {"quniform": [0.0, 0.3, 0.1]},
        {"loguniform": [1e-5, 1e-3]},
        {"randint": [1, 9]},
        {"qrandint": [8, 64, 8]},
        {"lograndint": [8, 64]},
        {"choice": [0.1, 0.2]},
    ],
    ids=lambda domain: next(iter(domain)),
)
def test_every_kind_that_check_lets_through_can_be_drawn(domain: dict[str, Any]) -> None:
    (kind,) = domain
    assert kind in OPTUNA_KINDS
    of = experiment(
        search_space={"weight_decay": domain}, tune={"num_samples": 9, "search_alg": "optuna"}
    )
    space = all_settings(of)[0].space
    found = Tpe(of, list)(Slot(order=1, model="a", number=1))
    assert found is not None
    assert in_range(space["weight_decay"], found["weight_decay"])
