from __future__ import annotations

import numpy as np

from raycompare.analysis.statistics.contenders import standings_of
from raycompare.analysis.statistics.estimate import ScoreEstimate
from raycompare.analysis.statistics.outlook import MOST_SEEDS, seeds_to_settle, with_seeds


def of_seeds(*scores: float, rows: float = 0.0) -> ScoreEstimate:
    influence = np.where(np.arange(100) % 2, rows, -rows)
    return ScoreEstimate(scores=np.array(scores), influence=influence)


def test_further_seeds_keep_mean_and_variance():
    before = of_seeds(0.7, 0.8, 0.9)
    after = with_seeds(before, 4)
    assert after.seeds == 7
    assert np.isclose(after.mean, before.mean)
    assert np.isclose(after.scores.var(ddof=1), before.scores.var(ddof=1))
    one = of_seeds(0.5)
    assert with_seeds(one, 4) is one


def test_the_number_is_the_smallest_that_settles():
    models = {"a": of_seeds(0.80, 0.83, 0.86), "b": of_seeds(0.75, 0.77, 0.79)}
    assert standings_of(models, "accuracy")["b"].may_be_best
    number = seeds_to_settle(models, ["a", "b"], "accuracy")
    assert number is not None
    assert number > 1

    def missed(more: int) -> float:
        later = {name: with_seeds(own, more) for name, own in models.items()}
        value = standings_of(later, "accuracy")["b"].missed
        assert value is not None
        return value

    lead = models["a"].mean - models["b"].mean
    assert missed(number) <= lead < missed(number - 1)


def test_seeds_do_not_help_where_test_rows_are_missing():
    same = [0.80, 0.81, 0.82]
    few_rows = {"a": of_seeds(*same, rows=0.01), "b": of_seeds(*(x - 0.02 for x in same))}
    assert seeds_to_settle(few_rows, ["a", "b"], "accuracy") is None
    assert MOST_SEEDS > 1


def test_there_is_nothing_to_settle_without_rivals():
    assert seeds_to_settle({"a": of_seeds(0.8, 0.81)}, ["a"], "accuracy") is None
