from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from raycompare.record import TrialRecord
from raycompare.search import choose, confirm_plans, tune_plans
from raycompare.spec import Experiment


def experiment(**changes: Any) -> Experiment:
    content = {
        "name": "x",
        "data": {"dataset": "x"},
        "models": ["a", "b"],
        "search_space": {
            "learning_rate": {"loguniform": [1e-5, 1e-3]},
            "warmup_steps": {"randint": [0, 10]},
            "weight_decay": {"quniform": [0, 1, 0.25]},
            "optim": {"choice": ["sgd", "adafactor"]},
        },
        "tune": {"num_samples": 5},
    }
    return TypeAdapter(Experiment).validate_json(json.dumps(content | changes))


def configurations(of: Experiment, model: str) -> list[Any]:
    return [plan.hyperparameters for plan in tune_plans(of) if plan.model == model]


def test_the_default_of_each_model_comes_first() -> None:
    plans = tune_plans(experiment())
    assert [(plan.model, plan.is_default) for plan in plans[:2]] == [("a", True), ("b", True)]
    assert not any(plan.is_default for plan in plans[2:])
    assert [plan.order for plan in plans] == list(range(10))


def test_samples_stay_in_their_ranges() -> None:
    for plan in tune_plans(experiment())[2:]:
        values = plan.hyperparameters
        assert 1e-5 <= values["learning_rate"] <= 1e-3
        assert values["warmup_steps"] in range(10)
        assert values["weight_decay"] in (0, 0.25, 0.5, 0.75, 1)
        assert values["optim"] in ("sgd", "adafactor")


def test_the_seed_decides() -> None:
    assert tune_plans(experiment()) == tune_plans(experiment())
    assert configurations(experiment(), "a") != configurations(experiment(seed=1), "a")
    assert configurations(experiment(), "a") != configurations(experiment(), "b")


def test_another_model_leaves_the_configurations_of_the_first_ones() -> None:
    more = experiment(models=["c", "a", "b"])
    assert configurations(more, "a") == configurations(experiment(), "a")


def test_a_small_space_is_tried_once_each() -> None:
    small = experiment(search_space={"optim": {"choice": ["sgd", "adafactor"]}})
    tried = configurations(small, "a")
    assert tried[0] == {}
    assert sorted(values["optim"] for values in tried[1:]) == ["adafactor", "sgd"]


def test_a_model_may_have_ranges_of_its_own() -> None:
    own = {"name": "b", "search_space": {"learning_rate": {"uniform": [1, 2]}}}
    tried = configurations(experiment(models=["a", own]), "b")
    assert all(1 <= values["learning_rate"] <= 2 for values in tried[1:])


def test_ids_are_unique_and_say_what_they_are() -> None:
    plans = [*tune_plans(experiment()), *confirm_plans(experiment(), {"a": {}, "b": {}})]
    assert len({plan.trial_id for plan in plans}) == len(plans) == 16
    assert plans[0].trial_id.startswith("a-tune-")


def trial(model: str, order: int, value: float | None, **changes: Any) -> TrialRecord:
    facts = {"status": "completed", "ending": "full_budget", "stage": "tune"} | changes
    return TrialRecord(
        trial_id=f"{model}{order}",
        model=model,
        order=order,
        seed=42,
        is_default=order == 0,
        hyperparameters=json.dumps({"order": order}),
        reason="",
        best_value=value,
        **facts,
    )


def test_the_best_completed_trial_is_chosen_over_a_better_stopped_one() -> None:
    stopped: dict[str, Any] = {"status": "stopped_early", "ending": "rung"}
    trials = [trial("a", 0, 0.5), trial("a", 1, 0.6), trial("a", 2, 0.9, **stopped)]
    assert choose(experiment(), trials, {"a", "b"}) == {"a": {"order": 1}}


def test_a_stopped_trial_is_chosen_where_none_was_completed() -> None:
    stopped: dict[str, Any] = {"status": "stopped_early", "ending": "rung"}
    assert choose(experiment(), [trial("a", 1, 0.3, **stopped)], {"a", "b"}) == {"a": {"order": 1}}


def test_the_lowest_loss_is_the_best() -> None:
    by_loss = experiment(tune={"metric": "loss"})
    trials = [trial("a", 0, 0.5), trial("a", 1, 0.4)]
    assert choose(by_loss, trials, {"a", "b"}) == {"a": {"order": 1}}


def test_a_model_that_was_not_tuned_keeps_its_default() -> None:
    assert choose(experiment(), [], {"b"}) == {"a": {}}
