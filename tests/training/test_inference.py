from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from raycompare.data.splits import load_splits
from raycompare.experiment.spec import DataSpec
from raycompare.models.pretrained import build_model
from raycompare.training.classifier import Classifier, RawTexts
from raycompare.training.inference import InferenceTask, MeasuredModel, Pace, Turn, weight_bytes
from raycompare.training.task import TrialTask
from raycompare.training.trainer import build_trainer
from raycompare.training.trial import train_trial
from tests.trials import ListSink, with_arguments


@pytest.fixture(scope="session")
def split(tiny_data: str) -> Dataset:
    return load_splits(DataSpec(dataset=tiny_data), 0).test


def in_order(split: Dataset) -> RawTexts:
    return RawTexts((tuple(split["text"]),))


def task_for(trial: TrialTask, split: Dataset, weight_bytes: int | None = None) -> InferenceTask:
    texts = RawTexts.of(split, 40, seed=0)
    return InferenceTask(trial=trial, texts=texts, timed=30, weight_bytes=weight_bytes)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_text_has_the_probabilities_that_the_trial_would_give_it(
    task: TrialTask, split: Dataset, pooling: str
) -> None:
    task = with_arguments(task, pooling=pooling)
    torch.manual_seed(0)
    classifier = Classifier.of(task)
    output = build_trainer(task, classifier.model).predict(task.data.test)
    logits = torch.from_numpy(np.asarray(output.predictions))
    expected = torch.softmax(logits, dim=-1)
    found = classifier.probabilities(in_order(split))
    assert found.shape == (60, 3)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_one_text_alone_has_the_probabilities_that_it_has_in_a_batch(
    task: TrialTask, split: Dataset
) -> None:
    classifier, texts = Classifier.of(task), in_order(split)
    alone = [classifier.probabilities(texts.part([row])) for row in range(5)]
    torch.testing.assert_close(torch.cat(alone), classifier.probabilities(texts)[:5])


def test_the_model_is_that_of_the_finalists_configuration(task: TrialTask, split: Dataset) -> None:
    small = with_arguments(task, **{"config.num_hidden_layers": 1})
    both = [MeasuredModel(task_for(trial, split)).describe() for trial in (task, small)]
    assert [record.num_parameters for record in both] == [
        build_model(trial.model, trial.label_names, trial.arguments).num_parameters()
        for trial in (task, small)
    ]
    assert both[1].weight_bytes < both[0].weight_bytes


QUICK = Pace(text_seconds=0.001, batch_seconds=0.1)


def turn(number: int = 1, rounds: int = 10, pace: Pace = QUICK) -> Turn:
    return Turn(number=number, rounds=rounds, pace=pace)


def test_a_model_is_described_as_its_record_says(task: TrialTask, split: Dataset) -> None:
    facts = MeasuredModel(task_for(task, split)).describe()
    assert (facts.model, facts.device, facts.precision) == ("tiny", "cpu", "fp32")
    assert (facts.batch_size, facts.num_threads) == (40, 1)
    assert facts.peak_memory_bytes > 100 * 2**20, "torch alone is larger"


def test_a_turn_has_a_time_for_each_of_its_texts(task: TrialTask, split: Dataset) -> None:
    model = MeasuredModel(task_for(task, split))
    pace = model.measure_pace()
    assert min(pace.text_seconds, pace.batch_seconds) > 0
    timing = model.take_turn(turn())
    assert len(timing.seconds) == 3
    assert min(timing.seconds) > 0
    assert timing.texts_per_second is not None
    assert timing.texts_per_second > 0
    assert timing.cpus >= 1
    assert timing.peak_memory_bytes >= model.describe().peak_memory_bytes


def test_a_batch_that_takes_too_long_is_not_timed_in_every_round(
    task: TrialTask, split: Dataset
) -> None:
    pace = replace(QUICK, batch_seconds=2.0)
    counts = [turn(n, pace=pace).count_batches(task_for(task, split)) for n in range(1, 6)]
    assert counts == [1, 1, 0, 0, 0]
    slow = replace(QUICK, batch_seconds=9.0)
    assert MeasuredModel(task_for(task, split)).take_turn(turn(pace=slow)).texts_per_second is None


