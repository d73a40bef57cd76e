from __future__ import annotations

import gc
import math
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, Trainer

from raycompare.cluster.connection import WORKER_ENVIRONMENT
from raycompare.data.batches import longest_first
from raycompare.experiment.spec import Arguments
from raycompare.metrics import MODES
from raycompare.records.messages import Message, TrialStart
from raycompare.training.arguments import planned_steps, training_arguments
from raycompare.training.memory import longest
from raycompare.training.task import TrialTask
from raycompare.training.trainer import with_precision
from raycompare.training.trial import (
    ProcessSettings,
    first_settings,
    prepare_worker,
    train_trial,
)
from tests import ROOT
from tests.trials import ListSink, trained, with_arguments


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


def test_the_clocks_leave_out_reporting(task: TrialTask, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("raycompare.training.callback.perf_counter", lambda: clock[0])

    class SlowSink(ListSink):
        def report(self, message: Message) -> None:
            clock[0] += 1000.0  # nothing else takes time on this clock
            super().report(message)

    sink = SlowSink()
    train_trial(with_arguments(task, num_train_epochs=2), sink)
    assert abs(sink.end.train_seconds) < 500, "reports are not training"
    assert sink.end.eval_seconds == pytest.approx(sink.evaluations[-1].eval_seconds)


def test_how_often_a_trial_is_evaluated_does_not_change_what_it_learns(task: TrialTask) -> None:
    """A scheduler with more rungs evaluates more; its trials must be those of any other."""
    never = trained(with_arguments(task, eval_strategy="no"))
    often = trained(with_arguments(task, eval_strategy="steps", eval_steps=4))
    assert len(often.evaluations) > len(never.evaluations) == 1
    assert often.evaluations[-1].metrics == never.evaluations[-1].metrics


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
    assert "learning rate" in trained(with_arguments(task, learning_rate=-1.0)).failure.cause
    reused = trained(task)

    (in_tmp / "task.pickle").write_bytes(pickle.dumps(task))
    subprocess.run([sys.executable, "-c", FRESH], check=True, cwd=in_tmp, env=FRESH_ENVIRONMENT)
    fresh: ListSink = pickle.loads((in_tmp / "sink.pickle").read_bytes())
    assert [e.metrics for e in fresh.evaluations] == [e.metrics for e in reused.evaluations]
    assert fresh.tables[0].equals(reused.tables[0])
    assert fresh.end.test_metrics == reused.end.test_metrics


def test_a_trial_leaves_no_model_behind_in_its_worker(task: TrialTask) -> None:
    trained(with_arguments(task, num_train_epochs=1))
    gc.collect()
    kinds = (Trainer, PreTrainedModel)
    kept = [kind for kind in map(type, gc.get_objects()) if issubclass(kind, kinds)]
    assert kept == []


FRESH_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
FRESH = """
import pickle
from pathlib import Path
from raycompare.training.trial import train_trial
from tests.trials import ListSink
sink = ListSink()
train_trial(pickle.loads(Path("task.pickle").read_bytes()), sink)
Path("sink.pickle").write_bytes(pickle.dumps(sink))
"""


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


def test_a_trial_without_a_gpu_computes_on_the_cpu_and_sees_none(
    task: TrialTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    first_settings().restore()  # with a GPU, this would import torch's compiler
    monkeypatch.setattr(ProcessSettings, "restore", lambda _: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", pytest.fail)
    given = {name: value for name, value in task.arguments.items() if name != "use_cpu"}
    without = replace(task, arguments=given, gpu_share=0.0)
    prepare_worker(without)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    arguments = training_arguments(with_precision(without.arguments), "trainer", 0)
    assert (arguments.device.type, arguments.bf16, arguments.n_gpu) == ("cpu", False, 0)
    assert WORKER_ENVIRONMENT["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] == "1"
    assert "use_cpu" not in replace(task, arguments=given, gpu_share=0.5).arguments
