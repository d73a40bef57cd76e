"""No trial that searches can read a row of the test split: it is not given any."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raycompare.data.splits import load_splits
from raycompare.data.tokens import SearchData, TokenizedData
from raycompare.experiment.spec import ResourceSpec
from raycompare.records.messages import TrialPlan
from raycompare.records.run_folder import RunFolder
from raycompare.running import stages
from raycompare.running.check import CheckedExperiment
from raycompare.training.task import TrialTask
from raycompare.training.trial import train_trial
from raycompare.tuning import tuner
from raycompare.tuning.tuner import Shared, task_of
from tests.runs import experiment
from tests.trials import ListSink


def searching(task: TrialTask) -> TrialTask:
    return replace(task, plan=replace(task.plan, stage="tune"))


def arrays(found: Any) -> list[np.ndarray[Any, Any]]:
    if isinstance(found, np.ndarray):
        return [found]
    return (
        [array for value in vars(found).values() for array in arrays(value)]
        if is_data(found)
        else []
    )


def is_data(found: object) -> bool:
    return type(found).__module__ == SearchData.__module__


def test_a_trial_of_the_tune_stage_loses_the_test_split_it_is_given(
    task: TrialTask, tiny_tokens: TokenizedData
) -> None:
    search = searching(task)
    assert {field.name for field in fields(search.data)} == {
        *("train", "validation", "padding", "max_length", "truncated_share")
    }
    held = tiny_tokens.test.ids
    assert any(array is held for array in arrays(task.data))
    assert not any(np.array_equal(array, held) for array in arrays(search.data))
    assert held.tobytes() not in pickle.dumps(search)
    with pytest.raises(AssertionError):
        _ = search.tested


def test_a_trial_of_the_tune_stage_trains_without_it(task: TrialTask) -> None:
    sink = ListSink()
    train_trial(searching(task), sink)
    assert sink.end.reason == "full_budget"
    assert sink.end.test_metrics is None


def test_a_run_stores_the_test_split_apart(
    tiny_model: str, tiny_data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages.ray, "put", lambda stored: stored)
    monkeypatch.setattr(stages, "resolve", lambda *_: {})
    models = [{"name": name, "checkpoint": tiny_model} for name in ("m", "n")]
    made = experiment(*models, data={"dataset": tiny_data})
    ready = CheckedExperiment(made, load_splits(made.data, 0))
    shared = stages.share(ready, RunFolder.at(tmp_path / "name" / "run"), ())
    assert {type(stored) for stored in shared.data.values()} == {SearchData}
    assert shared.data.keys() == shared.test.keys() == {("m", 256), ("n", 256)}
    assert len({id(stored) for stored in shared.test.values()}) == 1
    assert [len(stored.split) for stored in shared.test.values()] == [60, 60]  # type: ignore[attr-defined]


@pytest.mark.parametrize("stage", ["tune", "confirm"])
def test_workers_of_the_confirm_stage_alone_are_told_where_the_test_split_is(
    stage: Any, tiny_tokens: TokenizedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What would be a reference into Ray's object store is the object itself.
    monkeypatch.setattr(tuner.ray, "get", lambda found: found)
    shared = Shared(
        experiment=experiment("m"),
        folder=RunFolder.at(tmp_path),
        label_names=("a", "b"),
        data={("m", 256): tiny_tokens.for_search},  # type: ignore[dict-item]
        test={("m", 256): tiny_tokens.held_out},  # type: ignore[dict-item]
        lengths={},
        rungs={"m": (1,)},
        text_lengths={("m", 256): tiny_tokens.train.lengths},
        resources={},
    )
    seen = shared.for_stage(stage)
    plan = TrialPlan(trial_id="t", stage=stage, model="m", order=0, seed=1, is_default=True)
    made = task_of(seen, plan, ResourceSpec())
    assert bool(seen.test) == isinstance(made.data, TokenizedData) == (stage == "confirm")
    assert made.data.train is tiny_tokens.train
    if stage == "confirm":
        assert made.tested.example_ids is tiny_tokens.example_ids
