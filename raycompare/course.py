"""Follows a trial from step to step: clocks, the best evaluation, patience, and reports."""

from __future__ import annotations

import math
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from raycompare.arguments import PATIENCE, THRESHOLD
from raycompare.metrics import MODES, better
from raycompare.record import EndReason, Evaluation
from raycompare.spec import Arguments
from raycompare.task import Sink, TrialTask

Weights = dict[str, torch.Tensor]


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
        """Of a finalist; None where the model itself has them, at the last step."""
        self.reason: EndReason = "full_budget"
        self.detail = ""
        self.train_seconds = self.eval_seconds = 0.0

    @property
    def has_best(self) -> bool:
        """Say whether any evaluation gave a number."""
        return self._best is not None

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self._began = perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Evaluate where the task says, and at the last step: the end of a budget counts too."""
        if state.global_step in self._task.evaluate_at or _is_last(state):
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
        values = own_metrics(metrics, "eval_")
        if not math.isfinite(values["loss"]):
            self._end(control, "diverged", f"loss is {values['loss']} at step {state.global_step}")
            return
        self._follow(values[self._task.metric], event["model"], _is_last(state))
        self._report(state, values)
        if self._since_best >= _patience(self._task.arguments):
            self._end(control, "patience", f"no better for {self._since_best} evaluations")

    def _read_clock(self) -> None:
        passed = perf_counter() - self._began
        self.train_seconds = passed - self.eval_seconds - self._reporting

    def _end(self, control: TrainerControl, reason: EndReason, detail: str) -> None:
        self.reason, self.detail = reason, detail
        control.should_training_stop = True

    def _follow(self, value: float, model: torch.nn.Module, is_last: bool) -> None:
        threshold = float(self._task.arguments.get(THRESHOLD, 0.0))  # type: ignore[arg-type]
        enough = self._best is None or abs(value - self._best) > threshold
        is_better = better(value, self._best, self._task.mode)
        self._since_best = 0 if is_better and enough else self._since_best + 1
        if is_better:
            self._best = value
            if self._task.is_finalist:
                self.best_weights = None if is_last else _copy(model)

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


def _is_last(state: TrainerState) -> bool:
    return state.global_step >= state.max_steps


def _patience(arguments: Arguments) -> float:
    patience = arguments.get(PATIENCE)
    return float(patience) if isinstance(patience, int) else math.inf


def own_metrics(metrics: Mapping[str, float], prefix: str) -> dict[str, float]:
    """Keep the project's metrics, drop the Trainer's own counters."""
    return {name: float(metrics[f"{prefix}{name}"]) for name in MODES}


def _copy(model: torch.nn.Module) -> Weights:
    return {key: weight.detach().cpu().clone() for key, weight in model.state_dict().items()}
