from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
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

from raycompare.arguments import planned_steps, training_arguments
from raycompare.batches import longest_first
from raycompare.course import Course
from raycompare.data import load_splits
from raycompare.metrics import MODES
from raycompare.models import load_tokenizer
from raycompare.probe import longest
from raycompare.record import Evaluation, Message, TrialEnd, TrialStart
from raycompare.spec import Arguments, DataSpec, ModelSpec
from raycompare.task import TrialTask
from raycompare.tokenizing import tokenize, tokenized
from raycompare.tokens import TokenizedData
from raycompare.trainer import build_trainer
from raycompare.trial import train_trial


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


@pytest.fixture
def task(tiny_task: TrialTask) -> TrialTask:
    return tiny_task


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


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(
    task: TrialTask, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.cat([w.detach().flatten() for w in without_dropout(architecture).parameters()])
    parts = after_one_step(task, task.data, architecture, per_device_train_batch_size=32)
    monkeypatch.setattr("raycompare.trainer.OVERHEAD", {})
    whole = after_one_step(task, task.data, architecture, per_device_train_batch_size=32)
    moved = (whole - before).norm()
    assert moved > 1e-3
    assert (whole - parts).norm() < 1e-3 * moved
    assert not torch.equal(whole, parts), "the parts were padded to lengths of their own"


def test_evaluates_where_the_task_says_and_at_the_end(task: TrialTask) -> None:
    silent = with_arguments(task, eval_strategy="no")
    assert [e.step for e in trained(silent).evaluations] == [45]
    asked = replace(silent, evaluate_at=(6, 24))
    assert [e.step for e in trained(asked).evaluations] == [6, 24, 45]


def test_the_record_says_how_large_batches_were(task: TrialTask) -> None:
    def per_step(**arguments: Any) -> float:
        start = trained(with_arguments(task, num_train_epochs=1, **arguments)).messages[0]
        assert isinstance(start, TrialStart)
        assert start.precision == "fp32"
        return start.examples_per_step

    assert per_step() == 8
    assert per_step(gradient_accumulation_steps=3) == 24
    assert per_step(max_steps=4) == 8
    by_tokens = {
        "per_device_train_batch_tokens": 64,
        "train_sampling_strategy": "group_by_length",
    }
    steps = planned_steps({**by_tokens, "num_train_epochs": 1}, task.data.train.lengths)
    assert per_step(**by_tokens) == 120 / steps


def test_predictions_are_in_the_order_of_the_source(task: TrialTask) -> None:
    (table,) = trained(task).tables
    assert table["example_id"].to_pylist() == task.data.example_ids.tolist()
    assert table["label"].to_pylist() == task.data.test.labels.tolist()
    alone = replace(
        task.data,
        test=longest(task.data.test, 1),
        example_ids=task.data.example_ids[longest_first(task.data.test.lengths)[:1]],
    )
    (single,) = trained(replace(task, data=alone)).tables
    row = table["example_id"].to_pylist().index(single["example_id"][0].as_py())
    assert table["probabilities"][row].as_py() == pytest.approx(
        single["probabilities"][0].as_py(), abs=1e-5
    )


def test_padding_to_the_maximum_changes_no_prediction(task: TrialTask) -> None:
    """Of a model that does not learn: dropout draws other numbers for other shapes."""
    still = with_arguments(task, learning_rate=1e-12, num_train_epochs=1)
    padded = replace(task.data, padding=replace(task.data.padding, to=32))
    one, other = (trained(each).tables[0] for each in (still, replace(still, data=padded)))
    for a, b in zip(one["probabilities"], other["probabilities"], strict=True):
        assert a.as_py() == pytest.approx(b.as_py(), abs=1e-5)


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


@pytest.mark.timeout(180)
def test_a_worker_used_before_gives_what_a_fresh_process_gives(
    task: TrialTask, in_tmp: Path
) -> None:
    """Bit for bit, whatever ran before: another seed, other sizes, a trial that failed."""
    trained(replace(task, plan=replace(task.plan, seed=4)))
    smaller = task.model.model_copy(update={"config": {"num_hidden_layers": 1}})
    trained(with_arguments(replace(task, model=smaller, num_threads=2), optim="sgd"))
    with pytest.raises(ValueError, match="learning rate"):
        trained(with_arguments(task, learning_rate=-1.0))
    reused = trained(task)

    (in_tmp / "task.pickle").write_bytes(pickle.dumps(task))
    subprocess.run([sys.executable, "-c", FRESH], check=True, cwd=in_tmp, env=FRESH_ENVIRONMENT)
    fresh: ListSink = pickle.loads((in_tmp / "sink.pickle").read_bytes())
    assert [e.metrics for e in fresh.evaluations] == [e.metrics for e in reused.evaluations]
    assert fresh.tables[0].equals(reused.tables[0])
    assert fresh.end.test_metrics == reused.end.test_metrics


ROOT = Path(__file__).parents[1]
FRESH_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
FRESH = """
import pickle
from pathlib import Path
from raycompare.trial import train_trial
from tests.test_trial import ListSink
sink = ListSink()
train_trial(pickle.loads(Path("task.pickle").read_bytes()), sink)
Path("sink.pickle").write_bytes(pickle.dumps(sink))
"""


class Curve:
    """Feeds a course with evaluations that never took place."""

    def __init__(self, task: TrialTask) -> None:
        self.sink = ListSink()
        self.course = Course(task, self.sink)
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
    assert planned_steps(changed.arguments, task.data.train.lengths) == steps
    sink = trained(changed)
    start = sink.messages[0]
    assert isinstance(start, TrialStart)
    assert (start.planned_steps, sink.end.step) == (steps, steps)


@pytest.fixture(scope="module")
def unpadded(tiny_model: str, tiny_data: str) -> TokenizedData:
    """Every text cut to one length: XLNet reads padding on the right as its last word."""
    spec = DataSpec(dataset=tiny_data, max_length=5)
    inputs = load_splits(spec, 0), load_tokenizer(ModelSpec(name="t", checkpoint=tiny_model)), spec
    data = tokenized(tokenize(*inputs), *inputs)
    assert {*data.train.lengths} == {5}
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
