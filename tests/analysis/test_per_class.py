from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from raycompare.analysis.per_class import class_report
from raycompare.analysis.statistics.predictions import FinalistPredictions
from raycompare.report.sections.classes import MOST_LABELS, classes_section
from tests import runs

NAMES = ("World", "Sports", "Business")


def answers(labels: list[int], *predictions: list[int]) -> FinalistPredictions:
    return FinalistPredictions(
        np.array(labels), {"m": np.array(predictions)}, {"m": tuple(range(len(predictions)))}
    )


@given(st.integers(0, 10**6), st.integers(1, 4))
def test_scores_are_the_means_of_those_of_scikit_learn(seed: int, seeds: int):
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, 3, 30)
    predictions = chance.integers(0, 3, (seeds, 30))
    report = class_report(
        FinalistPredictions(labels, {"m": predictions}, {"m": (1,) * seeds}), "m", NAMES
    )
    theirs = [
        precision_recall_fscore_support(labels, row, labels=[0, 1, 2], zero_division=0)
        for row in predictions
    ]
    ours = [[row.precision, row.recall, row.f1] for row in report.scores]
    means = np.mean([parts[:3] for parts in theirs], axis=0).T
    assert np.asarray(ours) == pytest.approx(means)
    assert [row.rows for row in report.scores] == list(theirs[0][3])
    matrices = [confusion_matrix(labels, row, labels=[0, 1, 2]) for row in predictions]
    assert np.asarray(report.matrix) == pytest.approx(np.mean(matrices, axis=0))


def test_what_is_taken_for_what_comes_most_frequent_first():
    report = class_report(answers([0, 0, 0, 1, 2], [1, 1, 0, 2, 2], [1, 0, 0, 1, 2]), "m", NAMES)
    found = [(pair.label, pair.predicted, pair.rows, pair.share) for pair in report.confused]
    assert found == [("World", "Sports", 1.5, 0.5), ("Sports", "Business", 0.5, 0.5)]


def test_a_model_that_is_always_right_confuses_nothing():
    assert class_report(answers([0, 1, 2], [0, 1, 2]), "m", NAMES).confused == ()


def test_a_label_that_is_not_in_the_test_split_has_zeros():
    *_, last = class_report(answers([0, 1], [0, 1]), "m", NAMES).scores
    assert (last.label, last.rows, last.precision, last.recall, last.f1) == ("Business", 0, 0, 0, 0)


def test_a_label_without_a_name_has_its_number():
    assert class_report(answers([0, 1, 3], [0, 1, 3]), "m", NAMES).labels == (*NAMES, "3")


def test_the_section_shows_the_leader_by_the_names_of_the_labels():
    section = classes_section(runs.typical().compare())
    assert section.startswith("## Scores by label: minilm-3")
    assert "| Sports | 250 |" in section


def test_of_very_many_labels_the_section_shows_the_worst():
    run = runs.typical()
    names = [f"label {number}" for number in range(200)]
    run.manifest.data["labels"] = names
    section = classes_section(run.compare())
    scores = section[: section.index("</details>")]
    assert scores.count("\n| label ") == MOST_LABELS + 1  # and the header
    assert "\n| label 0 | 250 |" in scores
    assert "tables/classes.csv lists all labels" in section
