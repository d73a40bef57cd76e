"""Rows that belong together, such as those of one author: they are carved into one split."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from datasets import Dataset
from sklearn.model_selection import StratifiedGroupKFold

from raycompare.data import columns
from raycompare.data.problems import mistake
from raycompare.errors import Problem

MOST_FOLDS = 20
"""Shares are put together from folds: with 20 each share is within 2.5 % of one."""

_Array = np.ndarray[Any, np.dtype[np.int64]]


def group_numbers(split: Dataset, column: str) -> _Array:
    """Return a number for each row, the same for rows of one group: [rows]."""
    stored = columns.values(split, column).to_pylist()
    return np.asarray(np.unique(np.asarray(list(map(str, stored))), return_inverse=True)[1])


def draw_groups(labels: _Array, groups: _Array, share: float, seed: int) -> _Array:
    """Return about a share of the rows: whole groups, with the labels about as in all rows.

    Folds of scikit-learn's StratifiedGroupKFold, as many of them as come nearest to the share.
    """
    most = min(MOST_FOLDS, len(np.unique(groups)), int(np.bincount(labels).max()))
    part = Fraction(share).limit_denominator(max(most, 2))
    taken, folds = (part.numerator, part.denominator) if part else (1, max(most, 2))
    splitter = StratifiedGroupKFold(n_splits=max(folds, 2), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # It warns of every label with fewer rows than folds.
        warnings.simplefilter("ignore", UserWarning)
        drawn = [rows for _, rows in splitter.split(labels, labels, groups)]
    return np.sort(np.concatenate(drawn[: max(min(taken, folds - 1), 1)]))


def group_problems(column: str, groups: _Array, parts: int) -> Iterator[Problem]:
    """Find groups that are too few to have one in each part that is carved, and in train."""
    number = len(np.unique(groups))
    if number < parts:
        found = f"{number} groups by column {column!r} in the split that is carved"
        allowed = f"{parts} or more: one for each of the splits"
        yield mistake("data.group", found, allowed, "name splits of the source in data.splits")


def shared_groups(column: str, splits: Mapping[str, Dataset]) -> Iterator[str]:
    """Say how many groups of the source's own splits are in more than one of them."""
    known = {
        name: set(map(str, columns.values(split, column).to_pylist()))
        for name, split in splits.items()
    }
    names = list(known)
    for place, second in enumerate(names):
        for first in names[:place]:
            both = known[first] & known[second]
            if both:
                yield (
                    f"{len(both):,} of the {len(known[second]):,} groups by column {column!r} in "
                    f"{second} are in {first} too"
                )
