"""The TF-IDF baseline: TF-IDF features with logistic regression, on one CPU.

Words and pairs of words, weighted by 1 + log(count) and the inverse document frequency, are the
features of a multinomial logistic regression, whose regularisation is chosen by cross-validation.
If texts share few or no words, as in Chinese, which has no spaces between words, sequences of one
to three characters replace the words.
"""

from __future__ import annotations

import json
import socket
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.utils import resample
from threadpoolctl import threadpool_limits

from raycompare.data.splits import LabelledData, text_columns
from raycompare.experiment.spec import TF_IDF
from raycompare.metrics import MODES, MetricName, classification_metrics
from raycompare.records.rows import PREDICTIONS_SCHEMA, BaselineRecord

TRIAL_ID = "baseline-tf-idf"
GRID = (0.1, 1.0, 10.0, 100.0, 1000.0)
"""Values of C, the inverse strength of regularisation."""
DEFAULT_C = 1.0
"""scikit-learn's default, used without cross-validation."""
MOST_FOLDS, FEWEST_FOLDS = 5, 2
MOST_CROSS_VALIDATED = 20_000
FEWEST_CROSS_VALIDATED = 20
"""Minimum number of rows for cross-validation."""
MOST_ITERATIONS = 1000
MOST_WEIGHTS = 4_000_000
"""Maximum number of features times labels. L-BFGS stores about 25 numbers for each."""
FEWEST_TO_DROP_RARE = 1000
"""Number of rows from which features that occur in a single text are dropped."""
SHARED = 0.3
"""Minimum share of words that occur in a second text; below it, characters replace words."""
WORD = r"(?u)\b\w+\b"

_Array = np.ndarray[Any, np.dtype[Any]]


def fit_baseline(
    data: LabelledData, metric: MetricName, seed: int
) -> tuple[BaselineRecord, pa.Table]:
    """Choose, fit and test the baseline; return its record and its test predictions.

    `metric` decides the regularisation; `seed` draws the rows and folds for that. The same data and
    seed give the same predictions.

    Raises:
        ValueError: the texts of the training split have no feature in common.
    """
    began = perf_counter()
    # More threads are slower for such matrices, and change the last digits.
    with threadpool_limits(1):
        fitted = _FittedPipeline.of(_Rows.of(data.train), len(data.label_names), metric, seed)
        validated = _BaselineTest.of(fitted.model, data.validation, len(data.label_names))
        tested = _BaselineTest.of(fitted.model, data.test, len(data.label_names))
    record = BaselineRecord(
        name=TF_IDF,
        trial_id=TRIAL_ID,
        hyperparameters=json.dumps(fitted.hyperparameters),
        num_parameters=fitted.num_parameters,
        seconds=perf_counter() - began,
        hostname=socket.gethostname(),
        validation=validated.metrics[metric],
        **tested.metrics,
    )
    return record, tested.table(data.test, seed)


@dataclass(frozen=True, eq=False)
class _Rows:
    texts: list[str]
    labels: _Array

    @classmethod
    def of(cls, split: Dataset) -> _Rows:
        columns = [split[name][:] for name in text_columns(split)]
        return cls([" ".join(parts) for parts in zip(*columns, strict=True)], _labels(split))

    def sample(self, most: int, seed: int) -> _Rows:
        """Draw at most `most` rows, stratified by label."""
        if len(self.texts) <= most:
            return self
        options = {"n_samples": most, "stratify": self.labels, "random_state": seed}
        return self.take(np.sort(resample(np.arange(len(self.texts)), replace=False, **options)))

    def take(self, rows: _Array) -> _Rows:
        """Return the rows with these numbers."""
        return _Rows([self.texts[row] for row in rows], self.labels[rows])

    @property
    def folds(self) -> int:
        """Number of folds: limited by the rows of the rarest label; 0 if there are too few."""
        if len(self.texts) < FEWEST_CROSS_VALIDATED:
            return 0
        rarest = min(Counter(self.labels.tolist()).values())
        return min(rarest, MOST_FOLDS) if rarest >= FEWEST_FOLDS else 0


def _labels(split: Dataset) -> _Array:
    return np.asarray(split["label"][:])


def _features(texts: Sequence[str], labels: int) -> TfidfVectorizer:
    counts = {
        "sublinear_tf": True,
        "min_df": 2 if len(texts) >= FEWEST_TO_DROP_RARE else 1,
        "max_features": MOST_WEIGHTS // labels,
    }
    if share_of_shared_words(texts) < SHARED:
        return TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), **counts)
    return TfidfVectorizer(token_pattern=WORD, ngram_range=(1, 2), **counts)


def share_of_shared_words(texts: Sequence[str]) -> float:
    """Return the share of words, counted once per text, that occur in a second text."""
    analyze = TfidfVectorizer(token_pattern=WORD).build_analyzer()
    texts_with = Counter(word for text in texts for word in set(analyze(text)))
    shared = sum(texts for texts in texts_with.values() if texts > 1)
    return shared / (texts_with.total() or 1)


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    c: float = DEFAULT_C
    rows: int = 0
    """Number of rows used for cross-validation."""
    folds: int = 0
    """Number of folds; 0 without cross-validation."""
    unconverged: int = 0
    """Fits of the cross-validation that did not converge."""


