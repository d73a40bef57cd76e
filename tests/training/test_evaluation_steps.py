"""When trials of the tune stage are evaluated: at rungs, unless the experiment says when."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raycompare.experiment.settings import TuneSpec
from raycompare.records.messages import TrialPlan
from raycompare.records.run_folder import RunFolder
from raycompare.training.arguments import run_length
from raycompare.tuning.schedulers.base import milestones
from raycompare.tuning.schedulers.registry import rung_steps
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
        text_lengths={("a", 256): np.full(100, 20)},
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


@given(
    rows=st.integers(50, 400),
    batch=st.integers(1, 40),
    accumulated=st.integers(1, 4),
    epochs=st.integers(1, 3),
    drop_last=st.booleans(),
)
def test_a_trial_has_had_the_examples_of_a_rung_when_it_reaches_it(
    rows: int, batch: int, accumulated: int, epochs: int, drop_last: bool
) -> None:
    """The step of a rung and the examples of an evaluation are of one formula."""
    arguments = {
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": accumulated,
        "num_train_epochs": epochs,
        "dataloader_drop_last": drop_last,
    }
    length = run_length(arguments, np.ones(rows, int))
    positions = milestones(math.ceil(length.examples / 4), 2, length.examples)
    for position, step in zip(
        positions, rung_steps(TuneSpec(time_attr="examples"), positions, length), strict=True
    ):
        assert 1 <= step <= length.steps
        assert length.examples_at(step) >= position
        assert step == 1 or length.examples_at(step - 1) < position
    used = rows - rows % batch if drop_last else rows
    assert length.examples == max(used, 0) * epochs or used == 0


def test_batches_of_tokens_have_rungs_in_examples_too() -> None:
    lengths = np.array([10] * 90 + [100] * 10)
    length = run_length({"per_device_train_batch_tokens": 100, "num_train_epochs": 2}, lengths)
    assert length.steps == 2 * 19
    (first, second) = rung_steps(TuneSpec(time_attr="examples"), (50, 100), length)
    assert (first, second) == (10, 19)
