from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from raycompare.analysis.statistics.tiers import Ranks, letter, ranks, tiers

NUMBERS = st.integers(0, 2**32 - 1)


@given(NUMBERS, st.integers(1, 9))
def test_models_share_a_letter_just_where_they_are_not_apart(number: int, size: int):
    models = [f"m{place}" for place in range(size)]
    chance = np.random.default_rng(number)
    apart = [pair for pair in combinations(models, 2) if chance.random() < 0.4]
    letters = tiers(models, apart)
    for pair in combinations(models, 2):
        assert bool(set(letters[pair[0]]) & set(letters[pair[1]])) == (pair not in apart)
    assert letters[models[0]].startswith("a")
    groups = [{model for model in models if mark in letters[model]} for mark in "abcdefghij"]
    assert not any(one < other for one, other in combinations([g for g in groups if g], 2))


def test_letters_of_a_chain_overlap():
    assert tiers(["x", "y", "z"], [("x", "z")]) == {"x": "a", "y": "ab", "z": "b"}


def test_letters_do_not_end_at_z():
    assert [letter(index) for index in (0, 26, 52, 104)] == ["a", "A", "a2", "a3"]


def test_ranks_are_those_that_no_decision_rules_out():
    found = ranks(["x", "y", "z"], [("x", "z")])
    assert found == {
        "x": Ranks(best=1, worst=2),
        "y": Ranks(best=1, worst=3),
        "z": Ranks(best=2, worst=3),
    }
