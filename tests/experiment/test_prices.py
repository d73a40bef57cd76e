from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from raycompare.errors import Problem
from raycompare.experiment.checks import settings_problems
from raycompare.experiment.prices import gpus, instances, price_of, price_problems
from raycompare.experiment.settings import CostSpec
from tests import runs


def problems(**cost: Any) -> list[Problem]:
    return list(price_problems(CostSpec(**cost)))


def test_an_instance_type_has_the_price_of_the_table_with_its_date_and_source() -> None:
    price = price_of(CostSpec(instance="g5.xlarge"))
    assert price is not None
    assert price.usd_per_hour == 1.006
    assert price.instance is not None
    assert price.instance.retrieved_on == date(2026, 7, 20)
    assert price.instance.url.startswith("https://github.com/aws/karpenter-provider-aws/blob/")
    assert (price.instance.gpus, price.instance.gpu) == (1, "A10G")


def test_the_price_of_the_experiment_takes_precedence() -> None:
    price = price_of(CostSpec(instance="g5.xlarge", usd_per_hour=0.4, spot=True))
    assert price is not None
    assert (price.usd_per_hour, price.instance, price.spot) == (0.4, None, True)


def test_without_a_price_and_without_an_instance_there_is_none() -> None:
    assert price_of(CostSpec()) is None
    assert problems() == []


def test_an_unknown_instance_type_is_a_mistake_with_the_nearest_name_and_the_way_out() -> None:
    (problem,) = problems(instance="g5.xlage")
    assert problem.where == "cost.instance"
    assert "'g5.xlage'" in problem.found
    assert "g5.2xlarge" in problem.allowed
    assert problem.hint is not None
    assert "'g5.xlarge'" in problem.hint
    assert "cost.usd_per_hour" in problem.hint


def test_an_instance_type_without_a_similar_one_has_a_hint() -> None:
    (problem,) = problems(instance="mainframe")
    assert problem.hint == "set cost.usd_per_hour"
    assert "g5.xlarge" in problem.allowed


def test_a_missing_spot_price_is_a_mistake_and_never_the_on_demand_price() -> None:
    assert price_of(CostSpec(instance="g5.xlarge", spot=True)) is None
    (problem,) = problems(instance="g5.xlarge", spot=True)
    assert problem.where == "cost.spot"
    assert "describe-spot-price-history" in str(problem)
    assert problems(spot=True)[0].where == "cost.spot"
    assert problems(spot=True, usd_per_hour=0.3) == []


def test_a_budget_in_dollars_needs_a_price_of_any_kind() -> None:
    def where(**cost: Any) -> list[str]:
        made = runs.experiment("a", tune={"max_usd": 3}, cost=cost)
        return [problem.where for problem in settings_problems(made)]

    assert where() == ["tune.max_usd"]
    assert where(instance="g5.xlarge") == where(usd_per_hour=1.0) == []
    assert where(instance="nothing.large") == ["cost.instance"], "one mistake, reported once"


def test_a_price_is_old_when_it_is_more_than_a_year_old() -> None:
    price = price_of(CostSpec(instance="g5.xlarge"))
    assert price is not None
    assert not price.is_old(date(2027, 7, 20))
    assert price.is_old(date(2027, 7, 21))
    set_price = price_of(CostSpec(usd_per_hour=1.0))
    assert set_price is not None
    assert not set_price.is_old(date(2099, 1, 1)), "it has no date"


def test_a_price_says_what_time_costs() -> None:
    price = price_of(CostSpec(usd_per_hour=1.5))
    assert price is not None
    assert price.usd(2 * 3600) == 3.0


@pytest.mark.parametrize("name", instances())
def test_every_figure_has_a_source_and_a_known_card(name: str) -> None:
    instance = instances()[name]
    assert 0.01 < instance.on_demand < 500
    assert instance.url.startswith("https://")
    assert (instance.gpu is None) == (instance.gpus == 0)
    assert instance.gpu is None or instance.gpu in gpus()
    assert instance.spot is None or instance.spot < instance.on_demand


def test_larger_machines_of_a_family_without_other_gpus_cost_more() -> None:
    sizes = ["xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge"]
    for family in ("g4dn", "g5", "g6", "g6e"):
        prices = [instances()[f"{family}.{size}"].on_demand for size in sizes]
        assert prices == sorted(prices)
        assert len(set(prices)) == len(prices)


def test_sagemaker_prices_are_doubtful_and_above_those_of_the_same_machine() -> None:
    managed = [name for name in instances() if name.startswith("ml.")]
    assert len(managed) > 20
    for name in managed:
        assert instances()[name].doubt
        assert instances()[name].on_demand > instances()[name.removeprefix("ml.")].on_demand
