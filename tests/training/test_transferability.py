from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import BayesianRidge

from raycompare.training.transferability import Floats, Labels, h_score, log_me, probe


def drawn(rows: int, size: int, apart: float, seed: int = 0) -> tuple[Floats, Labels]:
    """Return correlated features in which three labels lie `apart`."""
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % 3
    features = random.normal(size=(rows, size)) @ random.normal(size=(size, size))
    return features + apart * labels[:, None] * random.normal(size=size), labels


@pytest.mark.parametrize(("rows", "size"), [(200, 30), (60, 100)], ids=["tall", "wide"])
def test_log_me_is_the_evidence_of_bayesian_regressions(rows: int, size: int) -> None:
    features, labels = drawn(rows, size, apart=1.0)
    flat = {"alpha_1": 0, "alpha_2": 0, "lambda_1": 0, "lambda_2": 0, "fit_intercept": False}
    start = {"alpha_init": 1, "lambda_init": 1}
    evidence = [
        BayesianRidge(max_iter=3000, tol=1e-8, compute_score=True, **flat, **start)
        .fit(features, labels == label)
        .scores_[-1]
        / rows
        for label in range(3)
    ]
    assert log_me(features, labels) == pytest.approx(np.mean(evidence), abs=1e-5)


@pytest.mark.parametrize("score", [log_me, h_score, lambda x, y: probe(x, y, seed=1)])
def test_features_that_tell_labels_apart_score_higher(score) -> None:
    values = [score(*drawn(300, 20, apart)) for apart in (0.0, 0.5, 5.0)]
    assert values == sorted(values)
    assert values[-1] > values[0]


@given(shift=st.floats(-5, 5), turn=st.integers(0, 100))
def test_a_rotation_changes_no_score_and_a_shift_not_the_h_score(shift: float, turn: int) -> None:
    features, labels = drawn(60, 8, apart=1.0)
    rotation, _ = np.linalg.qr(np.random.default_rng(turn).normal(size=(8, 8)))
    assert log_me(features @ rotation, labels) == pytest.approx(log_me(features, labels), rel=1e-4)
    turned = h_score(features @ rotation + shift, labels)
    assert turned == pytest.approx(h_score(features, labels), rel=1e-6)


def test_labels_that_stand_alone_and_features_that_say_all_have_scores() -> None:
    labels = np.array([0, 0, 0, 0, 0, 0, 0, 1])
    for features in (np.eye(8), np.ones((8, 4)), labels[:, None].astype(float)):
        assert np.isfinite([log_me(features, labels), h_score(features, labels)]).all()
    assert probe(np.ones((8, 2)), np.zeros(8, dtype=int), seed=0) == 0.0
