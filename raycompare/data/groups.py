"""Groups of rows, such as those of one author, that are never divided between splits."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
from datasets import Dataset
from sklearn.model_selection import StratifiedGroupKFold

from raycompare.data import columns
from raycompare.data.problems import mistake
from raycompare.errors import Problem

MOST_FOLDS = 20
"""Most folds that a share is composed of: 20 come within 2.5 % of every share."""

_Array = np.ndarray[Any, np.dtype[np.int64]]


def group_numbers(split: Dataset, column: str) -> _Array:
    """Return the number of each row's group: [rows]."""
    stored = columns.values(split, column).to_pylist()
    return np.asarray(np.unique(np.asarray(list(map(str, stored))), return_inverse=True)[1])


def draw_groups(labels: _Array, groups: _Array, share: float, seed: int) -> _Array:
    """Draw whole groups with about the given share of rows, stratified by label.

    Combines as many folds of scikit-learn's StratifiedGroupKFold as come closest to the share.
    """
    most = min(MOST_FOLDS, len(np.unique(groups)), int(np.bincount(labels).max()))
    part = Fraction(share).limit_denominator(max(most, 2))
    taken, folds = (part.numerator, part.denominator) if part else (1, max(most, 2))
    splitter = StratifiedGroupKFold(n_splits=max(folds, 2), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # It warns about every label with fewer rows than folds.
        warnings.simplefilter("ignore", UserWarning)
        drawn = [rows for _, rows in splitter.split(labels, labels, groups)]
    return np.sort(np.concatenate(drawn[: max(min(taken, folds - 1), 1)]))


def group_problems(column: str, groups: _Array, parts: int) -> Iterator[Problem]:
    """Find a train split with fewer groups than `parts`, the splits that it is divided into."""
    number = len(np.unique(groups))
    if number < parts:
        count = f"{number} groups by column {column!r} in the split to divide"
        allowed = f"at least {parts}, one for each split"
        yield mistake("data.group", count, allowed, "name existing splits in data.splits")


def shared_groups(column: str, splits: Mapping[str, Dataset]) -> Iterator[str]:
    """Report groups that appear in more than one split of the source."""
    groups = {
        name: set(map(str, columns.values(split, column).to_pylist()))
        for name, split in splits.items()
    }
    for first, second in combinations(groups, 2):
        if both := groups[first] & groups[second]:
            yield (
                f"{len(both):,} of the {len(groups[second]):,} groups by column {column!r} in "
                f"{second} are also in {first}"
            )
