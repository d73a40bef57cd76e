from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from time import sleep
from typing import Any

import pyarrow as pa
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    TrainerControl,
    TrainerState,
    set_seed,
)

from raycompare.arguments import DEFAULTS, planned_steps, training_arguments
from raycompare.data import TokenizedData, load_splits, tokenize
from raycompare.metrics import MODES
from raycompare.models import load_tokenizer
from raycompare.record import Evaluation, Message, TrialEnd, TrialPlan, TrialStart
from raycompare.spec import Arguments, DataSpec, ModelSpec
from raycompare.trial import Course, TrialTask, build_trainer, train_trial

FAST: Arguments = {"per_device_train_batch_size": 8, "learning_rate": 3e-3, "use_cpu": True}


@dataclass
class ListSink:
    messages: list[Message] = field(default_factory=list)
    tables: list[pa.Table] = field(default_factory=list)

    def report(self, message: Message) -> None:
        self.messages.append(message)

    def save_predictions(self, table: pa.Table) -> None:
        self.tables.append(table)

    @property
    def evaluations(self) -> list[Evaluation]:
        return [message for message in self.messages if isinstance(message, Evaluation)]

    @property
    def end(self) -> TrialEnd:
        last = self.messages[-1]
        assert isinstance(last, TrialEnd)
        return last


@pytest.fixture(scope="module")
def data(tiny_model: str, tiny_data: str) -> TokenizedData:
    tokenizer = load_tokenizer(ModelSpec(name="tiny", checkpoint=tiny_model))
    return tokenize(load_splits(DataSpec(dataset=tiny_data), seed=0), tokenizer, 32)


@pytest.fixture
def task(tiny_model: str, data: TokenizedData, in_tmp: object) -> TrialTask:
    return TrialTask(
        plan=TrialPlan(
            trial_id="tiny-confirm-0",
            stage="confirm",
            model="tiny",
            order=0,
            seed=3,
            is_default=True,
        ),
        model=ModelSpec(name="tiny", checkpoint=tiny_model),
        arguments={**DEFAULTS, **FAST, "num_train_epochs": 3},
        data=data,
        label_names=("animals", "plants", "rocks"),
        metric="matthews_correlation",
        mode="max",
        num_threads=1,
    )


def with_arguments(task: TrialTask, **arguments: Any) -> TrialTask:
    return replace(task, arguments={**task.arguments, **arguments})


def trained(task: TrialTask) -> ListSink:
    sink = ListSink()
    train_trial(task, sink)
    return sink


def test_says_that_it_started_each_evaluation_and_how_it_ended(task: TrialTask) -> None:
    sink = trained(task)
    start = sink.messages[0]
    assert isinstance(start, TrialStart)
    assert (start.planned_steps, start.device, start.num_threads) == (45, "cpu", 1)
    assert [evaluation.step for evaluation in sink.evaluations] == [15, 30, 45]
    assert [evaluation.examples_seen for evaluation in sink.evaluations] == [120, 240, 360]
    assert set(sink.evaluations[0].metrics) == set(MODES)
    assert (sink.end.reason, sink.end.step) == ("full_budget", 45)


def test_learns_what_the_words_give_away(task: TrialTask) -> None:
    sink = trained(with_arguments(task, num_train_epochs=20, learning_rate=5e-3))
    assert sink.end.test_metrics is not None
    assert sink.end.test_metrics["accuracy"] > 0.6, "a third is chance"


def test_predictions_agree_with_the_reported_test_metrics(task: TrialTask) -> None:
    sink = trained(task)
    (table,) = sink.tables
    rows = table.to_pylist()
    assert len(rows) == 60
    hits = sum(row["label"] == row["prediction"] for row in rows)
    assert sink.end.test_metrics is not None
    assert sink.end.test_metrics["accuracy"] == pytest.approx(hits / 60)
    assert all(math.isclose(sum(row["probabilities"]), 1, abs_tol=1e-5) for row in rows)


def test_a_trial_of_the_tune_stage_is_not_tested(task: TrialTask) -> None:
    sink = trained(replace(task, plan=replace(task.plan, stage="tune")))
    assert sink.end.test_metrics is None
    assert sink.tables == []


def test_the_last_step_is_evaluated_whatever_the_interval(task: TrialTask) -> None:
    sink = trained(with_arguments(task, eval_strategy="steps", eval_steps=20))
    assert [evaluation.step for evaluation in sink.evaluations] == [20, 40, 45]


def test_the_clocks_leave_out_reporting(task: TrialTask) -> None:
    class SlowSink(ListSink):
        def report(self, message: Message) -> None:
            sleep(0.5)
            super().report(message)

    sink = SlowSink()
    train_trial(with_arguments(task, num_train_epochs=2), sink)
    assert sink.end.train_seconds < 0.9, "two reports of 0.5 s are not training"
    assert sink.end.eval_seconds == pytest.approx(sink.evaluations[-1].eval_seconds)


