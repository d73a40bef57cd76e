from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raycompare.metrics import LABELS, MODES, Scores, classification_metrics
from tests.references import sklearn_metrics

some_labels = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=60)


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(some_labels)
def test_metrics_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, predictions = np.array(pairs).T
    found = classification_metrics(labels, predictions)
    assert found == pytest.approx(sklearn_metrics(labels, predictions), abs=1e-12)


def test_every_metric_has_a_direction_a_name_and_a_column() -> None:
    assert list(MODES) == list(LABELS)
    assert {field.name for field in fields(Scores)} == set(MODES)
