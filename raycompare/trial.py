"""One fine-tuning run with the Hugging Face Trainer; knows nothing of Ray, is given a `Sink`."""

from __future__ import annotations

import math
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from transformers import (
    DataCollatorWithPadding,
    EvalPrediction,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from raycompare.arguments import PATIENCE, THRESHOLD, training_arguments
from raycompare.data import TokenizedData
from raycompare.metrics import MODES, MetricName, Mode, better
from raycompare.models import load_model, load_tokenizer
from raycompare.record import (
    SCHEMAS,
    EndReason,
    Evaluation,
    Message,
    TrialEnd,
    TrialPlan,
    TrialStart,
)
from raycompare.scoring import classification_metrics
from raycompare.spec import Arguments, ModelSpec

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class TrialTask:
    """All that one trial needs to know."""

    plan: TrialPlan
    model: ModelSpec
    arguments: Arguments
    data: TokenizedData
    label_names: tuple[str, ...]
    metric: MetricName
    mode: Mode
    num_threads: int

    @property
    def is_finalist(self) -> bool:
        """Finalists keep their best weights and are tested; other trials only search."""
        return self.plan.stage == "confirm"


class Sink(Protocol):
    """Where a trial sends what it has to say."""

    def report(self, message: Message) -> None:
        """Take a message; may not return if the scheduler stops the trial."""

    def save_predictions(self, table: pa.Table) -> None:
        """Store the finalist's predictions on the test split."""


def train_trial(task: TrialTask, sink: Sink) -> None:
    """Fine-tune, evaluate along the way, and test a finalist's best checkpoint once.

    The last message is a `TrialEnd`, unless the scheduler stops the trial or it raises.
    """
    began = perf_counter()
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    torch.set_num_threads(task.num_threads)
    set_seed(task.plan.seed)
    model = load_model(task.model, task.label_names)
    course = Course(task, sink)
    trainer = build_trainer(task, model, course)
    sink.report(
        TrialStart(
            started_at=started_at,
            startup_seconds=perf_counter() - began,
            planned_steps=_planned_steps(trainer),
            num_parameters=model.num_parameters(),
            device=str(trainer.args.device),
            hostname=socket.gethostname(),
            num_threads=torch.get_num_threads(),
        )
    )
    trainer.train()
    tested = None
    if course.best_weights:
        model.load_state_dict(course.best_weights)
        tested = _test(task, trainer)
        sink.save_predictions(tested.predictions)
    sink.report(
        TrialEnd(
            reason=course.reason,
            detail=course.detail,
            step=trainer.state.global_step,
            train_seconds=course.train_seconds,
            eval_seconds=course.eval_seconds,
            test_metrics=tested.metrics if tested else None,
            test_seconds=tested.seconds if tested else None,
        )
    )


def build_trainer(task: TrialTask, model: PreTrainedModel, *callbacks: TrainerCallback) -> Trainer:
    """Build the Trainer of one trial, ready to train."""
    trainer = Trainer(
        model=model,
        args=training_arguments(task.arguments, "trainer", task.plan.seed),
        train_dataset=task.data.train,
        eval_dataset=task.data.validation,
        data_collator=DataCollatorWithPadding(load_tokenizer(task.model)),
        compute_metrics=_compute_metrics,
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)  # every evaluation is reported
    # transformers 5.23 takes the heads' plain mean loss for one already divided by the number of
    # accumulated batches, so k of them give k times the gradient (huggingface/transformers#47688).
    trainer.model_accepts_loss_kwargs = False
    return trainer


def _compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
    labels = np.asarray(prediction.label_ids)
    return classification_metrics(labels, _logits(prediction.predictions).argmax(axis=-1))


def _logits(outputs: Any) -> np.ndarray[Any, Any]:
    """Some heads return hidden states behind the logits."""
    return np.asarray(outputs[0] if isinstance(outputs, tuple) else outputs)


def _planned_steps(trainer: Trainer) -> int:
    batches = len(trainer.get_train_dataloader())
    per_epoch = max(math.ceil(batches / trainer.args.gradient_accumulation_steps), 1)
    limit = trainer.args.max_steps
    return limit if limit > 0 else math.ceil(trainer.args.num_train_epochs * per_epoch)


class Course(TrainerCallback):
    """Follows a trial: clocks, the best evaluation, patience; reports each evaluation."""

    def __init__(self, task: TrialTask, sink: Sink) -> None:
        """Start with nothing evaluated."""
        self._task, self._sink = task, sink
        self._began = self._reporting = 0.0
        self._best: float | None = None
        self._since_best = 0
        self._evaluated_at = -1
        self.best_weights: Weights | None = None
        self.reason: EndReason = "full_budget"
        self.detail = ""
        self.train_seconds = self.eval_seconds = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self._began = perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Evaluate at the last step, whatever the interval: the end of a budget counts too."""
        if state.global_step >= state.max_steps:
            control.should_evaluate = True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Do not evaluate the same step twice."""
        if state.global_step == self._evaluated_at:
            control.should_evaluate = False

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Count the time since the last evaluation."""
        self._read_clock()

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **event: Any,
    ) -> None:
        """Report the evaluation; remember the best; end a trial that diverged or lost patience."""
        metrics: dict[str, float] = event["metrics"]
        self._evaluated_at = state.global_step
        self.eval_seconds += metrics["eval_runtime"]
        self._read_clock()
        values = _own_metrics(metrics, "eval_")
        if not math.isfinite(values["loss"]):
            self._end(control, "diverged", f"loss is {values['loss']} at step {state.global_step}")
            return
        self._follow(values[self._task.metric], event["model"])
        self._report(state, values)
        if self._since_best >= _patience(self._task.arguments):
            self._end(control, "patience", f"no better for {self._since_best} evaluations")

    def _read_clock(self) -> None:
        passed = perf_counter() - self._began
        self.train_seconds = passed - self.eval_seconds - self._reporting

    def _end(self, control: TrainerControl, reason: EndReason, detail: str) -> None:
        self.reason, self.detail = reason, detail
        control.should_training_stop = True

    def _follow(self, value: float, model: torch.nn.Module) -> None:
        threshold = float(self._task.arguments.get(THRESHOLD, 0.0))  # type: ignore[arg-type]
        enough = self._best is None or abs(value - self._best) > threshold
        is_better = better(value, self._best, self._task.mode)
        self._since_best = 0 if is_better and enough else self._since_best + 1
        if is_better:
            self._best = value
            if self._task.is_finalist:
                self.best_weights = _copy(model)

    def _report(self, state: TrainerState, values: Mapping[str, float]) -> None:
        began = perf_counter()
        epoch = float(state.epoch or 0.0)
        self._sink.report(
            Evaluation(
                step=state.global_step,
                epoch=epoch,
                examples_seen=round(epoch * len(self._task.data.train)),
                train_seconds=self.train_seconds,
                eval_seconds=self.eval_seconds,
                metrics=values,
            )
        )
        self._reporting += perf_counter() - began


def _patience(arguments: Arguments) -> float:
    patience = arguments.get(PATIENCE)
    return float(patience) if isinstance(patience, int) else math.inf


def _own_metrics(metrics: Mapping[str, float], prefix: str) -> dict[str, float]:
    """Keep the project's metrics, drop the Trainer's own counters."""
    return {name: float(metrics[f"{prefix}{name}"]) for name in MODES}


def _copy(model: torch.nn.Module) -> Weights:
    return {key: weight.detach().cpu().clone() for key, weight in model.state_dict().items()}


@dataclass(frozen=True)
class _Tested:
    metrics: dict[str, float]
    predictions: pa.Table
    seconds: float


def _test(task: TrialTask, trainer: Trainer) -> _Tested:
    output = trainer.predict(task.data.test)
    assert output.metrics is not None
    logits = torch.from_numpy(_logits(output.predictions)).float()
    probabilities = torch.softmax(logits, dim=-1).numpy()
    return _Tested(
        metrics=_own_metrics(output.metrics, "test_"),
        predictions=_prediction_table(task, np.asarray(output.label_ids), probabilities),
        seconds=output.metrics["test_runtime"],
    )


def _prediction_table(
    task: TrialTask, labels: np.ndarray[Any, Any], probabilities: np.ndarray[Any, Any]
) -> pa.Table:
    rows = len(labels)
    assert rows == len(task.data.example_ids)
    columns = {
        "trial_id": [task.plan.trial_id] * rows,
        "model": [task.plan.model] * rows,
        "seed": [task.plan.seed] * rows,
        "example_id": task.data.example_ids,
        "label": labels,
        "prediction": probabilities.argmax(axis=1),
        "probabilities": list(probabilities),
    }
    return pa.table(columns, schema=SCHEMAS["predictions"])
