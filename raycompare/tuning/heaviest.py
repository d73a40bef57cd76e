"""The configurations of a search space that may take most memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from random import Random

from pydantic import JsonValue

from raycompare.experiment.hyperparameters import MAX_LENGTH, ModelSettings
from raycompare.experiment.space import CONFIG
from raycompare.experiment.spec import Arguments
from raycompare.models.heads import FREEZE, POOLING
from raycompare.training.arguments import TEXTS, TOKENS

TAKES_MORE = (TEXTS, TOKENS, "per_device_eval_batch_size", "lora_r")
"""Hyperparameters of which the largest value takes most memory."""
TAKES_LESS = (FREEZE, "gradient_checkpointing")
"""Hyperparameters of which the smallest value takes most memory."""
UNKNOWN = ("optim", "optim_args", "bf16", "fp16", "gradient_checkpointing_kwargs", POOLING)
"""Hyperparameters that change the memory, with no value known to take most; config fields too."""
MOST_COMBINATIONS = 8


def heaviest_configurations(
    settings: ModelSettings, tokens: Callable[[Arguments], int]
) -> Iterator[Arguments]:
    """Yield the default, and configurations of the search space that may take most memory.

    `tokens` returns how many tokens texts are cut to. Of hyperparameters whose effect on memory is
    unknown, all combinations are yielded, or a sample of them.
    """
    yield {}
    space = settings.space
    fixed: dict[str, JsonValue] = {
        key: max(_numbers(settings, key)) for key in TAKES_MORE if key in space
    }
    fixed.update({key: min(_numbers(settings, key)) for key in TAKES_LESS if key in space})
    if MAX_LENGTH in space:
        lengths = settings.values(MAX_LENGTH)
        fixed[MAX_LENGTH] = max(lengths, key=lambda value: tokens({MAX_LENGTH: value}))
    open_keys = [key for key in space if key in UNKNOWN or key.startswith(CONFIG)]
    combinations = list(product(*(settings.values(key) for key in open_keys)))
    if len(combinations) > MOST_COMBINATIONS:
        combinations = Random(0).sample(combinations, MOST_COMBINATIONS)
    if fixed or open_keys:
        for values in combinations:
            yield {**fixed, **dict(zip(open_keys, values, strict=True))}


def _numbers(settings: ModelSettings, key: str) -> list[float]:
    values: list[JsonValue] = list(settings.values(key))
    return [value for value in values if isinstance(value, int | float)]
