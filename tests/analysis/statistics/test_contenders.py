from __future__ import annotations

import numpy as np
import pytest

from raycompare.analysis.statistics.contenders import standings_of, standings_of_baselines
from raycompare.analysis.statistics.estimate import ScoreEstimate
from raycompare.metrics import MetricName


def of_seeds(*scores: float, has_seeds: bool = True) -> ScoreEstimate:
    return ScoreEstimate(scores=np.array(scores), influence=np.zeros(100), has_seeds=has_seeds)


def near(mean: float) -> ScoreEstimate:
    return of_seeds(mean - 0.01, mean, mean + 0.01)


@pytest.mark.parametrize(("metric", "best"), [("accuracy", {"high", "close"}), ("loss", {"low"})])
def test_models_that_are_not_clearly_worse_may_be_the_best(metric: MetricName, best: set[str]):
    models = {"high": near(0.9), "close": near(0.89), "low": near(0.3)}
    found = standings_of(models, metric)
    assert {name for name, own in found.items() if own.may_be_best} == best
    assert found["close"].p > 0.05 or metric == "loss"


def test_a_model_is_ruled_out_by_those_that_are_better():
    models = {"a": near(0.9), "jumpy": of_seeds(0.5, 0.95, 1.0), "c": near(0.3)}
    found = standings_of(models, "accuracy")
    assert (found["a"].better, found["jumpy"].better) == ((), ())
    assert found["c"].better == ("a",)


def test_a_model_that_can_not_be_tested_has_no_standing_and_helps_no_other():
    found = standings_of({"a": near(0.5), "one": of_seeds(0.99), "c": near(0.48)}, "accuracy")
    assert set(found) == {"a", "c"}
    assert not any(own.better for own in found.values())


def test_a_single_model_has_no_standing():
    assert standings_of({"a": near(0.5)}, "accuracy") == {}
    alone = {"a": of_seeds(0.5)}
    assert standings_of_baselines(alone, {"b": of_seeds(0.1)}, "accuracy") == {}


def test_a_baseline_has_a_standing_among_the_models():
    models = {"a": near(0.6), "b": near(0.5)}
    baseline = {"x": of_seeds(0.99, has_seeds=False)}
    standings = standings_of_baselines(models, baseline, "accuracy")
    assert set(standings) == {"x"}
    assert standings["x"].may_be_best


def test_more_models_make_it_harder_to_rule_one_out():
    rivals = {f"m{i}": near(0.5) for i in range(20)}
    few = standings_of({"a": near(0.6), "b": near(0.5)}, "accuracy")["b"]
    many = standings_of({"a": near(0.6), "b": near(0.5), **rivals}, "accuracy")["b"]
    assert few.p < many.p
    assert few.missed is not None
    assert many.missed is not None
    assert few.missed < many.missed


def test_more_seeds_miss_less():
    def missed(seeds: int) -> float:
        scores = 0.5 + 0.01 * np.linspace(-1, 1, seeds)
        found = standings_of({"a": of_seeds(*scores), "b": of_seeds(*(scores - 0.001))}, "loss")
        value = found["a"].missed
        assert value is not None
        return value

    values = [missed(seeds) for seeds in (2, 3, 5, 10)]
    assert values == sorted(values, reverse=True)


def test_the_leader_misses_nothing():
    found = standings_of({"a": near(0.6), "b": near(0.5)}, "accuracy")
    assert found["a"].missed is None


def test_models_with_few_seeds_do_not_hide_what_those_with_many_show():
    """A race leaves models that were set aside with two seeds, whose ratios are often large."""
    eight = of_seeds(*(0.80 + 0.005 * place for place in range(8)))
    few = {f"m{i}": of_seeds(0.75, 0.78) for i in range(6)}
    models = {"a": eight, "b": of_seeds(*(0.60 + 0.005 * place for place in range(8))), **few}
    baseline = {"tf-idf": of_seeds(0.60, has_seeds=False)}
    alone = standings_of({"a": models["a"], "b": models["b"]}, "accuracy")["b"]
    among = standings_of(models, "accuracy")["b"]
    assert among.better[0] == "a"
    assert among.missed is not None
    assert alone.missed is not None
    assert among.missed < 3 * alone.missed
    assert not standings_of_baselines(models, baseline, "accuracy", 20.0)["tf-idf"].may_be_best
    assert all(standings_of(models, "accuracy")[name].may_be_best for name in few)
