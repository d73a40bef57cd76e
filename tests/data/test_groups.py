"""Rows of one group, such as those of one author, are never divided between splits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raycompare.data.groups import draw_groups
from tests.splits import Load, ids, problem, rows

AUTHORS = [f"author {number // 5}" for number in range(200)]
LABELS = ["a" if number % 3 else "b" for number in range(200)]


def test_no_group_is_in_two_splits(load: Load) -> None:
    for seed in range(5):
        data = load({"group": "author"}, seed, train=rows(LABELS, author=AUTHORS))
        of = {part: {AUTHORS[row] for row in drawn} for part, drawn in ids(data).items()}
        assert not of["train"] & of["validation"]
        assert not of["train"] & of["test"]
        assert not of["validation"] & of["test"]
        drawn = sorted(row for part in ids(data).values() for row in part)
        assert drawn == [*range(200)]
        assert len(data.test) == pytest.approx(40, abs=5)
        assert len(data.validation) == pytest.approx(20, abs=5)
        assert data.test["label"][:].count(1) == pytest.approx(40 / 3, abs=3)


def test_the_seed_decides_the_groups(load: Load) -> None:
    spec, train = {"group": "author"}, rows(LABELS, author=AUTHORS)
    first, same, other = (ids(load(spec, seed, train=train)) for seed in (1, 1, 2))
    assert first == same != other


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), min_size=30, max_size=150),
    st.floats(0.05, 0.6),
)
def test_what_is_drawn_are_whole_groups_and_some_are_left(
    pairs: list[tuple[int, int]], share: float
) -> None:
    groups, labels = (np.array(column) for column in zip(*pairs, strict=True))
    if len(np.unique(groups)) < 2:
        return
    drawn = draw_groups(labels, groups, share, seed=0)
    left = np.setdiff1d(np.arange(len(groups)), drawn)
    assert len(drawn)
    assert len(left)
    assert not set(groups[drawn]) & set(groups[left])


def test_shares_are_near_where_groups_are_small() -> None:
    groups = np.arange(2000) // 2
    labels = np.arange(2000) % 2
    for share in (0.1, 0.15, 0.2, 1 / 3, 0.5):
        assert len(draw_groups(labels, groups, share, 0)) == pytest.approx(2000 * share, abs=20)


def test_groups_of_the_sources_own_splits_that_meet_are_counted(load: Load) -> None:
    train = rows(["a", "b", "a"], author=["x", "y", "z"])
    test = rows(["a", "b"], author=["y", "w"])
    data = load({"group": "author"}, train=train, validation=train, test=test)
    assert data.notes == (
        "3 of the 3 groups by column 'author' in validation are also in train",
        "1 of the 2 groups by column 'author' in test are also in train",
        "1 of the 2 groups by column 'author' in test are also in validation",
    )


def test_one_large_group_makes_a_share_large_and_that_is_told(load: Load) -> None:
    authors = ["one"] * 120 + [f"author {number}" for number in range(80)]
    data = load(
        {"group": "author", "splits": {"test": 0.5}},
        train=rows(LABELS, author=authors),
        validation=rows(["a", "b"], author=["v", "w"]),
    )
    assert {len(data.train), len(data.test)} <= {*range(60, 141)}
    if abs(len(data.test) - 100) > 4:
        assert "because groups by column 'author' are not divided" in data.notes[-1]


def test_the_text_itself_may_be_the_group_which_keeps_copies_together(load: Load) -> None:
    train = {"text": [f"text {row // 2}" for row in range(200)], "label": LABELS}
    data = load({"group": "text"}, train=train)
    assert not set(data.train["text"][:]) & set(data.test["text"][:])


def test_too_few_groups(load: Load) -> None:
    authors = ["x", "y"] * 100
    found = problem(load, {"group": "author"}, train=rows(LABELS, author=authors))
    assert (found.where, found.allowed) == ("data.group", "at least 3, one for each split")
    assert "2 groups by column 'author'" in found.found


def test_no_such_column(load: Load) -> None:
    found = problem(load, {"group": "autor"}, train=rows(LABELS, author=AUTHORS))
    assert (found.where, found.hint) == ("data.group", "did you mean 'author'?")


def test_a_group_that_is_missing_in_some_rows(load: Load) -> None:
    found = problem(load, {"group": "author"}, train=rows(LABELS, author=[None, *AUTHORS[1:]]))
    assert "column 'author' of split 'train', empty in 1 of its rows (0" in found.found
