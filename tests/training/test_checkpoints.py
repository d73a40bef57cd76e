"""A trial that goes on from a checkpoint ends as if it had never been interrupted."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, pipeline

from raycompare.models.saved import load_model
from raycompare.records.messages import Evaluation
from raycompare.training import trainer as trainer_module
from raycompare.training.task import TrialTask
from tests.trials import cut_off, gone_on, trained, with_arguments

EVERY_FIVE = {"eval_strategy": "steps", "eval_steps": 5}


@pytest.fixture
def pausing(task: TrialTask) -> TrialTask:
    """A trial of 45 steps with dropout, evaluated nine times, that may pause at each of them."""
    return replace(with_arguments(task, **EVERY_FIVE), may_pause=True)


def numbers(evaluations: list[Evaluation]) -> list[tuple[int, float, Mapping[str, float]]]:
    return [(one.step, one.epoch, one.metrics) for one in evaluations]


# 15 steps are an epoch: within the first, at its end, within the second, before the last.
@pytest.mark.parametrize("after", [0, 2, 4, 7])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"train_sampling_strategy": "group_by_length"},
        {"gradient_accumulation_steps": 2, "eval_steps": 2},
    ],
    ids=["random", "by length", "accumulated"],
)
def test_a_trial_that_goes_on_has_the_numbers_of_one_that_was_not_cut_off(
    pausing: TrialTask, tmp_path: Path, after: int, arguments: dict[str, Any]
) -> None:
    whole_task = with_arguments(pausing, **arguments)
    whole = trained(whole_task)
    cut = cut_off(whole_task, tmp_path, after)
    rest = gone_on(whole_task, tmp_path)
    assert numbers([*rest.start.earlier]) == numbers(cut.evaluations)
    assert numbers([*rest.start.earlier, *rest.evaluations]) == numbers(whole.evaluations)
    assert rest.end.test_metrics == whole.end.test_metrics
    assert rest.tables[0].equals(whole.tables[0])
    assert rest.end.train_seconds > cut.evaluations[-1].train_seconds


def test_cut_off_twice_it_is_still_the_same(pausing: TrialTask, tmp_path: Path) -> None:
    whole = trained(pausing)
    cut_off(pausing, tmp_path, 1)
    cut_off(pausing, tmp_path, 2)
    rest = gone_on(pausing, tmp_path)
    assert [one.step for one in rest.start.earlier] == [5, 10, 15, 20, 25]
    assert rest.end.test_metrics == whole.end.test_metrics


def test_the_best_weights_of_before_the_checkpoint_are_the_ones_tested(
    pausing: TrialTask, tmp_path: Path
) -> None:
    # The rate soars after a good start, so that the best evaluation is an early one.
    task = with_arguments(
        pausing, learning_rate=0.3, lr_scheduler_type="constant_with_warmup", warmup_steps=40
    )
    whole = trained(task)
    values = [one.metrics["matthews_correlation"] for one in whole.evaluations]
    best = values.index(max(values))
    assert best < 7
    cut_off(task, tmp_path, 7)
    assert gone_on(task, tmp_path).tables[0].equals(whole.tables[0])


def test_patience_counts_on_over_a_checkpoint(pausing: TrialTask, tmp_path: Path) -> None:
    task = with_arguments(pausing, learning_rate=0.0, early_stopping_patience=4)
    whole = trained(task)
    assert whole.end.reason == "patience"
    cut_off(task, tmp_path, 2)
    rest = gone_on(task, tmp_path)
    assert (rest.end.step, rest.end.detail) == (whole.end.step, whole.end.detail)


def test_checkpoints_are_written_when_the_time_has_come(task: TrialTask, tmp_path: Path) -> None:
    never = trained(replace(task, plan=replace(task.plan, stage="tune")))
    assert never.saved == 0, "a trial that can't be lost for long needs none"
    often = replace(with_arguments(task, eval_strategy="no"), evaluate_at=(31,))
    sink = cut_off(replace(often, checkpoint_every_s=1e-9), tmp_path, 0)
    assert 1 <= sink.saved < 31, "and seldom where they cost as much as the steps between"
    assert gone_on(often, tmp_path).end.test_metrics == trained(often).end.test_metrics


def test_half_as_many_texts_at_once_give_the_same_training(
    task: TrialTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(task)
    most: list[int] = []
    step = trainer_module.LengthTrainer.training_step

    def too_many(self: Any, model: Any, inputs: Any, *rest: Any) -> torch.Tensor:
        most.append(max(len(part["labels"]) for part in inputs[trainer_module.PARTS]))
        if most[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return step(self, model, inputs, *rest)

    monkeypatch.setattr(trainer_module.LengthTrainer, "training_step", too_many)
    halved = trained(task)
    starts = [message for message in halved.messages if hasattr(message, "halvings")]
    assert [start.halvings for start in starts] == list(range(len(starts)))
    assert starts[-1].halvings in (1, 2), "8 texts become 2 at most"
    assert max(most[-45:]) <= 2
    assert starts[-1].examples_per_step == whole.start.examples_per_step
    for ours, theirs in zip(halved.evaluations[-3:], whole.evaluations, strict=True):
        assert ours.metrics["loss"] == pytest.approx(theirs.metrics["loss"], rel=0.05)


def test_where_one_text_is_too_much_the_trial_fails(
    task: TrialTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> torch.Tensor:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 64 bytes")

    monkeypatch.setattr(trainer_module.LengthTrainer, "training_step", never)
    sink = trained(task)
    assert [m.halvings for m in sink.messages[:-1] if hasattr(m, "halvings")] == [0, 1, 2, 3]
    assert "can't allocate memory" in sink.failure.cause
    assert "training_step" in sink.failure.error
    assert not sink.failure.disk_full


def test_a_full_disk_is_told_apart_from_a_mistake(
    pausing: TrialTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tests.trials.ListSink.save_checkpoint", full)
    assert trained(pausing).failure.disk_full


def test_pooling_is_part_of_what_is_saved(task: TrialTask, tmp_path: Path) -> None:
    sink = gone_on(with_arguments(task, pooling="mean"), tmp_path)
    saved = load_model(tmp_path / "kept-weights").eval()
    rows = [task.data.test[row] for row in range(3)]
    batch = task.data.padding.collate(rows, with_segments=True)
    with torch.no_grad():
        predicted = saved(**batch).logits.softmax(-1)
    expected = torch.tensor(sink.tables[0]["probabilities"].to_pylist()[:3])
    torch.testing.assert_close(predicted, expected, atol=1e-4, rtol=1e-4)


def test_the_weights_of_a_finalist_load_as_any_other_model(task: TrialTask, tmp_path: Path) -> None:
    sink = gone_on(task, tmp_path)
    folder = tmp_path / "kept-weights"
    classify = pipeline(
        "text-classification",
        model=AutoModelForSequenceClassification.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
    )
    (answer,) = classify("the old granite is here")
    assert answer["label"] in task.label_names
    assert sink.end.test_metrics is not None


def in_former_names(folder: Path) -> None:
    file = folder / "model.safetensors"
    former = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    weights = load_file(file)
    for name in list(weights):
        for now, once in former.items():
            if name.endswith(now):
                weights[name.replace(now, once)] = weights.pop(name)
    save_file(weights, file, metadata={"format": "pt"})


@pytest.mark.parametrize("by_earlier_version", [False, True])
def test_a_checkpoint_with_the_former_names_of_weights_goes_on_the_same(
    pausing: TrialTask, tmp_path: Path, by_earlier_version: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of bert-base-uncased, which `save_pretrained` keeps."""
    model = shutil.copytree(pausing.model.checkpoint, tmp_path / "model")
    in_former_names(model)
    former = replace(pausing, model=pausing.model.model_copy(update={"checkpoint": str(model)}))
    whole = trained(former)
    with monkeypatch.context() as patch:
        if by_earlier_version:
            patch.setattr(trainer_module.LengthTrainer, "_save", Trainer._save)
        cut_off(former, tmp_path, 2)
    names = {file.name for file in (tmp_path / "kept-checkpoint").glob("*.safetensors")}
    assert ("model.safetensors" if by_earlier_version else "trained.safetensors") in names
    assert gone_on(former, tmp_path).end.test_metrics == whole.end.test_metrics