def _choose(model: Pipeline, train: _Rows, metric: MetricName, seed: int) -> _Chosen:
    sample = train.sample(MOST_CROSS_VALIDATED, seed)
    if not sample.folds:
        return _Chosen()
    folds = StratifiedKFold(sample.folds, shuffle=True, random_state=seed)
    with _collect_convergence_warnings() as unconverged:
        values = np.mean(
            [
                _values(model, sample.take(fitted), sample.take(held_out), metric)
                for fitted, held_out in folds.split(sample.texts, sample.labels)
            ],
            axis=0,
        )
    best = values.argmax() if MODES[metric] == "max" else values.argmin()
    return _Chosen(
        c=GRID[best], rows=len(sample.texts), folds=sample.folds, unconverged=len(unconverged)
    )


def _values(model: Pipeline, fitted: _Rows, held_out: _Rows, metric: MetricName) -> list[float]:
    """Return the score on the held-out rows for each value of C."""
    features, classifier = clone(model[0]), clone(model[-1]).set_params(warm_start=True)
    known, unknown = features.fit_transform(fitted.texts), features.transform(held_out.texts)
    values = []
    for c in GRID:
        classifier.set_params(C=c).fit(known, fitted.labels)
        probabilities = classifier.predict_proba(unknown)
        values.append(_metrics(held_out.labels, probabilities, classifier.classes_)[metric])
    return values


def _metrics(labels: _Array, probabilities: _Array, classes: _Array) -> dict[str, float]:
    predicted = classes[probabilities.argmax(axis=1)]
    loss = float(log_loss(labels, probabilities, labels=classes))
    return {"loss": loss, **classification_metrics(labels, predicted)}


@contextmanager
def _collect_convergence_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Collect convergence warnings, and re-issue all others."""
    cut_off: list[warnings.WarningMessage] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        yield cut_off
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            cut_off.append(warning)
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )


@dataclass(frozen=True, kw_only=True)
class _FittedPipeline:
    model: Pipeline
    rows: int
    chosen: _Chosen
    converged: bool

    @classmethod
    def of(cls, train: _Rows, labels: int, metric: MetricName, seed: int) -> _FittedPipeline:
        """Choose C, then fit the model on the whole training split."""
        features = _features(train.texts, labels)
        classifier = LogisticRegression(max_iter=MOST_ITERATIONS, random_state=seed)
        model = Pipeline([("features", features), ("classifier", classifier)])
        chosen = _choose(model, train, metric, seed)
        with _collect_convergence_warnings() as unconverged:
            model.set_params(classifier__C=chosen.c).fit(train.texts, train.labels)
        return cls(model=model, rows=len(train.texts), chosen=chosen, converged=not unconverged)

    @property
    def num_parameters(self) -> int:
        """Number of weights and intercepts."""
        return int(self.model[-1].coef_.size + self.model[-1].intercept_.size)

    @property
    def hyperparameters(self) -> dict[str, object]:
        """Choices and results of the fit, for the record."""
        features, classifier = self.model[0], self.model[-1]
        return {
            "C": self.chosen.c,
            "folds": self.chosen.folds,
            "cross_validated_rows": self.chosen.rows,
            "rows": self.rows,
            "analyzer": features.analyzer,
            "ngram_range": list(features.ngram_range),
            "min_df": features.min_df,
            "features": len(features.vocabulary_),
            "iterations": int(max(classifier.n_iter_)),
            "converged": self.converged,
            "cross_validation_unconverged": self.chosen.unconverged,
        }


@dataclass(frozen=True, eq=False)
class _BaselineTest:
    probabilities: _Array
    """Shape (rows, labels); 0 for labels without training rows."""
    metrics: dict[str, float]

    @classmethod
    def of(cls, model: Pipeline, split: Dataset, labels: int) -> _BaselineTest:
        rows = _Rows.of(split)
        probabilities = np.zeros((len(rows.texts), labels))
        probabilities[:, model.classes_] = model.predict_proba(rows.texts)
        return cls(probabilities, _metrics(rows.labels, probabilities, np.arange(labels)))

    def table(self, split: Dataset, seed: int) -> pa.Table:
        """Return the predictions in the format of finalists."""
        rows = len(self.probabilities)
        columns = {
            "trial_id": [TRIAL_ID] * rows,
            "model": [TF_IDF] * rows,
            "seed": [seed] * rows,
            "example_id": split["example_id"][:],
            "label": split["label"][:],
            "prediction": self.probabilities.argmax(axis=1),
            "probabilities": list(self.probabilities.astype(np.float32)),
        }
        return pa.table(columns, schema=PREDICTIONS_SCHEMA)
