from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from raycompare.analysis.importance import columns_of
from raycompare.analysis.statistics.explained import TrialGroup, explain
from raycompare.experiment.space import Domain
from raycompare.metrics import Floats

SPACE = {
    "learning_rate": Domain.model_validate({"loguniform": [1e-5, 1e-3]}),
    "weight_decay": Domain.model_validate({"uniform": [0, 0.3]}),
    "pooling": Domain.model_validate({"choice": ["cls", "mean"]}),
}
REPLAYS = 1000
MOST_NAMED = 0.05 + 2 * (0.05 * 0.95 / REPLAYS) ** 0.5
"""Two standard errors above 5 %: a test of exactly that level passes."""

Effect = Callable[[Floats, np.random.Generator], Floats]


def noise(place: Floats, random: np.random.Generator) -> Floats:
    return random.normal(size=len(place))


def sweet_spot(place: Floats, random: np.random.Generator) -> Floats:
    return 10 * place * (1 - place) + random.normal(0, 0.3, len(place))


def cliff(place: Floats, random: np.random.Generator) -> Floats:
    return np.where(place > 0.7, 0.0, 0.8 + random.normal(0, 0.02, len(place))).round(2)


def group(random: np.random.Generator, trials: int, effect: Effect) -> TrialGroup:
    """Draw trials of one model whose score depends on the place of learning_rate in its range."""
    place = random.random(trials)
    drawn = {
        "learning_rate": (1e-5 * 100**place).tolist(),
        "weight_decay": random.uniform(0, 0.3, trials).tolist(),
        "pooling": random.choice(["cls", "mean"], trials).tolist(),
    }
    columns = {name: columns_of(domain, drawn[name]) for name, domain in SPACE.items()}
    return TrialGroup(effect(place, random), columns)


def named(seed: int, trials: int, models: int, effect: Effect) -> set[str]:
    random = np.random.default_rng(seed)
    explained = explain([group(random, trials, effect) for _ in range(models)], seed)
    return {name for name, own in explained.items() if own.is_significant}


@pytest.mark.parametrize(("trials", "models"), [(7, 1), (7, 4), (30, 1)])
def test_noise_is_rarely_called_important(trials: int, models: int) -> None:
    wrong = sum(bool(named(seed, trials, models, noise)) for seed in range(REPLAYS))
    assert 0.02 < wrong / REPLAYS <= MOST_NAMED


@pytest.mark.parametrize("effect", [sweet_spot, cliff])
def test_next_to_an_important_one_the_others_are_rarely_named(effect: Effect) -> None:
    wrong = sum(bool(named(seed, 7, 4, effect) - {"learning_rate"}) for seed in range(REPLAYS))
    assert wrong / REPLAYS <= MOST_NAMED


@pytest.mark.parametrize("effect", [sweet_spot, cliff])
@pytest.mark.parametrize(("trials", "models"), [(7, 4), (15, 1)])
def test_an_important_one_is_found(effect: Effect, trials: int, models: int) -> None:
    times = [named(seed, trials, models, effect) for seed in range(100)]
    assert sum("learning_rate" in names for names in times) >= 90


def test_each_model_may_have_another_best_value() -> None:
    random = np.random.default_rng(0)
    signs = (lambda place, _: place), (lambda place, _: -place)
    explained = explain([group(random, 10, sign) for sign in signs])
    assert next(iter(explained)) == "learning_rate"
    assert explained["learning_rate"].share > 0.99


def test_an_effect_is_shown_exactly_if_it_exceeds_what_chance_explains() -> None:
    for seed in range(100):
        random = np.random.default_rng(seed)
        for own in explain([group(random, 12, sweet_spot), group(random, 13, noise)]).values():
            assert own.is_significant == (own.share > own.by_chance)
            assert own.trials == 25
            assert own.groups == 2


def test_models_with_equal_scores_or_too_few_trials_explain_nothing() -> None:
    random = np.random.default_rng(0)
    flat = group(random, 12, lambda place, _: np.ones(len(place)))
    few = group(random, 4, noise)
    assert explain([flat, few]) == {}
    explained = explain([flat, few, group(random, 12, noise)])
    assert {own.groups for own in explained.values()} == {1}


def test_what_did_not_vary_has_no_columns() -> None:
    assert columns_of(SPACE["pooling"], ["cls"] * 5).shape == (5, 0)
    assert columns_of(SPACE["weight_decay"], [0.1] * 5).shape == (5, 0)
    assert columns_of(SPACE["weight_decay"], [0.1, 0.2, 0.2, 0.1]).shape == (4, 1)


@pytest.mark.parametrize(
    ("listed", "columns"),
    [
        ([8, 16, 32], 2),
        ([8, 16, 32, 64, 128], 2),
        (["a", "b", "c", "d", "e"], 4),
        ([True, False], 1),
        ([None, 0.1, 0.2, 0.3], 3),
        ([["query"], ["query", "value"]], 1),
    ],
)
def test_listed_values_are_levels_or_a_scale(listed: list[object], columns: int) -> None:
    domain = Domain.model_validate({"choice": listed})
    made = columns_of(domain, 3 * listed)  # type: ignore[arg-type]
    assert made.shape == (3 * len(listed), columns)
    assert np.allclose(made.T @ made, np.eye(columns))
    assert np.allclose(made.sum(axis=0), 0)
