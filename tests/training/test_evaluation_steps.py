"""When trials of the tune stage are evaluated: at rungs, unless the experiment says when."""

from __future__ import annotations

from typing import Any

import pytest

from raycompare.records.messages import TrialPlan
from raycompare.records.run_folder import RunFolder
from raycompare.tuning.tuner import Shared
from tests import runs


def steps(stage: str = "tune", **sections: Any) -> tuple[int, ...]:
    experiment = runs.experiment("a", **sections)
    shared = Shared(
        experiment=experiment,
        folder=RunFolder.at("."),
        label_names=("no", "yes"),
        data={},
        lengths={"a": 32},
        rungs={"a": (10, 20)},
        resources={},
    )
    plan = TrialPlan(trial_id="x", stage=stage, model="a", order=0, seed=1, is_default=True)
    return shared.evaluations_of(plan)


def test_a_trial_of_the_tune_stage_is_evaluated_at_its_rungs():
    assert steps() == (10, 20)
    assert steps(stage="confirm") == ()


@pytest.mark.parametrize(
    "sections",
    [
        {"training": {"eval_steps": 5}},
        {"training": {"early_stopping_patience": 2}},
        {"models": [{"name": "a", "checkpoint": "a", "training": {"eval_strategy": "epoch"}}]},
        {"search_space": {"eval_steps": {"choice": [5, 10]}}},
    ],
)
def test_where_the_experiment_says_when_to_evaluate_that_holds_in_the_tune_stage(
    sections: dict[str, Any],
):
    assert steps(**sections) == ()
