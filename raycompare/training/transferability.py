"""Scores of how well frozen features separate labels, for choosing encoders to fine-tune.

Features are float arrays of shape [rows, size], labels int arrays of shape [rows]. Higher is
better. Scores are comparable between models on the same rows, but not between data sets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import matthews_corrcoef
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

STEPS, TOLERANCE = 100, 1e-5
TINY = 1e-12
"""Keeps variances above 0 if features fit the labels exactly."""
PROBE_SHARE = 0.25
"""Share of the rows for testing the probe."""
PROBE_ITERATIONS = 1000


def log_me(features: Floats, labels: Labels) -> float:
    """Return LogME: the log evidence per row of a Bayesian linear model, averaged over labels.

    Each label is a regression on 0 and 1 whose prior and noise maximise the evidence, by the fixed
    point of You et al. 2021 (ICML, arXiv:2102.11005); one singular value decomposition
    serves all labels.
    """
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    evidence = [
        _evidence(singular**2, left.T @ target, float(target @ target), features.shape)
        for target in ((labels == label).astype(np.float64) for label in np.unique(labels))
    ]
    return float(np.mean(evidence))


def _evidence(spectrum: Floats, projected: Floats, norm: float, shape: tuple[int, ...]) -> float:
    """Return the maximum log evidence per row for one target.

    `spectrum` has the squared singular values, `projected` the target in the basis of the rows,
    `norm` the target's squared length.
    """
    rows, size = shape
    outside = max(norm - float(projected @ projected), 0.0)
    prior, noise = 1.0, 1.0  # precisions: alpha and beta of the paper
    for _ in range(STEPS):
        pull = prior + noise * spectrum
        effective = float((noise * spectrum / pull).sum())
        weights = float((noise**2 * spectrum * projected**2 / pull**2).sum())
        residual = outside + float(((prior * projected / pull) ** 2).sum())
        before = prior / noise
        prior = effective / (weights + TINY)
        noise = (rows - effective) / (residual + TINY)
        if abs(prior / noise - before) <= TOLERANCE * before:
            break
    pull = prior + noise * spectrum
    weights = float((noise**2 * spectrum * projected**2 / pull**2).sum())
    residual = outside + float(((prior * projected / pull) ** 2).sum())
    determinant = float(np.log(pull).sum()) + (size - len(spectrum)) * np.log(prior)
    fit = size * np.log(prior) + rows * np.log(noise) - noise * residual - prior * weights
    return float((fit - determinant - rows * np.log(2 * np.pi)) / 2 / rows)


def h_score(features: Floats, labels: Labels) -> float:
    """Return the H-score: the between-label variance of the features, whitened by their covariance.

    Bao et al. 2019 (ICIP); the covariance is shrunk after Ledoit and Wolf 2004, without which it
    favours large encoders (Ibrahim et al. 2022, ECML PKDD, arXiv:2110.06893).
    """
    centred = features - features.mean(axis=0)
    covariance, shrinkage = ledoit_wolf(centred, assume_centered=True)
    means = np.zeros_like(centred)
    for label in np.unique(labels):
        means[labels == label] = centred[labels == label].mean(axis=0)
    between = means.T @ means / len(means)
    inverse = np.linalg.pinv(covariance, hermitian=True)
    return float((1 - shrinkage) * np.trace(inverse @ between))


def probe(features: Floats, labels: Labels, seed: int) -> float:
    """Return the MCC of a logistic regression on features, tested on held-out rows."""
    order = np.random.default_rng(seed).permutation(len(labels))
    held = max(int(len(labels) * PROBE_SHARE), 1)
    test, train = order[:held], order[held:]
    if len(np.unique(labels[train])) == 1:
        return 0.0
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=PROBE_ITERATIONS))
    linear.fit(features[train], labels[train])
    return float(matthews_corrcoef(labels[test], linear.predict(features[test])))
