"""Search spaces: what a file may contain, what is drawn from it, and constants."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from pydantic import TypeAdapter, ValidationError
from ray import tune

from raycompare.experiment.hyperparameters import all_settings
from raycompare.experiment.space import DOMAINS, SearchSpace
from raycompare.experiment.spec import Experiment
from raycompare.tuning.sampling import configurations, draw, grid, grid_size, tune_domain

RANGES: dict[str, Any] = {
    "uniform": [0, 1],
    "quniform": [0, 1, 0.25],
    "loguniform": [1e-5, 1e-3],
    "qloguniform": [0.5, 8, 0.5],
    "normal": [1, 0.1],
    "qnormal": [10, 1, 0.5],
    "randint": [2, 6],
    "qrandint": [8, 64, 8],
    "lograndint": [1, 100],
    "qlograndint": [16, 256, 16],
    "choice": [1, "two", None],
    "grid": [True, [1, 2]],
}


def space(**entries: Any) -> SearchSpace:
    return TypeAdapter(SearchSpace).validate_json(json.dumps(entries), strict=True)


def experiment(**changes: Any) -> Experiment:
    content = {"name": "x", "data": {"dataset": "x"}, "models": ["a", "b"]}
    return TypeAdapter(Experiment).validate_json(json.dumps(content | changes))


def drawn(kind: str, count: int = 200) -> list[Any]:
    random = np.random.default_rng(3)
    entry = space(x={kind: RANGES[kind]})
    return [values["x"] for values in islice(configurations(entry, random), count)]


def test_there_is_an_example_of_every_kind() -> None:
    assert list(RANGES) == list(DOMAINS)


@pytest.mark.parametrize("kind", RANGES)
def test_a_range_is_written_as_it_was_read(kind: str) -> None:
    entry = {"x": {kind: RANGES[kind]}}
    assert TypeAdapter(SearchSpace).dump_python(space(**entry), mode="json") == entry


@pytest.mark.parametrize("kind", RANGES)
def test_draws_are_plain_values_that_can_be_written_down(kind: str) -> None:
    values = drawn(kind)
    assert json.loads(json.dumps(values)) == values
    assert {type(value) for value in values} <= {int, float, str, bool, list, type(None)}


@pytest.mark.parametrize("kind", RANGES)
def test_draws_lie_between_the_examples(kind: str) -> None:
    (domain,) = space(x={kind: RANGES[kind]}).values()
    if domain.is_listed:
        assert all(value in domain.examples for value in drawn(kind))
    else:
        low, *_, high = domain.examples
        assert low <= min(drawn(kind)) <= max(drawn(kind)) <= high


def test_draws_have_the_steps_of_their_range() -> None:
    assert set(drawn("quniform")) == {0, 0.25, 0.5, 0.75, 1}
    assert set(drawn("qrandint")) == set(range(8, 65, 8))
    assert all(value % 16 == 0 and type(value) is int for value in drawn("qlograndint"))
    assert all(value * 2 == round(value * 2) for value in drawn("qloguniform"))
    assert all(value * 2 == round(value * 2) for value in drawn("qnormal"))


def test_a_normal_range_draws_around_its_mean() -> None:
    values = np.array(drawn("normal", 2000))
    assert abs(values.mean() - 1) < 0.01
    assert abs(values.std() - 0.1) < 0.01


@pytest.mark.parametrize(
    ("entry", "examples"),
    [
        ({"normal": [1, 0.5]}, (-0.5, 2.5)),
        ({"qnormal": [10, 2, 3]}, (3, 15)),
        ({"qnormal": [0.125, 0.01, 0.05]}, (0.1, 3 * 0.05)),
        ({"randint": [2, 5]}, (2, 3, 4)),
        ({"randint": [0, 1000]}, (0, 999)),
        ({"qrandint": [8, 24, 8]}, (8, 16, 24)),
        ({"uniform": [0, 1]}, (0.0, 1.0)),
        ({"grid": ["a", "b"]}, ("a", "b")),
        (0.5, (0.5,)),
    ],
)
def test_examples_are_what_a_range_can_draw(entry: Any, examples: tuple[Any, ...]) -> None:
    assert space(x=entry)["x"].examples == examples


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"normal": [0, 0]}, "standard deviation above 0"),
        ({"qnormal": [0, 1, 0]}, "step above 0"),
        ({"qnormal": [0, 1]}, "3 numbers"),
        ({"qrandint": [8, 64, 1]}, "randint has steps of 1"),
        ({"qrandint": [8, 60, 8]}, "multiples of its step"),
        ({"qrandint": [8, 64, 0.5]}, "integers"),
        ({"quniform": [0, 1, 0.3]}, "multiples of its step"),
        ({"qloguniform": [0, 1, 0.5]}, "lower bound above 0"),
        ({"qlograndint": [16, 8, 8]}, "lower bound below the upper"),
        ({"grid": []}, "at least one value"),
        ({"grid": [1, 2, 1]}, "different values"),
        ({"grid": 3}, "at least one value"),
        ([1, 2], "choice"),
        ({"constant": 3}, "one of: uniform"),
    ],
)
def test_a_range_that_can_not_be_drawn_is_refused(entry: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        space(x=entry)


@given(
    low=some.integers(-50, 50),
    steps=some.integers(1, 40),
    step=some.integers(2, 9),
    odd=some.data(),
)
@settings(max_examples=50)
def test_every_range_with_steps_that_is_allowed_can_be_drawn(
    low: int, steps: int, step: int, odd: some.DataObject
) -> None:
    scale = odd.draw(some.sampled_from([1, 0.1, 0.25, 1e-3]))
    kind = "qrandint" if scale == 1 else "quniform"
    bounds = [low * step * scale, (low + steps) * step * scale, step * scale]
    entry = space(x={kind: bounds})
    value = draw(entry, np.random.default_rng(0))["x"]
    assert bounds[0] - 1e-9 <= value <= bounds[1] + 1e-9  # type: ignore[operator]


@pytest.mark.parametrize("value", [0.01, 3, True, "linear", None])
def test_a_constant_stays_a_plain_value(value: Any) -> None:
    whole = experiment(
        search_space={"x": value}, models=[{"name": "a", "search_space": {"y": value}}]
    )
    written = whole.to_file()
    assert written["search_space"] == {"x": value}
    assert written["models"][0]["search_space"] == {"y": value}
    again = TypeAdapter(Experiment).validate_json(json.dumps(written), strict=True)
    assert again == whole
    assert again.content_hash == whole.content_hash


def test_a_constant_is_set_and_not_searched() -> None:
    whole = experiment(
        training={"weight_decay": 0.5, "learning_rate": 1},
        search_space={"weight_decay": 0.01, "learning_rate": {"uniform": [0, 1]}},
    )
    settings = all_settings(whole)[0]
    assert settings.training == {"weight_decay": 0.01, "learning_rate": 1}
    assert list(settings.space) == ["learning_rate"]


def test_the_entry_of_a_model_overrides_that_of_all_models() -> None:
    own = [
        {"name": "constant", "search_space": {"x": 1}, "training": {"y": 5}},
        {"name": "range", "search_space": {"y": {"uniform": [0, 1]}}, "training": {"x": 5}},
    ]
    whole = experiment(models=own, search_space={"x": {"uniform": [0, 1]}, "y": 2})
    constant, ranged = all_settings(whole)
    assert constant.training == {"x": 1, "y": 2}
    assert constant.space == {}
    assert ranged.training == {"x": 5}
    assert list(ranged.space) == ["x", "y"]


def test_a_grid_is_every_combination_of_listed_values_the_last_changing_fastest() -> None:
    both = space(b={"grid": [1, 2]}, x={"uniform": [0, 1]}, a={"choice": ["p", "q"]})
    assert [list(values.items()) for values in grid(both)] == [
        [("b", 1), ("a", "p")],
        [("b", 1), ("a", "q")],
        [("b", 2), ("a", "p")],
        [("b", 2), ("a", "q")],
    ]
    assert grid_size(both) == 4


def test_a_grid_of_nothing_is_one_empty_configuration() -> None:
    assert list(grid({})) == [{}]
    assert grid_size(space(x={"uniform": [0, 1]})) == 1


@given(sizes=some.lists(some.integers(1, 4), min_size=1, max_size=3), count=some.integers(0, 60))
@settings(max_examples=50)
def test_any_number_of_configurations_covers_a_grid_evenly(sizes: list[int], count: int) -> None:
    grids = {f"g{index}": {"grid": list(range(size))} for index, size in enumerate(sizes)}
    both = space(x={"uniform": [0, 1]}, **grids)
    taken = list(islice(configurations(both, np.random.default_rng(1)), count))
    seen = Counter(tuple(values[name] for name in grids) for values in taken)
    assert max(seen.values(), default=0) - min(seen.values(), default=0) <= 1
    assert len(seen) == min(count, grid_size(space(**grids)))
    assert len({values["x"] for values in taken}) == count


def test_configurations_name_their_values_in_the_order_of_the_file() -> None:
    both = space(b={"grid": [1]}, x={"uniform": [0, 1]}, a={"grid": [2]})
    assert list(next(configurations(both, np.random.default_rng(0)))) == ["b", "x", "a"]


def test_the_seed_decides_the_order_of_a_grid() -> None:
    wide = space(x={"grid": list(range(20))})

    def order(seed: int) -> list[Any]:
        return [
            values["x"] for values in islice(configurations(wide, np.random.default_rng(seed)), 20)
        ]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_a_space_without_grids_draws_what_ray_tune_draws() -> None:
    plain = {
        "lr": {"loguniform": [1e-5, 1e-3]},
        "n": {"randint": [0, 9]},
        "o": {"choice": ["a", "b"]},
    }
    domains = {
        "lr": tune.loguniform(1e-5, 1e-3),
        "n": tune.randint(0, 9),
        "o": tune.choice(["a", "b"]),
    }
    random = np.random.default_rng([42, 7])
    expected = [
        {name: domain.sample(random_state=random) for name, domain in domains.items()}
        for _ in range(5)
    ]
    again = configurations(space(**plain), np.random.default_rng([42, 7]))
    assert list(islice(again, 5)) == expected


@pytest.mark.parametrize("kind", RANGES)
def test_every_kind_has_a_domain_of_ray_tune(kind: str) -> None:
    domain = tune_domain(space(x={kind: RANGES[kind]})["x"])
    assert isinstance(domain, tune.search.sample.Domain)
