"""Builds TrainingArguments, and derives batch sizes and steps from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from transformers import TrainingArguments

from raycompare.data.batches import BatchSize, count_batches
from raycompare.data.tokens import Ints
from raycompare.experiment.hyperparameters import MAX_LENGTH, PATIENCE
from raycompare.experiment.settings import PeftSpec
from raycompare.experiment.space import CONFIG
from raycompare.experiment.spec import Arguments
from raycompare.models.heads import FREEZE, POOLING
from raycompare.models.lora import SEARCHED
from raycompare.training.class_weights import CLASS_WEIGHTS

THRESHOLD = "early_stopping_threshold"

TOKENS = "per_device_train_batch_tokens"
TEXTS = "per_device_train_batch_size"
ORDER, BY_LENGTH = "train_sampling_strategy", "group_by_length"
DROP_LAST = "dataloader_drop_last"
WARMUP = "warmup_steps"

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
"""Keys of `training` that are neither fields of TrainingArguments nor of the model's config, with
their types."""

_ALIASES = {
    f"gradient_checkpointing{part}": f"activation_checkpointing{part}"
    for part in ("", "_kwargs")
    if f"activation_checkpointing{part}" in TrainingArguments.__dataclass_fields__
}
"""Names that transformers warns about, with those of today."""


def training_arguments(arguments: Arguments, output_dir: str, seed: int) -> TrainingArguments:
    """Build the TrainingArguments of one trial."""
    known = {key: value for key, value in arguments.items() if not _is_ours(key)}
    old = {new: known.pop(old) for old, new in _ALIASES.items() if old in known}
    fields = {**old, **known}
    return TrainingArguments(output_dir=output_dir, seed=seed, data_seed=seed, **fields)  # type: ignore[arg-type]


def _is_ours(key: str) -> bool:
    return key in OWN or key.startswith(CONFIG)


def batch_size_of(arguments: Arguments) -> BatchSize:
    """Return the size of a training batch."""
    tokens = arguments.get(TOKENS)
    assert tokens is None or isinstance(tokens, int)
    return BatchSize(texts=int(_number(arguments, TEXTS, 8)), tokens=tokens)


def planned_steps(arguments: Arguments, lengths: Ints) -> int:
    """Return the optimizer steps of a full run on one device, counted as Trainer counts them.

    `lengths` are the tokens of each training text; if batches count texts, only their number
    matters.
    """
    drop_last = bool(arguments.get(DROP_LAST, False))
    return count_steps(arguments, count_batches(lengths, batch_size_of(arguments), drop_last))


def count_steps(arguments: Arguments, batches: int) -> int:
    """Return the optimizer steps of a full run whose epochs have `batches` batches."""
    if int(_number(arguments, "max_steps", -1)) > 0:
        return int(_number(arguments, "max_steps", -1))
    per_epoch = math.ceil(batches / _number(arguments, "gradient_accumulation_steps", 1))
    return math.ceil(_number(arguments, "num_train_epochs", 3) * max(per_epoch, 1))


def _number(arguments: Arguments, key: str, default: float) -> float:
    value = arguments.get(key, default)
    assert isinstance(value, int | float)
    return value


def examples_per_step(arguments: Arguments) -> int:
    """Return the texts of one optimizer step on one device, for batches that count texts."""
    accumulated = arguments.get("gradient_accumulation_steps", 1)
    assert isinstance(accumulated, int)
    return batch_size_of(arguments).texts * accumulated
