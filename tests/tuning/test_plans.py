from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest
from pydantic import TypeAdapter

from raycompare.experiment.spec import Experiment
from raycompare.records.rows import TrialRecord
from raycompare.tuning.plans import (
    FixedProposer,
    Slot,
    choose,
    confirm_plans,
    drawn_plans,
    make_plan,
    slots,
    slots_to_search,
    tune_plans,
)


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
    return [plan.hyperparameters for plan in drawn_plans(of) if plan.model == model]


def test_the_default_of_each_model_comes_first() -> None:
    plans = drawn_plans(experiment())
    assert [(plan.model, plan.is_default) for plan in plans[:2]] == [("a", True), ("b", True)]
    assert not any(plan.is_default for plan in plans[2:])
    assert [plan.order for plan in plans] == list(range(10))


def test_samples_stay_in_their_ranges() -> None:
    for plan in drawn_plans(experiment())[2:]:
        values = plan.hyperparameters
        assert 1e-5 <= values["learning_rate"] <= 1e-3
        assert values["warmup_steps"] in range(10)
        assert values["weight_decay"] in (0, 0.25, 0.5, 0.75, 1)
        assert values["optim"] in ("sgd", "adafactor")


def test_the_seed_decides() -> None:
    assert drawn_plans(experiment()) == drawn_plans(experiment())
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
    plans = [*drawn_plans(experiment()), *confirm_plans(experiment(), {"a": {}, "b": {}})]
    assert len({plan.trial_id for plan in plans}) == len(plans) == 16
    assert all(re.fullmatch(r"[ab]-(tune|confirm)-[0-9a-f]{16}", plan.trial_id) for plan in plans)


def trial(model: str, order: int, value: float | None, **changes: Any) -> TrialRecord:
    facts = {
        "status": "completed",
        "ending": "full_budget",
        "stage": "tune",
        "hyperparameters": json.dumps({"order": order}),
    } | changes
    return TrialRecord(
        trial_id=f"{model}{order}",
        model=model,
        order=order,
        seed=42,
        is_default=order == 0,
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


def test_where_none_was_completed_those_that_got_furthest_are_compared() -> None:
    stopped: dict[str, Any] = {"status": "stopped_early", "ending": "rung"}
    early = trial("a", 1, 0.9, steps=10, **stopped)
    late = [trial("a", order, 0.5 + order / 100, steps=40, **stopped) for order in (2, 3)]
    assert choose(experiment(), [early, *late], {"a", "b"}) == {"a": {"order": 3}}


def test_models_take_turns_so_that_a_budget_costs_each_the_same() -> None:
    of = experiment(models=["a", "b", "c"], tune={"num_samples": 6})
    turns = [slot.model for slot in slots(of, FixedProposer(of).counts)]
    for end in range(3, len(turns) + 1):
        counts = Counter(turns[:end])
        assert max(counts.values()) - min(counts.values()) <= 1
    assert turns[3:6] != turns[6:9] or turns[6:9] != turns[9:12], "in an order drawn anew"


def test_max_trials_is_shared_by_the_models() -> None:
    of = experiment(tune={"num_samples": 5, "max_trials": 6})
    assert Counter(slot.model for slot in slots(of, FixedProposer(of).counts)) == {"a": 3, "b": 3}


def test_a_model_with_one_configuration_is_not_tuned() -> None:
    of = experiment(
        search_space={},
        models=["a", {"name": "b", "search_space": {"optim": {"choice": ["sgd", "adafactor"]}}}],
    )
    assert {slot.model for slot in slots_to_search(of, FixedProposer(of).counts)} == {"b"}


def test_a_grid_is_tried_whole() -> None:
    space = {"optim": {"grid": ["sgd", "adafactor"]}, "warmup_steps": {"choice": [0, 5, 10]}}
    of = experiment(search_space=space, tune={"search_alg": "grid"})
    tried = configurations(of, "a")
    assert tried[0] == {}
    assert len(tried) == 7
    assert len({json.dumps(one, sort_keys=True) for one in tried}) == 7
    short = experiment(search_space=space, tune={"search_alg": "grid", "num_samples": 3})
    assert configurations(short, "a") == tried[:3]


def test_what_was_planned_before_stays_planned() -> None:
    of = experiment(models=["a"])
    before = {2: trial("a", 2, None, hyperparameters='{"learning_rate": 0.5}')}
    asked: list[int] = []

    def propose(slot: Slot) -> Any:
        asked.append(slot.order)
        return {"learning_rate": slot.order / 1000}

    plans = list(tune_plans(of, slots(of, {"a": 5}), propose, before, {}))
    assert [plan.hyperparameters.get("learning_rate") for plan in plans] == [
        None,
        0.001,
        0.5,
        0.003,
        0.004,
    ]
    assert asked == [1, 3, 4]


def test_a_plan_is_made_when_it_is_asked_for() -> None:
    of = experiment(models=["a"])
    asked: list[int] = []
    plans = tune_plans(of, slots(of, {"a": 5}), lambda slot: asked.append(slot.order) or {}, {}, {})
    next(plans)
    assert asked == []
    next(plans)
    assert asked == [1]


def test_an_exhausted_model_leaves_its_turns_to_the_others() -> None:
    of = experiment()
    plans = tune_plans(
        of,
        slots(of, {"a": 4, "b": 4}),
        lambda slot: None if slot.model == "a" and slot.number > 1 else {"x": slot.order},
        {},
        {},
    )
    assert Counter(plan.model for plan in plans) == {"a": 2, "b": 4}


def test_the_id_tells_apart_what_decides_the_outcome() -> None:
    chosen: dict[str, Any] = {"a": {}}
    one, same, other = (
        confirm_plans(experiment(models=["a"]), chosen, {"a": identity})
        for identity in ("data 1", "data 1", "data 2")
    )
    assert one == same
    assert not {plan.trial_id for plan in one} & {plan.trial_id for plan in other}


@pytest.mark.parametrize("name", ["x" * 300, "/a folder/" * 100, "模型" * 200])
def test_a_long_name_makes_an_id_that_is_a_valid_name_of_a_file(name: str) -> None:
    ids = {make_plan("confirm", 0, each, {}, 1).trial_id for each in (name, f"{name}y")}
    assert len(ids) == 2
    for made in ids:
        assert len(f".{made}.parquet.12345678.tmp".encode()) <= 255
