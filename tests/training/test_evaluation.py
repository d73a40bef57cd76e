"""Evaluations depend on nothing but the weights: every row, in order, plain cross-entropy."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from functools import wraps
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from raycompare.data.tokens import Padding, TokenSplit
from raycompare.errors import WorkerFaultError
from raycompare.training import trial as trial_module
from raycompare.training.failures import is_out_of_memory
from raycompare.training.task import TrialTask
from raycompare.training.trainer import PARTS, build_trainer
from tests.training.test_gradients import without_dropout
from tests.trials import trained, with_arguments

FOR_TRAINING: list[dict[str, Any]] = [
    {},
    {"dataloader_drop_last": True},
    {"train_sampling_strategy": "group_by_length"},
    {"train_sampling_strategy": "sequential"},
    {"label_smoothing_factor": 0.3},
    {"class_weights": "balanced", "label_smoothing_factor": 0.3},
    {"eval_accumulation_steps": 1},
]
"""Arguments that must not change an evaluation."""


def logits_of(model: PreTrainedModel, split: TokenSplit, padding: Padding) -> torch.Tensor:
    """Compute all rows of a split at once, in their own order."""
    batch = padding.collate([split[row] for row in range(len(split))])
    del batch["labels"]
    with torch.no_grad():
        logits: torch.Tensor = model(**batch).logits
    return logits


@pytest.mark.parametrize("arguments", FOR_TRAINING, ids=str)
def test_arguments_for_training_do_not_change_an_evaluation(
    task: TrialTask, arguments: dict[str, Any]
) -> None:
    own = with_arguments(task, per_device_eval_batch_size=16, **arguments)
    trial_module.prepare_worker(own)
    model, validation = without_dropout("bert").eval(), task.data.validation
    trainer = build_trainer(own, model)
    logits = logits_of(model, validation, task.data.padding)
    loss = float(cross_entropy(logits, torch.from_numpy(validation.labels)))
    assert trainer.evaluate()["eval_loss"] == pytest.approx(loss, rel=1e-5)
    table = trial_module._test(own, trainer).predictions
    assert table["label"].to_pylist() == task.tested.test.labels.tolist()
    expected = logits_of(model, task.tested.test, task.data.padding).softmax(-1)
    torch.testing.assert_close(torch.tensor(table["probabilities"].to_pylist()), expected)


def limit_rows(model: Any, most: int, words: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the model's class fail for more rows; return the sizes that it computes."""
    forward, sizes = type(model).forward, list[int]()

    @wraps(forward)
    def small_memory(self: Any, *args: Any, **inputs: Any) -> Any:
        rows = len(inputs["input_ids"])
        if not self.training and rows > most:
            raise RuntimeError(words)
        sizes.append(0 if self.training else rows)
        return forward(self, *args, **inputs)

    monkeypatch.setattr(type(model), "forward", small_memory)
    return sizes


OUT_OF_MEMORY = [
    "CUDA out of memory. Tried to allocate 20.00 MiB",
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "HIP out of memory. Tried to allocate 2.00 GiB",
    "MPS backend out of memory (MPS allocated: 1 GB)",
    "XPU out of memory. Tried to allocate 2.00 GiB",
    "[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory: 1 bytes",
    "[enforce fail at alloc_cpu.cpp:75] DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
    "Unable to allocate 3.91 GiB for an array with shape (1, 2)",
]
OTHER = [
    "CUDA error: device-side assert triggered",
    "CUDA error: an illegal memory access was encountered",
    "mat1 and mat2 shapes cannot be multiplied",
]


@pytest.mark.parametrize("words", OUT_OF_MEMORY)
def test_messages_of_memory_that_runs_out(words: str) -> None:
    assert is_out_of_memory(RuntimeError(words))


@pytest.mark.parametrize("words", OTHER)
def test_messages_of_other_faults(words: str) -> None:
    assert not is_out_of_memory(RuntimeError(words))


