from __future__ import annotations

import csv
import json
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest

from raycompare.analysis.extend import extension, finalist
from raycompare.errors import UserError
from raycompare.experiment.file import parse_draft, write_experiment
from raycompare.experiment.spec import Experiment
from raycompare.records.run_folder import RunFolder
from raycompare.records.run_records import Records
from tests import ROOT, runs

REAL = RunFolder.at(next(ROOT.glob("reports/ag-news/*/report.md")).parent)


def confirmed(**sections: Any) -> runs.Run:
    """Return a run of two models, the second the better one, its configuration searched."""
    run = runs.empty("worse", "better", **sections)
    run.confirm("worse", [0.70, 0.72, 0.71], is_default=True)
    run.confirm("better", [0.80, 0.82, 0.81])
    return run


def extended(run: runs.Run, epochs: float = 6, model: str | None = None) -> Experiment:
    return extension(run.records, epochs, model)


def refusal(run: runs.Run, epochs: float = 6, model: str | None = None) -> str:
    with pytest.raises(UserError) as raised:
        extended(run, epochs, model)
    return str(raised.value)


def test_the_winner_is_trained_longer_with_its_confirmed_configuration():
    run = confirmed()
    found = extended(run)
    assert [model.name for model in found.models] == ["better"]
    assert found.training == {
        "learning_rate": 1.234567e-5 * 2,
        "warmup_steps": 10,
        "num_train_epochs": 6,
    }
    assert found.search_space == {}
    assert found.models[0].search_space == {}
    assert found.name == "ag-news-extended"


def test_everything_else_stays():
    sections = {"confirm": {"seeds": [4, 5]}, "resources": {"cpu": 2}, "seed": 7}
    run = confirmed(tune={"metric": "accuracy"}, **sections)
    found = extended(run)
    for part in ("data", "seed", "confirm", "resources", "tune"):
        assert getattr(found, part) == getattr(run.experiment, part)


def test_the_winner_is_that_of_the_metric():
    run = confirmed(tune={"metric": "loss"})
    run.evaluations = [
        replace(row, loss=0.1 if row.model == "worse" else 0.9) for row in run.evaluations
    ]
    assert extended(run).models[0].name == "worse"


def test_another_model_can_be_named():
    found = extended(confirmed(), model="worse")
    assert [model.name for model in found.models] == ["worse"]
    assert found.training["learning_rate"] == 5e-5  # its confirmed configuration is the default


def test_the_models_own_settings_move_and_its_resources_stay():
    own = {
        "name": "better",
        "config": {"num_hidden_layers": 2},
        "training": {"bf16": True, "learning_rate": 1.0},
        "search_space": {"weight_decay": 0.01},
        "resources": {"cpu": 3},
    }
    run = runs.empty(own)  # type: ignore[arg-type]
    run.confirm("better", [0.8])
    found = extended(run)
    assert found.training["bf16"] is True
    assert found.training["learning_rate"] == 1.234567e-5
    assert found.training["weight_decay"] == 0.01
    (model,) = found.models
    assert (model.training, model.search_space) == ({}, {})
    assert model.config == {"num_hidden_layers": 2}
    assert model.resources == run.experiment.models[0].resources


def test_steps_give_way_to_epochs():
    run = runs.empty("worse", "better", training={"max_steps": 200})
    run.confirm("worse", [0.7], is_default=True)
    run.confirm("better", [0.8], steps=200)
    assert refusal(run, epochs=2).startswith("--epochs: found 2, allowed a number above 2,")
    found = extended(run, epochs=2.5)
    assert "max_steps" not in found.training
    assert found.training["num_train_epochs"] == 2.5


def test_negative_steps_are_none():
    run = confirmed(training={"max_steps": -1, "num_train_epochs": 9})
    assert "a number above 9," in refusal(run, epochs=8)


@pytest.mark.parametrize("epochs", [4, 3, 0, float("nan"), float("inf")])
def test_no_more_epochs_than_the_winner_had_are_refused(epochs: float):
    assert refusal(confirmed(), epochs) == (
        f"--epochs: found {epochs:g}, allowed a number above 4, such as 8: better was "
        "trained for 4."
    )


def test_epochs_that_nothing_sets_are_the_trainers_three():
    assert extended(confirmed(training={}), epochs=3.5).training["num_train_epochs"] == 3.5
    assert "a number above 3," in refusal(confirmed(training={}), epochs=3)


def test_searched_epochs_are_those_of_the_confirmed_configuration():
    run = confirmed(search_space={"num_train_epochs": {"randint": [1, 20]}})
    run.trials = [replace(trial, hyperparameters='{"num_train_epochs": 9}') for trial in run.trials]
    assert "a number above 9," in refusal(run, epochs=8)


def test_a_model_that_is_not_there_is_named_with_the_likely_one():
    assert refusal(confirmed(), model="beter") == (
        "--model: found 'beter', allowed one of: better, worse; did you mean 'better'?"
    )


def test_a_run_without_a_tested_model_can_not_be_extended():
    run = runs.empty("m")
    run.tune("m", 0.8, 0.9)
    assert refusal(run) == (
        "ag-news has no finished confirm stage: no model was tested (tuned, but not confirmed). "
        "Finish it with `raycompare run --resume RUN_DIR`, then extend it."
    )


def test_extending_twice_counts():
    assert extended(confirmed(name="ag-news-extended")).name == "ag-news-extended-2"


def test_a_real_run_is_extended_into_an_experiment_without_mistakes():
    records = Records.of(REAL)
    found = extension(records, epochs=6, model="minilm-2-layers")
    draft = parse_draft(write_experiment(found), "extended.yaml")
    assert draft.problems == ()
    assert draft.experiment() == found
    confirmed = records.trials_of("minilm-2-layers", "confirm")
    assert json.loads(confirmed[0].hyperparameters).items() <= found.training.items()
    rows = list(csv.DictReader(StringIO(REAL.read_text("tables/leaderboard.csv"))))
    assert finalist(records).row.model == rows[0]["model"]
    assert finalist(records).epochs == 2
