"""One fine-tuning run with the Hugging Face Trainer, without Ray."""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from transformers import PreTrainedModel, Trainer, set_seed

from raycompare.errors import WorkerFaultError, summarize
from raycompare.models.lora import trained_parameters
from raycompare.models.pretrained import build_model
from raycompare.models.saved import save_model
from raycompare.records.messages import TrialEnd, TrialStart
from raycompare.records.rows import PREDICTIONS_SCHEMA
from raycompare.records.storage import outlast
from raycompare.training.arguments import batch_size_of, run_length
from raycompare.training.callback import TrialCallback, own_metrics
from raycompare.training.checkpoints import restore, save_checkpoint
from raycompare.training.failures import (
    breaks_process,
    failure_of,
    is_out_of_memory,
    may_pass,
)
from raycompare.training.task import TrialReporter, TrialTask
from raycompare.training.trained_weights import set_trained
from raycompare.training.trainer import build_trainer, precision, sorted_by_length

MOST_HALVINGS = 6
"""Down to a sixty-fourth of a batch; with less memory, use a smaller model."""


def train_trial(task: TrialTask, reporter: TrialReporter) -> None:
    """Fine-tune and evaluate; test a finalist's best checkpoint once.

    Continues from the trial's checkpoint if there is one. If memory runs out, half as many texts
    are computed at once, with the same effective batch. The last message is a `TrialEnd`, or a
    `TrialFailure` if an error was raised, unless the scheduler stops the trial.

    Raises:
        WorkerFaultError: the GPU's context is broken, or a hub or a filesystem can't be reached.
            The trial is to be continued from its checkpoint in a new process.
    """
    try:
        while not _attempt(task, reporter):
            task = replace(task, halvings=task.halvings + 1)
    except Exception as error:
        if breaks_process(error) or may_pass(error):
            raise WorkerFaultError(summarize(error)) from error
        reporter.report(failure_of(error))


def _attempt(task: TrialTask, reporter: TrialReporter) -> bool:
    """Train and test; return False if memory ran out and fewer texts may fit."""
    try:
        _train(task, reporter)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or not _can_halve(task):
            raise
        return False  # outside of the handler, no traceback keeps the tensors alive
    return True


def _can_halve(task: TrialTask) -> bool:
    size, shortest = batch_size_of(task.arguments), int(task.data.train.lengths.min())
    texts = size.texts if size.tokens is None else size.tokens // shortest
    return texts > 2**task.halvings and task.halvings < MOST_HALVINGS


def _train(task: TrialTask, reporter: TrialReporter) -> None:
    with TemporaryDirectory(dir=".") as scratch:
        _train_from(outlast(partial(reporter.checkpoint, Path(scratch)), may_pass), task, reporter)


def _train_from(checkpoint: Path | None, task: TrialTask, reporter: TrialReporter) -> None:
    began = perf_counter()
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    prepare_worker(task)
    model = outlast(partial(build_model, task.model, task.label_names, task.arguments), may_pass)
    callback = TrialCallback(task, reporter)
    trainer = build_trainer(task, model, callback)
    callback.save = partial(save_checkpoint, trainer, callback, reporter)
    if checkpoint:
        restore(callback, checkpoint)
    length = run_length(task.arguments, task.data.train.lengths)
    reporter.report(
        TrialStart(
            started_at=started_at,
            startup_seconds=perf_counter() - began,
            planned_steps=length.steps,
            examples_per_step=length.examples_per_step,
            num_parameters=model.num_parameters(),
            trained_parameters=trained_parameters(model),
            device=str(trainer.args.device),
            precision=precision(trainer.args),
            hostname=socket.gethostname(),
            num_threads=torch.get_num_threads(),
            halvings=task.halvings,
            earlier=tuple(callback.progress.evaluations),
        )
    )
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    tested = (
        _finish(task, trainer, callback, reporter)
        if task.is_finalist and callback.has_best
        else None
    )
    reporter.report(
        TrialEnd(
            reason=callback.reason,
            detail=callback.detail,
            step=trainer.state.global_step,
            train_seconds=callback.progress.train_seconds,
            eval_seconds=callback.progress.eval_seconds,
            test_metrics=tested.metrics if tested else None,
            test_seconds=tested.seconds if tested else None,
        )
    )


