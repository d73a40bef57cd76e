from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, matthews_corrcoef

from raycompare.analysis.statistics.estimate import (
    NOT_A_NUMBER,
    ONE_SEED,
    ScoreEstimate,
    over_examples,
)
from raycompare.analysis.statistics.predictions import FinalistPredictions
from raycompare.metrics import influences
from tests.analysis.statistics.answers import answers, made, right_at


def test_the_variance_over_examples_of_an_accuracy_is_the_textbooks():
    labels, predictions = made(3, 1, 500, 4)
    right = (predictions[0] == labels).astype(float)
    found = over_examples(influences("accuracy", labels, predictions, 4))
    assert found == pytest.approx(right.var(ddof=1) / 500)


def test_the_jackknife_agrees_with_a_bootstrap_for_mcc():
    labels, predictions = made(5, 1, 1500, 4)
    chance = np.random.default_rng(1)
    drawn = []
    for _ in range(400):
        rows = chance.integers(0, 1500, 1500)
        drawn.append(matthews_corrcoef(labels[rows], predictions[0, rows]))
    found = over_examples(influences("matthews_correlation", labels, predictions, 4))
    assert np.std(drawn) == pytest.approx(found**0.5, rel=0.1)


def test_the_variance_over_seeds_is_that_of_their_mean():
    several = answers(a=right_at(0.8, 0.83, 0.81))
    found = ScoreEstimate.of(several, "a", "accuracy")
    assert found.mean == pytest.approx(np.mean([0.8, 0.83, 0.81]))
    assert found.seed_variance == pytest.approx(np.var([0.8, 0.83, 0.81], ddof=1) / 3)


def test_seeds_that_differ_only_in_single_rows_have_no_excess_on_average():
    chance = np.random.default_rng(4)
    variances, noises = [], []
    for _ in range(300):
        right = (chance.random((3, 400)) < 0.8).astype(int)
        found = ScoreEstimate.of(answers(a=1 - right), "a", "accuracy")
        variances.append(found.seed_variance)
        noises.append(found.row_noise)
    assert np.mean(noises) == pytest.approx(0.8 * 0.2 / 400 / 3, rel=0.02)
    assert np.mean(variances) == pytest.approx(np.mean(noises), rel=0.15)
    assert np.std(noises) < 0.2 * np.std(variances)


def test_a_seed_that_is_better_altogether_is_an_excess():
    found = ScoreEstimate.of(answers(a=right_at(0.7, 0.8, 0.9)), "a", "accuracy")
    assert 0 < found.excess < found.seed_variance
    assert found.variance == pytest.approx(found.row_variance + found.excess)


def test_a_loss_is_the_mean_of_its_examples():
    chance = np.random.default_rng(7)
    labels = chance.integers(0, 3, 200)
    probabilities = chance.dirichlet([1, 1, 1], (2, 200))
    losses = -np.log(probabilities[:, np.arange(200), labels])
    predicted = probabilities.argmax(axis=2)
    own = FinalistPredictions(labels, {"a": predicted}, {"a": (1, 2)}, {"a": losses})
    found = ScoreEstimate.of(own, "a", "loss")
    assert found.scores == pytest.approx([log_loss(labels, each) for each in probabilities])
    assert found.row_variance == pytest.approx(losses.mean(axis=0).var(ddof=1) / 200)


def test_what_can_not_be_tested_says_why():
    one, several = right_at(0.8), right_at(0.8, 0.9)
    own = FinalistPredictions(
        np.zeros(400, int),
        {"one": one, "several": several, "baseline": one},
        {"one": (1,), "several": (1, 2), "baseline": ()},
        {"several": np.full((2, 400), np.nan)},
    )
    reasons = [ScoreEstimate.of(own, name, "accuracy").untested for name in own.predictions]
    assert reasons == [ONE_SEED, None, None]
    assert ScoreEstimate.of(own, "several", "loss").untested == NOT_A_NUMBER
