"""Every field of TrainingArguments is used, settled or refused, and what is accepted works."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import PartialState
from pydantic import TypeAdapter
from transformers import TrainingArguments
from transformers.trainer_utils import SchedulerType
from transformers.training_args import OptimizerNames

from raycompare.cluster.requirements import is_installed, package_problems
from raycompare.errors import Problem
from raycompare.experiment.hyperparameters import ModelSettings, all_settings
from raycompare.experiment.needs import OPTIMIZERS
from raycompare.experiment.settings import TuneSpec
from raycompare.experiment.space import SearchSpace
from raycompare.experiment.spec import Experiment
from raycompare.records.messages import Evaluation
from raycompare.training.argument_builds import ArgumentBuilds
from raycompare.training.argument_checks import argument_problems, space_problems
from raycompare.training.fields import FIELDS, LIMITS, REFUSED_VALUES, RENAMED, Fate
from raycompare.training.task import TrialTask
from raycompare.training.unused_arguments import unread_problems
from raycompare.tuning.sampling import configurations
from tests.trials import cut_off, gone_on, trained, with_arguments

INSTALLED = {name for name, field in TrainingArguments.__dataclass_fields__.items() if field.init}
USED = {name for name, use in FIELDS.items() if use.fate is Fate.USED}


def settings_of(checkpoint: str = "x", **sections: Any) -> ModelSettings:
    content = {"name": "x", "data": {"dataset": "x"}, "models": [checkpoint], **sections}
    (settings,) = all_settings(TypeAdapter(Experiment).validate_json(json.dumps(content)))
    return settings


def built(**sections: Any) -> list[Problem]:
    return list(ArgumentBuilds().problems(settings_of(**sections)))


def space(**entries: Any) -> SearchSpace:
    return TypeAdapter(SearchSpace).validate_json(json.dumps(entries), strict=True)


def test_every_field_is_in_the_table() -> None:
    assert INSTALLED - FIELDS.keys() == set(), "say in training/fields.py what becomes of them"


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - USED))
def test_a_field_that_is_not_used_is_refused_with_what_to_do_instead(name: str) -> None:
    for problem in (
        *argument_problems("training", {name: True}),
        *space_problems("search_space", space(**{name: {"choice": [1, 2]}})),
    ):
        assert problem.where.endswith(name)
        assert problem.allowed == FIELDS[name].instead
        assert len(problem.allowed) > 20


# Accepted values that are tried together: those that change how a trial computes, each in one run.
TRIED: Mapping[str, Mapping[str, Any]] = {
    "many at once": {
        "num_train_epochs": 1.5,
        "gradient_accumulation_steps": 2,
        "weight_decay": 0.1,
        "learning_rate": 3e-3,
        "lr_scheduler_type": "cosine_with_restarts",
        "lr_scheduler_kwargs": {"num_cycles": 2},
        "warmup_steps": 0.2,
        "optim": "adamw_torch",
        "adam_beta1": 0.8,
        "adam_beta2": 0.9,
        "adam_epsilon": 1e-6,
        "max_grad_norm": 0.5,
        "label_smoothing_factor": 0.1,
        "neftune_noise_alpha": 5.0,
        "bf16": True,
        "activation_checkpointing": True,
        "per_device_eval_batch_size": 32,
        "activation_checkpointing_kwargs": {"use_reentrant": False},
        "eval_delay": 1,
        "eval_accumulation_steps": 1,
        "torch_empty_cache_steps": 2,
        "full_determinism": True,
        "train_sampling_strategy": "sequential",
        "dataloader_drop_last": True,
        "dataloader_num_workers": 1,
        "dataloader_prefetch_factor": 2,
        "per_device_train_batch_size": 14,
        "dataloader_pin_memory": False,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "use_cpu": True,
    },
    "half precision": {
        "fp16": True,
        "optim": "sgd",
        "optim_args": "momentum=0.9",
        "learning_rate": 0.05,
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": {},
        "lr_scheduler_type": "warmup_stable_decay",
        "tf32": False,
        "lr_scheduler_kwargs": {"num_decay_steps": 2},
        "max_steps": 6,
        "eval_steps": 2,
    },
    "by length": {
        "train_sampling_strategy": "group_by_length",
        "dataloader_drop_last": True,
        "optim": "adafactor",
        "per_device_train_batch_size": 14,
        "eval_steps": 0.3,
        "gradient_accumulation_steps": 3,
        "class_weights": "balanced",
    },
    "by tokens": {
        "train_sampling_strategy": "group_by_length",
        "per_device_train_batch_tokens": 60,
        "gradient_accumulation_steps": 4,
        "eval_steps": 3,
        "num_train_epochs": 1,
    },
    "compiled": {
        "torch_compile": True,
        "torch_compile_backend": "eager",
        "eval_steps": 2,
        "torch_compile_mode": "default",
        "config.num_hidden_layers": 1,
        "max_steps": 3,
        "per_device_train_batch_size": 40,
    },
}
NEEDS_A_PACKAGE = {"optim_target_modules": "galore_torch"}
"""Arguments for optimizers that are not installed for the tests."""


def test_every_used_field_is_tried() -> None:
    tried = {name for arguments in TRIED.values() for name in arguments}
    assert USED - tried - NEEDS_A_PACKAGE.keys() == set()


def numbers(evaluations: list[Evaluation]) -> list[tuple[int, Mapping[str, float]]]:
    return [(one.step, one.metrics) for one in evaluations]


@pytest.mark.parametrize("name", TRIED)
def test_what_is_accepted_trains_evaluates_all_rows_and_resumes_to_the_same_numbers(
    name: str, task: TrialTask, tmp_path: Path
) -> None:
    arguments = {"num_train_epochs": 1, "eval_strategy": "steps", **TRIED[name]}
    assert argument_problems("training", arguments) == []
    assert built(training=arguments) == []
    if "torch_compile" in arguments:  # each shape is compiled anew
        task = replace(task, data=replace(task.data, padding=replace(task.data.padding, to=16)))
    tried = replace(with_arguments(task, **arguments), may_pause=True)
    whole = trained(tried)
    cut_off(tried, tmp_path, 0)
    rest = gone_on(tried, tmp_path)
    assert len(whole.evaluations) > 1
    assert numbers([*rest.start.earlier, *rest.evaluations]) == numbers(whole.evaluations)
    assert rest.tables[0].equals(whole.tables[0])
    assert whole.tables[0].num_rows == len(task.tested.test)
    labels, predictions = (whole.tables[0][column].to_numpy() for column in ("label", "prediction"))
    assert whole.end.test_metrics is not None
    assert whole.end.test_metrics["accuracy"] == pytest.approx((labels == predictions).mean())


@pytest.mark.parametrize("optim", [one.value for one in OptimizerNames])
def test_each_optimizer_is_built_or_refused_or_its_package_is_named(optim: str) -> None:
    (refused, *_) = argument_problems("training", {"optim": optim}) or [None]
    missing = list(package_problems(settings_of(training={"optim": optim})))
    problems = built(training={"optim": optim})
    assert (refused is not None) == (("optim", optim) in REFUSED_VALUES)
    assert bool(missing) is not is_installed(optim)
    assert optim in OPTIMIZERS or problems == []
    assert all("pip install" in str(problem.hint) for problem in missing)


@pytest.mark.parametrize("schedule", [one.value for one in SchedulerType])
def test_each_schedule_is_built_or_refused_or_its_settings_are_named(schedule: str) -> None:
    arguments = {"lr_scheduler_type": schedule}
    if argument_problems("training", arguments):
        assert ("lr_scheduler_type", schedule) in REFUSED_VALUES
        return
    problems = built(training=arguments)
    needs = {
        "warmup_stable_decay": {"num_decay_steps": 3},
        "cosine_with_min_lr": {"min_lr": 1e-7},
        "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1},
    }
    assert bool(problems) is (schedule in needs)
    for problem in problems:
        assert problem.where == "training.lr_scheduler_type"
        assert f"{schedule} takes lr_scheduler_kwargs with" in str(problem.hint)
        assert next(iter(needs[schedule])) in str(problem.hint)
    assert built(training={**arguments, "lr_scheduler_kwargs": needs.get(schedule)}) == []


WRONG: Mapping[str, tuple[dict[str, Any], list[str], str]] = {
    "two formats": (
        {"bf16": True, "fp16": True},
        ["training.bf16"],
        "At most one of fp16 and bf16",
    ),
    "two mistakes": (
        {"fp16": True, "bf16": True, "lr_scheduler_type": "warmup_stable_decay"},
        ["training.fp16", "training.lr_scheduler_type"],
        "num_decay_steps",
    ),
    "settings of another schedule": (
        {"lr_scheduler_kwargs": {"num_cycles": 2}},
        ["training.lr_scheduler_kwargs"],
        "linear takes no lr_scheduler_kwargs",
    ),
    "settings of a wrong type": (
        {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"power": "x"}},
        ["training.lr_scheduler_kwargs"],
        "polynomial takes lr_scheduler_kwargs with lr_end, power",
    ),
    "a rate below zero": (
        {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"lr_end": -1}},
        ["training.lr_scheduler_kwargs"],
        "the learning rate becomes",
    ),
    "not a list of arguments": (
        {"optim": "sgd", "optim_args": "momentum"},
        ["training.optim_args"],
        "ValueError",
    ),
    "prefetching without workers": (
        {"dataloader_prefetch_factor": 2},
        ["training.dataloader_prefetch_factor"],
        "dataloader_num_workers > 0",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_can_not_be_built_is_a_mistake_at_its_place(name: str) -> None:
    arguments, places, says = WRONG[name]
    problems = built(training=arguments)
    assert sorted(problem.where for problem in problems) == sorted(places)
    assert says in "\n".join(map(str, problems))


def test_examples_of_a_search_space_are_built_together() -> None:
    searched = {
        "lr_scheduler_type": {"choice": ["linear", "polynomial"]},
        "lr_scheduler_kwargs": {"choice": [None, {"lr_end": 0.5}]},
        "learning_rate": {"loguniform": [0.1, 1]},
    }
    found = [problem.where for problem in built(search_space=searched)]
    assert found, "a linear schedule has no lr_end, and one of 0.5 is above the lowest rate"
    assert {where.partition(".")[0] for where in found} == {"search_space"}


def test_models_that_can_not_do_it_are_named_and_others_not(tiny_model: str) -> None:
    wrong = {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"reentrant": 1}}
    (problem,) = built(checkpoint=tiny_model, training=wrong)
    assert problem.where.startswith("training.activation_checkpointing")
    assert "reentrant" in problem.found
    works = {"gradient_checkpointing": True, "neftune_noise_alpha": 5.0}
    assert built(checkpoint=tiny_model, training=works) == []


@pytest.mark.parametrize(
    ("searched", "others", "says"),
    [
        ("adam_epsilon", {"optim": "lion_32bit"}, "optim is lion_32bit"),
        ("optim_target_modules", {}, "optim is adamw_torch"),
        ("optim_target_modules", {"optim": "galore_adamw"}, None),
        ("eval_steps", {"eval_strategy": "epoch"}, "eval_strategy is epoch"),
        ("eval_steps", {}, None),
        ("lr_scheduler_kwargs", {"lr_scheduler_type": "constant"}, "lr_scheduler_type is constant"),
    ],
)
def test_a_search_without_effect_is_a_mistake(
    searched: str, others: dict[str, Any], says: str | None
) -> None:
    settings = settings_of(training=others, search_space={searched: {"choice": [1, 2]}})
    found = [problem.found for problem in unread_problems(settings, TuneSpec())]
    assert [says in problem for problem in found if says] == ([True] if says else [])
    assert bool(found) is (says is not None)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"eval_strategy": "epoch", "eval_steps": 5}, "eval_strategy is epoch"),
        ({"lr_scheduler_type": "constant", "lr_scheduler_kwargs": {"power": 2}}, "is constant"),
        ({"lr_scheduler_type": "constant", "lr_scheduler_kwargs": {}}, None),
        ({"optim_args": "momentum=0.9"}, "momentum, which adamw_torch"),
        ({"optim": "sgd", "optim_args": "momentum=0.9, beta=0.1"}, "beta, which sgd"),
        ({"optim": "sgd", "optim_args": "momentum=0.9, nesterov=true"}, None),
        ({"optim": "galore_adamw", "optim_args": "rank=8", "optim_target_modules": "all"}, None),
    ],
)
def test_a_setting_without_effect_is_a_mistake(arguments: dict[str, Any], says: str | None) -> None:
    problems = list(unread_problems(settings_of(training=arguments), TuneSpec()))
    assert [str(says) in problem.found for problem in problems] == ([True] if says else [])
    both = {"optim": {"choice": ["sgd", "adagrad"]}}
    if arguments.get("optim") == "sgd" and says is None:
        assert not list(
            unread_problems(settings_of(training=arguments, search_space=both), TuneSpec())
        )


def test_a_whole_number_may_be_a_fraction() -> None:
    assert built(training={"adam_beta1": 0, "adam_beta2": 0}) == []


def test_a_check_leaves_the_process_as_it_was() -> None:
    PartialState(cpu=True)
    states, random = dict(PartialState._shared_state), torch.get_rng_state()
    built(training={"full_determinism": True, "optim": "sgd"})
    assert dict(PartialState._shared_state) == states != {}
    assert torch.equal(torch.get_rng_state(), random)
    assert not torch.are_deterministic_algorithms_enabled()


SPECIAL = (None, -2, -1, 0, 0.5, 1.5)
ALLOWED: Mapping[str, set[Any]] = {
    "max_steps": {-1},
    "num_train_epochs": {0.5, 1.5},
    "learning_rate": {0.5, 1.5},
    "eval_steps": {0.5},
    "warmup_steps": {0, 0.5},
    "per_device_train_batch_size": set(),
    "per_device_train_batch_tokens": set(),
    "per_device_eval_batch_size": set(),
    "gradient_accumulation_steps": set(),
    "early_stopping_patience": set(),
    "eval_accumulation_steps": {None},
    "torch_empty_cache_steps": {None},
    "dataloader_prefetch_factor": {None},
    "dataloader_num_workers": {0},
    "freeze_layers": {0},
    "weight_decay": {0, 0.5, 1.5},
    "max_grad_norm": {0, 0.5, 1.5},
    "adam_epsilon": {0.5, 1.5},
    "early_stopping_threshold": {0, 0.5, 1.5},
    "eval_delay": {0, 0.5, 1.5},
    "neftune_noise_alpha": {None, 0, 0.5, 1.5},
    "adam_beta1": {0, 0.5},
    "adam_beta2": {0, 0.5},
    "label_smoothing_factor": {0, 0.5},
    "max_length": set(),
}


def is_number(name: str) -> bool:
    kind = str(TrainingArguments.__dataclass_fields__[name].type)
    return "int" in kind or "float" in kind


def test_every_number_has_a_limit() -> None:
    assert {name for name in USED if is_number(name)} <= LIMITS.keys() == ALLOWED.keys()


@pytest.mark.parametrize("name", ALLOWED)
def test_special_values_are_accepted_only_on_purpose(name: str) -> None:
    accepted = {value for value in SPECIAL if not argument_problems("training", {name: value})}
    assert accepted == ALLOWED[name]


RANGES: list[Any] = [
    {"uniform": [0, 1]},
    {"uniform": [0.1, 20]},
    {"quniform": [0, 2, 0.5]},
    {"loguniform": [1e-3, 3]},
    {"qloguniform": [0.5, 8, 0.5]},
    {"normal": [0.5, 0.2]},
    {"normal": [0.5, 0.1]},
    {"normal": [5, 1]},
    {"qnormal": [10, 5, 0.5]},
    {"qnormal": [20, 5, 1]},
    {"randint": [-1, 40]},
    {"randint": [0, 40]},
    {"qrandint": [0, 40, 4]},
    {"lograndint": [1, 100]},
    {"qlograndint": [2, 64, 2]},
]


@pytest.mark.parametrize("entry", RANGES, ids=json.dumps)
def test_a_range_that_is_accepted_draws_only_what_is_accepted(entry: Any) -> None:
    for name in LIMITS:
        searched = space(**{name: entry})
        if space_problems("search_space", searched):
            continue
        for drawn in islice(configurations(searched, np.random.default_rng(0)), 200):
            assert argument_problems("training", drawn) == []


def test_a_normal_range_says_how_far_it_draws() -> None:
    (problem,) = space_problems("search_space", space(weight_decay={"normal": [0.02, 0.01]}))
    assert "draws from -0.01 to 0.05" in str(problem.hint)


@pytest.mark.parametrize("name", sorted(RENAMED))
def test_an_old_name_is_answered_with_the_new_one(name: str) -> None:
    (problem,) = argument_problems("training", {name: True})
    assert "no part of the run reads" in problem.found
    assert problem.hint == RENAMED[name]
    assert name not in INSTALLED


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("group_by_length", "train_sampling_strategy: group_by_length"),
        ("no_cuda", "use_cpu: true"),
        ("warmup_ratio", "below 1"),
        ("evaluation_strategy", "eval_strategy"),
        ("learning_rte", "did you mean 'learning_rate'?"),
        ("hidden_dropout_prob", "config.hidden_dropout_prob"),
    ],
)
def test_hints(name: str, says: str) -> None:
    (problem,) = argument_problems("training", {name: True})
    assert says in str(problem.hint)


def test_a_text_is_checked_where_the_library_takes_any() -> None:
    (problem,) = argument_problems("training", {"train_sampling_strategy": "group_by_lenght"})
    assert problem.hint == "did you mean 'group_by_length'?"
    assert "batch_rebalance" not in problem.allowed
    (problem,) = argument_problems("training", {"torch_compile_backend": "tvm"})
    assert problem.allowed == "one of: inductor, eager, aot_eager"
    assert argument_problems("training", {"torch_compile_backend": None}) == []
