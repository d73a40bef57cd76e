from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
)

from raycompare.cluster.machines import Node
from raycompare.data.splits import LabelledData, load_splits
from raycompare.experiment.hyperparameters import all_settings
from raycompare.experiment.prices import gpus, instances
from raycompare.experiment.spec import Experiment
from raycompare.running import estimate as estimate_module
from raycompare.running import processors
from raycompare.running.estimate import Estimate, Load, Site, describe, estimate, makespan
from raycompare.running.processors import Speed, cpu_speed, gpu_speed, named_gpu
from raycompare.running.workload import (
    EVAL_FLOP,
    TRAIN_FLOP,
    ModelWork,
    longest_of_a_batch,
    multiplying_parameters,
    workload,
)
from tests import runs

Sections = dict[str, Any]
FLOPS = 1e9


@pytest.fixture
def data(tiny_data: str) -> LabelledData:
    return load_splits(experiment_of(tiny_data, "x").data, 42)


def experiment_of(tiny_data: str, tiny_model: str, **sections: Any) -> Experiment:
    content: Sections = {
        "data": {"dataset": tiny_data, "max_length": 32},
        "training": {"num_train_epochs": 2, "per_device_train_batch_size": 8},
        "search_space": {"learning_rate": {"loguniform": [1e-4, 1e-2]}},
        "tune": {"num_samples": 5},
    }
    made = runs.experiment("tiny", **{**content, **sections})
    (model,) = made.models
    return made.model_copy(
        update={"models": (model.model_copy(update={"checkpoint": tiny_model}),)}
    )


