"""Weights of labels change the training loss as one weighted batch would, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_sample_weight
from torch.nn.functional import cross_entropy
from transformers import set_seed

from raycompare.data.tokens import TokenizedData
from raycompare.experiment.space import Domain
from raycompare.training.argument_checks import argument_problems, space_problems
from raycompare.training.class_weights import balanced_weights
from raycompare.training.task import TrialTask
from raycompare.training.trainer import build_trainer
from raycompare.training.trial import train_trial
from tests.training.test_gradients import without_dropout
from tests.trials import ListSink, with_arguments

RATE = 10.0
"""Large, so that a step is far above the rounding of the weights."""


@pytest.fixture
def lopsided(task: TrialTask, tiny_tokens: TokenizedData) -> TrialTask:
    """A task whose labels are 0 for nine rows of ten."""
    labels = np.where(np.arange(len(tiny_tokens.train)) % 10, 0, tiny_tokens.train.labels % 2 + 1)
    train = replace(tiny_tokens.train, labels=labels)
    return replace(task, data=replace(tiny_tokens, train=train))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=50))
def test_weights_are_those_of_scikit_learn(labels: list[int]) -> None:
    weights = balanced_weights(np.array(labels), 7)
    assert weights[labels].numpy() == pytest.approx(compute_sample_weight("balanced", labels))
    assert float(weights[labels].sum()) == pytest.approx(len(labels))
    assert float(weights[6]) == 0


def gradient(task: TrialTask, **arguments: Any) -> torch.Tensor:
    """Return what one step of plain gradient descent adds to the weights."""
    one_step = with_arguments(
        task, optim="sgd", learning_rate=RATE, max_grad_norm=0.0, max_steps=1, **arguments
    )
    model = without_dropout("bert")
    before = torch.cat([weight.detach().flatten() for weight in model.parameters()])
    set_seed(0)
    build_trainer(one_step, model).train()
    return torch.cat([weight.detach().flatten() for weight in model.parameters()]) - before


def expected(task: TrialTask, smoothing: float = 0.0) -> torch.Tensor:
    """Return the same of all rows at once, written down with torch alone."""
    model = without_dropout("bert")
    split = task.data.train
    batch = task.data.padding.collate([split[row] for row in range(len(split))])
    labels = batch.pop("labels")
    weights = torch.tensor(compute_sample_weight("balanced", labels.numpy()), dtype=torch.float32)
    by_class = torch.tensor([float(weights[labels == label][0]) for label in range(3)])
    logits = model(**batch).logits
    cross_entropy(logits, labels, weight=by_class, label_smoothing=smoothing).backward()
    return -RATE * torch.cat([weight.grad.flatten() for weight in model.parameters()])  # type: ignore[union-attr]


@pytest.mark.parametrize("overhead", [1, None], ids=["in parts", "whole"])
@pytest.mark.parametrize("halvings", [0, 2])
def test_a_batch_in_parts_has_the_gradient_of_the_weighted_whole(
    lopsided: TrialTask, overhead: int | None, halvings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raycompare.training.trainer.part_overhead", lambda model: overhead)
    task = replace(lopsided, halvings=halvings)
    rows = len(task.data.train)
    found = gradient(task, class_weights="balanced", per_device_train_batch_size=rows)
    whole = expected(lopsided)
    plain = gradient(task, per_device_train_batch_size=rows)
    assert whole.norm() > 1e-3
    assert (found - whole).norm() < 1e-3 * whole.norm()
    assert (plain - whole).norm() > 0.1 * whole.norm()


def test_labels_may_be_smoothed_beside(lopsided: TrialTask) -> None:
    rows = len(lopsided.data.train)
    settings = {"class_weights": "balanced", "label_smoothing_factor": 0.2}
    found = gradient(lopsided, **settings, per_device_train_batch_size=rows)
    whole = expected(lopsided, smoothing=0.2)
    assert (found - whole).norm() < 1e-3 * whole.norm()


def test_none_is_what_is_left_out(lopsided: TrialTask) -> None:
    assert torch.equal(gradient(lopsided, class_weights="none"), gradient(lopsided))


def test_evaluations_are_not_weighted(lopsided: TrialTask) -> None:
    model = without_dropout("bert")
    losses = []
    for weights in ("none", "balanced"):
        trainer = build_trainer(with_arguments(lopsided, class_weights=weights), model)
        losses.append(trainer.evaluate()["eval_loss"])
    assert losses[0] == losses[1]


def test_a_whole_trial_runs_with_weights(lopsided: TrialTask, in_tmp: Path) -> None:
    sink = ListSink()
    train_trial(with_arguments(lopsided, class_weights="balanced", num_train_epochs=1), sink)
    assert sink.end.reason == "full_budget"
    assert sink.start.planned_steps == sink.end.step


def test_only_these_weightings_are_known() -> None:
    assert argument_problems("training", {"class_weights": "balanced"}) == []
    (found,) = argument_problems("training", {"class_weights": "balance"})
    assert (found.allowed, found.hint) == ("one of: none, balanced", "did you mean 'balanced'?")
    both = Domain.model_validate({"choice": ["none", "balanced"]})
    assert space_problems("search_space", {"class_weights": both}) == []
