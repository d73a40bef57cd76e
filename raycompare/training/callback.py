"""The TrainerCallback of a trial: clocks, best evaluation, patience, checkpoints and reports."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any, Self

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from raycompare.experiment.hyperparameters import PATIENCE
from raycompare.experiment.spec import Arguments
from raycompare.metrics import MODES, better
from raycompare.records.messages import EndReason, Evaluation
from raycompare.training.arguments import THRESHOLD, run_length
from raycompare.training.task import TrialReporter, TrialTask
from raycompare.training.trained_weights import Weights, copy_trained


@dataclass
class Progress:
    """Evaluations and clocks of a trial so far."""

    evaluations: list[Evaluation] = field(default_factory=list)
    best: float | None = None
    """Best score so far, by the experiment's metric."""
    since_best: int = 0
    """Evaluations since the score last improved by more than the threshold."""
    train_seconds: float = 0.0
    eval_seconds: float = 0.0

    @property
    def evaluated_at(self) -> int:
        """Step of the last evaluation; -1 before the first."""
        return self.evaluations[-1].step if self.evaluations else -1

    def to_json(self) -> str:
        """Return everything as JSON, from which floats are restored bit for bit."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the output of `to_json`."""
        content: dict[str, Any] = json.loads(text)
        evaluations = [Evaluation(**row) for row in content.pop("evaluations")]
        return cls(evaluations=evaluations, **content)


COST_OF_CHECKPOINTS = 0.02
"""Largest share of a trial's time for writing checkpoints, judged by the last one."""


class TrialCallback(TrainerCallback):
    """Tracks the progress of a trial, and reports each evaluation."""

    def __init__(self, task: TrialTask, reporter: TrialReporter) -> None:
        """Start without evaluations."""
        self._task, self._reporter = task, reporter
        self._length = run_length(task.arguments, task.data.train.lengths)
        self._began = self._pauses = 0.0
        self._saved_at, self._saving_took = perf_counter(), 0.0
        self.save: Callable[[], None] | None = None
        """Writes a checkpoint; None if the trial can't continue from one."""
        self.progress = Progress()
        self.best_weights: Weights | None = None
        """Best trained weights of a finalist; None if they are those of the model itself."""
        self.reason: EndReason = "full_budget"
        self.detail = ""

    @property
    def has_best(self) -> bool:
        """Whether any evaluation was finite."""
        return self.progress.best is not None

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start or continue the clock."""
        now = perf_counter()
        self._began = now - self.progress.train_seconds - self.progress.eval_seconds
        self._saved_at = now

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Evaluate at the steps of the task and at the last step."""
        if state.global_step in self._task.evaluate_at or _is_last(state):
            control.should_evaluate = True
        # A trial that continues at the end of an epoch would skip what happens there.
        elif self._is_due() and not (control.should_evaluate or _ends_epoch(state)):
            self._checkpoint()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Avoid evaluating the same step twice."""
        if state.global_step == self.progress.evaluated_at:
            control.should_evaluate = False

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Add the time since the last evaluation."""
        self._read_clock()

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **event: Any,
    ) -> None:
        """Report the evaluation; stop the trial if it diverged or ran out of patience."""
        metrics: dict[str, float] = event["metrics"]
        self.progress.eval_seconds += metrics["eval_runtime"]
        self._read_clock()
        values = own_metrics(metrics, "eval_")
        if not math.isfinite(values["loss"]):
            self._end(control, "diverged", f"loss is {values['loss']} at step {state.global_step}")
            return
        self._follow(values[self._task.metric], event["model"], _is_last(state))
        out_of_patience = self.progress.since_best >= _patience(self._task.arguments)
        is_last = out_of_patience or _is_last(state)
        self.progress.evaluations.append(self._evaluation(state, values, is_last))
        if not is_last and (self._task.may_pause or self._is_due()):
            self._checkpoint()  # before the report, which does not return if the trial is paused
        self._report(self.progress.evaluations[-1])
        if out_of_patience:
            words = f"no improvement for {self.progress.since_best} evaluations"
            self._end(control, "patience", words)

    def _read_clock(self) -> None:
        passed = perf_counter() - self._began
        self.progress.train_seconds = passed - self.progress.eval_seconds - self._pauses

    def _end(self, control: TrainerControl, reason: EndReason, detail: str) -> None:
        self.reason, self.detail = reason, detail
        control.should_training_stop = True

    def _follow(self, value: float, model: torch.nn.Module, is_last: bool) -> None:
        threshold = float(self._task.arguments.get(THRESHOLD, 0.0))  # type: ignore[arg-type]
        before = self.progress.best
        enough = before is None or abs(value - before) > threshold
        is_better = better(value, before, self._task.mode)
        self.progress.since_best = 0 if is_better and enough else self.progress.since_best + 1
        if is_better:
            self.progress.best = value
            if self._task.is_finalist:
                self.best_weights = None if is_last else copy_trained(model, self.best_weights)

    def _evaluation(
        self, state: TrainerState, values: Mapping[str, float], is_last: bool
    ) -> Evaluation:
        return Evaluation(
            step=state.global_step,
            epoch=float(state.epoch or 0.0),
            examples_seen=self._length.examples_at(state.global_step),
            train_seconds=self.progress.train_seconds,
            eval_seconds=self.progress.eval_seconds,
            metrics=values,
            is_last=is_last,
        )

    def _report(self, evaluation: Evaluation) -> None:
        began = perf_counter()
        self._reporter.report(evaluation)
        self._pauses += perf_counter() - began

    def _is_due(self) -> bool:
        rest = max(self._task.checkpoint_every_s, self._saving_took / COST_OF_CHECKPOINTS)
        return perf_counter() - self._saved_at > rest

    def _checkpoint(self) -> None:
        if self.save is None:
            return
        began = perf_counter()
        self._read_clock()
        self.save()
        self._saved_at = perf_counter()
        self._saving_took = self._saved_at - began
        self._pauses += self._saving_took


def _is_last(state: TrainerState) -> bool:
    return state.global_step >= state.max_steps


def _ends_epoch(state: TrainerState) -> bool:
    return float(state.epoch or 0.0).is_integer()


def _patience(arguments: Arguments) -> float:
    patience = arguments.get(PATIENCE)
    return float(patience) if isinstance(patience, int) else math.inf


def own_metrics(metrics: Mapping[str, float], prefix: str) -> dict[str, float]:
    """Return raycompare's metrics, without the Trainer's own."""
    return {name: float(metrics[f"{prefix}{name}"]) for name in MODES}