def test_a_loss_that_is_no_number_ends_the_trial(task: TrialTask) -> None:
    sink = trained(with_arguments(task, learning_rate=1e30, max_grad_norm=0.0, optim="sgd"))
    assert sink.end.reason == "diverged"
    assert "loss is nan at step 15" in sink.end.detail
    assert sink.evaluations == []


def test_the_same_seed_gives_the_same_numbers_in_a_worker_used_before(task: TrialTask) -> None:
    first = trained(task)
    other = trained(replace(task, plan=replace(task.plan, seed=4)))
    again = trained(task)
    assert [e.metrics for e in again.evaluations] == [e.metrics for e in first.evaluations]
    assert again.tables[0].equals(first.tables[0])
    assert [e.metrics for e in other.evaluations] != [e.metrics for e in first.evaluations]


class Curve:
    """Feeds a course with evaluations that never took place."""

    def __init__(self, task: TrialTask) -> None:
        self.sink = ListSink()
        self.course = Course(task, self.sink)
        self.course.on_train_begin()
        self.control, self.state = TrainerControl(), TrainerState()
        self.model = torch.nn.Linear(1, 1)

    def evaluate(self, score: float) -> None:
        self.state.global_step += 10
        torch.nn.init.constant_(self.model.weight, score)
        metrics = {f"eval_{name}": score for name in MODES} | {"eval_runtime": 0.0}
        arguments = training_arguments(dict(FAST), "trainer", 0)
        self.course.on_evaluate(
            arguments, self.state, self.control, metrics=metrics, model=self.model
        )


def test_the_best_weights_are_kept_not_the_last(task: TrialTask) -> None:
    curve = Curve(task)
    for score in (0.5, 0.9, 0.7):
        curve.evaluate(score)
    assert curve.course.best_weights is not None
    assert curve.course.best_weights["weight"].item() == pytest.approx(0.9)


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


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        ({"num_train_epochs": 2}, 30),
        ({"num_train_epochs": 1.5}, 23),
        ({"num_train_epochs": 2, "gradient_accumulation_steps": 4}, 8),
        ({"max_steps": 7}, 7),
        ({"num_train_epochs": 1, "per_device_train_batch_size": 7}, 18),
    ],
)
def test_steps_are_planned_as_the_trainer_counts_them(
    task: TrialTask, arguments: Arguments, steps: int
) -> None:
    changed = with_arguments(task, **arguments)
    assert planned_steps(changed.arguments, len(task.data.train)) == steps
    sink = trained(changed)
    start = sink.messages[0]
    assert isinstance(start, TrialStart)
    assert (start.planned_steps, sink.end.step) == (steps, steps)


@pytest.fixture(scope="module")
def unpadded(tiny_model: str, tiny_data: str) -> TokenizedData:
    """Every text cut to one length: XLNet reads padding on the right as its last word."""
    tokenizer = load_tokenizer(ModelSpec(name="tiny", checkpoint=tiny_model))
    data = tokenize(load_splits(DataSpec(dataset=tiny_data), seed=0), tokenizer, 5)
    assert {len(ids) for ids in data.train["input_ids"]} == {5}
    return data


SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 64}
PLAIN = {**SMALL, "intermediate_size": 32, "max_position_embeddings": 66}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "bert": PLAIN,
    "roberta": {**PLAIN, "pad_token_id": 0},
    "electra": {**PLAIN, "embedding_size": 16},
    "albert": {**PLAIN, "embedding_size": 16},
    "mpnet": {**PLAIN, "pad_token_id": 0},
    "deberta-v2": PLAIN,
    "modernbert": {**PLAIN, "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "vocab_size": 64},
    "xlnet": {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32, "vocab_size": 64},
}


def without_dropout(architecture: str) -> PreTrainedModel:
    config = AutoConfig.for_model(architecture, num_labels=3, **ARCHITECTURES[architecture])
    for key, value in config.to_dict().items():
        if "drop" in key and isinstance(value, float):
            setattr(config, key, 0.0)
    set_seed(0)
    model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    return model


def after_one_step(
    task: TrialTask, unpadded: TokenizedData, architecture: str, **batches: int
) -> torch.Tensor:
    """Return all weights after one step of plain gradient descent, which shows the gradient."""
    one_step = with_arguments(
        replace(task, data=unpadded),
        optim="sgd",
        learning_rate=0.1,
        max_grad_norm=0.0,
        max_steps=1,
        **batches,
    )
    model = without_dropout(architecture)
    set_seed(0)
    build_trainer(one_step, model).train()
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_accumulated_batches_give_the_gradient_of_the_whole(
    task: TrialTask, unpadded: TokenizedData, architecture: str
) -> None:
    before = torch.cat([w.detach().flatten() for w in without_dropout(architecture).parameters()])
    whole = after_one_step(task, unpadded, architecture, per_device_train_batch_size=32)
    parts = after_one_step(
        task,
        unpadded,
        architecture,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=4,
    )
    moved = (whole - before).norm()
    assert moved > 1e-3
    assert (whole - parts).norm() < 1e-3 * moved
