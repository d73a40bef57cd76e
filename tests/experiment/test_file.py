from __future__ import annotations

import pytest

from raycompare.errors import UserError
from raycompare.experiment.file import read_experiment, write_experiment
from raycompare.experiment.spec import Experiment
from tests import runs


@pytest.fixture
def awkward() -> Experiment:
    """Values that YAML could read as something else."""
    return runs.experiment(
        "1.0",
        "null",
        "yes: no",
        name="2024-01-02",
        data={
            "dataset": "data/Привет, wörld.csv",
            "text": ["premise", "hypothesis"],
            "label_names": ["no", "off"],
            "max_length": "p99",
            "splits": {"validation": 0.1},
            "revision": "1e5",
        },
        training={"learning_rate": 1e-5, "bf16": True, "lr_scheduler_kwargs": {"a": [1, None]}},
        search_space={
            "optim": {"choice": ["adamw_torch", None, True, 1e-7]},
            "weight_decay": {"loguniform": [1e-06, 0.1]},
        },
        tune={"metric": "loss", "time_budget_s": 3600},
    )


def test_an_experiment_survives_the_round_trip(awkward: Experiment):
    again = read_experiment(write_experiment(awkward))
    assert again == awkward
    assert again.content_hash == awkward.content_hash


def test_writing_is_stable_and_spells_out_defaults_in_the_order_of_the_types():
    experiment = runs.experiment("minilm")
    text = write_experiment(experiment)
    assert write_experiment(read_experiment(text)) == text
    top = [line.partition(":")[0] for line in text.splitlines() if line[0] not in " -"]
    assert top == list(Experiment.model_fields)
    assert "reduction_factor: 2" in text


def test_long_text_stays_on_one_line():
    name = "word " * 60
    assert f"dataset: {name.strip()}\n" in write_experiment(
        runs.experiment("minilm", data={"dataset": name.strip()})
    )


@pytest.mark.parametrize("text", ["", "name: [", "name: x\nmodels: []\n", "name: 2024-01-02\n"])
def test_anything_else_is_the_users_error(text: str):
    with pytest.raises(UserError, match="not as the run wrote it"):
        read_experiment(text)