@pytest.mark.parametrize(("texts", "accumulated"), [(16, 1), (2, 8), (1, 16)])
def test_memory_that_runs_out_in_an_evaluation_halves_it_and_nothing_else(
    task: TrialTask, texts: int, accumulated: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = with_arguments(
        task,
        per_device_train_batch_size=texts,
        gradient_accumulation_steps=accumulated,
        max_steps=3,
        eval_strategy="steps",
        eval_steps=2,
    )
    whole = trained(own)
    sizes = limit_rows(without_dropout("bert"), 8, OUT_OF_MEMORY[0], monkeypatch)
    halved = trained(own)
    starts = [message for message in halved.messages if hasattr(message, "halvings")]
    assert [start.halvings for start in starts] == [0], "the training is not begun again"
    assert max(sizes) == 6, "45 rows become 23, 12 and 6, and stay so"
    assert [one.step for one in halved.evaluations] == [2, 3]
    for ours, theirs in zip(halved.evaluations, whole.evaluations, strict=True):
        assert ours.metrics == pytest.approx(theirs.metrics, rel=1e-5)
    assert halved.end.test_metrics == pytest.approx(whole.end.test_metrics, rel=1e-5)


def test_one_text_that_is_too_large_to_evaluate_does_not_halve_the_training(
    task: TrialTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_rows(without_dropout("bert"), 0, OUT_OF_MEMORY[0], monkeypatch)
    sink = trained(with_arguments(task, max_steps=2))
    assert len([message for message in sink.messages if hasattr(message, "halvings")]) == 1
    assert "no memory to evaluate one text of 14 tokens" in sink.failure.cause


def test_a_fault_in_an_evaluation_is_not_taken_for_memory(
    task: TrialTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_rows(without_dropout("bert"), 8, OTHER[0], monkeypatch)
    with pytest.raises(WorkerFaultError, match=re.escape(OTHER[0])):
        trained(with_arguments(task, max_steps=2))


def one_step(task: TrialTask, **arguments: Any) -> tuple[torch.Tensor, list[Any]]:
    """Return the change of the weights in one step of plain descent, and its batches."""
    own = with_arguments(
        task, optim="sgd", learning_rate=1.0, max_grad_norm=0.0, max_steps=1, **arguments
    )
    model = without_dropout("bert")
    before = torch.cat([weight.detach().flatten() for weight in model.parameters()])
    trainer, batches = build_trainer(own, model), list[Any]()
    take = trainer.get_batch_samples

    def remember(*args: Any) -> Any:
        found = take(*args)
        batches.extend(found[0])
        return found

    trainer.get_batch_samples = remember  # type: ignore[method-assign]
    trainer.train()
    after = torch.cat([weight.detach().flatten() for weight in model.parameters()])
    return after - before, batches


@pytest.mark.parametrize(
    "arguments",
    [
        {"train_sampling_strategy": "group_by_length", "per_device_train_batch_tokens": 48},
        {"per_device_train_batch_size": 50},
        {"per_device_train_batch_size": 50, "label_smoothing_factor": 0.2},
        {"per_device_train_batch_size": 50, "class_weights": "balanced"},
    ],
    ids=str,
)
@pytest.mark.parametrize("halvings", [0, 1])
def test_every_text_of_an_accumulated_step_counts_alike(
    task: TrialTask, arguments: dict[str, Any], halvings: int
) -> None:
    """Batches of other sizes: those in tokens, and the last one of an epoch."""
    labels = np.where(np.arange(120) % 5, 0, task.data.train.labels)
    data = replace(task.data, train=replace(task.data.train, labels=labels))
    own = replace(task, data=data, halvings=halvings)
    moved, batches = one_step(own, gradient_accumulation_steps=8, **arguments)
    parts = [part for batch in batches for part in batch[PARTS]]
    assert len({sum(len(part["labels"]) for part in batch[PARTS]) for batch in batches}) > 1
    model, weights = without_dropout("bert"), torch.ones(3)
    if "class_weights" in arguments:
        weights = torch.tensor([120 / (3 * (labels == label).sum()) for label in range(3)]).float()
    smoothing = arguments.get("label_smoothing_factor", 0.0)
    total = sum(float(weights[part["labels"]].sum()) for part in parts)
    for part in parts:
        logits = model(**{name: part[name] for name in part if name != "labels"}).logits
        loss = cross_entropy(
            logits, part["labels"], weights, reduction="sum", label_smoothing=smoothing
        )
        (loss / total).backward()
    gradient = torch.cat([weight.grad.flatten() for weight in model.parameters()])  # type: ignore[union-attr]
    assert (moved + gradient).norm() < 1e-3 * gradient.norm()


def test_many_short_texts_of_a_batch_in_tokens_can_be_halved(
    task: TrialTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = with_arguments(
        task, train_sampling_strategy="group_by_length", per_device_train_batch_tokens=400
    )
    assert trial_module._can_halve(replace(own, halvings=5))
    assert not trial_module._can_halve(replace(own, halvings=6))


def test_a_trial_leaves_no_settings_behind(task: TrialTask) -> None:
    trial_module.prepare_worker(task)
    before = trial_module.ProcessSettings.read()
    build_trainer(with_arguments(task, full_determinism=True), without_dropout("bert"))
    assert trial_module.ProcessSettings.read() != before
    trial_module.prepare_worker(task)
    assert trial_module.ProcessSettings.read() == before


def test_a_trial_on_the_cpu_does_not_hide_the_cards_from_the_next(task: TrialTask) -> None:
    trial_module.prepare_worker(task)
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    trial_module.prepare_worker(replace(task, gpu_share=0.0))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    trial_module.prepare_worker(task)
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == before


def test_settings_of_the_process_are_all_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = trial_module.ProcessSettings.read()
    try:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":16:8"
        os.environ["CUDA_LAUNCH_BLOCKING"] = "1"
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.deterministic = True
        torch.backends.fp32_precision = "tf32"
        assert trial_module.ProcessSettings.read() != before
    finally:
        before.restore()
    assert trial_module.ProcessSettings.read() == before
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert "CUDA_LAUNCH_BLOCKING" not in os.environ
