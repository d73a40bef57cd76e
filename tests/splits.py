"""Small splits, and what is wrong with them; for the tests of data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import datasets
import pytest

from raycompare.data.problems import DataProblems
from raycompare.data.splits import LabelledData
from raycompare.errors import Problem

LABELS = ["a"] * 60 + ["b"] * 30 + ["c"] * 13


def rows(labels: list[Any] = LABELS, **more: list[Any]) -> dict[str, list[Any]]:
    return {"text": [f"text {row}" for row in range(len(labels))], "label": labels, **more}


Load = Callable[..., LabelledData]


def parts(data: LabelledData) -> dict[str, datasets.Dataset]:
    return {"train": data.train, "validation": data.validation, "test": data.test}


def ids(data: LabelledData) -> dict[str, list[int]]:
    return {part: split["example_id"][:] for part, split in parts(data).items()}


def problems(load: Load, *args: Any, **splits: Any) -> list[Problem]:
    with pytest.raises(DataProblems) as caught:
        load(*args, **splits)
    return caught.value.problems


def problem(load: Load, *args: Any, **splits: Any) -> Problem:
    found = problems(load, *args, **splits)
    assert len(found) == 1, found
    return found[0]


def class_labels(names: list[str], labels: list[int | None]) -> datasets.Dataset:
    features = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)}
    return datasets.Dataset.from_dict(rows(labels), datasets.Features(features))
