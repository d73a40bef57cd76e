"""Builds TrainingArguments, and derives batch sizes and steps from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
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
_BETAS = ("adam_beta1", "adam_beta2")
"""Numbers that torch does not take as integers."""


def training_arguments(arguments: Arguments, output_dir: str, seed: int) -> TrainingArguments:
    """Build the TrainingArguments of one trial."""
    known = {key: value for key, value in arguments.items() if not _is_ours(key)}
    old = {new: known.pop(old) for old, new in _ALIASES.items() if old in known}
    fields = {**old, **known}
    fields |= {name: float(fields[name]) for name in _BETAS if name in fields}  # type: ignore[arg-type]
    return TrainingArguments(output_dir=output_dir, seed=seed, data_seed=seed, **fields)  # type: ignore[arg-type]


def _is_ours(key: str) -> bool:
    return key in OWN or key.startswith(CONFIG)


def batch_size_of(arguments: Arguments) -> BatchSize:
    """Return the size of a training batch."""
    tokens = arguments.get(TOKENS)
    assert tokens is None or isinstance(tokens, int)
    return BatchSize(texts=int(_number(arguments, TEXTS, 8)), tokens=tokens)


@dataclass(frozen=True)
class RunLength:
    """The length of a full run on one device, counted as Trainer counts it."""

    steps: int
    """Optimizer steps."""
    examples_per_step: float
    """Training texts per optimizer step; the mean over an epoch."""

    @property
    def examples(self) -> int:
        """Training texts of the run, counting a text again in every epoch."""
        return self.examples_at(self.steps)

    def examples_at(self, step: int) -> int:
        """Return the training texts of the first `step` steps."""
        return round(step * self.examples_per_step)

    def first_step_at(self, examples: int) -> int:
        """Return the first step after which the run has had this many training texts."""
        step = max(math.floor(examples / self.examples_per_step), 1)
        while self.examples_at(step) < examples:
            step += 1
        return step


def run_length(arguments: Arguments, lengths: Ints) -> RunLength:
    """Return the length of a run with these arguments.

    `lengths` are the tokens of each training text; if batches count texts, only their number
    matters.
    """
    size = batch_size_of(arguments)
    drop_last = bool(arguments.get(DROP_LAST, False)) and size.tokens is None
    batches = max(count_batches(lengths, size, drop_last), 1)
    rows = min(batches * size.texts, len(lengths)) if drop_last else len(lengths)
    steps_per_epoch = math.ceil(batches / _number(arguments, "gradient_accumulation_steps", 1))
    return RunLength(count_steps(arguments, batches), rows / steps_per_epoch)


def planned_steps(arguments: Arguments, lengths: Ints) -> int:
    """Return the optimizer steps of a full run; see `run_length`."""
    return run_length(arguments, lengths).steps


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
