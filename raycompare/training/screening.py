"""Scores a pretrained encoder by how well its frozen features separate the labels.

Features are the mean over all layers and over the tokens of a text, for which scores agree best
with fine-tuning (Garbas et al. 2024, arXiv:2409.05997).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from inspect import signature
from time import perf_counter

import numpy as np
import torch
from transformers import PreTrainedModel

from raycompare.data.batches import longest_first, token_batches
from raycompare.data.tokens import Ints, TokenSplit
from raycompare.models.pooling import MEAN, pool_tokens
from raycompare.models.pretrained import build_model
from raycompare.records.rows import Screened
from raycompare.training.arguments import training_arguments
from raycompare.training.classifier import HALF_TYPES
from raycompare.training.task import TrialTask
from raycompare.training.trainer import precision, with_precision
from raycompare.training.transferability import Floats, h_score, log_me, probe
from raycompare.training.trial import prepare_worker

BATCH_TOKENS = 8192
"""Tokens in a batch, including padding; without gradients, this fits wherever a trial does."""


class NoLayersError(Exception):
    """The model doesn't return the outputs of its layers."""


@dataclass(frozen=True, kw_only=True)
class ScreenTask:
    """A model to score, and the number of training rows to use."""

    trial: TrialTask
    rows: int

    def sample(self) -> Ints:
        """Draw the rows with the experiment's seed, so that all models get the same ones."""
        random = np.random.default_rng(self.trial.plan.seed)
        return random.permutation(len(self.trial.data.train))[: self.rows]


def screen_model(task: ScreenTask) -> Screened:
    """Score one model on its features, in a separate process.

    Raises:
        NoLayersError: the model doesn't return the outputs of its layers.
    """
    began = perf_counter()
    prepare_worker(task.trial)
    rows = task.sample()
    found = features(task.trial, rows)
    labels = task.trial.data.train.labels[rows]
    return Screened(
        model=task.trial.plan.model,
        rows=len(rows),
        log_me=log_me(found, labels),
        h_score=h_score(found, labels),
        probe=probe(found, labels, task.trial.plan.seed),
        seconds=perf_counter() - began,
    )


@torch.inference_mode()
def features(task: TrialTask, rows: Ints) -> Floats:
    """Return the mean over layers and tokens of each training row, of shape [rows, size].

    Raises:
        NoLayersError: the model doesn't return the outputs of its layers.
    """
    arguments = training_arguments(with_precision(task.arguments), "trainer", task.plan.seed)
    model = build_model(task.model, task.label_names, {}).to(arguments.device)  # type: ignore[arg-type]
    model.eval()
    half = HALF_TYPES.get(precision(arguments))
    found = np.zeros((len(rows), model.config.hidden_size))
    for places, batch in _batches(task, model, rows):
        inputs = {name: part.to(arguments.device) for name, part in batch.items()}
        with torch.autocast(arguments.device.type, half, enabled=half is not None):
            layers = _layers(model, inputs)
        found[places] = pool_tokens(layers, inputs["attention_mask"], MEAN).double().cpu().numpy()
    return found


def _layers(model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the mean of the layers' outputs without embeddings, of shape [rows, tokens, size]."""
    output = model.base_model(**inputs, output_hidden_states=True)
    states = getattr(output, "hidden_states", None)
    if not states:
        raise NoLayersError(f"{model.config.model_type} doesn't return the outputs of its layers")
    return torch.stack([state.float() for state in states[1:]]).mean(dim=0)


def _batches(
    task: TrialTask, model: PreTrainedModel, rows: Ints
) -> Iterator[tuple[Ints, dict[str, torch.Tensor]]]:
    """Yield positions in `rows` with the inputs of these texts, in batches of similar length."""
    train: TokenSplit = task.data.train
    lengths = train.lengths[rows]
    takes_segments = "token_type_ids" in signature(model.forward).parameters
    for places in token_batches(longest_first(lengths), lengths, BATCH_TOKENS):
        batch = task.data.padding.collate([train[row] for row in rows[places]], takes_segments)
        del batch["labels"]
        yield places, batch