def work_of(experiment: Experiment, data: LabelledData, pads: bool = False) -> ModelWork:
    (work,) = workload(experiment, data, pads)
    return work


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor of 1 GFLOP/s."""

    def measured(rows: int, width: int, threads: int) -> Speed:
        return Speed(flops=FLOPS, basis="as a test has it")

    monkeypatch.setattr(estimate_module, "cpu_speed", measured)


def site(**changes: Any) -> Site:
    node = Node(hostname="x", cpus=2.0, gpus=0.0, memory_bytes=2**30)
    return replace(Site(nodes=(node,)), **changes)


def test_trials_and_steps_are_those_that_a_run_plans(
    tiny_data: str, tiny_model: str, data: LabelledData
) -> None:
    work = work_of(experiment_of(tiny_data, tiny_model), data)
    assert (work.tune_trials, work.confirm_trials) == (5, 3)
    assert work.tune.steps == 2 * 120 // 8


def test_a_model_that_is_not_searched_is_not_tuned(
    tiny_data: str, tiny_model: str, data: LabelledData
) -> None:
    work = work_of(experiment_of(tiny_data, tiny_model, search_space={}), data)
    assert (work.tune_trials, work.confirm_trials) == (0, 3)


def test_a_token_costs_six_flop_a_parameter_to_train_and_two_to_evaluate(
    tiny_data: str, tiny_model: str, data: LabelledData
) -> None:
    padded = experiment_of(
        tiny_data,
        tiny_model,
        data={"dataset": tiny_data, "max_length": 6, "padding": "max_length"},
    )
    work = work_of(padded, data)
    trained, validated, tested = 2 * 120 * 6, len(data.validation) * 6, len(data.test) * 6
    # The rungs at 8 and 16 steps and the end; to confirm an evaluation at each epoch.
    assert work.tune.tokens == trained + 3 * validated
    assert work.confirm.tokens == trained + 2 * validated + tested
    per_parameter = TRAIN_FLOP * trained + EVAL_FLOP * (2 * validated + tested)
    assert work.confirm.flop % per_parameter == 0


def test_evaluations_that_are_asked_for_are_counted(
    tiny_data: str, tiny_model: str, data: LabelledData
) -> None:
    few = experiment_of(tiny_data, tiny_model)
    arguments = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "eval_steps": 1}
    many = experiment_of(tiny_data, tiny_model, training=arguments)
    assert all_settings(many)[0].arguments({})["eval_strategy"] == "steps"
    assert work_of(many, data).tune.tokens > work_of(few, data).tune.tokens
    assert work_of(many, data).tune.steps == work_of(few, data).tune.steps


def test_a_run_of_so_many_steps_trains_so_many_texts(
    tiny_data: str, tiny_model: str, data: LabelledData
) -> None:
    epochs = work_of(experiment_of(tiny_data, tiny_model), data)
    arguments = {"max_steps": 30, "per_device_train_batch_size": 8}
    steps = work_of(experiment_of(tiny_data, tiny_model, training=arguments), data)
    assert steps.tune == epochs.tune


def test_a_gpu_computes_the_padding_that_a_cpu_leaves_out(
    tiny_data: str, tiny_model: str, data: LabelledData
) -> None:
    experiment = experiment_of(tiny_data, tiny_model)
    assert work_of(experiment, data, pads=True).tune.tokens > work_of(experiment, data).tune.tokens
    assert longest_of_a_batch(np.array([3, 5]), 64) == 5.0
    assert longest_of_a_batch(np.array([4, 4]), 1) == 4.0


def test_embeddings_are_not_counted_and_layers_are() -> None:
    small = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}

    def bert(**fields: int) -> int:
        return multiplying_parameters(BertForSequenceClassification(BertConfig(**small, **fields)))

    assert bert(vocab_size=100, num_hidden_layers=1) == bert(vocab_size=9000, num_hidden_layers=1)
    one, two, three = (bert(num_hidden_layers=layers) for layers in (1, 2, 3))
    assert two - one == three - two > 16 * 32 * 2


def test_a_shared_layer_counts_as_often_as_it_is_used() -> None:
    small = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}

    def albert(layers: int) -> int:
        config = AlbertConfig(**small, num_hidden_layers=layers)
        return multiplying_parameters(AlbertForSequenceClassification(config))

    assert albert(12) == 12 * albert(1)


def test_seconds_are_the_work_divided_by_the_pace_of_the_trials_that_run_at_once(
    tiny_data: str, tiny_model: str, data: LabelledData, steady: None
) -> None:
    experiment = experiment_of(tiny_data, tiny_model, cost={"usd_per_hour": 3600.0})
    work = work_of(experiment, data)
    found = estimate(experiment, data, site())
    tune, confirm = (w.flop / FLOPS + 0.5 for w in (work.tune, work.confirm))
    wanted = makespan([Load(tune, 5, 2)]) + makespan([Load(confirm, 3, 2)])
    assert found.seconds == pytest.approx(wanted)
    assert found.usd == pytest.approx(wanted)
    assert found.steps == 8 * 30
    assert found.flop == pytest.approx(5 * work.tune.flop + 3 * work.confirm.flop)


def test_more_machines_take_less_time_and_a_limit_on_trials_more(
    tiny_data: str, tiny_model: str, data: LabelledData, steady: None
) -> None:
    experiment = experiment_of(tiny_data, tiny_model, cost={"usd_per_hour": 1.0})
    one = estimate(experiment, data, site())
    two = estimate(experiment, data, site(nodes=site().nodes * 2))
    tune = {"num_samples": 5, "max_concurrent_trials": 1}
    alone = estimate(experiment_of(tiny_data, tiny_model, tune=tune), data, site())
    assert one.seconds
    assert two.seconds
    assert alone.seconds
    assert two.seconds < one.seconds < alone.seconds
    assert (one.machines, two.machines) == (1, 2)


def test_a_stage_ends_at_the_latest_when_its_last_trial_began_as_the_others_ended() -> None:
    assert makespan([]) == 0.0
    worker = makespan([Load(0.0, 1, 1)])
    assert makespan([Load(10.0, 4, 2)]) - worker == pytest.approx(4 * 10 / 2 + 10 / 2)
    assert makespan([Load(10.0, 3, 1)]) - worker == pytest.approx(30.0), "one after another"


def test_a_card_that_is_only_named_is_taken_at_a_part_of_its_published_peak(
    tiny_data: str, tiny_model: str, data: LabelledData
) -> None:
    instance = instances()["g5.xlarge"]
    node = Node(hostname="g5.xlarge", cpus=4.0, gpus=1.0, memory_bytes=2**30)
    found = estimate(
        experiment_of(tiny_data, tiny_model), data, site(nodes=(node,), instance=instance)
    )
    assert found.seconds is not None
    assert "20% of the published peak of the A10G, 70 TFLOP/s in bf16" in found.basis


def test_a_share_of_a_card_is_as_much_slower() -> None:
    card = gpus()["L4"]
    assert gpu_speed(card, 0.25).flops == pytest.approx(gpu_speed(card).flops / 4)
    assert gpu_speed(card).seconds(0.0, 100) == pytest.approx(2.0), "no step is free"


def test_without_a_known_card_there_are_no_seconds_and_the_advice_to_name_it(
    tiny_data: str, tiny_model: str, data: LabelledData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate_module, "gpu_here", lambda: None)
    node = Node(hostname="x", cpus=4.0, gpus=1.0, memory_bytes=2**30)
    experiment = experiment_of(tiny_data, tiny_model, cost={"usd_per_hour": 1.0})
    found = estimate(experiment, data, site(nodes=(node,)))
    assert (found.seconds, found.usd) == (None, None)
    assert "cost.instance" in describe(found, experiment)[-1]


@pytest.mark.parametrize(
    ("device", "card"),
    [
        ("Tesla T4", "T4"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA A100-SXM4-40GB", "A100"),
        ("NVIDIA GeForce RTX 4090", None),
    ],
)
def test_cards_are_known_by_the_words_of_their_name(device: str, card: str | None) -> None:
    found = named_gpu(device)
    assert (found.name if found else None) == card


def test_the_cpu_is_measured_and_left_with_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "MEASURE_SECONDS", 0.02)
    before = torch.get_num_threads()
    speed = cpu_speed(rows=100, width=64, threads=1)
    assert torch.get_num_threads() == before
    assert 1e7 < speed.flops < 1e14
    assert "with 1 thread" in speed.basis


def found(**changes: Any) -> Estimate:
    made = Estimate(
        tune_trials=12,
        confirm_trials=9,
        steps=2520,
        tokens=1_234_567,
        flop=1e15,
        machines=1,
        seconds=200.0,
        usd=4.0,
        basis="as a test has it",
    )
    return replace(made, **changes)


def test_the_estimate_is_said_with_how_rough_it_is(tiny_data: str, tiny_model: str) -> None:
    lines = describe(found(), experiment_of(tiny_data, tiny_model))
    assert lines == [
        "at most 12 + 9 trials (tune + confirm), 2,520 steps, 1.2 million tokens: 3 m 20 s and "
        "$4.00 on 1 machine",
        "rough, often off by a factor of 2; based on as a test has it",
        "ASHA usually trains about 60% of the tune stage",
    ]


def test_only_asha_is_said_to_stop(tiny_data: str, tiny_model: str) -> None:
    experiment = experiment_of(tiny_data, tiny_model, tune={"scheduler": "fifo"})
    assert not any("ASHA" in line for line in describe(found(), experiment))


def test_what_is_over_a_budget_is_a_note_and_no_mistake(tiny_data: str, tiny_model: str) -> None:
    tune = {"max_usd": 3, "time_budget_s": 100}
    experiment = experiment_of(tiny_data, tiny_model, tune=tune, cost={"usd_per_hour": 1.0})
    notes = [line for line in describe(found(), experiment) if line.startswith("note")]
    assert ["max_usd (3)" in notes[0], "time_budget_s (100)" in notes[1]] == [True, True]
    assert not any(
        line.startswith("note") for line in describe(found(seconds=50.0, usd=1.0), experiment)
    )


def test_an_instance_with_gpus_stands_for_a_machine_that_has_none(
    tiny_data: str, tiny_model: str, data: LabelledData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate_module, "this_machine", lambda: site().nodes[0])
    experiment = experiment_of(tiny_data, tiny_model, cost={"instance": "g5.12xlarge"})
    four = estimate(experiment, data)
    single = experiment_of(tiny_data, tiny_model, cost={"instance": "g5.xlarge"})
    one = estimate(single, data)
    assert four.seconds
    assert one.seconds
    assert four.seconds < one.seconds
