from __future__ import annotations

from typing import Any

import pytest

from raycompare.experiment.hyperparameters import MAX_LENGTH, all_settings
from raycompare.experiment.spec import Arguments
from raycompare.tuning.heaviest import MOST_COMBINATIONS, heaviest_configurations
from tests.tuning.test_plans import experiment


def heaviest(**space: Any) -> list[Arguments]:
    (settings,) = all_settings(experiment(models=["a"], search_space=space))

    def tokens(searched: Arguments) -> int:
        length = {**settings.training, **searched}.get(MAX_LENGTH)
        return length if isinstance(length, int) else 128

    return list(heaviest_configurations(settings, tokens))


def test_the_default_is_always_one_of_them() -> None:
    assert heaviest() == [{}]
    assert heaviest(learning_rate={"loguniform": [1e-6, 1e-3]}) == [{}]


@pytest.mark.parametrize(
    ("key", "domain", "value"),
    [
        ("per_device_train_batch_size", {"choice": [16, 64, 32]}, 64),
        ("per_device_train_batch_tokens", {"choice": [4096, 1024]}, 4096),
        ("per_device_eval_batch_size", {"choice": [64, 256]}, 256),
        ("lora_r", {"choice": [4, 64]}, 64),
        ("freeze_layers", {"randint": [2, 7]}, 2),
        ("gradient_checkpointing", {"choice": [True, False]}, False),
        (MAX_LENGTH, {"choice": [64, 512, 256]}, 512),
    ],
)
def test_of_a_searched_value_that_which_takes_most(key: str, domain: Any, value: Any) -> None:
    assert heaviest(**{key: domain}) == [{}, {key: value}]


def test_where_that_is_unknown_all_combinations_with_the_rest_at_its_heaviest() -> None:
    found = heaviest(
        optim={"choice": ["sgd", "adamw_torch"]},
        pooling={"choice": ["cls", "mean"]},
        per_device_train_batch_size={"choice": [16, 64]},
        weight_decay={"uniform": [0.0, 0.1]},
    )
    assert found[0] == {}
    assert all(each["per_device_train_batch_size"] == 64 for each in found[1:])
    pairs = {(each["optim"], each["pooling"]) for each in found[1:]}
    assert pairs == {(optim, how) for optim in ("sgd", "adamw_torch") for how in ("cls", "mean")}


def test_of_many_combinations_a_sample() -> None:
    found = heaviest(
        optim={"choice": ["sgd", "adamw_torch", "adafactor", "adamw_torch_fused"]},
        pooling={"choice": ["cls", "mean", "max"]},
    )
    assert len(found) == 1 + MOST_COMBINATIONS
