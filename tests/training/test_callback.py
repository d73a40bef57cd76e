from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import TrainerControl, TrainerState

from raycompare.metrics import MODES
from raycompare.training.arguments import training_arguments
from raycompare.training.callback import TrialCallback
from raycompare.training.task import TrialTask
from tests.trials import ListSink, with_arguments


class Curve:
    """Feeds a course with evaluations that never took place."""

    def __init__(self, task: TrialTask) -> None:
        self.sink = ListSink()
        self.course = TrialCallback(task, self.sink)
        self.course.on_train_begin()
        self.control, self.state = TrainerControl(), TrainerState(max_steps=1000)
        self.model = torch.nn.Linear(1, 1)

    def evaluate(self, score: float) -> None:
        self.state.global_step += 10
        torch.nn.init.constant_(self.model.weight, score)
        metrics = {f"eval_{name}": score for name in MODES} | {"eval_runtime": 0.0}
        arguments = training_arguments({"use_cpu": True}, "trainer", 0)
        self.course.on_evaluate(
            arguments, self.state, self.control, metrics=metrics, model=self.model
        )


def test_the_best_weights_are_kept_not_the_last(task: TrialTask) -> None:
    curve = Curve(task)
    for score in (0.5, 0.9, 0.7):
        curve.evaluate(score)
    assert curve.course.best_weights is not None
    assert curve.course.best_weights["weight"].item() == pytest.approx(0.9)


def test_weights_that_are_best_at_the_last_step_are_not_copied(task: TrialTask) -> None:
    curve = Curve(task)
    curve.evaluate(0.5)
    curve.state.max_steps = 20
    curve.evaluate(0.9)
    assert curve.course.has_best
    assert curve.course.best_weights is None, "the model has them"


def test_the_first_of_equals_is_the_best(task: TrialTask) -> None:
    curve = Curve(replace(task, metric="loss", mode="min"))
    for score in (0.4, 0.3, 0.3):
        curve.evaluate(score)
    assert curve.course.best_weights is not None
    assert curve.course.best_weights["weight"].item() == pytest.approx(0.3)


def test_patience_counts_evaluations_without_a_new_best(task: TrialTask) -> None:
    curve = Curve(with_arguments(task, early_stopping_patience=2))
    for score, stops in ((0.5, False), (0.4, False), (0.6, False), (0.6, False), (0.5, True)):
        curve.evaluate(score)
        assert curve.control.should_training_stop is stops
    assert curve.course.reason == "patience"


def test_patience_with_a_threshold_ignores_small_steps(task: TrialTask) -> None:
    curve = Curve(with_arguments(task, early_stopping_patience=1, early_stopping_threshold=0.05))
    curve.evaluate(0.50)
    curve.evaluate(0.52)
    assert curve.control.should_training_stop
    assert curve.course.best_weights is not None
    assert curve.course.best_weights["weight"].item() == pytest.approx(0.52)
