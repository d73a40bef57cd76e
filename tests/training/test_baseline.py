from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest

from raycompare.data.splits import LabelledData, load_splits
from raycompare.experiment.spec import DataSpec
from raycompare.metrics import MODES, MetricName
from raycompare.records.arrow import schema_of
from raycompare.records.rows import PREDICTIONS_SCHEMA, BaselineRecord
from raycompare.training import baseline
from raycompare.training.baseline import fit_baseline, share_of_shared_words
from tests.references import sklearn_metrics

Load = Callable[..., LabelledData]
Split = dict[str, list[Any]]

HAN = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜"


@pytest.fixture(scope="module")
def tiny(tiny_data: str) -> LabelledData:
    return load_splits(DataSpec(dataset=tiny_data), 0)


def said(record: BaselineRecord) -> dict[str, Any]:
    return json.loads(record.hyperparameters)


def topics(rows: int, seed: int = 0, labels: int = 2) -> Split:
    """Make sentences of which one word in four tells the label."""
    chance = np.random.default_rng(seed)
    own = np.arange(rows) % labels
    words = [
        [f"topic{label}" if word < 1 else f"word{word}" for word in chance.integers(0, 40, 12)]
        + [f"topic{label}"] * bool(chance.random() < 0.7)
        for label in own
    ]
    return {"text": [" ".join(text) for text in words], "label": own.tolist()}


def chinese(rows: int, seed: int) -> Split:
    """Make texts without spaces; one of two characters tells the label."""
    chance = np.random.default_rng(seed)
    labels = np.arange(rows) % 2
    texts = [
        "".join(chance.choice(list(HAN[2:]), 9)) + HAN[label] + "".join(chance.choice(list(HAN), 9))
        for label in labels
    ]
    return {"text": texts, "label": labels.tolist()}


def splits(make: Callable[[int, int], Split], train: int, other: int = 60) -> dict[str, Split]:
    return {"train": make(train, 1), "validation": make(other, 2), "test": make(other, 3)}


def test_words_that_give_the_label_away_are_learned(tiny: LabelledData):
    record, table = fit_baseline(tiny, "accuracy", 3)
    assert record.accuracy > 0.9
    assert record.name == "TF-IDF + logistic regression"
    assert said(record)["converged"]
    assert said(record)["folds"] == 5
    assert (said(record)["analyzer"], said(record)["cross_validated_rows"]) == ("word", 120)
    assert record.num_parameters == 3 * (said(record)["features"] + 1)
    assert record.seconds > 0
    assert table.schema.equals(PREDICTIONS_SCHEMA)
    assert set(table["trial_id"].to_pylist()) == {"baseline-tf-idf"}
    assert set(table["seed"].to_pylist()) == {3}
    assert table["example_id"].to_pylist() == tiny.test["example_id"][:]


def test_its_scores_are_those_of_its_predictions(tiny: LabelledData):
    record, table = fit_baseline(tiny, "macro_f1", 3)
    labels, predicted = np.asarray(table["label"]), np.asarray(table["prediction"])
    for name, value in sklearn_metrics(labels, predicted).items():
        assert getattr(record, name) == value
    chances = np.array(table["probabilities"].to_pylist())
    assert (chances.argmax(axis=1) == predicted).all()
    assert chances.sum(axis=1) == pytest.approx(1, abs=1e-5)
    right = chances[np.arange(len(labels)), labels]
    assert record.loss == pytest.approx(-np.log(right).mean(), abs=1e-5)


@pytest.mark.parametrize("metric", MODES)
def test_every_metric_of_an_experiment_can_choose(tiny: LabelledData, metric: MetricName):
    record, _ = fit_baseline(tiny, metric, 3)
    assert said(record)["C"] in baseline.GRID
    assert math.isfinite(record.validation)
    assert record.accuracy > 0.9


def test_the_loss_is_made_small(load: Load):
    data = load(**splits(topics, 60, 400))
    by_loss, by_accuracy = (fit_baseline(data, metric, 0)[0] for metric in ("loss", "accuracy"))
    assert by_loss.validation > 0
    assert by_loss.loss <= by_accuracy.loss


def test_the_same_seed_gives_the_same_answers(tiny: LabelledData):
    (one, first), (other, second) = (fit_baseline(tiny, "loss", 5) for _ in range(2))
    assert first.equals(second)
    assert one.hyperparameters == other.hyperparameters


def test_the_regularisation_that_is_recorded_is_the_one_that_was_fitted(
    load: Load, monkeypatch: Any
):
    data = load(**splits(topics, 60))
    record, table = fit_baseline(data, "loss", 0)
    monkeypatch.setattr(baseline, "GRID", (said(record)["C"],))
    assert fit_baseline(data, "loss", 0)[1].equals(table)


