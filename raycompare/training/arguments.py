"""TrainingArguments: which of its fields a file may set or search, and how trials build it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from transformers import TrainingArguments

from raycompare.data.batches import BatchSize, count_batches
from raycompare.data.tokens import Ints
from raycompare.experiment.hyperparameters import CONFIG
from raycompare.experiment.settings import PeftSpec
from raycompare.experiment.spec import Arguments, Experiment, ModelSpec
from raycompare.models.heads import FREEZE, POOLING
from raycompare.models.lora import SEARCHED
from raycompare.training.class_weights import CLASS_WEIGHTS

PATIENCE = "early_stopping_patience"
THRESHOLD = "early_stopping_threshold"

TOKENS = "per_device_train_batch_tokens"
TEXTS = "per_device_train_batch_size"
ORDER, BY_LENGTH = "train_sampling_strategy", "group_by_length"
MAX_LENGTH = "max_length"

EVALUATION = frozenset({"eval_strategy", "eval_steps", PATIENCE})
"""Settings by which an experiment says when trials are evaluated."""

OWN: Mapping[str, Any] = {
    PATIENCE: int,
    THRESHOLD: float,
    TOKENS: int,
    MAX_LENGTH: int,
    FREEZE: int,
    POOLING: str,
    CLASS_WEIGHTS: str,
    **{name: PeftSpec.model_fields[name].rebuild_annotation() for name in SEARCHED},
}
"""What `training` takes beside the fields of TrainingArguments and of the model's config: patience
as EarlyStoppingCallback has it, a batch size in tokens, padding counted, the tokens of a text, what
`heads` and `class_weights` do, and the sizes of LoRA.
"""

DEFAULTS: Arguments = {
    "eval_strategy": "epoch",
    "logging_strategy": "no",
    "logging_nan_inf_filter": False,  # asks the device for the loss at every step
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "remove_unused_columns": False,  # there are none
    "dataloader_pin_memory": False,
    "per_device_eval_batch_size": 64,
}


def arguments_of(experiment: Experiment, model: ModelSpec, searched: Arguments) -> Arguments:
    """Return what a trial sets: fixed for all, then for the model, then as searched."""
    given = {**experiment.training_of(model), **searched}
    by_steps = {"eval_strategy": "steps"} if "eval_steps" in given else {}
    return {**DEFAULTS, **by_steps, **given}


def training_arguments(arguments: Arguments, output_dir: str, seed: int) -> TrainingArguments:
    """Build the TrainingArguments of one trial."""
    fields = {key: value for key, value in arguments.items() if not _is_ours(key)}
    return TrainingArguments(output_dir=output_dir, seed=seed, data_seed=seed, **fields)  # type: ignore[arg-type]


def _is_ours(key: str) -> bool:
    return key in OWN or key.startswith(CONFIG)


def batch_size_of(arguments: Arguments) -> BatchSize:
    """Return how much goes into one batch of the training set."""
    tokens = arguments.get(TOKENS)
    assert tokens is None or isinstance(tokens, int)
    return BatchSize(texts=int(_number(arguments, TEXTS, 8)), tokens=tokens)


def planned_steps(arguments: Arguments, lengths: Ints) -> int:
    """Return the optimizer steps of a full run on one device, counted as Trainer counts them.

    `lengths` are the tokens of each training text; only their number matters for batches that are
    not measured in tokens.
    """
    if int(_number(arguments, "max_steps", -1)) > 0:
        return int(_number(arguments, "max_steps", -1))
    drop_last = bool(arguments.get("dataloader_drop_last", False))
    batches = count_batches(lengths, batch_size_of(arguments), drop_last)
    per_epoch = math.ceil(batches / _number(arguments, "gradient_accumulation_steps", 1))
    return math.ceil(_number(arguments, "num_train_epochs", 3) * max(per_epoch, 1))


def _number(arguments: Arguments, key: str, default: float) -> float:
    value = arguments.get(key, default)
    assert isinstance(value, int | float)
    return value


Length = int | str
"""Tokens that texts are cut to, as an experiment says it: a number, or a percentile."""


def max_length_of(experiment: Experiment, model: ModelSpec, searched: Arguments) -> Length:
    """Return what a trial of the model cuts texts to."""
    given = {**experiment.training_of(model), **searched}
    length = given.get(MAX_LENGTH, experiment.data.max_length)
    assert isinstance(length, int | str)
    return length


def lengths_of(experiment: Experiment, model: ModelSpec) -> list[Length]:
    """Return every length that a trial of the model may have; that of its default first."""
    default = max_length_of(experiment, model, {})
    domain = experiment.search_space_of(model).get(MAX_LENGTH)
    searched = [value for value in domain.examples if isinstance(value, int)] if domain else []
    return list(dict.fromkeys([default, *searched]))


def examples_per_step(arguments: Arguments) -> int:
    """Return the texts of one optimizer step on one device, where batches count texts."""
    accumulated = arguments.get("gradient_accumulation_steps", 1)
    assert isinstance(accumulated, int)
    return batch_size_of(arguments).texts * accumulated
