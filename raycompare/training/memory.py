"""Measures the GPU memory of a trial by training two steps on its largest batch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from raycompare.data.batches import longest_first
from raycompare.data.tokens import Ints, TokenSplit
from raycompare.models.pretrained import build_model
from raycompare.training.arguments import batch_size_of
from raycompare.training.task import TrialTask
from raycompare.training.trainer import build_trainer
from raycompare.training.trial import prepare_worker

STEPS = 2
"""The second step needs most memory, because the optimizer's state exists by then."""


@dataclass(frozen=True)
class Peak:
    """GPU memory in bytes: the need of one trial, including the CUDA context, and the total."""

    needed: int
    total: int


def measure(task: TrialTask) -> Peak:
    """Train and evaluate on the longest texts, in a process that has the GPU to itself."""
    task = heaviest(task)
    prepare_worker(task)
    model = build_model(task.model, task.label_names, task.arguments)
    trainer = build_trainer(task, model)
    trainer.train()
    trainer.evaluate()
    # PyTorch keeps the memory it has reserved, so this is the peak.
    free, total = torch.cuda.mem_get_info()
    return Peak(needed=total - free, total=total)


def heaviest(task: TrialTask) -> TrialTask:
    """Return the task, reduced to `STEPS` steps on the longest texts."""
    arguments = {
        **task.arguments,
        "max_steps": STEPS,
        "gradient_accumulation_steps": 1,
        "eval_strategy": "no",
    }
    size = batch_size_of(arguments)
    texts = size.texts if size.tokens is None else len(task.data.train)
    evaluated = arguments["per_device_eval_batch_size"]
    assert isinstance(evaluated, int)
    data = replace(
        task.data,
        train=longest(task.data.train, STEPS * texts),
        validation=longest(task.data.validation, evaluated),
    )
    return replace(task, arguments=arguments, data=data, evaluate_at=())


def longest(split: TokenSplit, rows: int) -> TokenSplit:
    """Return the rows with the most tokens."""
    chosen = longest_first(split.lengths)[:rows]

    def tokens(flat: Ints) -> Ints:
        bounds = zip(split.offsets[chosen], split.offsets[chosen + 1], strict=True)
        return np.concatenate([flat[start:end] for start, end in bounds])

    return TokenSplit(
        ids=tokens(split.ids),
        segments=None if split.segments is None else tokens(split.segments),
        offsets=np.concatenate([[0], np.cumsum(split.lengths[chosen])]),
        labels=split.labels[chosen],
    )