def test_the_search_looks_at_few_rows_and_the_fit_at_all(load: Load, monkeypatch: Any):
    monkeypatch.setattr(baseline, "MOST_CROSS_VALIDATED", 50)
    record, _ = fit_baseline(load(**splits(topics, 200)), "accuracy", 0)
    assert (said(record)["cross_validated_rows"], said(record)["rows"]) == (50, 200)


@pytest.mark.parametrize(("rare", "folds"), [(1, 0), (2, 2), (4, 4), (9, 5)])
def test_a_rare_label_has_fewer_folds(load: Load, rare: int, folds: int):
    data = splits(topics, 80)
    text = data["train"]["text"]
    label = [1 if row < rare else 0 for row in range(80)]
    data["train"] = {"text": text, "label": label}
    record, _ = fit_baseline(load(**data), "accuracy", 0)
    assert said(record)["folds"] == folds
    if not folds:
        assert (said(record)["C"], said(record)["cross_validated_rows"]) == (1.0, 0)


def test_eight_rows_are_enough_to_fit_and_too_few_to_choose(load: Load):
    record, table = fit_baseline(load(**splits(topics, 8)), "matthews_correlation", 0)
    assert (said(record)["folds"], said(record)["C"], said(record)["rows"]) == (0, 1.0, 8)
    assert table.num_rows == 60


def test_two_hundred_labels_are_told_apart(load: Load, monkeypatch: Any):
    monkeypatch.setattr(baseline, "GRID", (1.0, 100.0))
    many = {name: topics(rows, 1, 200) for name, rows in (("train", 600), ("validation", 200))}
    record, table = fit_baseline(load(**many, test=topics(200, 2, 200)), "accuracy", 0)
    assert record.accuracy > 0.4
    assert {len(row) for row in table["probabilities"].to_pylist()} == {200}


def test_features_are_kept_within_the_memory_there_is(load: Load, monkeypatch: Any):
    monkeypatch.setattr(baseline, "MOST_WEIGHTS", 60)
    record, _ = fit_baseline(load(**splits(topics, 60)), "accuracy", 0)
    assert said(record)["features"] == 30


def test_a_label_that_no_row_has_is_never_predicted(load: Load):
    data = splits(topics, 60)
    for split in data.values():
        split["label"] = [2 * label for label in split["label"]]
    label = datasets.ClassLabel(names=["one", "none", "two"])
    features = datasets.Features(text=datasets.Value("string"), label=label)
    made = {name: datasets.Dataset.from_dict(split, features) for name, split in data.items()}
    record, table = fit_baseline(load(**made), "loss", 0)
    chances = np.array(table["probabilities"].to_pylist())
    assert chances.shape == (60, 3)
    assert not chances[:, 1].any()
    assert math.isfinite(record.loss)


def test_texts_without_spaces_are_read_by_character(load: Load):
    data = load(**splits(chinese, 300, 200))
    assert share_of_shared_words(data.train["text"][:]) < 0.05
    record, _ = fit_baseline(data, "accuracy", 0)
    assert said(record)["analyzer"] == "char_wb"
    assert record.accuracy > 0.75


def test_texts_without_any_word_are_read_by_character(load: Load):
    marks = {"text": ["!!!", "???"] * 20, "label": [1, 0] * 20}
    record, _ = fit_baseline(load(train=marks, validation=marks, test=marks), "accuracy", 0)
    assert said(record)["analyzer"] == "char_wb"
    assert record.accuracy == 1


def test_english_is_read_by_word():
    texts = ["the cat sat on the mat", "a dog and the cat", "on a day", "the day and a night"]
    assert share_of_shared_words(texts) > baseline.SHARED


def test_both_texts_of_a_pair_count(load: Load):
    def pairs(rows: int, seed: int) -> Split:
        made = topics(rows, seed)
        return {"a": ["the same for all"] * rows, "b": made["text"], "label": made["label"]}

    record, _ = fit_baseline(load({"text": ("a", "b")}, **splits(pairs, 200)), "accuracy", 0)
    assert record.accuracy > 0.7


def test_a_fit_that_is_cut_off_says_so_and_warns_nobody(load: Load, monkeypatch: Any):
    monkeypatch.setattr(baseline, "MOST_ITERATIONS", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record, _ = fit_baseline(load(**splits(topics, 100)), "accuracy", 0)
    assert not said(record)["converged"]
    assert said(record)["cross_validation_unconverged"] > 0


def test_a_warning_of_another_kind_is_not_swallowed():
    with (
        pytest.warns(UserWarning, match="look here"),
        baseline._collect_convergence_warnings() as cut_off,
    ):
        warnings.warn("look here", UserWarning, stacklevel=1)
    assert cut_off == []


def test_the_record_can_be_stored(tiny: LabelledData):
    record, _ = fit_baseline(tiny, "accuracy", 3)
    table = pa.Table.from_pylist([vars(record)], schema=schema_of(BaselineRecord))
    assert table.to_pylist() == [vars(record)]