def _finish(
    task: TrialTask, trainer: Trainer, callback: TrialCallback, reporter: TrialReporter
) -> _TestResult:
    """Test a finalist's best weights and save them."""
    assert isinstance(trainer.model, PreTrainedModel)
    if callback.best_weights:
        set_trained(trainer.model, callback.best_weights)
    tested = _test(task, trainer)
    reporter.save_predictions(tested.predictions)
    with TemporaryDirectory(dir=".") as scratch:
        folder = Path(scratch) / "weights"
        save_model(trainer.model, task.model, folder, task.data.max_length, task.pairs)
        reporter.save_weights(folder)
    return tested


def prepare_worker(task: TrialTask) -> None:
    """Reset what an earlier trial in this process changed: memory, settings, seeds and threads."""
    gc.collect()  # a Trainer and its model refer to each other
    _keep_imports()
    first_settings().restore()
    torch.set_num_threads(task.num_threads)
    if task.gpu_share == 0:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # for code that doesn't ask the arguments
    elif torch.cuda.is_available():
        torch.cuda.empty_cache()
        # A trial that exceeds its share of a GPU fails without affecting the others.
        torch.cuda.set_per_process_memory_fraction(min(task.gpu_share, 1.0))
    set_seed(task.plan.seed)


_VARIABLES = (
    *("ACCELERATE_", "ASCEND_", "CUBLAS_", "CUDA_LAUNCH_", "CUDA_VISIBLE_"),
    *("FLASH_ATTENTION_", "HCCL_"),
)
"""Prefixes of environment variables that transformers, accelerate and trials set."""


@dataclass(frozen=True)
class ProcessSettings:
    """Settings of the whole process that training arguments change, such as `full_determinism`."""

    variables: Mapping[str, str]
    is_deterministic: bool
    warns_only: bool
    cudnn: tuple[bool, bool]
    """`deterministic` and `benchmark` of cuDNN."""
    float32: str
    """`torch.backends.fp32_precision`, which `tf32` and `torch_compile` change."""

    @classmethod
    def read(cls) -> Self:
        """Return the present settings."""
        return cls(
            variables={k: v for k, v in os.environ.items() if k.startswith(_VARIABLES)},
            is_deterministic=torch.are_deterministic_algorithms_enabled(),
            warns_only=torch.is_deterministic_algorithms_warn_only_enabled(),
            cudnn=(torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark),
            float32=getattr(torch.backends, "fp32_precision", "none"),
        )

    def restore(self) -> None:
        """Apply the settings, and forget the models that torch has compiled."""
        for name in [name for name in os.environ if name.startswith(_VARIABLES)]:
            del os.environ[name]
        os.environ.update(self.variables)
        torch.use_deterministic_algorithms(self.is_deterministic, warn_only=self.warns_only)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = self.cudnn
        if hasattr(torch.backends, "fp32_precision"):  # since torch 2.9
            torch.backends.fp32_precision = self.float32
        if "torch._dynamo" in sys.modules:
            torch._dynamo.reset()


@cache
def first_settings() -> ProcessSettings:
    """Return the settings of this process before its first trial."""
    return ProcessSettings.read()


@cache
def _keep_imports() -> None:
    """Exclude objects created by imports from garbage collection, which takes 0.3 s for them."""
    gc.freeze()


@dataclass(frozen=True)
class _TestResult:
    metrics: dict[str, float]
    predictions: pa.Table
    seconds: float


def _test(task: TrialTask, trainer: Trainer) -> _TestResult:
    rows = sorted_by_length(task.tested.test)
    output = trainer.predict(rows)
    assert output.metrics is not None
    original = np.argsort(rows.indices)
    logits = torch.from_numpy(np.asarray(output.predictions)[original]).float()
    return _TestResult(
        metrics=own_metrics(output.metrics, "test_"),
        predictions=_prediction_table(task, torch.softmax(logits, dim=-1).numpy()),
        seconds=output.metrics["test_runtime"],
    )


def _prediction_table(task: TrialTask, probabilities: np.ndarray[Any, Any]) -> pa.Table:
    rows = len(task.tested.test)
    assert rows == len(task.tested.example_ids) == len(probabilities)
    columns = {
        "trial_id": [task.plan.trial_id] * rows,
        "model": [task.plan.model] * rows,
        "seed": [task.plan.seed] * rows,
        "example_id": task.tested.example_ids,
        "label": task.tested.test.labels,
        "prediction": probabilities.argmax(axis=1),
        "probabilities": list(probabilities),
    }
    return pa.table(columns, schema=PREDICTIONS_SCHEMA)