@pytest.mark.parametrize("rounds", [5, 10])
def test_each_text_is_timed_in_one_round_and_all_rounds_have_texts_of_similar_lengths(
    task: TrialTask, rounds: int
) -> None:
    texts = RawTexts((tuple("x" * (1 + number * 37 % 100) for number in range(100)),))
    own = InferenceTask(trial=task, texts=texts, timed=100, weight_bytes=1)
    turns = [turn(number, rounds).choose_texts(own) for number in range(1, rounds + 1)]
    assert sorted(row for rows in turns for row in rows) == list(range(100))
    means = [sum(len(texts.columns[0][row]) for row in rows) / len(rows) for rows in turns]
    assert max(means) - min(means) < rounds


@given(st.integers(1, 60), st.integers(1, 60), st.floats(1e-4, 10), st.sampled_from([5, 10]))
def test_every_round_has_texts_and_a_slow_model_is_timed_on_fewer(
    number: int, timed: int, text_seconds: float, rounds: int
) -> None:
    texts = RawTexts((tuple(map(str, range(number))),))
    own = InferenceTask(trial=cast(TrialTask, None), texts=texts, timed=timed, weight_bytes=1)
    pace = Pace(text_seconds, 1.0)
    turns = [turn(n, rounds, pace).choose_texts(own) for n in range(1, rounds + 1)]
    assert all(turns)
    chosen = {row for rows in turns for row in rows}
    fitting = max(20, int(8 / text_seconds))
    assert chosen == set(range(min(number, timed, fitting)))


def test_a_batch_that_had_to_be_halved_in_training_is_halved_here(
    task: TrialTask, split: Dataset
) -> None:
    halved = replace(with_arguments(task, per_device_eval_batch_size=30), halvings=2)
    assert task_for(halved, split).batch_size == 8


def test_a_batch_that_does_not_fit_is_halved_if_it_may(
    task: TrialTask, split: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = Classifier.probabilities

    def small_memory(self: Classifier, texts: RawTexts) -> torch.Tensor:
        if len(texts) > 12:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return compute(self, texts)

    model = MeasuredModel(task_for(task, split))
    monkeypatch.setattr(Classifier, "probabilities", small_memory)
    with pytest.raises(RuntimeError, match="out of memory"):
        model.measure_pace()
    pace = model.measure_pace(may_halve=True)
    assert pace.halvings == 3, "64 become 8"
    assert model.describe(pace.halvings).batch_size == 8
    assert model.take_turn(turn(pace=pace)).texts_per_second is not None


def test_the_file_that_would_be_saved_is_as_large_as_the_one_that_was(
    task: TrialTask, in_tmp: Path
) -> None:
    train_trial(with_arguments(task, num_train_epochs=1), ListSink(place=in_tmp))
    kept = (in_tmp / "kept-weights" / "model.safetensors").stat().st_size
    assert weight_bytes(build_model(task.model, task.label_names, task.arguments)) == kept


def test_weights_that_were_kept_are_not_written_again(task: TrialTask, split: Dataset) -> None:
    model = MeasuredModel(task_for(task, split, weight_bytes=123))
    assert model.describe().weight_bytes == 123


def test_texts_are_drawn_with_the_seed_and_each_at_most_once(split: Dataset) -> None:
    drawn = RawTexts.of(split, 20, seed=3)
    assert drawn == RawTexts.of(split, 20, seed=3)
    assert drawn != RawTexts.of(split, 20, seed=4)
    everything = RawTexts.of(split, 1000, seed=3)
    assert sorted(everything.columns[0]) == sorted(split["text"])
    assert everything.part(range(20)) == drawn


def test_pairs_stay_together() -> None:
    split = Dataset.from_dict({"text": ["a", "b", "c"], "text_pair": ["A", "B", "C"]})
    drawn = RawTexts.of(split, 3, seed=1)
    assert [text.upper() for text in drawn.columns[0]] == list(drawn.columns[1])


@given(st.lists(st.text(max_size=6), min_size=1, max_size=20), st.data())
def test_the_texts_of_a_pass_are_in_order_of_length(texts: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, len(texts)))
    order = RawTexts((tuple(texts),)).by_length(rows)
    assert sorted(order) == list(range(rows))
    lengths = [len(texts[row]) for row in order]
    assert lengths == sorted(lengths, reverse=True)
